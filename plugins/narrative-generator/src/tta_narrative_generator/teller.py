"""One turn told: by a model where there is one, and by rules where there is none, or where it fails.

A page has three parts. Turns of the story open and end it, as they stand in the story's own text; between them a model
tells what the rules say has happened. Where its telling breaks off the rules end the page; where it never began they
tell all of it. What stands from an earlier call comes first, and only the rest is told anew.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from tta_agents import StepContext
from tta_llm import ChatRequest, LanguageModel
from tta_world import Change, World

from .author import Author, prompt
from .narrate import Narration
from .page import Page, missing

_ENOUGH = 0.6
"""With so much of its length a page that was broken off needs no more of a model."""
Trace = dict[str, str]


class Asked(NamedTuple):
    """A model to ask: ``request`` makes the question, from what stands of the page; ``within`` so many seconds."""

    llm: LanguageModel
    request: Callable[[str], ChatRequest]
    within: float
    length: int
    avoid: Sequence[str]


class Teller:
    """Tells one turn on a page, whose ``text`` is the turn; ``ending`` is how the rules end one that broke off."""

    def __init__(self, narration: Narration, world: World, change: Change, ctx: StepContext, *, ending: str) -> None:
        self._narration, self._world, self._change = narration, world, change
        self._ending = ending
        self._page = Page(ctx)
        self._stands = ctx.released
        self.is_a_models = not narration.text.startswith(self._stands)
        """Whether what stands is other than what the rules say."""
        self.is_the_rules = not self.is_a_models and len(self._stands.rstrip()) > len(narration.opening)
        """Whether what stands is more of what the rules say than how every page of this turn begins."""

    @property
    def text(self) -> str:
        return self._page.text

    async def by_rules(self) -> None:
        """Tell it all, or end what a model has begun."""
        if not self.is_a_models:
            await self._page.say(self._narration.text)
            return
        await self._page.stand(self._stands)
        if not await self._go_on_ending():
            await self._break_off()

    async def by_model(self, asked: Asked) -> Trace:
        """Tell it by a model, where what stands leaves it something to tell; return how that went."""
        trace = {"by": "model", "prompt": prompt().id}
        if self.is_a_models:
            await self._page.stand(self._stands)
            if await self._go_on_ending():
                return trace
        else:
            await self._page.say(self._narration.opening)
        so_far = self._page.text.removeprefix(self._narration.opening).strip()
        if len(so_far) >= _ENOUGH * asked.length:
            await self._page.add_paragraphs(self._narration.beats)
            return trace
        author = Author(
            self._page, self._world, self._change, length=asked.length - len(so_far), avoid=asked.avoid
        )  # fmt: skip
        before = " " if so_far else "\n\n"
        heard = await author.write(asked.llm, asked.request(so_far), within=asked.within, before=before)
        trace |= {"model": heard.model} if heard.model else {}
        if not heard.why:
            await self._page.add_paragraphs(self._narration.beats)
            return trace
        if author.told or so_far:
            await self._break_off()
            return trace | {"why": heard.why}
        await self._page.rest(self._narration.text)
        return {"by": "rules", "why": heard.why}

    async def _break_off(self) -> None:
        """End a page of which a reader may have half: with what is true whatever was told."""
        await self._page.add_paragraphs(self._ending)
        await self._page.add_paragraphs(self._narration.beats)

    async def _go_on_ending(self) -> bool:
        """Tell what is missing of an end that was begun; False where none was."""
        beats = self._narration.beats
        for end in ("\n\n".join(filter(None, (self._ending, beats))), beats):
            if (rest := missing(self._page.text, end)) is not None:
                await self._page.stand(rest)
                return True
        return False
