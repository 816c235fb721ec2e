"""The reference implementation, in memory."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable

import msgspec

from tta_kernel import check_count, check_duration

from .model import Session, SessionConflict, SessionTooLarge, pack


class MemorySessions:
    """Keeps at most ``limit`` sessions, each ``ttl`` seconds after its last commit; the oldest go first.

    ``max_size`` is a session's, in bytes. They are kept encoded: nobody can change one behind its
    version, and what can't travel fails here.
    """

    def __init__(self, clock: Callable[[], float], *, ttl: float, limit: int, max_size: int = 1_000_000) -> None:
        check_duration("ttl", ttl, positive=True)
        check_count("limit", limit)
        check_count("max_size", max_size)
        self._clock, self._ttl, self._limit, self._max_size = clock, ttl, limit, max_size
        self._stored: OrderedDict[str, bytes] = OrderedDict()
        self.commits = self.conflicts = 0

    def __len__(self) -> int:
        """Count what is kept, also what has ended and was not looked at since."""
        return len(self._stored)

    async def get(self, id: str) -> Session | None:
        return self._read(id)

    async def commit(self, session: Session) -> Session:
        pack(session)  # Only to see whether it comes back.
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
        self._stored[session.id] = encoded
        self._stored.move_to_end(session.id)
        while len(self._stored) > self._limit:
            self._stored.popitem(last=False)
        self.commits += 1
        return new

    async def delete(self, id: str) -> bool:
        return self._stored.pop(id, None) is not None

    async def forget(self, user: str) -> int:
        if not user:
            return 0
        found = [id for id in list(self._stored) if (s := self._read(id)) and s.user == user]
        for id in found:
            del self._stored[id]
        return len(found)

    def _read(self, id: str) -> Session | None:
        if (encoded := self._stored.get(id)) is None:
            return None
        session = msgspec.msgpack.decode(encoded, type=Session)
        if self._clock() - session.updated_at > self._ttl:
            del self._stored[id]
            return None
        return session
