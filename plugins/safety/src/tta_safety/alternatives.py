"""What is said in place of a text that may not stand: fixed sentences, by category, severity and language.

No model has a part in them. ``alternatives.yaml`` has the sentences, and what they keep to.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from importlib.resources import files
from typing import Final

import msgspec
import yaml

from .help import SHIPPED, Help
from .model import CATEGORIES, KINDS, category

_SERIOUS: Final = 3
"""From this cue on (active thoughts with a method, see `Finding.severity`) lines are named whatever it is about."""
_URGENT: Final = 5
"""From this cue on (a plan and intent, or something done) nobody should be alone."""
_NEEDS_LINES = frozenset((*KINDS, "child_safety", "method", "dosage", "abandonment", "delusion", "false_claim"))
"""Of what somebody may be in need behind the text, also where nothing tells how serious it is."""
_UNKNOWN: Final = "sentiment"
"""Whose words are taken for a category of somebody's own: they suit everything that isn't a crisis."""


class _Distress(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    low: str
    serious: str
    urgent: str


class _Story(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    low: str
    serious: str


class _Texts(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    opening: Mapping[str, str]
    distress: _Distress
    story: _Story
    closing: str
    fallback: str


class _Languages(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    only: Mapping[str, str]
    names: Mapping[str, str]


def alternative(
    name: str, severity: int = 0, locale: str = "", country: str = "", *, help: Help = SHIPPED
) -> str:  # fmt: skip
    """Return what is said in place of a text: 120 words at most, kind, and with lines where somebody may be in need.

    ``name`` is a category (`CATEGORIES`) or another name for one, or somebody's own; ``severity`` is the highest cue
    of the findings, as `Finding.severity` has it. The language is the locale's, else English.
    """
    kind = _known(name)
    texts = _texts(locale)
    parts = [texts.opening[kind], _asks(kind, severity, texts)]
    if kind in _NEEDS_LINES or severity >= _SERIOUS:
        parts.append(help.lines.help_lines(locale=locale, country=country, kind=_topic(kind)))
    parts.append(texts.closing)
    return " ".join(parts)


def fallback(
    locale: str = "", country: str = "", *, languages: Sequence[str] = (), help: Help = SHIPPED
) -> str:  # fmt: skip
    """Return what is said where a check failed, or where what was written is in a language that nobody knows.

    ``languages`` are codes of those that are known, beside which ``help`` may have others: whoever can't read English
    is told of them in their own language, if it is one of a dozen.
    """
    said = _texts(locale).fallback.format(lines=help.lines.help_lines(locale=locale, country=country))
    if not languages:
        return said
    known = _languages()
    languages = tuple(dict.fromkeys((*languages, *help.texts.understood)))
    names = ", ".join(known.names.get(code, code) for code in languages)
    own = _language(locale)
    order = sorted(known.only, key=lambda code: code != own)
    return "\n".join([said, *(known.only[code].format(names=names) for code in order)])


def known_languages() -> Sequence[str]:
    """Return the codes of the languages that have alternatives."""
    return tuple(_all())


def _known(name: str) -> str:
    try:
        return category(name)
    except ValueError:
        return _UNKNOWN


def _asks(kind: str, severity: int, texts: _Texts) -> str:
    """Return what the severity asks for; in a crisis that is people, elsewhere the story goes on."""
    if kind not in KINDS:
        return texts.story.serious if severity >= _SERIOUS else texts.story.low
    if severity >= _URGENT:
        return texts.distress.urgent
    return texts.distress.serious if severity >= _SERIOUS else texts.distress.low


def _topic(kind: str) -> str:
    """Return what the lines are to be for: who asks for a dose may need those that know of poison."""
    if kind == "dosage":
        return "substance"
    return kind if kind in KINDS or kind == "child_safety" else ""


def _language(locale: str) -> str:
    return locale.replace("_", "-").partition("-")[0].lower()


def _texts(locale: str) -> _Texts:
    every = _all()
    return every.get(_language(locale), every["en"])


@cache
def _all() -> Mapping[str, _Texts]:
    every = msgspec.convert(_read("alternatives.yaml"), dict[str, _Texts])
    for language, texts in every.items():
        missing = [name for name in CATEGORIES if name not in texts.opening]
        if missing:
            raise ValueError(f"alternatives.yaml: {language} has no opening for {', '.join(missing)}")
    return every


@cache
def _languages() -> _Languages:
    return msgspec.convert(_read("languages.yaml"), _Languages)


def _read(name: str) -> object:
    return yaml.safe_load(files(__package__).joinpath(name).read_text(encoding="utf-8"))
