"""To wait for what a task of somebody else brings about."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import anyio


async def eventually(happened: Callable[[], bool | Awaitable[bool]], limit: float = 20.0) -> None:
    """Return when it has happened, or fail after ``limit`` seconds."""
    with anyio.fail_after(limit):
        while True:
            found = happened()
            if found if isinstance(found, bool) else await found:
                return
            await anyio.sleep(0.005)
