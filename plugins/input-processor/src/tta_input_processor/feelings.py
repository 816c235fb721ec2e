"""Feelings in a player's words: named as one would to a friend, and never judged."""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

from tta_world import Feeling

from . import tables
from .tables import listed, phrases

_TABLE = tables.feelings()
_STRONGER = frozenset(listed(_TABLE.stronger))
_WEAKER = frozenset(listed(_TABLE.weaker))
_SKIPPED = frozenset(listed(_TABLE.skipped)) | _STRONGER | _WEAKER
_LEADS = phrases(_TABLE.leads)
_BARE = frozenset(listed(_TABLE.bare))
_WEAK = frozenset(listed(_TABLE.weak))
_NOT_ALONE = frozenset(listed(_TABLE.not_alone))
_SELDOM = frozenset({"never", "hardly", "rarely", "seldom", "barely"})
_NOT = frozenset({"not", "never", "hardly", "no", "but"})
_OVER = frozenset({"longer", "more"})
_PAST = frozenset({"yesterday", "before", "once", "earlier", "ago", "formerly"})
_WAS = frozenset({"was", "felt", "were"})
_WELL = frozenset({"ok", "okay", "fine", "alright", "right", "well", "good"})
_OPPOSITE = {"joy": "sadness", "calm": "worry", "hope": "despair", "relief": "worry",
             "pride": "shame", "love": "loneliness", "gratitude": "sadness"}  # fmt: skip


class FoundFeelings(NamedTuple):
    """Feelings in a clause, and whether the clause is about nothing else."""

    feelings: tuple[Feeling, ...]
    whole: bool


@cache
def _lexicon() -> dict[tuple[str, ...], tuple[str, float]]:
    return {phrase: (line.feeling, line.strength) for line in _TABLE.words for phrase in phrases(line.phrases)}


@cache
def _idioms() -> dict[str, tuple[tuple[tuple[str, ...], str, float], ...]]:
    """Return the sayings by their first word, in the order of the table."""
    found: dict[str, list[tuple[tuple[str, ...], str, float]]] = {}
    for line in _TABLE.sayings:
        for words in phrases(line.phrases):
            found.setdefault(words[0], []).append((words, line.feeling, line.strength))
    return {word: tuple(sorted(group, key=lambda s: -len(s[0]))) for word, group in found.items()}


def feelings(words: tuple[str, ...]) -> FoundFeelings:
    """Find the feelings that the speaker of a clause has, or no longer has."""
    if "neither" in words and "nor" in words and len(list(_stated(tuple(w for w in words if w != "neither")))) > 0:
        # Neither the one nor the other: what is left is little of anything.
        return FoundFeelings((Feeling(name="numbness", text=" ".join(words)[:200], strength=0.4),), whole=True)
    found = list(_idiomatic(words))
    if found:
        return FoundFeelings(tuple(found), whole=True)
    found = list(_stated(words))
    return FoundFeelings(tuple(found), whole=bool(found))


def _idiomatic(words: tuple[str, ...]) -> list[Feeling]:
    """Find the turns of phrase, each feeling once; despair before all that is said besides."""
    found: dict[str, Feeling] = {}
    text = " ".join(words)[:200]
    at = 0
    for start, word in enumerate(words):
        for idiom, name, strength in _idioms().get(word, ()):
            if start < at and name != "despair":
                continue
            if not _matches_at(idiom, words, start):
                continue
            before = words[max(0, start - 3) : start]
            denied = bool(_NOT & set(before)) and idiom[0] not in ("do", "cannot", "not")
            if denied and name == "despair":
                # A denial of such a thing is still something to be gentle with.
                denied = False
                strength = 0.5
            found.setdefault(name, Feeling(name=name, text=text, strength=strength, present=not denied))
            at = start + len(idiom)
            break
    return sorted(found.values(), key=lambda feeling: feeling.name != "despair")


