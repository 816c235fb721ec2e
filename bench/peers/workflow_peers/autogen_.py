"""autogen-core: agents that send each other messages within one runtime."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from autogen_core import AgentId, MessageContext, RoutedAgent, SingleThreadedAgentRuntime, message_handler

from .common import PAUSE, TEXT, WIDTH, Rows, build, chain_result, fan_result, read, rest, tell


@dataclass
class _Text:
    text: str
    pause: float = 0.0


@dataclass
class _Number:
    n: int


class _Reader(RoutedAgent):
    @message_handler
    async def answer(self, message: _Text, ctx: MessageContext) -> _Text:
        if message.pause:
            await rest(message.pause)
        return _Text(read(message.text))


class _Builder(RoutedAgent):
    @message_handler
    async def answer(self, message: _Text, ctx: MessageContext) -> _Text:
        if message.pause:
            await rest(message.pause)
        return _Text(build(message.text))


class _Teller(RoutedAgent):
    @message_handler
    async def answer(self, message: _Text, ctx: MessageContext) -> _Text:
        if message.pause:
            await rest(message.pause)
        return _Text(tell(message.text))


class _Square(RoutedAgent):
    @message_handler
    async def answer(self, message: _Number, ctx: MessageContext) -> _Number:
        return _Number(message.n**2)


@asynccontextmanager
async def open_rows(redis_url: str) -> AsyncIterator[Rows]:
    """Yield what this peer runs."""
    runtime = SingleThreadedAgentRuntime()
    for kind, agent in (("reader", _Reader), ("builder", _Builder), ("teller", _Teller), ("square", _Square)):
        await agent.register(runtime, kind, lambda agent=agent: agent("bench"))  # type: ignore[misc]
    runtime.start()

    async def ask(kind: str, message: Any, key: str = "one") -> Any:
        return await runtime.send_message(message, AgentId(kind, key))

    async def turn(pause: float) -> None:
        text = await ask("reader", _Text(TEXT, pause))
        change = await ask("builder", _Text(text.text, pause))
        chain_result((await ask("teller", _Text(change.text, pause))).text)

    async def chain() -> None:
        await turn(0)

    async def slow() -> None:
        await turn(PAUSE)

    async def fan() -> None:
        found = await asyncio.gather(*(ask("square", _Number(n), f"s{n}") for n in range(WIDTH)))  # noqa: TID251 - its way
        fan_result(sum(each.n for each in found))

    yield {"chain": chain, "fan": fan, "slow": slow}
