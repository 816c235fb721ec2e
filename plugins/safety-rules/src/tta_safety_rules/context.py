"""What is around a match and changes what it means: negation, whose it is, when, whether it is said or only told.

A small ConText (Harkema et al., 2009; NegEx, Chapman et al., 2001), for short messages and for stories: triggers before
and after a match, pseudo-triggers that look like one and are none, a scope in words, and words that end it. It is
asked of matches alone, so plain text never pays for it.
"""

from __future__ import annotations

import re
from importlib.resources import files
from typing import NamedTuple

import msgspec

from tta_safety import Polarity, Subject, Temporality
from tta_safety.rules import Modifier, Rule

_REACH = 160
"""How many characters before and after a match are looked at."""
_UNSURE: frozenset[Modifier] = frozenset({"hypothetical", "quotation", "hyperbole", "fiction"})
"""What leaves open whether it is meant."""
_SCOPE = 6
"""How many words a negation reaches."""


class Circumstances(NamedTuple):
    """What is around a match; ``modifiers`` are those that were seen and that the rule lets count."""

    subject: Subject
    polarity: Polarity = "affirmed"
    temporality: Temporality = "present"
    modifiers: frozenset[Modifier] = frozenset()


_TRIGGERS = msgspec.yaml.decode(
    files(__package__).joinpath("data", "context.yaml").read_bytes(), type=dict[str, list[str]]
)


def _words(name: str) -> re.Pattern[str]:
    """Return the triggers of one kind, each between word boundaries."""
    # YAML joins the lines of a long entry with a space; behind a bar it is none of the pattern's.
    alternatives = (it.replace("| ", "|") for it in _TRIGGERS[name])
    return re.compile(r"\b(?:" + "|".join(alternatives) + r")\b")


_SENTENCE = re.compile(r"[.!?;\n]+(?=\s|$)|[\n;]")
_CLAUSE = _words("clause")
_NEGATION = _words("negation")
_NO_NEGATION = _words("no_negation")
_OTHERS = _words("others")
_FIRST = re.compile(r"\b(?:i|i'm|im|i've|ive|i'll|i'd|id|me|my|myself|mine)\b")
_PAST = _words("past")
_STILL = _words("still")
_RECENT = _words("recent")
_IMMINENT = _words("imminent")
_HYPOTHETICAL = _words("hypothetical")
_SAID = _words("said")
_EDUCATION = _words("education")
_LAUGH = re.compile(
    r"\b(?:lol+|lmf?ao+|rofl|haha+|hehe+|xd|jk|just kidding|kidding|joking|/s)\b|[:;]-?[)dp]\b|[😂🤣😆😅💀]"
)
_MUNDANE = _words("mundane")
_FICTION = _words("fiction")


def circumstances(text: str, start: int, end: int, rule: Rule) -> Circumstances:
    """Read what is around the match of a rule in a folded text."""
    before = text[max(0, start - _REACH) : start]
    after = text[end : end + _REACH]
    before_sentence = _SENTENCE.split(before)[-1]
    after_sentence = _SENTENCE.split(after, maxsplit=1)[0]
    match = text[start:end]
    sentence = before_sentence + match + after_sentence
    seen: set[Modifier] = set()
    if _negated(before_sentence, after_sentence):
        seen.add("negation")
    subject = _subject(before_sentence, match, rule)
    if subject == "other":
        seen.add("subject")
    when = _when(sentence)
    if when == "past":
        seen.add("time")
    if _HYPOTHETICAL.search(before_sentence[-60:]):
        seen.add("hypothetical")
    if _quoted(before, after, sentence):
        seen.add("quotation")
    if _EDUCATION.search(sentence):
        seen.add("education")
    if _LAUGH.search(before + match + after) or _MUNDANE.search(f"{before_sentence} {after_sentence}"):
        seen.add("hyperbole")
    if _FICTION.search(before + match + after):
        seen.add("fiction")
    counted = frozenset(seen.intersection(rule.modifiers))
    return Circumstances(
        subject if subject != "other" or "subject" in counted else rule.subject,
        "negated" if "negation" in counted else "possible" if counted & _UNSURE else "affirmed",
        _temporality(when, counted),
        counted,
    )


def unmodified(rule: Rule) -> Circumstances:
    """Return what a match means where nobody looks at what is around it."""
    return Circumstances(rule.subject)


def _negated(before: str, after: str) -> bool:
    """Whether a negation before a match reaches it, in the same clause and within a few words."""
    clause = _CLAUSE.split(before)[-1]
    masked = _NO_NEGATION.sub(lambda found: "_" * len(found[0]), clause)
    found = [*_NEGATION.finditer(masked)]
    if found and len(masked[found[-1].end() :].split()) <= _SCOPE:
        # Twice is none: "I can't say that I don't want to".
        return len(found) % 2 == 1
    return bool(re.match(r"\s*(?:\?\s*)?(?:no(?:pe)?\b|never\b|is not\b|isn'?t\b|not (?:at all|anymore)\b)", after))


def _subject(before: str, match: str, rule: Rule) -> Subject:
    if rule.subject not in ("unknown", "self"):
        return rule.subject
    if _FIRST.search(match):
        return "self"
    first = [*_FIRST.finditer(before)]
    others = [*_OTHERS.finditer(before)]
    # "My" friend is somebody else, and so is she of whom I know that she does it.
    if others and (not first or others[-1].end() > first[-1].end()):
        return "other"
    return "self" if first else rule.subject


def _when(sentence: str) -> Temporality:
    if _PAST.search(sentence) and not _STILL.search(sentence):
        return "past"
    if _IMMINENT.search(sentence):
        return "imminent"
    return "recent" if _RECENT.search(sentence) else "present"


def _temporality(when: Temporality, counted: frozenset[Modifier]) -> Temporality:
    if when == "past" and "time" not in counted:
        return "present"
    if "hypothetical" in counted and when != "past":
        return "hypothetical"
    return when


def _quoted(before: str, after: str, sentence: str) -> bool:
    """Whether a match stands in quotation marks that somebody else's saying belongs to, or is told as one's saying."""
    inside = before.count('"') % 2 == 1 and '"' in after
    said = _SAID.search(sentence) is not None
    if inside and (said or _SAID.search(before + after)):
        return True
    return said and not re.match(r"\s*i\b", sentence)
