"""The index of all queues: a Redis can't say which keys it has, but by looking at all of them."""

from __future__ import annotations

from typing import Any

from redis.exceptions import ResponseError

from tta_redis import Redis, RedisDown

from . import wire
from .store import QUARANTINE_MS, Store, translated


class QueueIndex:
    """Knows names; it may know one that is no more, but none is missing that was entered."""

    def __init__(self, redis: Redis, store: Store) -> None:
        self._redis, self._store = redis, store
        self._key = redis.key("messages", "queues").encode()

    async def enter(self, queue: str, life: float) -> None:
        """Add a name, to be known for that many seconds at least."""
        for again in (False, True):
            try:
                await self._store.scripts.index([self._key], (queue, int(life * 1000)), retry=True)
                break
            except RedisDown as exc:
                raise translated(exc) from exc
            except ResponseError as exc:
                if again or "WRONGTYPE" not in str(exc):
                    raise translated(exc) from exc
                await self._mend()

    async def names(self) -> list[str]:
        """Return all names."""
        found = await self._ask("ZRANGE", 0, -1) or ()
        return [name.decode() for name in found if wire.QUEUE.fullmatch(name)]

    async def remove(self, queue: str) -> None:
        """Forget a name."""
        await self._ask("ZREM", queue)

    async def _ask(self, command: str, *args: Any) -> Any:
        """Run a command, perhaps twice, on the index; None where something foreign is in its place, until now."""
        try:
            return await self._redis.execute(command, self._key, *args, retry=True)
        except RedisDown as exc:
            raise translated(exc) from exc
        except ResponseError as exc:
            if "WRONGTYPE" not in str(exc):
                raise translated(exc) from exc
            await self._mend()
            return None

    async def _mend(self) -> None:
        types = (QUARANTINE_MS, "zset")
        await self._store.quarantine("index of queues", self._store.scripts.quarantine, [self._key], types)
