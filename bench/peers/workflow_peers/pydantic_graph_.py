"""pydantic-graph: typed steps; it has no persistence of its own."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from pydantic_graph import GraphBuilder, StepContext, reduce_sum

from .common import PAUSE, TEXT, WIDTH, Rows, build, chain_result, fan_result, read, rest, tell


def _turn(pause: float) -> Any:
    builder = GraphBuilder(input_type=str, output_type=str)

    @builder.step
    async def reader(ctx: StepContext[None, None, str]) -> str:
        if pause:
            await rest(pause)
        return read(ctx.inputs)

    @builder.step
    async def world(ctx: StepContext[None, None, str]) -> str:
        if pause:
            await rest(pause)
        return build(ctx.inputs)

    @builder.step
    async def teller(ctx: StepContext[None, None, str]) -> str:
        if pause:
            await rest(pause)
        return tell(ctx.inputs)

    builder.add(
        builder.edge_from(builder.start_node).to(reader),
        builder.edge_from(reader).to(world),
        builder.edge_from(world).to(teller),
        builder.edge_from(teller).to(builder.end_node),
    )
    return builder.build()


def _fan() -> Any:
    builder = GraphBuilder(input_type=list[int], output_type=int)

    @builder.step
    async def square(ctx: StepContext[None, None, int]) -> int:
        return ctx.inputs**2

    total = builder.join(reduce_sum, initial=0)
    builder.add(
        builder.edge_from(builder.start_node).map().to(square),
        builder.edge_from(square).to(total),
        builder.edge_from(total).to(builder.end_node),
    )
    return builder.build()


@asynccontextmanager
async def open_rows(redis_url: str) -> AsyncIterator[Rows]:
    """Yield what this peer runs."""
    turn, slow_turn, wide = _turn(0), _turn(PAUSE), _fan()

    async def chain() -> None:
        chain_result(await turn.run(inputs=TEXT))

    async def slow() -> None:
        chain_result(await slow_turn.run(inputs=TEXT))

    async def fan() -> None:
        fan_result(await wide.run(inputs=list(range(WIDTH))))

    yield {"chain": chain, "fan": fan, "slow": slow}
