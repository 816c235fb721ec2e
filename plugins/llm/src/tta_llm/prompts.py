"""Prompts that are files: named, versioned, and with what people wrote in them as data, which can't get out of it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from importlib.resources import files

import msgspec
from msgspec import Struct

from .model import Message

_HEAD = re.compile(r"# ([a-z][a-z0-9-]{0,40}@[1-9][0-9]{0,3})\n")
_WORD = re.compile(r"[^\W_]+")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\ud800-\udfff]+")
_MARKS = str.maketrans("<>[]{}|`#\\", "\u2039\u203a()()/'-/")
"""Without these a text holds no mark of any chat template, no fence, and no head of a section."""
_RUN = 8
"""So many words in a row are a prompt's own, and no chance."""
_LINE = 4000


class PromptError(Exception):
    """A prompt's file isn't there, or doesn't say its name and version."""


class Section(Struct, frozen=True):
    """A part of what a model is told: ``lines`` are data, and quoted.

    Where there is no room for all, those that aren't ``needed`` are left out: the last sections first, and of each its
    first lines, which are the oldest.
    """

    title: str
    lines: tuple[str, ...]
    needed: bool = False


class Prompt(Struct, frozen=True):
    """What a model is told to do; ``id`` is its name and version, as ``narrate@1``."""

    id: str
    text: str

    def messages(self, sections: Iterable[Section], *, most: int) -> tuple[Message, ...]:
        """Return the instructions, and the sections as data, in at most ``most`` characters if the needed ones fit."""
        return Message("system", self.text), Message("user", _fitted([*sections], most))

    def leaks(self, text: str) -> bool:
        """Say whether a text repeats the instructions: a run of their words, or the prompt's name."""
        return self.id in text or not _runs_of(self).isdisjoint(_runs(text))


def load(package: str, name: str) -> Prompt:
    """Read ``prompts/name.md`` of a package; its first line is its name and version, as ``# narrate@1``."""
    file = files(package) / "prompts" / f"{name}.md"
    try:
        text = file.read_text(encoding="utf-8")
    except OSError as exc:
        raise PromptError(f"{package}: prompts/{name}.md: {type(exc).__name__}; the package ships it") from None
    head = _HEAD.match(text)
    if head is None or head[1].partition("@")[0] != name:
        raise PromptError(f"{package}: prompts/{name}.md: its first line isn't like `# {name}@1`")
    return Prompt(head[1], text[head.end() :].strip())


def plain(text: str, most: int = _LINE) -> str:
    """Return a text as one line without marks that a chat template, or a reader of Markdown, takes for its own."""
    line = " ".join(_CONTROL.sub(" ", text[: 2 * most]).split()).translate(_MARKS)
    return line if len(line) <= most else line[:most].rstrip() + "…"


def _fitted(sections: Sequence[Section], most: int) -> str:
    lines = [[_quoted(line) for line in section.lines] for section in sections]
    room = most - sum(
        _cost(section, own) for section, own in zip(sections, lines, strict=True) if section.needed
    )  # fmt: skip
    shown: list[str] = []
    for section, own in zip(sections, lines, strict=True):
        kept = own
        if not section.needed:
            kept = _newest(own, room - _cost(section, ()))
            room -= _cost(section, kept) if kept else 0
        if kept:
            shown.append("\n".join((f"## {section.title}", *kept)))
    return "\n\n".join(shown)


def _newest(lines: Sequence[str], room: int) -> list[str]:
    kept: list[str] = []
    for line in reversed(lines):
        room -= len(line) + 1
        if room < 0:
            break
        kept.append(line)
    return kept[::-1]


def _cost(section: Section, lines: Sequence[str]) -> int:
    return len(section.title) + 5 + sum(len(line) + 1 for line in lines)


def _quoted(line: str) -> str:
    # As a JSON string: it has no end but its own quotation mark.
    return msgspec.json.encode(plain(line)).decode()


@cache
def _runs_of(prompt: Prompt) -> frozenset[tuple[str, ...]]:
    return frozenset(_runs(prompt.text))


def _runs(text: str) -> Iterator[tuple[str, ...]]:
    words = _WORD.findall(text.casefold())
    return zip(*(words[at:] for at in range(_RUN)), strict=False)
