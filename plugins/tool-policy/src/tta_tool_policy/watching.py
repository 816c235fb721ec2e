"""When to look at a file again: when its folder changes, where `watchfiles` is there to tell, else now and then."""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator
from pathlib import Path

import anyio

log = logging.getLogger("tta.tool-policy")


async def looks(path: Path, every: float) -> AsyncGenerator[None, None]:
    """Yield whenever it is time to look, after ``every`` seconds at the latest; never ends."""
    try:
        from watchfiles import awatch
    except ImportError:
        log.info("%s is looked at every %g s; the extra `watching` has it seen at once", path, every)
    else:
        try:
            # Its folder, since a file that another takes the place of is watched in vain.
            pause = max(1, round(every * 1000))
            async for _ in awatch(path.parent, rust_timeout=pause, yield_on_timeout=True, recursive=False, step=10):
                yield
        except OSError as error:
            log.warning("%s can't be watched, and is looked at every %g s: %s", path.parent, every, error.strerror)
    while True:
        await anyio.sleep(every)
        yield
