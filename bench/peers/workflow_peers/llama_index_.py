"""llama-index-workflows: steps that answer events."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from workflows import Context, Workflow, step
from workflows.events import Event, StartEvent, StopEvent

from .common import PAUSE, TEXT, WIDTH, Rows, build, chain_result, fan_result, read, rest, tell


class _Read(Event):
    text: str


class _Built(Event):
    change: str


class _Branch(Event):
    n: int


class _Squared(Event):
    square: int


class _Turn(Workflow):
    pause = 0.0

    @step
    async def reader(self, event: StartEvent) -> _Read:
        if self.pause:
            await rest(self.pause)
        return _Read(text=read(event.text))

    @step
    async def builder(self, event: _Read) -> _Built:
        if self.pause:
            await rest(self.pause)
        return _Built(change=build(event.text))

    @step
    async def teller(self, event: _Built) -> StopEvent:
        if self.pause:
            await rest(self.pause)
        return StopEvent(result=tell(event.change))


class _SlowTurn(_Turn):
    pause = PAUSE


class _Fan(Workflow):
    @step
    async def split(self, ctx: Context, event: StartEvent) -> _Branch | None:
        for n in range(WIDTH):
            ctx.send_event(_Branch(n=n))
        return None

    @step(num_workers=WIDTH)
    async def square(self, event: _Branch) -> _Squared:
        return _Squared(square=event.n**2)

    @step
    async def join(self, ctx: Context, event: _Squared) -> StopEvent | None:
        found = ctx.collect_events(event, [_Squared] * WIDTH)
        return StopEvent(result=sum(each.square for each in found)) if found else None


@asynccontextmanager
async def open_rows(redis_url: str) -> AsyncIterator[Rows]:
    """Yield what this peer runs."""
    turn: Any = _Turn(timeout=None)
    slow_turn: Any = _SlowTurn(timeout=None)
    wide: Any = _Fan(timeout=None)

    async def chain() -> None:
        chain_result(await turn.run(text=TEXT))

    async def slow() -> None:
        chain_result(await slow_turn.run(text=TEXT))

    async def fan() -> None:
        fan_result(await wide.run())

    yield {"chain": chain, "fan": fan, "slow": slow}
