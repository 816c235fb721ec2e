"""What every peer runs: the same agents, which cost nothing, in the same shapes; each result is looked at."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

Agent = Callable[[Mapping[str, Any]], Awaitable[dict[str, Any]]]
Rows = Mapping[str, Callable[[], Awaitable[None]]]
"""One run of each row that a peer has: ``chain``, ``fan``, ``slow`` (3 × 10 ms) and, on Redis, ``durable``."""

WIDTH = 10
PAUSE = 0.01
TEXT = "I walk to the lighthouse"
TOLD = "You go: I walk to the lighthouse"


def chain_result(told: object) -> None:
    """Make sure that a chain did its work."""
    if told != TOLD:
        raise AssertionError(f"a chain ended with {told!r}")


def fan_result(total: object) -> None:
    """Make sure that all branches did theirs."""
    if total != sum(n * n for n in range(WIDTH)):
        raise AssertionError(f"a fan-out ended with {total!r}")


def read(text: str) -> str:
    """Be the input processor."""
    return text.strip()


def build(text: str) -> str:
    """Be the world builder."""
    return f"go: {text}"


def tell(change: str) -> str:
    """Be the narrator."""
    return f"You {change}"


async def rest(seconds: float) -> None:
    """Take time, as a model does."""
    await asyncio.sleep(seconds)  # noqa: TID251 - peers that know no anyio run on asyncio
