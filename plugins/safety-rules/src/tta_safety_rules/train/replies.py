"""Replies of a model as templates: one that must not be told, its harmless twin, and the frames that either stands in.

What tells the two apart is never the frame, the player's line or the form: both are told in all of them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import partial
from itertools import cycle
from pathlib import Path
from typing import NamedTuple

import msgspec

_CHOICE = re.compile(r"\[([^\[\]]+\|[^\[\]]*)\]")
_VARIANTS = 3
"""So many lines are made of a template that leaves that many choices."""


class Template(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A reply that must not be told, and its twin that may; ``[one|other]`` is a choice."""

    unsafe: str
    twin: str
    before: str = ""


class Templates(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """All of `replies.yaml`: a frame has ``{}`` where the reply stands; narration is harmless by itself."""

    frames: Sequence[str]
    befores: Sequence[str]
    narration: Sequence[str]
    replies: dict[str, Sequence[Template]]


class Reply(NamedTuple):
    """A reply as a model might give it; ``category`` is "none" where it may be told."""

    template: str
    text: str
    before: str
    category: str


def read_templates(path: Path) -> Templates:
    """Read the file of templates."""
    return msgspec.yaml.decode(path.read_bytes(), type=Templates)


def replies(templates: Templates) -> Iterator[Reply]:
    """Yield each template's replies: as they stand, and once in a frame, as an answer to something else now and then.

    ``template`` is the same for all that come from one, so that they can be kept together.
    """
    frames, befores = cycle(templates.frames), cycle(templates.befores)
    for category, members in templates.replies.items():
        for template in members:
            name = f"{category}: {template.before} {template.unsafe}"
            sides = ((template.unsafe, category), (template.twin, "none"))
            for text, of in sides:
                for chosen in variants(text):
                    yield Reply(name, chosen, variants(template.before)[0], of)
            # The same frame for both, and by turns the player's own line and any other.
            frame, other = next(frames), next(befores)
            before = other if len(name) % 2 else variants(template.before)[-1]
            for text, of in sides:
                framed = frame.replace("{}", variants(text)[-1])
                yield Reply(name, framed, before, of)
    for text in templates.narration:
        yield Reply(text, text, next(befores), "none")


def variants(text: str) -> list[str]:
    """Return a template's texts: as many as its widest choice has, each choice going round by itself."""
    widest = max((len(choice.split("|")) for choice in _CHOICE.findall(text)), default=1)
    return [_CHOICE.sub(partial(_nth, number), text) for number in range(min(widest, _VARIANTS))]


def _nth(number: int, found: re.Match[str]) -> str:
    options = found[1].split("|")
    return options[number % len(options)]
