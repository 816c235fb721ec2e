"""Sessions on Redis: a hash each, which ends by itself, and an index per person, which does, too."""

from __future__ import annotations

import hashlib
import logging
import re
import uuid
from collections.abc import Sequence
from typing import Any

import anyio
import msgspec
from redis.exceptions import ResponseError

from tta_kernel import check_count, check_duration
from tta_redis import Redis, RedisDown, Replication, StoreErrors
from tta_sessions import (
    Admission,
    Held,
    Listed,
    Session,
    SessionBusy,
    SessionConflict,
    SessionCorrupt,
    SessionFenced,
    SessionsError,
    SessionsFull,
    SessionTooLarge,
    check_admission,
    is_text,
    pack,
)

from . import scripts
from .keys import Keys, all_keys, index_keys, queue_keys, session_keys

log = logging.getLogger("tta.sessions-redis")
LISTED = 10_000
"""How many entries of a person's index a list is made of, at most."""
FORGET_BATCH = 200
"""How many sessions are forgotten at once."""
FORGET_BATCHES = 1000
"""How many batches one call of `forget` takes, at most: whoever commits all the while isn't chased for ever."""
_store_errors = StoreErrors(lambda exc: SessionsError(f"the sessions' store: {exc}"))


class RedisSessions:
    """The sessions of all processes that share a Redis; times are by its clock, in seconds.

    A commit waits up to ``wait_timeout`` until ``wait_replicas`` have it, and counts whether they do or not: it is
    stored. ``unconfirmed`` says how it was with the last one, and is empty where enough had it.
    """

    def __init__(
        self, redis: Redis, *, ttl: float, max_size: int, quarantine: float, wait_replicas: int = 0,
        wait_timeout: float = 1.0, admission_ttl: float = 3600.0, limit: int = 1_000_000, per_user: int = 1000,
    ) -> None:  # fmt: skip
        check_duration("ttl", ttl, positive=True)
        check_duration("admission_ttl", admission_ttl, positive=True)
        check_duration("quarantine", quarantine, positive=True)
        for name, number in (("max_size", max_size), ("limit", limit), ("per_user", per_user)):
            check_count(name, number)
        self._redis = redis
        self._max_size, self._limit, self._per_user = max_size, limit, per_user
        self._replication = Replication(wait_replicas, wait_timeout, what="sessions", log=log)
        self.commits = self.conflicts = 0
        self._ttl = max(1, int(ttl * 1000))
        self._admission_ttl = max(1, int(admission_ttl * 1000))
        self._quarantine_ttl = max(1, int(quarantine * 1000))
        # A corrupt index is kept as long as there may be sessions that only it lists: `forget` says so meanwhile.
        self._index_quarantine = max(self._quarantine_ttl, 2 * self._ttl)
        self._read = redis.script(scripts.READ)
        self._quarantine = redis.script(scripts.QUARANTINE)
        self._commit = redis.script(scripts.COMMIT)
        self._admit = redis.script(scripts.ADMIT)
        self._hold = redis.script(scripts.HOLD)
        self._drop = redis.script(scripts.DROP)
        self._delete = redis.script(scripts.DELETE)
        self._add_to_index = redis.script(scripts.INDEX)
        self._list = redis.script(scripts.LIST)
        self._count = redis.script(scripts.COUNT)
        # All sessions lie in one index, and so in one slot: an entry outlives its session by that much, and is renewed
        # no more often.
        self._slack = max(1, self._ttl // 8)

    @property
    def unconfirmed(self) -> str:
        return self._replication.unconfirmed

    async def get(self, id: str) -> Session | None:
        if not is_text(id):
            return None
        with _store_errors:
            status, *found = await self._read(self._keys(id), [self._quarantine_ttl], retry=True)
            if status != b"ok":
                raise self._unread(status, *found)
            version, user, created, updated, context = found[0]
            if version is None:
                return None
            try:
                decoded = msgspec.msgpack.decode(context, type=dict[str, Any])
                owner = user.decode()
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
                digest = hashlib.sha1(context, usedforsecurity=False).hexdigest()
                reason = "its context is no mapping in msgpack, or its user no text"
                status, *found = await self._quarantine(self._keys(id), [self._quarantine_ttl, digest, reason])
                if status == b"ok":  # Somebody has changed it meanwhile.
                    raise SessionsError("the session changed while it was read") from None
                raise self._corrupt(*found) from None
        return Session(id, owner, int(version), _seconds(created), _seconds(updated), decoded)

    async def commit(self, session: Session, admission: Admission | None = None) -> Session:
        context = pack(session)
        size = len(context) + len(session.id.encode()) + len(session.user.encode())
        if size > self._max_size:
            raise SessionTooLarge(f"the session has {size} bytes; {self._max_size} are the most")
        if session.version < 0:
            raise SessionConflict("no session has a version below 0")
        with _store_errors:
            if session.version == 0:
                # Before there is anything to forget: a crash between the two leaves an entry without
                # a session, never a session that `forget` can't find.
                new = await self._index(session.id, session.user, replicated=True, most=self._per_user)
                await self._take_place(session.id, session.user, self._ttl, listed=new)
            status, *found = await self._replication.run(
                self._commit,
                self._keys(session.id),
                [
                    self._quarantine_ttl, session.version, session.user, _micros(session.created_at), context,
                    self._ttl,
                    uuid.uuid4().hex,  # By this a commit that is sent again is known to have been done.
                    *((admission.run, admission.holder) if admission is not None else ("", "")),
                ],
            )  # fmt: skip
        if status == b"conflict":
            self.conflicts += 1
            raise SessionConflict(f"session is at version {int(found[0])}, not {session.version}")
        if status == b"fenced":
            raise SessionFenced("the turn isn't the first of its session, or is held by somebody else")
        if status != b"ok":
            raise self._unread(status, *found)
        self.commits += 1
        try:
            await self._index(session.id, session.user)
            if session.version and self._is_due(_micros(session.updated_at), int(found[2])):
                await self._add(all_keys(self._redis), session.id, self._ttl + self._slack)
        except (RedisDown, ResponseError) as exc:
            # The entry of the commit before outlives this one's session, so it is still found.
            log.warning("a session's index could not be renewed; the next commit will: %s", exc)
        version, created, updated = found
        return msgspec.structs.replace(
            session, version=int(version), created_at=_seconds(created), updated_at=_seconds(updated)
        )  # fmt: skip

    async def admit(self, admission: Admission, ttl: float) -> Admission:
        check_admission(admission, ttl)
        id, user = admission.session, admission.user
        size = sum(len(part.encode()) for part in (id, user, admission.run, admission.holder, admission.text))
        if size > self._max_size:
            raise SessionTooLarge(f"the admission has {size} bytes; {self._max_size} are the most")
        with _store_errors:
            # As with a session's first commit: `forget` must find what a person has written.
            listed = await self._index(
                id, user, life=self._admission_ttl, replicated=True, most=self._per_user
            )  # fmt: skip
            arguments: Sequence[str | int] = [
                self._quarantine_ttl, admission.run, user, admission.holder,
                "" if admission.seed is None else admission.seed, admission.text, _micros(ttl),
                self._admission_ttl, max(self._ttl, self._admission_ttl),
            ]  # fmt: skip
            status, *found = await self._replication.run(self._admit, self._keys(id), [*arguments, ""])
            if status == b"new":
                await self._take_place(id, user, self._admission_ttl, listed=listed)
                status, *found = await self._replication.run(self._admit, self._keys(id), [*arguments, "has a place"])
        if status == b"busy":
            raise SessionBusy("as many turns of the session wait as may")
        if status != b"ok":
            raise self._unread(status, *found)
        return _admission(id, *found[0])

    async def hold(self, session: str, run: str, holder: str, ttl: float, told: int = 0) -> Held:
        if not (is_text(session) and is_text(run) and is_text(holder)):
            return Held("gone")
        with _store_errors:
            status, *found = await self._hold(
                self._keys(session),
                [self._quarantine_ttl, run, holder, _micros(ttl), told, self._admission_ttl],
                retry=True,
            )
        if status != b"ok":
            raise self._unread(status, *found)
        got, first = found
        return Held(got.decode(), _admission(session, *first) if first else None)

    async def drop(self, session: str, run: str, holder: str) -> bool:
        if not (is_text(session) and is_text(run) and is_text(holder)):
            return False
        with _store_errors:
            status, *found = await self._drop(self._keys(session), [self._quarantine_ttl, run, holder])
        if status != b"ok":
            raise self._unread(status, *found)
        return bool(found[0])

    async def delete(self, id: str) -> bool:
        if not is_text(id):
            return False
        with _store_errors:
            found, owner = await self._replication.run(
                self._delete, self._keys(id), [self._quarantine_ttl, ""], retry=False
            )
            if owner:
                index = index_keys(self._redis, owner.decode(errors="replace"))
                await self._redis.execute("ZREM", index.value, id, retry=True)
            await self._redis.execute("ZREM", all_keys(self._redis).value, id, retry=True)
        return bool(found)

    async def count(self, user: str = "") -> int:
        if not is_text(user):
            return 0
        index, margin = (index_keys(self._redis, user), self._ttl) if user else (all_keys(self._redis), 0)
        with _store_errors:
            status, *found = await self._count(index.all(), [self._index_quarantine, margin], retry=True)
        if status != b"ok":
            raise SessionCorrupt(
                "an index of sessions was corrupt and is in quarantine: nobody knows how many there are"
            )
        return int(found[0])

    async def list(self, user: str, after: str = "", limit: int = 100) -> Sequence[Listed]:
        if not user or not is_text(user):
            return []
        with _store_errors:
            _, ids = await self._list(index_keys(self._redis, user).all(), [self._index_quarantine, LISTED], retry=True)
        names = sorted(name for id in ids if (name := id.decode(errors="replace")) > after)
        found: list[Listed] = []
        while names and len(found) < limit:
            some, names = names[: limit - len(found)], names[limit - len(found) :]
            found += await self._heads(some, user)
        return found

    async def _heads(self, ids: Sequence[str], user: str) -> Sequence[Listed]:
        """Return what is known of sessions, in their order, but for those that have ended or aren't theirs."""
        found: dict[str, Listed] = {}

        async def look(id: str) -> None:
            key = session_keys(self._redis, id).value
            try:
                fields = await self._redis.execute("HMGET", key, "user", "version", "created", "updated", retry=True)
                owner, version, created, updated = fields
                if owner == user.encode():
                    found[id] = Listed(id, int(version), _seconds(created), _seconds(updated))
            except (ResponseError, TypeError, ValueError):
                return  # It is corrupt, and whoever reads it says so.

        with _store_errors:
            async with anyio.create_task_group() as tasks:
                for id in ids:
                    tasks.start_soon(look, id)
        return [found[id] for id in ids if id in found]

    async def forget(self, user: str) -> int:
        if not user or not is_text(user):
            return 0
        index = index_keys(self._redis, user)
        count = 0
        whole = True
        with _store_errors:
            for _ in range(FORGET_BATCHES):
                complete, ids = await self._list(index.all(), [self._index_quarantine, FORGET_BATCH], retry=True)
                whole = whole and bool(complete)
                if not ids:
                    break
                found: dict[str, int] = {}
                async with anyio.create_task_group() as tasks:
                    for id in ids:
                        tasks.start_soon(self._forget, id.decode(errors="replace"), user, found)
                count += sum(found.values())
                await self._confirm_all(index.value, [id.decode(errors="replace") for id in ids], count)
                await self._redis.execute("ZREM", index.value, *ids, retry=True)
                if found:
                    await self._redis.execute("ZREM", all_keys(self._redis).value, *found, retry=True)
            else:
                raise SessionsError(f"{count} sessions are forgotten, and there are more: forget once more")
        if not whole:
            raise SessionCorrupt(
                f"the index of a person's sessions was corrupt and is in quarantine: {count} sessions are forgotten, "
                "and those may be left that nobody has played since; they end by themselves"
            )  # fmt: skip
        return count

    async def _forget(self, id: str, user: str, found: dict[str, int]) -> None:
        deleted, owner = await self._delete(self._keys(id), [self._quarantine_ttl, user], retry=True)
        if deleted or owner in (b"", user.encode()):
            found[id] = deleted

    async def _confirm_all(self, index: str, ids: Sequence[str], count: int) -> None:
        """Wait until replicas have deleted the sessions, too; else none would know that they have yet to."""
        # One master's replicas hear all in order; on a Cluster each session may have another one.
        keys = [session_keys(self._redis, id).value for id in ids] if self._redis.config.cluster else [index]
        if wanting := await self._replication.confirm(self._redis, keys):
            raise SessionsError(
                f"{count} sessions are forgotten, but {wanting}: after a failover they could be there again, "
                "so forget once more"
            )  # fmt: skip

    async def _take_place(self, id: str, user: str, life: int, *, listed: bool) -> None:
        """Let a session that begins have its place among all, or raise `SessionsFull`: then it isn't listed, either."""
        try:
            await self._add(all_keys(self._redis), id, life + self._slack, most=self._limit)
        except SessionsFull:
            if listed:
                await self._redis.execute("ZREM", index_keys(self._redis, user).value, id, retry=True)
            raise

    def _is_due(self, before: int, now: int) -> bool:
        """Say whether a session's entry among all must be renewed; times in microseconds."""
        return before // (self._slack * 1000) != now // (self._slack * 1000)

    async def _index(
        self, id: str, user: str, *, life: int = 0, replicated: bool = False, most: int = 0
    ) -> bool:  # fmt: skip
        """Enter a session in its person's index, if it has a person, and say whether it is new there."""
        if not user:
            return False
        # Twice as long as the session: so the entry of one commit covers the next one's session.
        life = 2 * max(self._ttl, life)
        return await self._add(index_keys(self._redis, user), id, life, most, self._ttl, replicated=replicated)

    async def _add(
        self, index: Keys, id: str, life: int, most: int = 0, margin: int = 0, *, replicated: bool = False
    ) -> bool:  # fmt: skip
        """Enter a session in an index; raise `SessionsFull` where it is new, and ``most`` are there already."""
        arguments: Sequence[str | int] = [self._index_quarantine, id, life, most, margin]
        if replicated:
            status, *found = await self._replication.run(self._add_to_index, index.all(), arguments)
        else:
            status, *found = await self._add_to_index(index.all(), arguments, retry=True)
        if status == b"full":
            raise SessionsFull(f"{most} sessions are kept, of all or of this person, and no more may be")
        if status == b"corrupt":
            whose = "a person's" if margin else "all"
            log.error("the index of %s sessions isn't one (%s); %s", whose, found[0].decode(), _where(found[1]))
            return True
        return bool(found[0])

    def _keys(self, id: str) -> Sequence[str]:
        return session_keys(self._redis, id).all() + queue_keys(self._redis, id)

    def _unread(self, status: bytes, what: bytes, place: bytes = b"") -> SessionsError:
        if status != b"newer":
            return self._corrupt(what, place)
        return SessionsError(
            f"the session, or a turn of it, was written by a newer release, in format {what.decode()}, and this one "
            "knows formats up to 1; it was left as it is"
        )

    def _corrupt(self, reason: bytes, place: bytes) -> SessionCorrupt:
        what = reason.decode(errors="replace")
        log.error("what is stored as a session isn't one (%s); %s", what, _where(place))
        then = (
            "it was quarantined, and the session is gone"
            if place
            else "it stays, as too many such are in quarantine already"
        )
        return SessionCorrupt(f"the stored session is corrupt: {what}; {then}")


def _where(place: bytes) -> str:
    # Without the name, which a person has chosen.
    kept = place.rpartition(b":")[2].decode(errors="replace")
    return (
        f"it is in quarantine: redis-cli --scan --pattern '*:sessions:*:{kept}'" if kept else "the quarantine is full"
    )


def _admission(
    session: str, run: bytes, user: bytes, holder: bytes, seed: bytes, told: bytes, at: bytes, until: bytes, text: bytes
) -> Admission:
    """Return a turn as a script gives it; what isn't text or a number names nobody, and can't be answered."""
    return Admission(
        session=session, run=run.decode(errors="replace"), user=user.decode(errors="replace"),
        holder=holder.decode(errors="replace"), text=text.decode(errors="replace"),
        seed=int(seed) if re.fullmatch(rb"-?\d{1,19}", seed) else None, told=int(told),
        at=_seconds(at), until=_seconds(until),
    )  # fmt: skip


def _seconds(micros: bytes) -> float:
    return int(micros) / 1e6


def _micros(seconds: float) -> int:
    return min(max(round(seconds * 1e6), 0), 10**16 - 1)
