"""Interventions on Redis: each is stored by version, together with its places in all lists."""

from __future__ import annotations

import logging
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import msgspec
from msgspec.structs import replace
from redis.exceptions import ResponseError

from tta_crisis import (
    STATUSES,
    Changed,
    CrisisError,
    CrisisPage,
    CrisisQuery,
    Feedback,
    FeedbackPage,
    Intervention,
    Packet,
    Trace,
    place,
    trace_of,
)  # fmt: skip
from tta_kernel import check_count, check_duration
from tta_redis import Redis, RedisDown, Replication

from . import scripts
from .layout import FORMAT, Keys

log = logging.getLogger("tta.crisis-redis")
_intervention = msgspec.msgpack.Decoder(Intervention)
_AT_ONCE = 100
_MOST_KEPT = 100_000
"""How much feedback, and how many traces, are kept."""


class _End(msgspec.Struct, frozen=True, array_like=True):
    """What leads to an intervention that has ended: where it stood."""

    id: str
    place: str
    session: str
    owner: str


class RedisCrisisStore:
    """The interventions of all processes that share a Redis, ``most`` at most; times in seconds.

    ``retention``: how long a resolved one is kept, and feedback after the last; ``packets`` and ``quarantine``: how
    long a packet is, and what can't be read. A change waits up to ``wait_timeout`` until ``wait_replicas`` have it, and
    counts whether they do or not.
    """

    durable = True

    def __init__(
        self, redis: Redis, *, most: int = 100_000, retention: float = 90 * 86400.0, packets: float = 30 * 86400.0,
        quarantine: float = 30 * 86400.0, wait_replicas: int = 0, wait_timeout: float = 1.0,
    ) -> None:  # fmt: skip
        check_count("most", most)
        check_duration("retention", retention, positive=True)
        check_duration("packets", packets, positive=True)
        check_duration("quarantine", quarantine, positive=True)
        self._redis, self._most, self._keys = redis, most, Keys(redis)
        self._retention, self._packets, self._quarantine_ttl = _ms(retention), _ms(packets), _ms(quarantine)
        self._replication = Replication(wait_replicas, wait_timeout, what="interventions", log=log)
        self._open = redis.script(scripts.OPEN)
        self._put = redis.script(scripts.PUT)
        self._delete = redis.script(scripts.DELETE)
        self._ended = redis.script(scripts.ENDED)
        self._quarantine = redis.script(scripts.QUARANTINE)
        self._judge = redis.script(scripts.JUDGE)
        self.puts = self.conflicts = 0

    @property
    def unconfirmed(self) -> str:
        """Say why the last change would be lost with its master; nothing where enough replicas have it."""
        return self._replication.unconfirmed

    async def open(self, intervention: Intervention, packet: Packet) -> Intervention:
        keys, id = self._keys, intervention.id
        stored = replace(intervention, version=1)
        places = [
            keys.intervention(id), keys.packet(id), keys.all, keys.status(stored.status), keys.session(stored.session),
            keys.owner(stored.owner), keys.status("resolved"),
        ]  # fmt: skip
        arguments: list[str | bytes | int | float] = [
            id, place(stored), FORMAT, msgspec.msgpack.encode(stored), stored.owner, stored.session, stored.status,
            self._most, msgspec.msgpack.encode(packet), self._packets,
        ]  # fmt: skip
        with _store_errors():
            await self._drop_ended()
            while True:
                status, found = await self._replication.run(self._open, places, arguments)
                if status != b"full":
                    break
                if not found:
                    raise CrisisError(
                        f"there are {self._most} interventions that nobody has resolved, and no more may be"
                    )
                await self._drop(found.decode())
        if status == b"format":
            raise _newer(id, found)
        if status == b"opened":
            self.puts += 1
            return stored
        try:
            return _intervention.decode(found)
        except (msgspec.DecodeError, RecursionError):
            # It can't be read: what is known now counts, in its place.
            await self._set_aside(id, found)
            return await self.open(intervention, packet)

    async def get(self, id: str) -> Intervention | None:
        with _store_errors():
            [found] = await self._read([id])
        return found

    async def put(self, intervention: Intervention) -> Intervention:
        keys, id = self._keys, intervention.id
        stored = replace(intervention, version=intervention.version + 1)
        others = [keys.status(status) for status in STATUSES if status != stored.status]
        places = [keys.intervention(id), keys.status(stored.status), *others, keys.ends]
        arguments: list[str | bytes | int | float] = [
            FORMAT, intervention.version, uuid.uuid4().hex, msgspec.msgpack.encode(stored), stored.status, _end(stored),
            self._retention,
        ]  # fmt: skip
        with _store_errors():
            status, *found = await self._replication.run(self._put, places, arguments)
        if status == b"format":
            raise _newer(id, found[0])
        if status != b"ok":
            self.conflicts += 1
            raise Changed(f"the intervention is at version {found[0].decode()}, not {intervention.version}")
        self.puts += 1
        return stored

    async def packet(self, id: str) -> Packet | None:
        with _store_errors():
            packed = await self._redis.execute("GET", self._keys.packet(id))
        if packed is None:
            return None
        try:
            return msgspec.msgpack.decode(packed, type=Packet)
        except (msgspec.DecodeError, RecursionError) as exc:
            log.error("the packet of %s can't be read: %s", id, type(exc).__name__)  # noqa: TRY400 - it says all there is
            return None

    async def page(self, query: CrisisQuery) -> CrisisPage:
        keys = self._keys
        if query.session:
            listed = keys.session(query.session)
        else:
            listed = keys.status(query.status) if query.status else keys.all
        found: list[Intervention] = []
        last = f"({query.cursor}" if query.cursor else "+"
        first = f"[{max(0, round(query.since * 1000)):015d}"
        with _store_errors():
            await self._drop_ended()
            while True:
                most = query.most + 1
                names = await self._redis.execute("ZREVRANGEBYLEX", listed, last, first, "LIMIT", 0, most)
                read = await self._read([_id(name) for name in names])
                found += [each for each in read if each is not None and _is_asked_for(each, query)]
                if len(found) > query.most or len(names) < most:
                    break
                last = f"({names[-1].decode()}"
        shown = found[: query.most]
        return CrisisPage(shown, place(shown[-1]) if len(found) > len(shown) else "")

    async def judge(self, feedback: Feedback) -> None:
        with _store_errors():
            packed = msgspec.msgpack.encode(feedback)
            await self._judge([self._keys.feedback], [packed, _MOST_KEPT, self._retention], retry=True)

    async def judgements(self, cursor: str = "", most: int = 100) -> FeedbackPage:
        first = int(cursor) if cursor.isdigit() else 0
        with _store_errors():
            found = await self._redis.execute("LRANGE", self._keys.feedback, first, first + most)
        shown = [each for packed in found[:most] if (each := _read_feedback(packed)) is not None]
        return FeedbackPage(shown, str(first + most) if len(found) > most else "")

    async def traces(self, most: int = 1000) -> Sequence[Trace]:
        with _store_errors():
            found = await self._redis.execute("LRANGE", self._keys.traces, 0, most - 1)
        return [msgspec.msgpack.decode(each, type=Trace) for each in found]

    async def forget(self, owner: str) -> int:
        if not owner:
            return 0
        count = 0
        with _store_errors():
            while names := await self._redis.execute("SRANDMEMBER", self._keys.owner(owner), _AT_ONCE):
                for name in names:
                    count += await self._forget_one(name.decode(errors="replace"), owner)
            count += await self._forget_feedback(owner)
            unconfirmed = await self._replication.confirm(self._redis, [self._keys.all])
        if unconfirmed:
            raise CrisisError(f"{count} things are forgotten, and {unconfirmed}: forget once more")
        return count

    async def _forget_one(self, id: str, owner: str) -> int:
        """Delete one of a person's, whatever became of it since, and keep its trace."""
        where, session = await self._redis.execute("HMGET", self._keys.intervention(id), "place", "session")
        [found] = await self._read([id])
        kept = msgspec.msgpack.encode(trace_of(found)) if found is not None else b""
        end = _End(id, (where or b"").decode(), (session or b"").decode(), owner)
        # What was set aside as nothing that can be read may be theirs, too.
        await self._redis.execute("DEL", self._keys.quarantine(id), retry=True)
        return await self._remove(end, owner=owner, kept=kept)

    async def _forget_feedback(self, owner: str) -> int:
        packed = await self._redis.execute("LRANGE", self._keys.feedback, 0, -1)
        theirs = [each for each in packed if (it := _read_feedback(each)) is not None and it.owner == owner]
        for each in theirs:
            await self._redis.execute("LREM", self._keys.feedback, 0, each, retry=True)
        return len(theirs)

    async def _read(self, ids: Sequence[str]) -> Sequence[Intervention | None]:
        """Read interventions; None stands for one that is gone, that can't be read, or that a newer release wrote."""
        if not ids:
            return []
        commands = [("HMGET", self._keys.intervention(id), "format", "packed") for id in ids]
        replies = await self._redis.pipeline(*commands, key=self._keys.all)
        return [await self._decoded(id, reply) for id, reply in zip(ids, replies, strict=True)]

    async def _decoded(self, id: str, reply: object) -> Intervention | None:
        if isinstance(reply, ResponseError):
            log.error("what lies under the key of the intervention %s isn't one: %s", id, reply)
            return None
        assert isinstance(reply, list)
        format, packed = reply
        if format is None or packed is None:
            return None
        if format != str(FORMAT).encode():
            log.warning("%s", _newer(id, format))
            return None
        try:
            return _intervention.decode(packed)
        except (msgspec.DecodeError, RecursionError):
            await self._set_aside(id, packed)
            return None

    async def _set_aside(self, id: str, packed: bytes) -> None:
        log.error("the intervention %s can't be read, and a human must look", id)
        keys = self._keys
        places = [keys.intervention(id), keys.all, *map(keys.status, STATUSES), keys.quarantine(id)]
        await self._quarantine(places, [packed, self._quarantine_ttl], retry=True)

    async def _drop(self, where: str) -> None:
        """Delete the resolved intervention that stands there, to make room."""
        id = _id(where.encode())
        session, owner = await self._redis.execute("HMGET", self._keys.intervention(id), "session", "owner")
        await self._remove(_End(id, where, (session or b"").decode(), (owner or b"").decode()))

    async def _drop_ended(self) -> None:
        """Take what has ended by itself out of all lists."""
        for packed in await self._ended([self._keys.ends], [_AT_ONCE], retry=True):
            await self._remove(msgspec.msgpack.decode(packed, type=_End))

    async def _remove(self, end: _End, *, owner: str = "", kept: bytes = b"") -> int:
        keys = self._keys
        places = [
            keys.intervention(end.id), keys.packet(end.id), keys.all, *map(keys.status, STATUSES),
            keys.session(end.session), keys.owner(end.owner), keys.ends, keys.traces,
        ]  # fmt: skip
        packed = msgspec.msgpack.encode(end)
        removed = await self._delete(places, [end.id, end.place, packed, owner, kept, _MOST_KEPT], retry=True)
        return int(removed)


