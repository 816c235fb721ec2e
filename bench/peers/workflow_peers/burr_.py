"""Burr: a state machine; durable by its own persister for plain Redis."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import redis.asyncio
from burr.core import ApplicationBuilder, State, action
from burr.core.parallelism import MapStates
from burr.integrations.persisters.b_redis import AsyncRedisBasePersister

from .common import PAUSE, TEXT, WIDTH, Rows, build, chain_result, fan_result, read, rest, tell


def _turn(pause: float) -> Any:
    @action(reads=["text"], writes=["text"])
    async def reader(state: State) -> State:
        if pause:
            await rest(pause)
        return state.update(text=read(state["text"]))

    @action(reads=["text"], writes=["change"])
    async def builder(state: State) -> State:
        if pause:
            await rest(pause)
        return state.update(change=build(state["text"]))

    @action(reads=["change"], writes=["told"])
    async def teller(state: State) -> State:
        if pause:
            await rest(pause)
        return state.update(told=tell(state["change"]))

    return (
        ApplicationBuilder()
        .with_actions(reader=reader, builder=builder, teller=teller)
        .with_transitions(("reader", "builder"), ("builder", "teller"))
        .with_entrypoint("reader")
    )


@action(reads=["n"], writes=["square"])
async def _square(state: State) -> State:
    return state.update(square=state["n"] ** 2)


class _Fan(MapStates):
    def action(self, state: State, inputs: dict[str, Any]) -> Any:
        return _square

    def states(self, state: State, context: Any, inputs: dict[str, Any]) -> Any:
        for n in range(WIDTH):
            yield state.update(n=n)

    async def reduce(self, state: State, states: Any) -> State:
        total = 0
        async for each in states:
            total += each["square"]
        return state.update(total=total)

    def is_async(self) -> bool:
        return True

    @property
    def reads(self) -> list[str]:
        return ["text"]

    @property
    def writes(self) -> list[str]:
        return ["total"]


@asynccontextmanager
async def open_rows(redis_url: str) -> AsyncIterator[Rows]:
    """Yield what this peer runs."""
    client = redis.asyncio.Redis.from_url(redis_url, max_connections=1000)
    persister = AsyncRedisBasePersister(client)
    # Built once: a graph is shared, an application belongs to one run.
    graph, slow_graph = _turn(0), _turn(PAUSE)

    def application(builder: Any, **state: Any) -> Any:
        return ApplicationBuilder().with_graph(builder).with_state(**state)

    turn = graph.build().graph
    slow_turn = slow_graph.build().graph
    wide = ApplicationBuilder().with_actions(fan=_Fan()).with_entrypoint("fan").build().graph

    async def run(graph: Any, entry: str, halt: str, builder: Any) -> State:
        app = await builder.with_entrypoint(entry).abuild()
        _, _, state = await app.arun(halt_after=[halt])
        return state

    async def chain() -> None:
        chain_result((await run(turn, "reader", "teller", application(turn, text=TEXT)))["told"])

    async def slow() -> None:
        chain_result((await run(slow_turn, "reader", "teller", application(slow_turn, text=TEXT)))["told"])

    async def fan() -> None:
        fan_result((await run(wide, "fan", "fan", application(wide, text=TEXT)))["total"])

    async def durable() -> None:
        builder = (
            application(turn, text=TEXT)
            .with_state_persister(persister)
            .with_identifiers(app_id=uuid.uuid4().hex, partition_key="bench")
        )
        chain_result((await run(turn, "reader", "teller", builder))["told"])

    yield {"chain": chain, "fan": fan, "slow": slow, "durable": durable}
