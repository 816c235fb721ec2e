"""Schedules on Redis: each is stored by version, and by whoever holds the one lease."""

from __future__ import annotations

import logging
import secrets
import uuid
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Literal

import anyio
import msgspec
from msgspec.structs import replace
from redis.exceptions import ResponseError

from tta_kernel import check_count, check_duration
from tta_redis import Redis, Replication, Signal, StoreErrors
from tta_schedules import (
    HISTORY,
    Changed,
    Entry,
    Lease,
    NotHeld,
    Page,
    Record,
    ScheduleStoreError,
    TooMany,
)  # fmt: skip

from . import scripts
from .layout import FORMAT, Keys

log = logging.getLogger("tta.schedules-redis")
_entry = msgspec.msgpack.Decoder(Entry)
_record = msgspec.msgpack.Decoder(Record)
_AT_ONCE = 100
_store_errors = StoreErrors(lambda exc: ScheduleStoreError(f"the schedules' store: {exc}"))


class RedisScheduleStore:
    """The schedules of all processes that share a Redis, ``most`` at most; times are by its clock, in seconds.

    ``history``: how many records of a schedule are kept, for ``history_ttl`` after the last. ``ended``: how long a
    schedule that has ended is kept, and ``quarantine`` one that can't be read. A change waits up to ``wait_timeout``
    until ``wait_replicas`` have it, and counts whether they do or not.
    """

    durable = True

    def __init__(
        self, redis: Redis, *, most: int = 10_000, history: int = HISTORY, history_ttl: float = 90 * 86400.0,
        ended: float = 30 * 86400.0, quarantine: float = 7 * 86400.0, wait_replicas: int = 0, wait_timeout: float = 1.0,
    ) -> None:  # fmt: skip
        check_count("most", most)
        check_count("history", history)
        check_duration("history_ttl", history_ttl, positive=True)
        check_duration("ended", ended, positive=True)
        check_duration("quarantine", quarantine, positive=True)
        self._redis, self._most, self._history = redis, most, history
        self._history_ttl, self._ended, self._quarantine_ttl = _ms(history_ttl), _ms(ended), _ms(quarantine)
        self._keys = Keys(redis)
        self._replication = Replication(wait_replicas, wait_timeout, what="schedules", log=log)
        self._hold = redis.script(scripts.HOLD)
        self._leave = redis.script(scripts.LEAVE)
        self._put = redis.script(scripts.PUT)
        self._remove = redis.script(scripts.REMOVE)
        self._forget = redis.script(scripts.FORGET)
        self._quarantine = redis.script(scripts.QUARANTINE)
        self._drop = redis.script(scripts.DROP)
        self._change = anyio.Event()
        self._told: set[str] = set()
        """The schedules of which it was said that a newer release has written them."""
        self.puts = self.conflicts = 0

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

    async def hold(self, process: str, ttl: float, held: Lease | None = None) -> Lease | None:
        check_duration("ttl", ttl, positive=True)
        known = held.token if held is not None else ""
        arguments: list[str | int] = [known, secrets.token_hex(8), _ms(ttl)]
        with _store_errors:
            token = (await self._hold([self._keys.lease], arguments, retry=True)).decode()
        if not token:
            return None
        return held if held is not None and held.token == token else Lease(process, token)

    async def leave(self, lease: Lease) -> None:
        with _store_errors:
            await self._leave([self._keys.lease], [lease.token, self._keys.channel], retry=True)

    async def put(self, entry: Entry, records: Sequence[Record] = (), *, lease: Lease | None = None) -> Entry:
        keys, name, owner = self._keys, entry.name, entry.schedule.owner
        stored = replace(entry, version=entry.version + 1)
        arguments: list[str | bytes | int | float] = [
            name, entry.version, uuid.uuid4().hex, FORMAT, msgspec.msgpack.encode(stored),
            "" if entry.wake is None else repr(entry.wake), owner, self._most, self._ended if entry.ended else 0,
            self._history, self._history_ttl, lease.token if lease is not None else "", keys.channel,
            *map(msgspec.msgpack.encode, records),
        ]  # fmt: skip
        places = [keys.entry(name), keys.names, keys.wakes, keys.history(name), keys.owner(owner), keys.lease]
        with _store_errors:
            status, *found = await self._replication.run(self._put, places, arguments)
        if status == b"ok":
            self.puts += 1
            return stored
        if status == b"format":
            raise _newer(name, found[0])
        if status == b"lease":
            raise NotHeld("another process holds the lease on schedules, or nobody does")
        if status == b"full":
            raise TooMany(f"there are {int(found[0])} schedules, and {self._most} are the most")
        self.conflicts += 1
        raise Changed(f"the schedule {name!r} is at version {found[0].decode()}, not {entry.version}")

    async def get(self, name: str) -> Entry | None:
        with _store_errors:
            [entry] = await self._read([name])
        return entry if isinstance(entry, Entry) else None

    async def due(self, now: float, most: int) -> Sequence[Entry]:
        found: list[Entry] = []
        passed = 0
        with _store_errors:
            while len(found) < most:
                names = await self._redis.execute(
                    "ZRANGEBYSCORE", self._keys.wakes, "-inf", repr(now), "LIMIT", passed, most
                )
                read = await self._read([name.decode() for name in names])
                found += [entry for entry in read if isinstance(entry, Entry)]
                # What can't be read is taken out there; what a newer release has written stands in nobody's way.
                passed += sum(entry is not None for entry in read)
                if len(names) < most:
                    break
        return found[:most]

    async def wake(self, now: float) -> float | None:
        with _store_errors:
            found = await self._redis.execute(
                "ZRANGEBYSCORE", self._keys.wakes, f"({now!r}", "+inf", "WITHSCORES", "LIMIT", 0, 1
            )
        return float(found[1]) if found else None

    async def page(self, cursor: str = "", most: int = 100) -> Page:
        first = f"({cursor}" if cursor else "-"
        with _store_errors:
            names = await self._redis.execute("ZRANGEBYLEX", self._keys.names, first, "+", "LIMIT", 0, most + 1)
            shown = [name.decode() for name in names[:most]]
            entries = [entry for entry in await self._read(shown) if isinstance(entry, Entry)]
        return Page(entries, shown[-1] if len(names) > most else "")

    async def history(self, name: str, most: int = HISTORY) -> Sequence[Record]:
        with _store_errors:
            found = await self._redis.execute("LRANGE", self._keys.history(name), 0, most - 1)
        records = []
        for packed in found:
            try:
                records.append(_record.decode(packed))
            except (msgspec.DecodeError, RecursionError) as exc:
                log.warning("a record of the schedule %s can't be read: %s", name, type(exc).__name__)
        return records

    async def remove(self, entry: Entry) -> None:
        owner = entry.schedule.owner
        arguments: list[str | int] = [entry.name, entry.version, owner, self._keys.channel]
        with _store_errors:
            places = self._places(entry.name, owner)
            status, *found = await self._replication.run(self._remove, places, arguments, retry=False)
        if status != b"ok":
            raise Changed(f"the schedule {entry.name!r} is at version {found[0].decode()}, not {entry.version}")

    async def changed(self, *, wait: float) -> None:
        with anyio.move_on_after(wait):
            # Set also by what has changed since the last call.
            await self._change.wait()
        self._change = anyio.Event()

    async def forget(self, owner: str) -> int:
        if not owner:
            return 0
        count = 0
        with _store_errors:
            while names := await self._redis.execute("SRANDMEMBER", self._keys.owner(owner), _AT_ONCE):
                for name in names:
                    text = name.decode(errors="replace")
                    count += await self._forget(self._places(text, owner), [name, owner], retry=True)
            unconfirmed = await self._replication.confirm(self._redis, [self._keys.lease])
        if unconfirmed:
            raise ScheduleStoreError(f"{count} schedules are forgotten, and {unconfirmed}: forget once more")
        return count

    def _places(self, name: str, owner: str) -> list[str]:
        keys = self._keys
        return [keys.entry(name), keys.names, keys.wakes, keys.history(name), keys.owner(owner)]

    async def _read(self, names: Sequence[str]) -> Sequence[Entry | Literal["newer"] | None]:
        """Read schedules; None stands for one that is gone, or that can't be read."""
        if not names:
            return []
        commands = [("HMGET", self._keys.entry(name), "format", "packed") for name in names]
        replies = await self._redis.pipeline(*commands, key=self._keys.lease)
        return [await self._entry(name, reply) for name, reply in zip(names, replies, strict=True)]

    async def _entry(self, name: str, reply: object) -> Entry | Literal["newer"] | None:
        if isinstance(reply, ResponseError):
            log.error("what lies under the key of the schedule %s isn't one: %s", name, reply)
            await self._redis.execute("ZREM", self._keys.wakes, name, retry=True)
            return None
        assert isinstance(reply, list)
        format, packed = reply
        places = [self._keys.entry(name), self._keys.names, self._keys.wakes]
        if format is None or packed is None:
            await self._drop(places, [name], retry=True)
            return None
        if format != str(FORMAT).encode():
            if name not in self._told and len(self._told) < self._most:
                self._told.add(name)
                log.warning("%s", _newer(name, format))
            return "newer"
        try:
            return _entry.decode(packed)
        except (msgspec.DecodeError, RecursionError) as exc:
            log.error("the schedule %s can't be read (%s), and a human must look", name, type(exc).__name__)  # noqa: TRY400 - it says all there is
            await self._quarantine([places[0], places[2]], [name, packed, self._quarantine_ttl], retry=True)
            return None


def _newer(name: str, format: bytes) -> ScheduleStoreError:
    return ScheduleStoreError(
        f"the schedule {name!r} was written by a newer release, in format {format.decode(errors='replace')}, and this "
        f"one knows formats up to {FORMAT}; it was left as it is"
    )  # fmt: skip


def _ms(seconds: float) -> int:
    return max(1, int(seconds * 1000))
