"""A model writes on a page, and each of its sentences is looked at first: one that can't stand ends its part."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

from tta_llm import ChatRequest, LanguageModel
from tta_llm.prompts import Prompt, load
from tta_llm.standby import Heard, piecewise
from tta_world import Change, World

from .facts import contradicts, mentions
from .page import Page
from .parting import Parting, TooLong
from .prose import is_foreign, is_markup, is_out_of_voice

_OVERLAP = 200
"""How much of what was said before is looked at with a sentence, so that nothing leaks in halves."""
_AT_ONCE = 250
"""How much of a piece is parted at once: a server may send a whole book as one, and parting looks at all it holds."""


@cache
def prompt() -> Prompt:
    """Return the instructions."""
    return load("tta_narrative_generator", "narrate")


class Author:
    """Writes up to ``length`` characters more on a page; ``avoid`` is what it mustn't speak of."""

    def __init__(self, page: Page, world: World, change: Change, *, length: int, avoid: Sequence[str]) -> None:
        self._page, self._world, self._change, self._avoid = page, world, change, tuple(avoid)
        self._until = len(page.text) + length
        self._parting = Parting()
        self._why = ""
        self.told = 0
        """How many sentences it has written."""

    async def write(self, llm: LanguageModel, request: ChatRequest, *, within: float, before: str) -> Heard:
        """Write; return the model's name, and why it broke off where it did. ``before`` parts it from what stands."""
        self._before = before
        heard = await piecewise(llm, request, self._take, within=within)
        if not self._why and not heard.why:
            await self._add_all(self._parting.end())
        why = self._why or heard.why
        return Heard(why if why or self.told else "invalid_output", heard.model)

    async def _take(self, piece: str) -> bool:
        for at in range(0, len(piece), _AT_ONCE):
            try:
                found = self._parting.add(piece[at : at + _AT_ONCE])
            except TooLong:
                self._why = "invalid_output"
                return False
            if not await self._add_all(found) or len(self._page.text) >= self._until:
                return False
        return True

    async def _add_all(self, found: Sequence[tuple[str, str]]) -> bool:
        """Tell sentences; False where one is none for this page, and so nothing after it is."""
        for before, sentence in found:
            if self._page.has(sentence):
                continue
            if why := self._objection(sentence):
                self._why = why
                return False
            await self._page.add(before if self.told else self._before, sentence)
            self.told += 1
        return True

    def _objection(self, sentence: str) -> str:
        """Say in a word why a sentence can't stand, if it can't."""
        if prompt().leaks(f"{self._page.text[-_OVERLAP:]} {sentence}"):
            return "leak"
        if is_markup(sentence, self._world.player.name):
            return "markup"
        if is_foreign(sentence):
            return "foreign"
        if is_out_of_voice(sentence):
            return "out_of_voice"
        if mentions(sentence, self._avoid):
            return "avoided"
        if contradicts(sentence, self._world, self._change):
            return "contradiction"
        return ""
