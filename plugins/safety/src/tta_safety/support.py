"""What is said to a person in distress while their story pauses: a conversation that never ends by itself.

It asks what practice asks (see ``support.yaml`` for that and for the words), one question at a time; it reads answers
no further than ``hearing`` does, since whoever guesses more gets it wrong. Nothing is said twice within some turns. All
words come from a list: no model speaks to a person in a crisis.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple

import msgspec

from .hearing import Hearing
from .help import SHIPPED, Help
from .model import KINDS, Finding, Verdict
from .texts import Texts

Mood = Literal["heard", "yes", "no", "safe", "angry", "what_am_i", "listening"]

_PATHS: Mapping[str, Sequence[str]] = {
    "suicide": (
        "suicide", "safe", "plan", "intent", "means", "alone", "trusted", "professional", "helped"),
    "self_harm": (
        "hurting", "wound", "suicide", "plan", "intent", "means", "alone", "trusted", "professional", "helped"),
    "substance": ("taken", "purpose", "alone", "safe", "trusted", "professional", "helped"),
    "overdose": (
        "what_taken", "purpose", "alone", "intent", "means", "safe", "trusted", "professional", "helped"),
    "abuse": ("danger", "near", "wound", "blame", "thoughts", "trusted", "professional", "helped"),
    "violence": (
        "others", "plan_others", "distance", "intent_others", "thoughts", "safe", "alone", "trusted", "professional",
        "helped"),
    "psychosis": (
        "frightening", "commanded", "safe", "thoughts", "alone", "sleep", "trusted", "professional", "helped"),
    "eating_disorder": ("body", "thoughts", "since", "alone", "trusted", "professional", "helped"),
    "panic": ("ground", "body_panic", "alone", "thoughts", "since", "trusted", "professional", "helped"),
    "depression": ("thoughts", "since", "safe", "alone", "trusted", "professional", "helped"),
}  # fmt: skip
"""What is asked, by the kind of crisis, in this order; ``overdose`` is what of ``substance`` can't wait."""
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
_ACUTE = 5
"""From this severity on a substance may be in the body that needs help before any talk."""
_REMIND = 3
"""In every so many replies the lines are named again."""
_SAID_SO = 0.8
"""The risk of what somebody says of themselves when they are asked."""


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
    text: str, verdict: Verdict, support: Support | None, *, locale: str = "", country: str = "", turn: int = 0,
    help: Help = SHIPPED,
) -> Reply:  # fmt: skip
    """Answer what a person wrote in a crisis, or while their story pauses because of one.

    ``support`` is where the conversation stood; None in the turn in which it begins. The story goes on where the person
    asks for it, and says nothing of a crisis in the same breath; after something very serious they are asked once
    whether they are safe.
    """
    severity = max((found.severity for found in verdict.findings), default=0)
    begins = support is None
    stands = support or Support((), since=turn)
    kinds = tuple(dict.fromkeys((*stands.kinds, *verdict.kinds)))
    stands = msgspec.structs.replace(
        stands, kinds=kinds, severity=max(severity, stands.severity), replies=stands.replies + 1
    )
    words = _Words(help.texts, locale, stands.said, begins_with=stands.since)
    hear = help.texts.hearing(locale)
    mood = _mood(text, hear, new=bool(verdict.kinds))
    if not verdict.objects and not begins and (ended := _ended(text, hear, mood, stands, words)):
        return ended
    if mood == "yes" and stands.last in _AFTER_YES:
        due = (*_AFTER_YES[stands.last], *stands.due)
        stands = msgspec.structs.replace(stands, due=tuple(dict.fromkeys(due)))
    parts = [words.next("overdose")] if _is_acute(verdict) else []
    parts.append(words.next("not_safe") if _is_unsafe(mood, stands) else words.next(mood))
    if any(found.category == "protective" for found in verdict.findings):
        parts.append(words.next("protective"))
    question = _question(stands) if mood != "angry" else ""
    remind = begins or bool(verdict.kinds) or _is_unsafe(mood, stands) or stands.replies % _REMIND == 0
    if mood == "what_am_i" or remind or hear.reaches_out(text):
        lines = help.lines.help_lines(locale=locale, country=country, kind=kinds[0] if kinds else "")
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


def check_in(
    verdict: Verdict, *, locale: str = "", country: str = "", turn: int = 0, help: Help = SHIPPED
) -> str:  # fmt: skip
    """Return the question that goes before a story where a crisis may be there, and nobody knows: it asks directly."""
    asked = help.texts.of(locale)["check_in"]
    variants = asked.get(doubt(verdict)) or asked.get("any") or SHIPPED.texts.of("en")["check_in"]["any"]
    return str(variants[turn % len(variants)]).format(lines=help.lines.help_lines(locale=locale, country=country))


def doubt(verdict: Verdict) -> str:
    """Return the kind of crisis that a doubtful verdict may be about, the most severe one; "" where there is none."""
    found = [it for it in verdict.findings if it.category in KINDS and it.level != "safe"]
    return max(found, key=lambda it: (it.severity, -KINDS.index(it.category))).category if found else ""


