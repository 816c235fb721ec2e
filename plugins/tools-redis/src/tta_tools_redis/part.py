"""What the parts of the store have in common."""

from __future__ import annotations

import logging

from tta_redis import Redis, Replication, StoreErrors
from tta_tools import ToolStoreError

log = logging.getLogger("tta.tools-redis")
store_errors = StoreErrors(lambda exc: ToolStoreError(f"the store of tools: {exc}"))


class Part:
    """Keeps at most ``most`` of a kind, and writes through ``replication``."""

    def __init__(self, redis: Redis, replication: Replication, *, most: int) -> None:
        self._redis, self._replication, self._most = redis, replication, most


def milliseconds(seconds: float) -> int:
    """Return a time to live as Redis has it: at least one."""
    return max(1, round(seconds * 1000))


def owner_place(owner: str) -> str:
    """Return an owner as lists of owners have them: what separates owner and key doesn't stand in it."""
    return owner.replace("%", "%25").replace("\x1f", "%1F")


def newer(what: str, format: bytes, known: int) -> ToolStoreError:
    """Say that a newer release has written something."""
    return ToolStoreError(
        f"{what} was written by a newer release, in format {format.decode(errors='replace')}, and this one knows "
        f"formats up to {known}; it was left as it is"
    )
