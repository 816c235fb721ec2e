"""To wait for what a task of somebody else brings about."""

from __future__ import annotations

from collections.abc import Callable

import anyio


async def eventually(happened: Callable[[], bool], limit: float = 20.0) -> None:
    """Return when it has happened, or fail after ``limit`` seconds."""
    with anyio.fail_after(limit):
        while not happened():  # noqa: ASYNC110 - whoever brings it about tells nobody
            await anyio.sleep(0.005)
