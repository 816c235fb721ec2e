"""A run that has ended is not asked again for each sentence whether it has: that reads all of its journal."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, cast

from tta_kernel import Context, NoConfig, Plugin
from tta_kernel.testing import running
from tta_orchestration import ORCHESTRATION, OrchestrationPlugin
from tta_safety import SafetyPlugin
from tta_sessions import SessionsMemory, SessionsPlugin
from tta_workflows import WORKFLOWS, Run, Streamed, Workflows

SENTENCES = ("A gull walks by. ", "It looks at you. ", "It goes. ", "The wall is warm. ", "That is all.")


class Ended(Plugin[NoConfig]):
    """An engine whose run is over before its text is read."""

    provides = (WORKFLOWS,)
    looks = 0

    @asynccontextmanager
    async def lifespan(self, ctx: Context) -> AsyncIterator[None]:
        type(self).looks = 0
        ctx.provide(WORKFLOWS, cast("Workflows", self))
        yield

    @property
    def id(self) -> str:
        return "r"

    async def start(self, *args: Any, **how: Any) -> Any:
        return self

    @asynccontextmanager
    async def stream(self) -> AsyncIterator[AsyncIterator[Streamed]]:
        async def told() -> AsyncIterator[Streamed]:
            for number, text in enumerate(SENTENCES, 1):
                yield Streamed("story", 1, number, text, number)

        yield told()

    async def release(self, piece: Streamed, length: int) -> bool:
        return False

    async def query(self) -> Run:
        type(self).looks += 1
        return await self.result()

    async def result(self) -> Run:
        return Run("r", "turn", "done", output={"text": "".join(SENTENCES), "world": {}})


async def test_what_is_done_is_looked_at_once() -> None:
    plugins = (OrchestrationPlugin, SafetyPlugin, SessionsPlugin, SessionsMemory, Ended)
    async with running(*plugins, config={"allow_unchecked": True}) as kernel:
        async with kernel.get(ORCHESTRATION).stream_user_input("hello", "s") as stream:
            told = [piece async for piece in stream]
        looks = Ended.looks
    assert told == list(SENTENCES)
    # Once for the run's key, and once after what could not be released.
    assert looks <= 2
