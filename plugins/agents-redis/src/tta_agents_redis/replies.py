"""Replies by agent type, key and owner, one key of Redis each, so that any process finds them."""

from __future__ import annotations

from hashlib import blake2b
from logging import Logger

import msgspec
from redis.exceptions import ResponseError

from tta_agents import RegistryError, Reply
from tta_kernel import check_duration
from tta_redis import Redis, RedisDown

from . import scripts
from .store import Foreign, run

ROUND, ROUNDS = 100, 1000
"""How many replies are forgotten at once, and how often: who calls all the while isn't chased for ever."""


_VERSION = 1


class _Versioned(msgspec.Struct, frozen=True):
    version: int = _VERSION


class _Kept(msgspec.Struct, frozen=True):
    reply: Reply
    version: int = _VERSION


class RedisReplies:
    """Keeps replies of up to ``max_size`` bytes; what is no reply is quarantined for ``quarantine`` seconds."""

    def __init__(self, redis: Redis, log: Logger, *, max_size: int, quarantine: float) -> None:
        self._redis, self._log, self._max_size = redis, log, max_size
        self._quarantine = max(1, round(quarantine * 1000))
        self._fetch, self._keep = redis.script(scripts.FETCH), redis.script(scripts.KEEP)
        self._move = redis.script(scripts.MOVE)
        self.foreign = 0

    async def get(self, type: str, key: str, owner: str = "") -> Reply | None:
        name, *lists = self._keys(type, key, owner)
        try:
            found: bytes | None = await run(self._fetch, [name], [])
            return _decoded(found) if found is not None else None
        except Foreign as exc:
            await self._to_quarantine(name, lists, exc)
            return None

    async def put(self, type: str, key: str, reply: Reply, ttl: float, owner: str = "") -> Reply:
        check_duration("ttl", ttl)
        name, *lists = self._keys(type, key, owner)
        encoded = msgspec.msgpack.encode(_Kept(reply))
        if len(encoded) > self._max_size:
            raise RegistryError(f"one of {reply.agent} has {len(encoded)} bytes, and {self._max_size} are allowed")
        for _ in range(2):
            try:
                found = await run(self._keep, [name, *lists], [encoded, max(1, round(ttl * 1000))])
                return reply if found is None else _decoded(found)
            except Foreign as exc:
                await self._to_quarantine(name, lists, exc)
        raise RegistryError("what is no reply comes back again and again")

    async def forget(self, owner: str) -> int:
        if not owner:
            return 0
        index, begin = self._index(owner), self._redis.key("agents", "reply", "", tag=_mark(owner)).encode()
        count = 0
        try:
            for _ in range(ROUNDS):
                names: list[bytes] = await self._redis.execute("ZRANGE", index, 0, ROUND - 1)
                if not names:
                    return count
                for name in names:
                    if name.startswith(begin):
                        count += await self._redis.execute("DEL", name, retry=True)
                await self._redis.execute("ZREM", index, *names, retry=True)
        except (RedisDown, ResponseError) as exc:
            raise RegistryError(f"{count} replies are forgotten, and there may be more: {exc}") from None
        raise RegistryError(f"{count} replies are forgotten, and there are more: forget once more")

    async def _to_quarantine(self, name: str, lists: list[str], why: Foreign) -> None:
        self.foreign += await run(self._move, [name, f"{name}:quarantined", *lists], [self._quarantine])
        self._log.warning("%s held no reply, and is kept as %s:quarantined: %s", name, name, why)

    def _keys(self, type: str, key: str, owner: str) -> list[str]:
        """Return a reply's key, and that of its person's list: in one slot, so that no crash comes between."""
        # Without a person, replies are spread over a Cluster.
        tag = _mark(owner) if owner else f"{type}/{key}"
        name = self._redis.key("agents", "reply", type, key, tag=tag)
        return [name, self._index(owner)] if owner else [name]

    def _index(self, owner: str) -> str:
        return self._redis.key("agents", "replies", tag=_mark(owner))


def _mark(owner: str) -> str:
    # Names of keys are logged, so a person's isn't in them.
    return f"o.{blake2b(owner.encode(errors='surrogatepass'), digest_size=16).hexdigest()}"


def _decoded(found: bytes) -> Reply:
    try:
        version = msgspec.msgpack.decode(found, type=_Versioned).version
        if version > _VERSION:  # It may mean something else by all of it, and is no less good for that.
            what = f"in version {version}, and this one knows versions up to {_VERSION}"
            raise RegistryError(f"a reply was kept by a newer release, {what}")
        return msgspec.msgpack.decode(found, type=_Kept).reply
    except (msgspec.DecodeError, ValueError, RecursionError) as exc:
        raise Foreign(str(exc)) from None
