"""The one way of a story to its player: sentence by sentence, each checked before it is told."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable

import msgspec

from tta_safety import TOLD, About, Verdict, merge

from .checks import Checks, Instead
from .sentences import Sentences

Send = Callable[[str], Awaitable[None]]
"""Hands a text to a reader."""
Record = Callable[[int], Awaitable[bool]]
"""Records that a reader is told so many characters, before it is; False where the text doesn't count any more."""
_PART_OF_A_WORD = re.compile(r"\A\S*\s+")


class Release:
    """One attempt at telling a story; ``text`` is what was told of it, ``verdict`` what the checks said.

    Each sentence is checked alone, with the end of what was told before it: so a story costs its
    length, and not its square. After an ``objection`` nothing more is told. The first characters, so many as were
    ``told`` already, stand as they are: a person has read them, and they were checked then. A story of more than
    ``most`` characters ends after a sentence; 0 is no limit.
    """

    def __init__(
        self, checks: Checks, session: str, about: About, send: Send | None, record: Record | None = None,
        told: int = 0, *, most: int = 0,
    ) -> None:  # fmt: skip
        self._checks, self._session, self._about, self._send = checks, session, about, send
        self._record, self._stands = record, told
        self._stale = False
        self._sentences = Sentences()
        self._told: list[str] = []
        self._length = 0
        self._most = most
        self._left_out: list[str] | None = None
        """What came after the end of a story that would be too long otherwise; None before that end."""
        self._refused = ""
        self.verdict: Verdict | None = None
        self.objection: Instead | None = None

    @property
    def text(self) -> str:
        return "".join(self._told)

    @property
    def received(self) -> str:
        """All that was added, told or not."""
        if self._left_out is not None:
            return "".join(self._left_out) + self._sentences.pending
        return self.text + self._sentences.pending

    @property
    def made_up(self) -> str:
        """All that is known of the story, and what of it was kept from the player."""
        return self.text + self._refused + self._sentences.pending

    async def add(self, piece: str) -> None:
        """Tell the sentences that are whole now."""
        if self._stands:
            known, piece = piece[: self._stands], piece[self._stands :]
            self._stands -= len(known)
            self._remember(known)
        for sentence in self._sentences.add(piece):
            await self._tell(sentence)

    def forget(self) -> bool:
        """Begin anew, since what was added doesn't count; False where some of it was told already."""
        if self._told:
            return False
        self._sentences = Sentences()
        self._stale, self._left_out = False, None
        self.stand_for_nothing()
        return True

    def stand_for_nothing(self) -> None:
        """Check all that is added from now on: it isn't what was told, and checked, before."""
        self._stands = 0

    async def end(self) -> None:
        """Tell what is left, since nothing more will come."""
        if rest := self._sentences.end():
            await self._tell(rest)

    async def _tell(self, sentence: str) -> None:
        if self.objection is not None or self._stale:
            return
        if self._left_out is not None:
            self._left_out.append(sentence)
            return
        if self._most and self._length + len(sentence.rstrip()) > self._most:
            # The rest is neither told nor kept; a story of which nothing was told yet ends within its first sentence.
            self._left_out = [self.text, sentence]
            if self._told:
                return
            sentence = _within(sentence, self._most)
        verdict, self.objection, _ = await self._checks.check(sentence, "story", self._session, self._about)
        self.verdict = merge([self.verdict, verdict]) if self.verdict else verdict
        if self.objection is not None:
            self._refused = sentence
            return
        if self._send is not None and self._record is not None and not await self._record(self._length + len(sentence)):
            self._stale = True  # It is told anew.
            return
        self._remember(sentence)
        if self._send is not None:
            await self._send(sentence)

    def _remember(self, told: str) -> None:
        if told:
            self._told.append(told)
            self._length += len(told)
            self._about = msgspec.structs.replace(self._about, told=_end_of(self._about.told + told))


def _within(sentence: str, most: int) -> str:
    """Return so much of a sentence as may be told, cut between two words."""
    return sentence[:most].rpartition(" ")[0].rstrip() + "…" if " " in sentence[:most] else sentence[: most - 1] + "…"


def _end_of(text: str) -> str:
    return text if len(text) <= TOLD else _PART_OF_A_WORD.sub("", text[-TOLD:], count=1)
