"""What is around a match and changes what it means: negation, whose it is, when, whether it is said or only told.

A frame of fiction makes a doubt at most, and none where a person speaks of themselves: "she is basically me", "not in
the game", or the first person amid phones, schools and bosses. Nor is laughter one where they say that they mean it.

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
_FIRST = re.compile(r"\b(?:i|i'm|im|i've|ive|i'll|i'd|id|me|my|myself|mine|us|our)\b")
_SHORT = 6
"""Words that a command may have."""
_SPEAKER = re.compile(r"\b(?:i|i'm|im|i've|ive|i'll|i'd|id|me|myself|mine)\b|\bmy\W*$")
"""The first person as somebody of whom something is said: in "the boy in my class" it is the boy."""
_PART = re.compile(r"[,;:.!?]\s")
_OWN_STATE = frozenset({"suicide", "self_harm", "substance", "eating_disorder", "panic", "depression"})
"""What somebody has themselves: it is about whom a match begins with. What others do is told with their names."""
_OWN = _words("own")
_MODERN = _words("modern")
_EARNEST = _words("earnest")
_DENIED = re.compile(
    r"\s*(?:\?\s*)?(?:no(?:pe)?\b(?! (?:cap|joke|kidding|lie))|never\b|is not\b|isn'?t\b|not (?:at all|anymore)\b)"
)
"""What after a match says that it isn't so."""
_OWN_SAYING = re.compile(r"\bi(?:'ve| have)? (?:\w+ )?(?:said|say|told|texted|wrote|posted|whispered|cried|asked)\b")
_PAST = _words("past")
_STILL = _words("still")
_RECOVERED = _words("recovered")
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
    around = before + match + after
    seen: set[Modifier] = set()
    if _negated(before_sentence, after_sentence):
        seen.add("negation")
    own = _OWN.search(around) is not None
    subject = _subject(before_sentence, match, rule, own=own)
    if subject == "other":
        seen.add("subject")
    # What comes after a match that ends in another sentence says nothing of when it was.
    when = _when(before_sentence + _SENTENCE.split(match + after, maxsplit=1)[0], sentence)
    if when == "past":
        seen.add("time")
    if _HYPOTHETICAL.search(before_sentence[-60:]):
        seen.add("hypothetical")
    if _quoted(before, after, sentence):
        seen.add("quotation")
    if _EDUCATION.search(sentence):
        seen.add("education")
    if not _EARNEST.search(around) and (
        _LAUGH.search(around) or _MUNDANE.search(f"{before_sentence} {after_sentence}")
    ):
        seen.add("hyperbole")
    if not own and _FICTION.search(around) and not (_SPEAKER.search(sentence) and _MODERN.search(sentence)):
        seen.add("fiction")
    counted = frozenset(seen.intersection(rule.modifiers))
    return Circumstances(
        subject if subject != "other" or "subject" in counted else rule.subject,
        "negated" if "negation" in counted else "possible" if counted & _UNSURE else "affirmed",
        _temporality(when, counted),
        counted,
    )


def speaks(text: str) -> bool:
    """Say whether somebody speaks of themselves in a text; a command to a figure has no first person."""
    return _FIRST.search(text.lower()) is not None


def commands(text: str) -> bool:
    """Say whether a text reads like a command to a figure, as "bury the dead" does: short, and of nobody oneself."""
    return len(text.split()) <= _SHORT and not speaks(text)


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
    return _DENIED.match(after) is not None


def _subject(before: str, match: str, rule: Rule, *, own: bool) -> Subject:
    """Say whose a match is; a figure that somebody says they are is themselves."""
    if rule.subject == "fictional" and own:
        return "self"
    if rule.subject not in ("unknown", "self"):
        return rule.subject
    if rule.category in _OWN_STATE:
        # A pattern may reach into what is said next: "my sister has panic attacks, how do I help".
        match = _PART.split(match, maxsplit=1)[0]
        if _OTHERS.match(match) and not _SPEAKER.search(match):
            return "other"
    if _FIRST.search(match):
        return "self"
    first = [*_SPEAKER.finditer(before)]
    others = [*_OTHERS.finditer(before)]
    # "My" friend is somebody else, and so is she of whom I know that she does it.
    if others and (not first or others[-1].end() > first[-1].end()):
        return "other"
    return "self" if first else rule.subject


def _when(first: str, sentence: str) -> Temporality:
    if _PAST.search(first) and (not _STILL.search(first) or _RECOVERED.search(first)):
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
    # What somebody says that they said themselves is theirs.
    said = _SAID.search(_OWN_SAYING.sub("", sentence)) is not None
    if inside and (said or _SAID.search(before + after)):
        return True
    return said and not re.match(r"\s*i\b", sentence)
