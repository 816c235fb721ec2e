"""What is said to a person in distress while their story pauses: a conversation that never ends by itself.

It asks what practice asks (see ``support.yaml`` for that and for the words), one question at a time; it reads answers
no further than yes, no, enough, better, and "go on with the story", since whoever guesses more gets it wrong. Nothing
is said twice within some turns. All words come from a list: no model speaks to a person in a crisis.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.resources import files
from typing import Any, Literal, NamedTuple

import msgspec
import yaml

from .lines import help_lines
from .model import Verdict

Mood = Literal["heard", "yes", "no", "safe", "angry", "what_am_i", "listening"]

_PATHS: Mapping[str, Sequence[str]] = {
    "suicide": (
        "suicide", "safe", "plan", "intent", "means", "alone", "trusted", "professional", "helped"),
    "self_harm": (
        "hurting", "wound", "suicide", "plan", "intent", "means", "alone", "trusted", "professional", "helped"),
    "substance": ("taken", "purpose", "alone", "safe", "trusted", "professional", "helped"),
    "abuse": ("danger", "near", "wound", "blame", "thoughts", "trusted", "professional", "helped"),
    "violence": ("others", "distance", "safe", "thoughts", "alone", "trusted", "professional", "helped"),
    "psychosis": (
        "frightening", "commanded", "safe", "thoughts", "alone", "sleep", "trusted", "professional", "helped"),
    "eating_disorder": ("body", "thoughts", "since", "alone", "trusted", "professional", "helped"),
    "panic": ("ground", "body_panic", "alone", "thoughts", "since", "trusted", "professional", "helped"),
    "depression": ("thoughts", "since", "safe", "alone", "trusted", "professional", "helped"),
}  # fmt: skip
"""What is asked, by the kind of crisis, in this order."""
_AFTER_YES: Mapping[str, Sequence[str]] = {
    "thoughts": ("plan", "intent", "means", "safe"),
    "purpose": ("plan", "intent", "means", "safe"),
    "commanded": ("thoughts", "means", "safe"),
}
"""What is asked next where one of these was answered with yes: thoughts of suicide have come up."""
_MORE = "more"
"""What is asked where all else was: open questions, of which there are many."""
_REMEMBERED = 40
"""How many of the last sentences aren't said again while there are others."""
_SERIOUS = 4
"""From this severity on the person is asked whether they are safe before the story goes on."""
_READ = 4000
"""How many characters of what was written are read for an answer."""
_REMIND = 3
"""In every so many replies the lines are named again."""

_YES = re.compile(
    r"^\W*(?:yes|yeah|yea|yep|yup|mhm|kind ?of|sort ?of|maybe|i guess|i think so|a bit|a little|sometimes|true|right|"
    r"i (?:am|do|have|did)\b(?! ?n.?t| not))\b",
    re.IGNORECASE,
)
_NO = re.compile(
    r"^\W*(?:no|nope|nah|not|never|none|nobody|no one|nothing|i.?m not|i am not|i do not|i (?:do|did|have)n.?t)\b",
    re.IGNORECASE,
)
_SAFE = re.compile(
    r"\b(?:i.?m|i am|i feel|feeling)\s+(?:\w+\s+)?(?:safe|better|calmer|ok(?:ay)?|fine|alright|all right)\b",
    re.IGNORECASE,
)
_ANGRY = re.compile(
    r"\b(?:leave me alone|stop asking|stop it|shut up|go away|fuck off|piss off|none of your business|annoying|"
    r"don.?t want to (?:talk|answer)|enough (?:with|of)|stop (?:with )?(?:the|these|your) questions)\b",
    re.IGNORECASE,
)
_WHAT = re.compile(
    r"\b(?:are|r) (?:you|u) (?:a |an |even |really |actually )*(?:real|human|person|bot|robot|ai|machine|program)\b|"
    r"\b(?:you.?re|you are) (?:just |only )?(?:a |an )?(?:bot|robot|machine|ai|program)\b",
    re.IGNORECASE,
)
_ON = re.compile(
    r"^\W*(?:(?:ok(?:ay)?|fine|please|alright|yes|yeah|let.?s|can we|could we|i (?:want|would like|.?d like) to|"
    r"just)\W+)*"
    r"(?:continue|go on|carry on|resume|play on|keep (?:playing|going)|go back|back|play|return)"
    r"(?:\W+(?:with|to|the|my|our|this|story|game|adventure|it|now|please|playing|on|in|into))*\W*$",
    re.IGNORECASE,
)
_REACH = re.compile(
    r"\b(?:real (?:person|human|people)|(?:hot|help|crisis) ?line|get me help|"
    r"need (?:some |real |professional )?help\b(?! with| to| from| finding| opening| getting)|"
    r"(?:talk|speak|chat) (?:to|with) (?:a |an |some)?(?:real |actual |other )?(?:person|human|one|body|counsell?or|"
    r"therapist)|(?:who|whom|someone|somebody|anyone|number) (?:can|could|should|do|to|that) (?:i |we )?"
    r"(?:call|text|phone|ring|talk to|reach)|(?:is there|any) (?:some|any)(?:one|body) (?:i|who|to))",
    re.IGNORECASE,
)


