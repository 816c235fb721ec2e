"""The outbox on Redis: each notification is stored by version, and sent by whoever has its lease."""

from __future__ import annotations

import logging
import secrets
import uuid
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress

import anyio
import msgspec
from msgspec.structs import replace
from redis.exceptions import ResponseError

from tta_kernel import check_count, check_duration
from tta_notify import Added, Changed, Entry, Full, NotHeld, OutboxError, Page, Status, Taken, without_person
from tta_redis import Redis, RedisDown, Replication, Signal

from . import scripts
from .layout import FORMAT, STATUSES, Keys, place_of

log = logging.getLogger("tta.notify-redis")
_entry = msgspec.msgpack.Decoder(Entry)
_AT_ONCE = 100
_TRIES = 20
"""How often something is tried again because another was quicker."""


class RedisOutbox:
    """The notifications of all processes that share a Redis, ``most`` at most; leases are by its clock.

    ``retention``: how long one is kept that nobody needs to look at any more, and ``quarantine`` one that can't be
    read, in seconds. A change waits up to ``wait_timeout`` until ``wait_replicas`` have it, and counts whether they do
    or not.
    """

    durable = True

    def __init__(
        self, redis: Redis, *, most: int = 100_000, retention: float = 90 * 86400.0, quarantine: float = 7 * 86400.0,
        wait_replicas: int = 0, wait_timeout: float = 1.0,
    ) -> None:  # fmt: skip
        check_count("most", most)
        check_duration("retention", retention, positive=True)
        check_duration("quarantine", quarantine, positive=True)
        self._redis, self._most = redis, most
        self._retention, self._quarantine_ttl = _ms(retention), _ms(quarantine)
        self._keys = Keys(redis)
        self._replication = Replication(wait_replicas, wait_timeout, what="notifications", log=log)
        self._add = redis.script(scripts.ADD)
        self._take = redis.script(scripts.TAKE)
        self._put = redis.script(scripts.PUT)
        self._remove = redis.script(scripts.REMOVE)
        self._quarantine = redis.script(scripts.QUARANTINE)
        self._change = anyio.Event()
        self.stored = self.conflicts = 0

    @property
    def unconfirmed(self) -> str:
        """Say why the last change would be lost with its master; nothing where enough replicas have it."""
        return self._replication.unconfirmed

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[None]:
        """Hear of changes for as long as the block."""
        async with self._redis.subscribe(self._keys.channel, callback=self._heard):
            yield

    def _heard(self, signal: Signal | None) -> None:
        self._change.set()

    async def add(self, entry: Entry, *, window: float = 0.0) -> Added:
        keys, key = self._keys, entry.key
        group = entry.notification.group if window else ""
        owner = entry.notification.owner
        name, first = uuid.uuid4().hex, ""
        for _ in range(_TRIES):
            places = [
                keys.entry(key), keys.all, keys.status(entry.status), keys.wakes, keys.leases, keys.ends,
                keys.owner(owner), keys.group(group), keys.entry(first),
            ]  # fmt: skip
            arguments: list[str | bytes | int | float] = [
                key, name, FORMAT, msgspec.msgpack.encode(entry), entry.version, entry.status, place_of(entry),
                _wake(entry), owner, _ms(window) if group else 0, first, self._most, self._retention, entry.repeats,
                keys.channel,
            ]  # fmt: skip
            with _outbox_errors():
                status, *found = await self._replication.run(self._add, places, arguments)
            if status == b"group":
                first = found[0].decode()
            elif status == b"full":
                if not await self._make_room():
                    raise Full(f"there are {int(found[0])} notifications, and all are still to be looked at")
            elif status == b"joined":
                return Added("joined", found[0].decode())
            else:
                self.stored += 1
                return Added("stored" if status == b"stored" else "known", key)
        raise OutboxError(f"the notification {key} can't be stored: others were quicker {_TRIES} times")

    async def take(self, now: float, most: int, ttl: float) -> Sequence[Taken]:
        check_duration("ttl", ttl, positive=True)
        keys, lease = self._keys, secrets.token_hex(8)
        places = [keys.wakes, keys.leases, keys.tokens, keys.ends]
        with _outbox_errors():
            found, ended = await self._take(places, [repr(now), most, _ms(ttl), lease])
            entries = await self._read([key.decode() for key in found])
            for key in ended:
                await self._drop(key.decode())
        return [
            Taken(entry, f"{lease}:{key.decode()}")
            for key, entry in zip(found, entries, strict=True)
            if entry is not None
        ]

    async def put(self, entry: Entry, *, lease: str = "", release: bool = False) -> Entry:
        keys, key = self._keys, entry.key
        stored = replace(entry, version=entry.version + 1)
        places = [keys.entry(key), keys.wakes, keys.leases, keys.tokens, keys.ends, *keys.statuses]
        arguments: list[str | bytes | int | float] = [
            key, entry.version, uuid.uuid4().hex, FORMAT, msgspec.msgpack.encode(stored), entry.status, place_of(entry),
            _wake(entry), lease, int(release), self._retention, keys.channel, entry.notification.owner,
            STATUSES.index(entry.status) + 1,
        ]  # fmt: skip
        with _outbox_errors():
            status, *found = await self._replication.run(self._put, places, arguments)
        if status == b"ok":
            self.stored += 1
            return stored
        self.conflicts += 1
        raise _refused(key, status, found, entry.version)

    async def get(self, key: str) -> Entry | None:
        with _outbox_errors():
            [entry] = await self._read([key])
        return entry

    async def page(self, cursor: str = "", most: int = 100, *, status: Status | None = None) -> Page:
        last = f"({cursor}" if cursor else "+"
        listed = self._keys.all if status is None else self._keys.status(status)
        with _outbox_errors():
            places = await self._redis.execute("ZREVRANGEBYLEX", listed, last, "-", "LIMIT", 0, most + 1)
            shown = [place.decode() for place in places[:most]]
            entries = [entry for entry in await self._read([_key_in(place) for place in shown]) if entry is not None]
        return Page(entries, shown[-1] if len(places) > most else "")

    async def wake(self) -> float | None:
        with _outbox_errors():
            found = await self._redis.execute("ZRANGE", self._keys.wakes, 0, 0, "WITHSCORES")
        return float(found[1]) if found else None

    async def counts(self) -> Mapping[str, int]:
        commands = [("ZCARD", key) for key in self._keys.statuses]
        with _outbox_errors():
            found = await self._redis.pipeline(*commands, key=self._keys.all)
        return {status: int(count) for status, count in zip(STATUSES, found, strict=True)}

    async def changed(self, *, wait: float) -> None:
        with anyio.move_on_after(wait):
            # Set also by what has changed since the last call.
            await self._change.wait()
        # Another who waits may wait for a new one already.
        if self._change.is_set():
            self._change = anyio.Event()

    async def remove(self, entry: Entry, *, lease: str = "") -> None:
        arguments = [entry.key, place_of(entry), str(entry.version), lease]
        with _outbox_errors():
            places = self._places(entry.key, entry.notification.owner)
            status, *found = await self._replication.run(self._remove, places, arguments, retry=False)
        if status != b"ok":
            raise _refused(entry.key, status, found, entry.version)

    async def forget(self, owner: str) -> int:
        if not owner:
            return 0
        count, index = 0, self._keys.owner(owner)
        with _outbox_errors():
            while keys := await self._redis.execute("SRANDMEMBER", index, _AT_ONCE):
                for key in keys:
                    count += await self._forget(key.decode(), owner)
                    await self._redis.execute("SREM", index, key, retry=True)
            unconfirmed = await self._replication.confirm(self._redis, [self._keys.all])
        if unconfirmed:
            raise OutboxError(f"{count} notifications are forgotten, and {unconfirmed}: forget once more")
        return count

    async def _forget(self, key: str, owner: str) -> int:
        for _ in range(_TRIES):
            entry = await self.get(key)
            if entry is None:
                return await self._drop(key)
            if entry.notification.owner != owner:
                return 0
            # Another may be at work on it: then look again.
            with suppress(Changed):
                if entry.finished:
                    await self.remove(entry)
                else:
                    await self.put(without_person(entry))
                return 1
        raise OutboxError(f"the notification {key} can't be forgotten: others were quicker {_TRIES} times")

    async def _make_room(self) -> bool:
        """Drop the oldest that nobody needs to look at."""
        with _outbox_errors():
            for key in await self._redis.execute("ZRANGE", self._keys.ends, 0, _AT_ONCE - 1):
                entry = await self.get(key.decode())
                if entry is None:
                    await self._drop(key.decode())
                    continue
                with suppress(Changed):
                    await self.remove(entry)
                    return True
        return False

    async def _drop(self, key: str) -> int:
        """Delete what has ended, with all that leads to it."""
        found = await self._redis.execute("HMGET", self._keys.entry(key), "place", "owner")
        place, owner = (each.decode() if each else "" for each in found)
        status, *_ = await self._remove(self._places(key, owner), [key, place, "", ""], retry=True)
        return int(status == b"ok" and bool(place))

    def _places(self, key: str, owner: str) -> list[str]:
        keys = self._keys
        return [
            keys.entry(key), keys.wakes, keys.leases, keys.tokens, keys.ends, keys.owner(owner), keys.all,
            *keys.statuses,
        ]  # fmt: skip

    async def _read(self, found: Sequence[str]) -> Sequence[Entry | None]:
        """Read entries; None stands for one that is gone, or that can't be read."""
        if not found:
            return []
        commands = [("HMGET", self._keys.entry(key), "format", "packed", "repeats") for key in found]
        replies = await self._redis.pipeline(*commands, key=self._keys.all)
        return [await self._entry(key, reply) for key, reply in zip(found, replies, strict=True)]

    async def _entry(self, key: str, reply: object) -> Entry | None:
        if isinstance(reply, ResponseError):
            log.error("what lies under the key of the notification %s isn't one: %s", key, reply)
            return None
        assert isinstance(reply, list)
        format, packed, repeats = reply
        if format is None or packed is None:
            return None
        if format != str(FORMAT).encode():
            log.warning("%s", _newer(key, format))
            return None
        try:
            entry = _entry.decode(packed)
        except (msgspec.DecodeError, RecursionError) as exc:
            log.error("the notification %s can't be read (%s), and a human must look", key, type(exc).__name__)  # noqa: TRY400 - it says all there is
            places = [self._keys.entry(key), self._keys.wakes, self._keys.leases, self._keys.tokens]
            await self._quarantine(places, [key, packed, self._quarantine_ttl], retry=True)
            return None
        return replace(entry, repeats=int(repeats or 0))


def _key_in(place: str) -> str:
    return place.partition(":")[2]


def _wake(entry: Entry) -> str:
    return "" if entry.wake is None else repr(entry.wake)


def _refused(key: str, status: bytes, found: Sequence[bytes], version: int) -> OutboxError:
    if status == b"format":
        return OutboxError(_newer(key, found[0]))
    if status == b"lease":
        return NotHeld(f"somebody else has the notification {key}")
    return Changed(f"the notification {key} is at version {found[0].decode()}, not {version}")


def _newer(key: str, format: bytes) -> str:
    return (
        f"the notification {key} was written by a newer release, in format {format.decode(errors='replace')}, and this "
        f"one knows formats up to {FORMAT}; it was left as it is"
    )  # fmt: skip


@contextmanager
def _outbox_errors() -> Iterator[None]:
    try:
        yield
    except (RedisDown, ResponseError) as exc:
        raise OutboxError(f"the notifications' outbox: {exc}") from exc


def _ms(seconds: float) -> int:
    return max(1, int(seconds * 1000))