def _end(intervention: Intervention) -> bytes:
    return msgspec.msgpack.encode(
        _End(intervention.id, place(intervention), intervention.session, intervention.owner)
    )  # fmt: skip


def _is_asked_for(intervention: Intervention, query: CrisisQuery) -> bool:
    return query.status in ("", intervention.status) and intervention.opened_at >= query.since


def _id(where: bytes) -> str:
    return where.decode(errors="replace").partition(".")[2]


def _read_feedback(packed: bytes) -> Feedback | None:
    try:
        return msgspec.msgpack.decode(packed, type=Feedback)
    except (msgspec.DecodeError, RecursionError) as exc:
        log.warning("feedback can't be read: %s", type(exc).__name__)
        return None


def _newer(id: str, format: bytes) -> CrisisError:
    return CrisisError(
        f"the intervention {id!r} was written by a newer release, in format {format.decode(errors='replace')}, and "
        f"this one knows formats up to {FORMAT}; it was left as it is"
    )  # fmt: skip


@contextmanager
def _store_errors() -> Iterator[None]:
    try:
        yield
    except (RedisDown, ResponseError) as exc:
        raise CrisisError(f"the store of interventions: {exc}") from exc


def _ms(seconds: float) -> int:
    return max(1, int(seconds * 1000))
