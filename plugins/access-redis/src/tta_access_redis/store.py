"""Keys in a hash, by their digests; who changes them has seen what was there before."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence

import msgspec

from tta_access import AccessError, Key
from tta_access.memory import added, in_order, revoked, with_use
from tta_redis import Redis, Replication, StoreErrors

log = logging.getLogger("tta.access-redis")

_ATTEMPTS = 100
"""How often a change is tried anew because somebody else has changed something meanwhile."""
_store_errors = StoreErrors(lambda exc: AccessError(f"the store of keys: {exc}"))

# KEYS: the hash of keys, and how often it was changed. ARGV: how often it had been when it was read, the number of
# fields to set, each with its value, and the fields to delete. Doing it twice does no harm: then it is a conflict.
_CHANGE = """
if (redis.call('GET', KEYS[2]) or '0') ~= ARGV[1] then return 0 end
local fields = tonumber(ARGV[2])
for n = 0, fields - 1 do redis.call('HSET', KEYS[1], ARGV[3 + 2 * n], ARGV[4 + 2 * n]) end
for n = 3 + 2 * fields, #ARGV do redis.call('HDEL', KEYS[1], ARGV[n]) end
redis.call('INCR', KEYS[2])
return 1
"""

# KEYS: the hash of the last uses. ARGV: identifiers and times in milliseconds, by turns; the later time stays.
_USED = """
for n = 1, #ARGV, 2 do
  local before = tonumber(redis.call('HGET', KEYS[1], ARGV[n]) or '0') or 0
  if tonumber(ARGV[n + 1]) > before then redis.call('HSET', KEYS[1], ARGV[n], ARGV[n + 1]) end
end
return 1
"""


class RedisKeys:
    """Keys of all processes that share a Redis.

    A change waits up to ``wait_timeout`` until ``wait_replicas`` have it. A new key counts whether they do or not:
    ``unconfirmed`` says how it was with the last one, and is empty where enough had it.
    """

    def __init__(
        self, redis: Redis, clock: Callable[[], float] = time.time, *, wait_replicas: int = 0, wait_timeout: float = 1.0
    ) -> None:
        self._redis = redis
        self._replication = Replication(wait_replicas, wait_timeout, what="keys", log=log)
        self._clock = clock
        self._keys, self._version, self._uses = (
            redis.key("access", part, tag="access") for part in ("keys", "version", "used")
        )
        self._change_script = redis.script(_CHANGE)
        self._used_script = redis.script(_USED)

    @property
    def unconfirmed(self) -> str:
        """Say why the last change would be lost with its master; nothing where enough replicas have it."""
        return self._replication.unconfirmed

    async def add(self, key: Key) -> None:
        await self._change(lambda keys: added(keys, key, self._clock()))

    async def keys(self) -> Sequence[Key]:
        with _store_errors:
            _, keys = await self._read()
            raw: dict[bytes, bytes] = _pairs(await self._redis.execute("HGETALL", self._uses))
        uses = {id.decode(errors="replace"): int(at) / 1000 for id, at in raw.items() if at.isdigit()}
        return in_order(with_use(key, uses.get(key.id)) for key in keys.values())

    async def revoke(self, id: str) -> bool:
        found: dict[str, Key] = {}

        def change(keys: Mapping[str, Key]) -> Mapping[str, Key]:
            found.clear()
            found.update(revoked(keys, id, self._clock()))
            return {**keys, **found}

        await self._change(change)
        # Also where it was revoked before: whoever was told to revoke it once more wants to know that it is.
        with _store_errors:
            wanting = await self._replication.confirm(self._redis, [self._keys])
        if wanting:
            raise AccessError(
                f"it opens nothing now, but {wanting}: after a failover it could; revoke it until none is active"
            )
        return bool(found)

    async def find(self, digest: str) -> Key | None:
        with _store_errors:
            raw = await self._redis.execute("HGET", self._keys, digest)
        return None if raw is None else _decoded(raw)

    async def used(self, uses: Mapping[str, float]) -> None:
        with _store_errors:
            _, keys = await self._read()
            known = {key.id for key in keys.values()}
            arguments: list[str | int] = []
            for id, at in uses.items():
                if id in known:
                    arguments += [id, round(at * 1000)]
            if arguments:
                await self._used_script([self._uses], arguments, retry=True)

    async def _change(self, change: Callable[[Mapping[str, Key]], Mapping[str, Key]]) -> None:
        for _ in range(_ATTEMPTS):
            with _store_errors:
                version, before = await self._read()
                after = change(before)
                if after == before:
                    return
                fresh = {id: key for id, key in after.items() if before.get(id) != key}
                gone = [before[id] for id in before.keys() - after.keys()]
                if await self._write(version, [*fresh.values()], gone):
                    return
                # It may have been ours, of which no answer came.
                _, now = await self._read()
                if all(now.get(id) == key for id, key in fresh.items()):
                    return
        raise AccessError(f"others changed keys {_ATTEMPTS} times meanwhile: try again")

    async def _write(self, version: str, fresh: Sequence[Key], gone: Sequence[Key]) -> bool:
        arguments: list[str | bytes | int] = [version, len(fresh)]
        for key in fresh:
            arguments += [key.digest, msgspec.json.encode(key)]
        arguments += [key.digest for key in gone]
        done = bool(await self._replication.run(self._change_script, [self._keys, self._version], arguments))
        if done and gone:
            await self._redis.execute("HDEL", self._uses, *(key.id for key in gone), retry=True)
        return done

    async def _read(self) -> tuple[str, Mapping[str, Key]]:
        # The count first: whoever changes something in between makes the change that follows a conflict.
        version = await self._redis.execute("GET", self._version)
        values = await self._redis.execute("HVALS", self._keys)
        keys = [_decoded(raw) for raw in values]
        return (version or b"0").decode(errors="replace"), {key.id: key for key in keys}


def _decoded(raw: bytes) -> Key:
    try:
        return msgspec.json.decode(raw, type=Key)
    except msgspec.DecodeError:
        raise AccessError(
            "what is stored as a key isn't one; redis-cli --scan --pattern '*:access:*' finds it"
        ) from None


def _pairs(reply: object) -> dict[bytes, bytes]:
    if isinstance(reply, dict):
        return reply
    flat = list(reply) if isinstance(reply, list | tuple) else []
    return dict(zip(flat[::2], flat[1::2], strict=True))
