"""The plugin that has a model write a story's summary, off the turn's path; without one rules do, as ever."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import cache, partial
from typing import Annotated

from msgspec import Meta

from tta_kernel import Context, Plugin, PositiveDuration
from tta_llm import LLM, ChatRequest, LanguageModel
from tta_llm.aided import AidedConfig
from tta_llm.prompts import Prompt, Section, load
from tta_llm.standby import Unanswered, is_ready, whole
from tta_sessions import SUMMARISER, ToSummarise
from tta_sessions.conversation import by_rules

_TOKENS = 3
"""A token has at least so many characters, in the languages that this story is told in."""


class SummariserConfig(AidedConfig, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Which model writes, and how long it may take; ``max_prompt`` is how many characters of pages it is told."""

    max_prompt: Annotated[int, Meta(ge=2000, le=200_000)] = 16_000
    timeout: PositiveDuration = 20.0


@cache
def prompt() -> Prompt:
    """Return the instructions."""
    return load("tta_narrative_generator", "summarise")


class StorySummariser(Plugin[SummariserConfig]):
    """Writes down what happened in a story so far, by a model where there is one."""

    after = (LLM,)
    provides = (SUMMARISER,)

    def __init__(self, config: SummariserConfig) -> None:
        super().__init__(config)
        self._llm: LanguageModel | None = None

    @asynccontextmanager
    async def lifespan(self, ctx: Context) -> AsyncIterator[None]:
        prompt()
        self._llm, self._log = ctx.find(LLM), ctx.log
        ctx.provide(SUMMARISER, self)
        yield

    async def prepare(self, config: SummariserConfig) -> Callable[[], None]:
        return partial(setattr, self, "config", config)

    async def summarise(self, asked: ToSummarise) -> str:
        """Return what has happened; by rules where no model writes it, or one that gives nothing of use."""
        llm = self._llm
        if llm is None or not self.config.ask or not is_ready(llm):
            return by_rules(asked)
        try:
            return await self._by_model(llm, asked)
        except Unanswered as exc:
            self._log.info("a story's summary is made by rules: the model's came to nothing (%s)", exc.why)
            return by_rules(asked)

    async def _by_model(self, llm: LanguageModel, asked: ToSummarise) -> str:
        config = self.config
        lines = [line for page in asked.pages for line in (f"typed: {page.said}", f"told: {page.told}")]
        sections = [
            Section("The notes so far", (asked.so_far,) if asked.so_far else (), needed=True),
            Section("The pages since then", tuple(lines)),
        ]
        request = ChatRequest(
            messages=prompt().messages(sections, most=config.max_prompt), model=config.model, temperature=0.2,
            max_tokens=asked.most // _TOKENS, key=f"summary:{asked.session}:{asked.pages[-1].turn}",
            session=asked.session, owner=asked.owner, agent="narrative-generator-summariser",
        )  # fmt: skip
        reply = await whole(llm, request, within=config.timeout)
        text = reply.text.strip()
        if not text or len(text) > asked.most or reply.finish != "stop":
            raise Unanswered("invalid_output")
        if prompt().leaks(text):
            raise Unanswered("leak")
        return text
