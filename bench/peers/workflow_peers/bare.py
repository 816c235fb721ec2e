"""No framework: asyncio and anyio alone."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio

from .common import PAUSE, TEXT, WIDTH, Rows, build, chain_result, fan_result, read, rest, tell


async def _read(text: str, pause: float = 0.0) -> str:
    if pause:
        await rest(pause)
    return read(text)


async def _build(text: str, pause: float = 0.0) -> str:
    if pause:
        await rest(pause)
    return build(text)


async def _tell(change: str, pause: float = 0.0) -> str:
    if pause:
        await rest(pause)
    return tell(change)


async def _square(n: int) -> int:
    return n * n


async def chain() -> None:
    """Run three steps."""
    chain_result(await _tell(await _build(await _read(TEXT))))


async def slow() -> None:
    """Run three steps that take their time."""
    chain_result(await _tell(await _build(await _read(TEXT, PAUSE), PAUSE), PAUSE))


async def fan() -> None:
    """Run ten branches."""
    fan_result(sum(await asyncio.gather(*(_square(n) for n in range(WIDTH)))))  # noqa: TID251 - a rival's way


async def chain_anyio() -> None:
    """Run three steps, each under its time limit."""
    with anyio.fail_after(5):
        text = await _read(TEXT)
    with anyio.fail_after(5):
        change = await _build(text)
    with anyio.fail_after(5):
        chain_result(await _tell(change))


async def fan_anyio() -> None:
    """Run ten branches in a task group."""
    found: list[int] = []

    async def square(n: int) -> None:
        found.append(await _square(n))

    async with anyio.create_task_group() as tasks:
        for n in range(WIDTH):
            tasks.start_soon(square, n)
    fan_result(sum(found))


@asynccontextmanager
async def open_rows(redis_url: str) -> AsyncIterator[Rows]:
    """Yield what this peer runs."""
    yield {"chain": chain, "fan": fan, "slow": slow, "chain-anyio": chain_anyio, "fan-anyio": fan_anyio}
