"""Replies by agent type and key, one key of Redis each, so that any process finds them."""

from __future__ import annotations

from logging import Logger

import msgspec

from tta_agents import Reply
from tta_redis import Redis

from . import scripts
from .store import Foreign, run


class _Kept(msgspec.Struct, frozen=True):
    reply: Reply
    version: int = 1


class RedisReplies:
    """Keeps replies of up to ``max_size`` bytes; what is no reply is kept aside for ``quarantine`` seconds."""

    def __init__(self, redis: Redis, log: Logger, *, max_size: int, quarantine: float) -> None:
        self._redis, self._log, self._max_size = redis, log, max_size
        self._quarantine = max(1, round(quarantine * 1000))
        self._fetch, self._keep = redis.script(scripts.FETCH), redis.script(scripts.KEEP)
        self._move = redis.script(scripts.MOVE)
        self.foreign = 0

    async def get(self, type: str, key: str) -> Reply | None:
        name = self._key(type, key)
        try:
            found: bytes | None = await run(self._fetch, [name], [])
            return _decoded(found) if found is not None else None
        except Foreign as exc:
            await self._put_aside(name, exc)
            return None

    async def put(self, type: str, key: str, reply: Reply, ttl: float) -> Reply:
        name, encoded = self._key(type, key), msgspec.msgpack.encode(_Kept(reply))
        if len(encoded) > self._max_size:
            self._log.warning("a reply of %s is kept in its process only: it has %d bytes", reply.agent, len(encoded))
            return reply
        for _ in range(2):
            try:
                found = await run(self._keep, [name], [encoded, max(1, round(ttl * 1000))])
                return reply if found is None else _decoded(found)
            except Foreign as exc:
                await self._put_aside(name, exc)
        return reply

    async def _put_aside(self, name: str, why: Foreign) -> None:
        self.foreign += await run(self._move, [name, f"{name}:quarantined"], [self._quarantine])
        self._log.warning("%s held no reply, and is kept as %s:quarantined: %s", name, name, why)

    def _key(self, type: str, key: str) -> str:
        # With a tag, so that it and its quarantine share a slot, and replies are spread over a Cluster.
        return self._redis.key("agents", "reply", type, key, tag=f"{type}/{key}")


def _decoded(found: bytes) -> Reply:
    try:
        return msgspec.msgpack.decode(found, type=_Kept).reply
    except (msgspec.DecodeError, ValueError) as exc:
        raise Foreign(str(exc)) from None