class Support(msgspec.Struct, frozen=True):
    """Where a conversation stands: what it is about, the turn in which it began, and what was asked and said already.

    ``due`` are questions that an answer has brought up. ``last`` is the question that waits for an answer.
    """

    kinds: tuple[str, ...]
    severity: int = 0
    since: int = 0
    replies: int = 0
    asked: tuple[str, ...] = ()
    due: tuple[str, ...] = ()
    last: str = ""
    said: tuple[str, ...] = ()


class Reply(NamedTuple):
    """What is said, and where the conversation stands then; None where the story goes on after that."""

    text: str
    support: Support | None


def converse(
    text: str, verdict: Verdict, support: Support | None, *, locale: str = "", country: str = "", turn: int = 0
) -> Reply:
    """Answer what a person wrote in a crisis, or while their story pauses because of one.

    ``support`` is where the conversation stood; None in the turn in which it begins. The story goes on where the person
    asks for it, and says nothing of a crisis in the same breath; after something very serious they are asked once
    whether they are safe.
    """
    text = text[:_READ]
    severity = max((found.severity for found in verdict.findings), default=0)
    begins = support is None
    stands = support or Support((), since=turn)
    kinds = tuple(dict.fromkeys((*stands.kinds, *verdict.kinds)))
    stands = msgspec.structs.replace(
        stands, kinds=kinds, severity=max(severity, stands.severity), replies=stands.replies + 1
    )
    words = _Words(locale, stands.said)
    mood = _mood(text, new=bool(verdict.kinds))
    if not verdict.objects and not begins and (ended := _ended(text, mood, stands, words)):
        return ended
    if mood == "yes" and stands.last in _AFTER_YES:
        due = (*_AFTER_YES[stands.last], *stands.due)
        stands = msgspec.structs.replace(stands, due=tuple(dict.fromkeys(due)))
    parts = [words.next("not_safe") if _is_unsafe(mood, stands) else words.next(mood)]
    question = _question(stands) if mood != "angry" else ""
    remind = begins or bool(verdict.kinds) or _is_unsafe(mood, stands) or stands.replies % _REMIND == 0
    if mood == "what_am_i" or remind or reaches_out(text):
        lines = help_lines(locale=locale, country=country, kind=kinds[0] if kinds else "")
        parts.append(words.next("lines").format(lines=lines))
    elif question not in ("trusted", "professional") and stands.replies % 2 == 0:
        parts.append(words.next("people"))
    if question:
        parts.append(words.next(f"ask.{question}"))
    if not begins and not verdict.kinds and (mood == "angry" or stands.replies % 2 == 1):
        parts.append(words.next("offer"))
    asked = (*stands.asked, question) if question and question not in stands.asked else stands.asked
    due = tuple(name for name in stands.due if name != question)
    return Reply(" ".join(parts), msgspec.structs.replace(stands, asked=asked, due=due, last=question, said=words.said))


