"""A turn as its reader wants it: plain text, or Markdown that shows the very same characters."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable

import msgspec

from . import texts
from .model import PLAIN, InputError, Narrate
from .plain import plain

_MARKS = re.compile(r"[\\`*_{}\[\]<>#|~&$@]|(?<=\d)[.)]|:(?=//)|(?<=www)\.", re.IGNORECASE)
"""What Markdown, and what is commonly added to it, reads as markup wherever it stands; links without brackets, too."""
_BEGINS = re.compile(r"[-+=]")
"""What it reads as markup at the beginning of a line."""
_LINE = re.compile(r"(\n)")


LEAST = 40
"""How many characters of a story there must be room for."""


class Rendering:
    """Renders a turn piece by piece; the pieces joined are what the whole of it gives.

    In Markdown everything that could be markup is escaped, be it a player's, a model's or a stranger's: no link, no
    picture and no HTML comes of it, and a line stays a line.
    """

    def __init__(self, narrate: Narrate) -> None:
        self._markdown = narrate.format == "markdown"
        self._begins = True
        """Whether the next character begins a line."""

    def add(self, piece: str) -> str:
        """Return a piece as it is handed out; it ends where a word does."""
        piece = plain(piece)
        if not self._markdown:
            return piece
        return "".join(map(self._part, _LINE.split(piece)))

    def _part(self, part: str) -> str:
        if part == "\n":
            self._begins = True
            return "  \n"  # A line break; where a line is empty, a paragraph ends all the same.
        if self._begins:
            part = part.lstrip()  # Four spaces would be code.
        if not part:
            return ""
        begins, self._begins = self._begins, False
        escaped = _MARKS.sub(r"\\\g<0>", part)
        return f"\\{escaped}" if begins and _BEGINS.match(part) else escaped

    def sending(self, send: Callable[[str], Awaitable[None]]) -> Callable[[str], Awaitable[None]]:
        """Return what renders a piece before it is sent."""

        async def rendered(text: str) -> None:
            await send(self.add(text))

        return rendered


def rendered(text: str, narrate: Narrate) -> str:
    """Return a whole text as it is handed out."""
    return Rendering(narrate).add(text)


def checked(narrate: Narrate) -> Narrate:
    """Return it as it is; raise `InputError` where it asks for what there isn't."""
    if narrate is PLAIN:
        return narrate
    try:
        wanted = msgspec.convert(msgspec.to_builtins(narrate), Narrate)
        if wanted.most and wanted.most < LEAST:
            raise ValueError
    except (TypeError, ValueError):
        raise InputError(texts.NO_FORMAT) from None
    return wanted