def affirmed(
    text: str, verdict: Verdict, kind: str, *, locale: str = "", help: Help = SHIPPED
) -> Verdict | None:  # fmt: skip
    """Return the verdict on an answer to a check-in that says that it is about the person; None where it doesn't.

    What they were asked about is no doubt any more, so the verdict names it, as that on a disclosure does.
    """
    if not kind or verdict.kinds or not help.texts.hearing(locale).affirms(text):
        return None
    found = Finding(
        rule="check-in@1", category=kind, level="warning", severity=1, subject="self", why="said so when asked"
    )
    return msgspec.structs.replace(
        verdict,
        level="warning" if verdict.level == "safe" else verdict.level,
        risk=max(verdict.risk, _SAID_SO),
        kinds=(kind,),
        findings=(*verdict.findings, found),
    )


def reaches_out(text: str, *, locale: str = "", help: Help = SHIPPED) -> bool:
    """Say whether somebody asks for a person, a line or help; in a story as in a crisis."""
    return help.texts.hearing(locale).reaches_out(text)


def reach_out(*, locale: str = "", country: str = "", turn: int = 0, help: Help = SHIPPED) -> str:
    """Return the answer to whoever asks for a person, a line or help."""
    variants = help.texts.of(locale)["reach_out"]
    return str(variants[turn % len(variants)]).format(lines=help.lines.help_lines(locale=locale, country=country))


def _mood(text: str, hear: Hearing, *, new: bool) -> Mood:
    if hear.asks_what_this_is(text):
        return "what_am_i"
    if new:
        return "heard"
    if hear.is_angry(text):
        return "angry"
    if hear.is_better(text) and not hear.is_no(text):
        return "safe"
    if hear.is_no(text):
        return "no"
    return "yes" if hear.is_yes(text) else "listening"


def _is_acute(verdict: Verdict) -> bool:
    return "substance" in verdict.kinds and any(
        found.category == "substance" and found.severity >= _ACUTE for found in verdict.findings
    )


def _is_unsafe(mood: Mood, stands: Support) -> bool:
    return stands.last == "safe" and mood == "no"


def _ended(text: str, hear: Hearing, mood: Mood, stands: Support, words: _Words) -> Reply | None:
    """Go on with the story where the person wants that; after something very serious, ask once before.

    They are asked whether they are safe; of what they took, whether they meant to die, where nobody has asked that yet.
    """
    wants = hear.wants_the_story(text)
    if wants and (stands.severity < _SERIOUS or "safe_first" in stands.asked):
        return Reply(words.next("on"), None)
    if "safe_first" in stands.asked and stands.last == "safe" and mood in ("yes", "safe"):
        return Reply(words.next("on"), None)
    if not wants:
        return None
    name = "safe"
    said = "safe_from_suicide" if "suicide" in stands.kinds else "safe"
    if "substance" in stands.kinds and "purpose" not in stands.asked:
        name = said = "purpose"
    question = f"{words.next('before_on')} {words.next(f'ask.{said}')}"
    asked = tuple(dict.fromkeys((*stands.asked, name, "safe_first")))
    return Reply(question, msgspec.structs.replace(stands, asked=asked, last=name, said=words.said))


def _question(stands: Support) -> str:
    """Return the next question: what an answer has brought up, then what each kind of crisis asks for."""
    for name in (*stands.due, *_interleaved(stands.kinds, stands.severity)):
        if name not in stands.asked:
            return name
    return _MORE


def _interleaved(kinds: Sequence[str], severity: int) -> Sequence[str]:
    """Put the questions of several kinds into one order: what is in the body, then suicide, wherever it came up."""
    acute = severity >= _ACUTE
    paths = ["overdose" if kind == "substance" and acute else kind for kind in kinds]
    paths.sort(key=lambda path: ("overdose", "suicide").index(path) if path in ("overdose", "suicide") else 2)
    names = [name for path in paths for name in _PATHS.get(path, _PATHS["depression"])]
    return tuple(dict.fromkeys(names or _PATHS["depression"]))


class _Words:
    """Gives the next sentence of a list, none that was said of late while there is another.

    Of most lists the first is the plainest, and comes first. That something was heard is said in other words by each
    conversation, since none remembers what the one before said.
    """

    def __init__(self, texts: Texts, locale: str, said: Sequence[str], *, begins_with: int) -> None:
        self._texts = texts.of(locale)
        self._english = texts.of("en")
        self._begins_with = begins_with
        self.said = tuple(said)

    def next(self, name: str) -> str:
        """Return a sentence; ``name`` is a list's, or ``ask.`` and a question's."""
        group, _, question = name.partition(".")
        variants: Sequence[str] = self._texts[group]
        if question:
            # A language may have some of the questions.
            variants = self._texts[group].get(question) or self._english[group][question]
        last = {key: place for place, key in enumerate(self.said)}
        first = self._begins_with if name == "heard" else 0
        places = [(first + number) % len(variants) for number in range(len(variants))]
        number = min(places, key=lambda number: last.get(f"{name}.{number}", -1))
        self.said = (*self.said, f"{name}.{number}")[-_REMEMBERED:]
        return str(variants[number])
