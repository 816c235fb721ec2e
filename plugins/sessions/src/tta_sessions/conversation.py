"""What was said in a story: its last pages word for word, and a summary of those before them."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Protocol

import msgspec
from msgspec import Meta

from tta_kernel import Service

from . import kept
from .model import Session

KEY = "summary"
"""Where the summary stands in a session's context; the pages are its ``history``."""
LONGEST = 2000
"""How many characters a summary has at most."""
_SAID, _TOLD = 80, 160
"""How many characters of a page a summary by rules has."""
_SENTENCE = re.compile(r"\A\s*(.+?[.!?…]+[\"'”’)]*)(?=\s|\Z)", re.DOTALL)


class Page(msgspec.Struct, frozen=True):
    """A turn: its number, what the person ``said``, what they were ``told``, and what ``outcome`` that had."""

    turn: int = 0
    said: str = ""
    told: str = ""
    outcome: str = ""


class Summary(msgspec.Struct, frozen=True):
    """What has happened up to a ``turn``, that one included; 0 and no text before there is one."""

    text: Annotated[str, Meta(max_length=LONGEST)] = ""
    turn: Annotated[int, Meta(ge=0)] = 0


class ToSummarise(msgspec.Struct, frozen=True):
    """The summary so far, and the pages that it has yet to tell; what is to come has ``most`` characters at most."""

    session: str
    owner: str
    so_far: str
    pages: tuple[Page, ...]
    most: int = LONGEST


class Summariser(Protocol):
    """Writes summaries, as with a model. Without one they are made by rules (`by_rules`)."""

    async def summarise(self, asked: ToSummarise) -> str:
        """Return what has happened, in a few sentences: the summary so far, and the pages, in one.

        Whatever it raises, a text that is empty or too long, and one that a check objects to, is replaced by the rules'
        summary.
        """


SUMMARISER = Service[Summariser]("summariser")


def summary_of(session: Session | None) -> Summary:
    """Return a session's summary; none where it has none, or one that is damaged."""
    found = kept.read(session, KEY, Summary)
    # One without the other is none: it would be told twice, or not at all.
    return found if found.text and found.turn else Summary()


def with_summary(session: Session, summary: Summary) -> Mapping[str, Any] | None:
    """Return a session's context with a summary; None where it has a later one."""
    if summary_of(session).turn >= summary.turn:
        return None
    return {**session.context, KEY: msgspec.to_builtins(kept.checked(summary))}


def by_rules(asked: ToSummarise) -> str:
    """Return a summary by rules: of each page what was said, and the first sentence of what was told.

    Where that is too long the oldest lines go.
    """
    lines = [*asked.so_far.splitlines(), *(_line(page) for page in asked.pages)]
    return "\n".join(_last(lines, asked.most))


def _line(page: Page) -> str:
    found = _SENTENCE.match(page.told)
    told = found[1] if found else page.told
    return f"{page.turn}. “{_short(page.said, _SAID)}” — {_short(told, _TOLD)}"


def _short(text: str, most: int) -> str:
    text = " ".join(text.split())
    return text if len(text) <= most else text[: most - 1].rstrip() + "…"


def _last(lines: Sequence[str], most: int) -> Sequence[str]:
    length = 0
    for number, line in enumerate(reversed(lines)):
        length += len(line) + 1
        if length > most + 1:
            return lines[len(lines) - number :]
    return lines
