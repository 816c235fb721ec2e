"""What is handed to the human who takes over: the last turns without names, numbers and addresses."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Literal

import msgspec

from tta_sessions import AgeBand, Flags

from .model import Clue, Disclosure, Exchange, Intervention, Packet

Tells = Literal["never", "consent", "always"]
_LONGEST = 1000
"""Characters of each side of a turn."""
_CLUES = 50
_MAIL = re.compile(r"[^\s@<>()]{1,64}@[^\s@<>()]{1,255}")
_ADDRESS = re.compile(r"(?:https?://|www\.)\S+|(?<!\w)@\w+", re.IGNORECASE)
_NUMBER = re.compile(r"[+(]?\d(?:[\d\s().,:/\-]*\d)?")
_NAMED = re.compile(r"\b((?i:my name is|my name's|i am called|i'm called)\s+)\w+(?:[ '\-][A-Z]\w*)*")
_TITLED = re.compile(r"\b((?i:call me|mr\.?|mrs\.?|ms\.?|miss|dr\.?|doctor|aunt|uncle)\s+)[A-Z]\w*(?:[ '\-][A-Z]\w*)*")
_CAPITALISED = re.compile(r"\b\w[\w'\u2019\-]*")
_SENTENCE_END = re.compile(r"(?:^|[.!?\u2026\n\"\u201c\u201d:])\s*$")
_KEPT = frozenset(
    {
        "dr",
        "mr",
        "mrs",
        "ms",
        "miss",
        "i",
        "i'm",
        "i'll",
        "i'd",
        "i've",
        "ok",
        "okay",
        "god",
        "english",
        "german",
        "french",
        "spanish",
    }
)


class Telling(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What may be told to whom: whether the trusted ``contact`` hears of it, and whether the packet holds ``turns``.

    ``consent``: where the person has agreed to it. ``vital``: a critical one's packet holds the turns all the same.
    """

    contact: Tells = "consent"
    turns: Tells = "consent"
    vital: bool = False


TELLING: Mapping[AgeBand, Telling] = {
    # Nobody knows whether whom a child trusts is who harms them; a minor's consent is no adult's.
    "child": Telling("never", "never"),
    "teen": Telling("consent", "consent"),
    "adult": Telling("consent", "consent"),
    "unknown": Telling("never", "consent"),
}
"""By age band, where config says nothing else."""


def packet(intervention: Intervention, disclosure: Disclosure, flags: Flags, telling: Telling, *, most: int) -> Packet:
    """Make the packet of an intervention, with the last ``most`` turns, as far as these may be read."""
    reads = _reads(intervention, flags, telling)
    shown = disclosure.turns[-most:] if most and reads != "withheld" else ()
    findings = [each for each in disclosure.verdict.findings if each.level != "safe"]
    return Packet(
        intervention=intervention.id, kind=intervention.kind, level=intervention.level,
        severity=intervention.assessment.severity,
        clues=tuple(
            Clue(
                rule=each.rule, category=each.category, severity=each.severity, subject=each.subject,
                polarity=each.polarity, temporality=each.temporality,
            )
            for each in findings[:_CLUES]
        ),
        turns=tuple(Exchange(each.turn, redacted(each.said), redacted(each.told)) for each in shown),
        reads=reads, locale=intervention.locale, country=intervention.country, age_band=flags.age_band,
        consent_contact=flags.consent.contact, consent_data=flags.consent.data, at=intervention.opened_at,
    )  # fmt: skip


def _reads(intervention: Intervention, flags: Flags, telling: Telling) -> Literal["agreed", "vital", "withheld"]:
    if telling.turns == "always" or (telling.turns == "consent" and flags.consent.data):
        return "agreed"
    if telling.vital and intervention.level == "critical":
        return "vital"
    return "withheld"


def redacted(text: str) -> str:
    """Return a text without what says who it is about: names, numbers, addresses of mail and of pages.

    Whatever has a capital within a sentence counts as a name: what is taken out too much can be asked for.
    """
    text = _MAIL.sub("[mail]", text[: 4 * _LONGEST])
    text = _ADDRESS.sub("[address]", text)
    text = _NAMED.sub(r"\1[name]", text)
    text = _TITLED.sub(r"\1[name]", text)
    text = _NUMBER.sub("[number]", text)
    return _without_names(text)[:_LONGEST]


def _without_names(text: str) -> str:
    words: Sequence[re.Match[str]] = [*_CAPITALISED.finditer(text)]
    if sum(word[0].isupper() for word in words) > len(words) / 2:
        return text  # It is shouted: a capital says nothing.
    pieces: list[str] = []
    end = 0
    for word in words:
        pieces.append(text[end : word.start()])
        before = text[max(0, word.start() - 3) : word.start()]
        is_name = (
            word[0][0].isupper()
            and word[0].lower() not in _KEPT
            and not _SENTENCE_END.search(before if word.start() > 3 else text[: word.start()])
        )
        pieces.append("[name]" if is_name else word[0])
        end = word.end()
    pieces.append(text[end:])
    return "".join(pieces)
