"""Sessions on Redis: a hash each, which ends by itself, and an index per person, which does, too."""

from __future__ import annotations

import hashlib
import logging
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import anyio
import msgspec
from redis.exceptions import ResponseError

from tta_redis import Redis, RedisDown
from tta_sessions import Session, SessionConflict, SessionCorrupt, SessionsError, SessionTooLarge

from . import scripts

log = logging.getLogger("tta.sessions-redis")
ROUND = 200
"""How many sessions are forgotten at once."""
ROUNDS = 1000


class RedisSessions:
    """The sessions of all processes that share a Redis; times are by its clock, in seconds."""

    def __init__(self, redis: Redis, *, ttl: float, max_size: int, quarantine: float) -> None:
        self._redis, self._max_size = redis, max_size
        self._ttl, self._quarantine = max(1, int(ttl * 1000)), max(1, int(quarantine * 1000))
        self._read = redis.script(scripts.READ)
        self._put_aside = redis.script(scripts.QUARANTINE)
        self._commit = redis.script(scripts.COMMIT)
        self._delete = redis.script(scripts.DELETE)
        self._remember = redis.script(scripts.REMEMBER)
        self._remembered = redis.script(scripts.REMEMBERED)
        # As long as there may be sessions that only it lists.
        self._aside_ttl = max(self._quarantine, 2 * self._ttl)

    async def get(self, id: str) -> Session | None:
        async with self._reaching():
            status, *found = await self._read(self._keys(id), [self._quarantine], retry=True)
            if status != b"ok":
                raise self._corrupt(*found)
            version, user, created, updated, context = found[0]
            if version is None:
                return None
            try:
                decoded = msgspec.msgpack.decode(context, type=dict[str, Any])
                owner = user.decode()
            except (msgspec.DecodeError, UnicodeDecodeError):
                digest = hashlib.sha1(context, usedforsecurity=False).hexdigest()
                reason = "its context is no mapping in msgpack, or its user no text"
                status, *found = await self._put_aside(self._keys(id), [self._quarantine, digest, reason])
                if status == b"ok":  # Somebody has changed it meanwhile.
                    raise SessionsError("the session changed while it was read") from None
                raise self._corrupt(*found) from None
        return Session(id, owner, int(version), _seconds(created), _seconds(updated), decoded)

    async def commit(self, session: Session) -> Session:
        context = msgspec.msgpack.encode(session.context)
        size = len(context) + len(session.id.encode()) + len(session.user.encode())
        if size > self._max_size:
            raise SessionTooLarge(f"the session has {size} bytes; {self._max_size} are the most")
        if session.version < 0:
            raise SessionConflict("no session has a version below 0")
        async with self._reaching():
            if session.version == 0:
                # Before there is anything to forget: a crash between the two leaves an entry without
                # a session, never a session that `forget` can't find.
                await self._index(session)
            status, *found = await self._commit(
                self._keys(session.id),
                [
                    self._quarantine, session.version, session.user, _micros(session.created_at), context, self._ttl,
                    uuid.uuid4().hex,
                ],
                retry=True,  # It knows its own commit again.
            )  # fmt: skip
        if status == b"conflict":
            raise SessionConflict(f"session is at version {int(found[0])}, not {session.version}")
        if status != b"ok":
            raise self._corrupt(*found)
        try:
            await self._index(session)
        except (RedisDown, ResponseError) as exc:
            # The entry of the commit before outlives this one's session, so it is still found.
            log.warning("a session's index could not be renewed; the next commit will: %s", exc)
        version, created, updated = found
        return msgspec.structs.replace(
            session, version=int(version), created_at=_seconds(created), updated_at=_seconds(updated)
        )  # fmt: skip

    async def delete(self, id: str) -> bool:
        async with self._reaching():
            found, owner = await self._delete(self._keys(id), [""])
            if owner:
                await self._redis.execute("ZREM", self._people(owner.decode(errors="replace"))[0], id, retry=True)
        return bool(found)

    async def forget(self, user: str) -> int:
        if not user:
            return 0
        person, count, whole = self._people(user), 0, True
        async with self._reaching():
            for _ in range(ROUNDS):  # Whoever commits all the while isn't chased for ever.
                everything, ids = await self._remembered(person, [self._aside_ttl, ROUND], retry=True)
                whole = whole and bool(everything)
                if not ids:
                    break
                found: list[int] = []
                async with anyio.create_task_group() as tasks:
                    for id in ids:
                        tasks.start_soon(self._forget, id.decode(errors="replace"), user, found)
                count += sum(found)
                await self._redis.execute("ZREM", person[0], *ids, retry=True)
            else:
                raise SessionsError(f"{count} sessions are forgotten, and there are more: forget once more")
        if not whole:
            raise SessionCorrupt(
                f"the index of a person's sessions was corrupt and lies aside: {count} sessions are forgotten, and "
                "those may be left that nobody has played since; they end by themselves"
            )  # fmt: skip
        return count

    async def _forget(self, id: str, user: str, found: list[int]) -> None:
        deleted, _ = await self._delete(self._keys(id), [user], retry=True)
        found.append(deleted)

    async def _index(self, session: Session) -> None:
        if session.user:
            # Twice as long as the session: so the entry of one commit covers the next one's session.
            arguments: list[str | int] = [self._aside_ttl, session.id, 2 * self._ttl]
            status, *found = await self._remember(self._people(session.user), arguments, retry=True)
            if status == b"corrupt":
                log.error("the index of a person's sessions isn't one (%s); %s", found[0].decode(), _where(found[1]))

    def _keys(self, id: str) -> list[str]:
        return self._places("session", f"s.{id}")

    def _people(self, user: str) -> list[str]:
        return self._places("user", f"u.{user}")

    def _places(self, what: str, tag: str) -> list[str]:
        aside = [f"corrupt-{number}" for number in range(1, scripts.KEEP + 1)]
        return [self._redis.key("sessions", part, tag=tag) for part in (what, *aside, "reasons")]

    def _corrupt(self, reason: bytes, place: bytes) -> SessionCorrupt:
        what = reason.decode(errors="replace")
        log.error("what is stored as a session isn't one (%s); %s", what, _where(place))
        then = "it was put aside, and the session is gone" if place else "it stays, as too many such lie aside already"
        return SessionCorrupt(f"the stored session is corrupt: {what}; {then}")

    @asynccontextmanager
    async def _reaching(self) -> AsyncIterator[None]:
        try:
            yield
        except (RedisDown, ResponseError) as exc:
            raise SessionsError(f"the sessions' store: {exc}") from exc
        except ExceptionGroup as group:
            if known := group.subgroup((RedisDown, ResponseError)):
                raise SessionsError(f"the sessions' store: {known.exceptions[0]}") from group
            raise


def _where(place: bytes) -> str:
    # Without the name, which a person has chosen.
    kept = place.rpartition(b":")[2].decode(errors="replace")
    return f"it lies aside: redis-cli --scan --pattern '*:sessions:*:{kept}'" if kept else "as many as may lie aside do"


def _seconds(micros: bytes) -> float:
    return int(micros) / 1e6


def _micros(seconds: float) -> int:
    return min(max(round(seconds * 1e6), 0), 10**16 - 1)