def check_in(verdict: Verdict, *, locale: str = "", country: str = "", turn: int = 0) -> str:
    """Return the gentle question that goes before a story where a crisis may be there, and nobody knows."""
    variants = _texts(locale)["check_in"]
    return str(variants[turn % len(variants)]).format(lines=help_lines(locale=locale, country=country))


def reaches_out(text: str) -> bool:
    """Say whether somebody asks for a person, a line or help; in a story as in a crisis."""
    return _REACH.search(text) is not None


def reach_out(*, locale: str = "", country: str = "", turn: int = 0) -> str:
    """Return the answer to whoever asks for a person, a line or help."""
    variants = _texts(locale)["reach_out"]
    return str(variants[turn % len(variants)]).format(lines=help_lines(locale=locale, country=country))


def _mood(text: str, *, new: bool) -> Mood:
    if _WHAT.search(text):
        return "what_am_i"
    if new:
        return "heard"
    if _ANGRY.search(text):
        return "angry"
    if _SAFE.search(text) and not _NO.search(text):
        return "safe"
    if _NO.search(text):
        return "no"
    return "yes" if _YES.search(text) else "listening"


def _is_unsafe(mood: Mood, stands: Support) -> bool:
    return stands.last == "safe" and mood == "no"


def _ended(text: str, mood: Mood, stands: Support, words: _Words) -> Reply | None:
    """Go on with the story where the person wants that; or ask first whether they are safe."""
    wants = _ON.search(text) is not None
    if wants and (stands.severity < _SERIOUS or "safe_first" in stands.asked):
        return Reply(words.next("on"), None)
    if "safe_first" in stands.asked and stands.last == "safe" and mood in ("yes", "safe"):
        return Reply(words.next("on"), None)
    if not wants:
        return None
    question = f"{words.next('before_on')} {words.next('ask.safe')}"
    asked = tuple(dict.fromkeys((*stands.asked, "safe", "safe_first")))
    return Reply(question, msgspec.structs.replace(stands, asked=asked, last="safe", said=words.said))


def _question(stands: Support) -> str:
    """Return the next question: what an answer has brought up, then what each kind of crisis asks for."""
    for name in (*stands.due, *_interleaved(stands.kinds)):
        if name not in stands.asked:
            return name
    return _MORE


def _interleaved(kinds: Sequence[str]) -> Sequence[str]:
    """Put the questions of several kinds into one order; those of suicide come first, wherever it came up."""
    first = sorted(kinds, key=lambda kind: kind != "suicide")
    names = [name for kind in first for name in _PATHS.get(kind, _PATHS["depression"])]
    return tuple(dict.fromkeys(names or _PATHS["depression"]))


class _Words:
    """Gives the next sentence of a list, none that was said of late while there is another."""

    def __init__(self, locale: str, said: Sequence[str]) -> None:
        self._texts = _texts(locale)
        self.said = tuple(said)

    def next(self, name: str) -> str:
        """Return a sentence; ``name`` is a list's, or ``ask.`` and a question's."""
        group, _, question = name.partition(".")
        variants: Sequence[str] = self._texts[group][question] if question else self._texts[group]
        last = {key: place for place, key in enumerate(self.said)}
        number = min(range(len(variants)), key=lambda number: last.get(f"{name}.{number}", -1))
        self.said = (*self.said, f"{name}.{number}")[-_REMEMBERED:]
        return str(variants[number])


def _texts(locale: str) -> Mapping[str, Any]:
    languages = _languages()
    return languages.get(locale.partition("-")[0].lower(), languages["en"])


@cache
def _languages() -> Mapping[str, Mapping[str, Any]]:
    text = files(__package__).joinpath("support.yaml").read_text(encoding="utf-8")
    loaded: Mapping[str, Mapping[str, Any]] = yaml.safe_load(text)
    return loaded
