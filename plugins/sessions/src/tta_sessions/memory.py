"""The reference implementation, in memory."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence

import msgspec

from tta_kernel import check_count, check_duration

from . import queue
from .model import Admission, Held, Listed, Session, SessionConflict, SessionsFull, SessionTooLarge, pack


class _Head(msgspec.Struct, frozen=True):
    """A session without what it holds."""

    user: str
    version: int
    created_at: float
    updated_at: float


class MemorySessions:
    """Keeps at most ``limit`` sessions, ``per_user`` of one person, each ``ttl`` seconds after its last commit.

    ``max_size`` is a session's, in bytes. They are kept encoded: nobody can change one behind its
    version, and what can't travel fails here.
    """

    def __init__(
        self, clock: Callable[[], float], *, ttl: float, limit: int, max_size: int = 1_000_000,
        admission_ttl: float = 3600.0, per_user: int = 1000,
    ) -> None:  # fmt: skip
        check_duration("ttl", ttl, positive=True)
        check_duration("admission_ttl", admission_ttl, positive=True)
        check_count("limit", limit)
        check_count("max_size", max_size)
        check_count("per_user", per_user)
        self._clock, self._ttl, self._limit, self._max_size = clock, ttl, limit, max_size
        self._admission_ttl, self._per_user = admission_ttl, per_user
        self._stored: OrderedDict[str, bytes] = OrderedDict()
        self._queues: dict[str, queue.Queue] = {}
        self.commits = self.conflicts = 0

    def __len__(self) -> int:
        """Count what is kept, also what has ended and was not looked at since."""
        return len(self._stored)

    async def get(self, id: str) -> Session | None:
        return self._read(id)

    async def commit(self, session: Session, admission: Admission | None = None) -> Session:
        pack(session)  # Only to see whether it comes back.
        left = queue.leave(self._queue(session.id), admission) if admission is not None else None
        stored = self._read(session.id)
        version = stored.version if stored else 0
        if session.version != version:
            self.conflicts += 1
            raise SessionConflict(f"session is at version {version}, not {session.version}")
        now = self._clock()
        new = msgspec.structs.replace(
            session, version=version + 1, created_at=session.created_at or now, updated_at=now
        )  # fmt: skip
        encoded = msgspec.msgpack.encode(new)
        if len(encoded) > self._max_size:
            raise SessionTooLarge(f"the session has {len(encoded)} bytes; {self._max_size} are the most")
        self._must_have_room(session.id, session.user)
        self._stored[session.id] = encoded
        self._stored.move_to_end(session.id)
        if left is not None:
            self._put(session.id, left)
        self.commits += 1
        return new

    async def admit(self, admission: Admission, ttl: float) -> Admission:
        queue.check_admission(admission, ttl)
        size = len(msgspec.msgpack.encode(admission))
        if size > self._max_size:
            raise SessionTooLarge(f"the admission has {size} bytes; {self._max_size} are the most")
        self._must_have_room(admission.session, admission.user)
        entries, entered = queue.enter(self._queue(admission.session), admission, self._clock(), ttl)
        self._put(admission.session, entries)
        return entered

    async def hold(self, session: str, run: str, holder: str, ttl: float, told: int = 0) -> Held:
        entries, held = queue.hold(self._queue(session), run, holder, self._clock(), ttl, told)
        self._put(session, entries)
        return held

    async def drop(self, session: str, run: str, holder: str) -> bool:
        before = self._queue(session)
        after = queue.without(before, run, holder, self._clock())
        self._put(session, after)
        return len(after) < len(before)

    async def delete(self, id: str) -> bool:
        self._queues.pop(id, None)
        return self._stored.pop(id, None) is not None

    async def count(self, user: str = "") -> int:
        self._sweep()
        return self._count_of(user) if user else len(self._stored)

    async def list(self, user: str, after: str = "", limit: int = 100) -> Sequence[Listed]:
        self._sweep()
        ids = sorted(id for id in self._stored if user and id > after and self._head(id).user == user)
        heads = [(id, self._head(id)) for id in ids[: max(0, limit)]]
        return [Listed(id, head.version, head.created_at, head.updated_at) for id, head in heads]

    async def forget(self, user: str) -> int:
        if not user:
            return 0
        found = [id for id in list(self._stored) if (s := self._read(id)) and s.user == user]
        for id in found:
            del self._stored[id]
        return len(found) + self._forget_admissions(user)

    def _must_have_room(self, id: str, user: str) -> None:
        """Raise `SessionsFull` for a session that isn't there, and has no place by a turn that waits either."""
        if id in self._stored or id in self._queues:
            return
        if len(self._stored) + len(self._queues) >= self._limit:
            self._sweep()
            if len(self._stored.keys() | self._queues.keys()) >= self._limit:
                raise SessionsFull(f"{self._limit} sessions are kept, and no more may be")
        if user and len(self._stored) >= self._per_user and self._count_of(user) >= self._per_user:
            raise SessionsFull(f"{self._per_user} sessions of one person are kept, and no more may be")

    def _sweep(self) -> None:
        """Let go of what has ended: those that rested longest come first."""
        end = self._clock() - self._ttl
        while self._stored:
            id = next(iter(self._stored))
            if self._head(id).updated_at >= end:
                break
            del self._stored[id]
        for id in [*self._queues]:
            if not self._queue(id):
                del self._queues[id]

    def _count_of(self, user: str) -> int:
        return sum(self._head(id).user == user for id in self._stored)

    def _head(self, id: str) -> _Head:
        return msgspec.msgpack.decode(self._stored[id], type=_Head)

    def _forget_admissions(self, user: str) -> int:
        count = 0
        for id, entries in list(self._queues.items()):
            others = tuple(entry for entry in entries if entry.user != user)
            count += len(entries) - len(others)
            self._put(id, others)
        return count

    def _queue(self, id: str) -> queue.Queue:
        """Return a session's queue; what rested as long as a session may has ended."""
        now = self._clock()
        entries = queue.aged(self._queues.get(id, ()), now, self._admission_ttl)
        return tuple(entry for entry in entries if now - entry.at <= max(self._ttl, self._admission_ttl))

    def _put(self, id: str, entries: queue.Queue) -> None:
        if not entries:
            self._queues.pop(id, None)
            return
        self._queues[id] = entries

    def _read(self, id: str) -> Session | None:
        if (encoded := self._stored.get(id)) is None:
            return None
        session = msgspec.msgpack.decode(encoded, type=Session)
        if self._clock() - session.updated_at > self._ttl:
            del self._stored[id]
            return None
        return session