def _matches_at(idiom: tuple[str, ...], words: tuple[str, ...], start: int) -> bool:
    """Tell whether an idiom stands here; `*` in it is one word, or two, or three."""
    if "*" not in idiom:
        return words[start : start + len(idiom)] == idiom
    gap = idiom.index("*")
    head = idiom[:gap]
    tail = idiom[gap + 1 :]
    if words[start : start + gap] != head:
        return False
    ends = range(start + gap + 1, start + gap + 4)
    return any(words[end : end + len(tail)] == tail for end in ends)


def _stated(words: tuple[str, ...]) -> list[Feeling]:
    for start in range(len(words)):
        for lead in _LEADS:
            end = start + len(lead)
            if words[start:end] != lead:
                continue
            bare = " ".join(lead) in _BARE
            before = words[start - 1] if start else "i"
            never = before in _SELDOM and start > 1 and words[start - 2] == "i"
            if lead[0] in ("am", "feel", "feeling") and before not in ("i", "and") and not never:
                continue
            over = set(lead) >= {"used", "to"} or (bool(_WAS & set(lead)) and bool(_PAST & set(words)))
            denied = bool(_NOT & set(lead)) or never or over
            if found := _feelings_from(words, end, denied=denied, bare=bare and not never, over=over):
                return found
    # Without a subject: `so tired`, `sad and alone`, `scared`.
    if (found := _feelings_from(words, 0, denied=False, bare=False)) and _only_feelings(words):
        return found
    return []


def _only_feelings(words: tuple[str, ...]) -> bool:
    lexicon = _lexicon()
    rest = [w for w in words if w not in _SKIPPED and w not in _NOT | _OVER]
    if all(word in _NOT_ALONE for word in rest) and rest == list(words):
        return False
    known = {word for phrase in lexicon for word in phrase}
    return bool(rest) and all(word in known for word in rest) and len(words) <= 6


def _feelings_from(
    words: tuple[str, ...], start: int, *, denied: bool, bare: bool, over: bool = False
) -> list[Feeling]:  # fmt: skip
    """Read the feelings that stand from here on: `not so sad any more`, `scared and alone`.

    What is ``over`` leaves nothing in its place: `I was happy once` isn't sad yet.
    """
    lexicon = _lexicon()
    found: list[Feeling] = []
    strength = 0.0
    at = start
    passed = 0
    while at < len(words) and passed < 6:
        word = words[at]
        match = next((words[at : at + n] for n in (3, 2, 1) if words[at : at + n] in lexicon), None)
        if match is not None and not (bare and " ".join(match) in _WEAK):
            name, base = lexicon[match]
            gone = denied or _ended(words, at)
            eased = _eased(words, start, at)
            present = not gone or eased
            if eased and name not in _OPPOSITE:
                # `less afraid than yesterday` is afraid still, and says that it's lighter.
                name = "relief"
            elif ((gone and not over) or eased) and name in _OPPOSITE:
                # `not okay` says more than that the calm has gone.
                name = "sadness" if match[-1] in _WELL else _OPPOSITE[name]
                present = True
            base = min(1.0, max(0.1, base + strength))
            text = " ".join(words[start : at + len(match)])[:200]
            if name not in [f.name for f in found]:
                found.append(Feeling(name=name, text=text, strength=base, present=present))
            at += len(match)
            passed += 1
            continue
        if word in _NOT:
            denied = True
        elif word in _STRONGER:
            strength = 0.2
        elif word in _WEAKER:
            strength = -0.2
        elif word not in _SKIPPED and word not in _OVER:
            break
        at += 1
        passed += 1
    return found


def _eased(words: tuple[str, ...], start: int, at: int) -> bool:
    """Tell whether a feeling is said to be less than it was: `less sad`, `not as sad as before`."""
    before = words[max(0, start - 3) : at]
    compared = bool(_NOT & set(before)) and "as" in words[start:at] and "as" in words[at + 1 : at + 3]
    return "less" in before or compared


def _ended(words: tuple[str, ...], at: int) -> bool:
    """Tell whether a feeling is said to have gone: `no longer afraid`, `not sad any more`."""
    before = set(words[max(0, at - 4) : at])
    return bool({"not", "never", "hardly"} & before) or ("no" in before and "longer" in before)
