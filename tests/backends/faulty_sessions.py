"""The store of sessions that `docs/writing-a-backend.md` builds, with one fault each; the contract refuses them all."""

from __future__ import annotations

import fcntl
import re
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import msgspec
import pytest
from anyio import to_thread
from tta_sessions_files.store import FORMAT, FileSessions, Stored, decode

from tta_kernel.testing import Shared
from tta_sessions import Admission, Session, Sessions, is_text, pack
from tta_sessions.testing import Ending, SessionsContract


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


class OwnFileForEachWrite(FileSessions):
    """No fault: two may write at once, and only what each has looked at before is old by then."""

    def _put(self, path: Path, data: bytes) -> None:
        beside = path.with_suffix(f".{uuid.uuid4().hex}.new")
        beside.write_bytes(data)
        beside.replace(path)


class LockInTheStore(OwnFileForEachWrite):
    @asynccontextmanager
    async def _locked(self) -> AsyncIterator[None]:
        async with self._turn:
            yield


_LOCKS: dict[Path, anyio.Lock] = {}


class LockInTheProcess(OwnFileForEachWrite):
    @asynccontextmanager
    async def _locked(self) -> AsyncIterator[None]:
        async with _LOCKS.setdefault(self._folder, anyio.Lock()):
            yield


class LockThatStays(FileSessions):
    @asynccontextmanager
    async def _locked(self) -> AsyncIterator[None]:
        lock = self._folder / "locked"
        while True:
            try:
                lock.touch(exist_ok=False)
                break
            except FileExistsError:
                await anyio.sleep(0.001)
        try:
            yield
        finally:
            lock.unlink()


class LockThatBlocksTheLoop(FileSessions):
    @asynccontextmanager
    async def _locked(self) -> AsyncIterator[None]:
        async with self._turn:
            with (self._folder / "lock").open("ab") as file:
                fcntl.flock(file, fcntl.LOCK_EX)
                yield


class WritesInPlace(FileSessions):
    async def get(self, id: str) -> Session | None:
        return await to_thread.run_sync(self._read, self._path(id)) if is_text(id) else None

    def _put(self, path: Path, data: bytes) -> None:
        with path.open("wb") as file:
            for start in range(0, len(data), 1000):
                file.write(data[start : start + 1000])
                file.flush()


class DeletesFirst(FileSessions):
    def _put(self, path: Path, data: bytes) -> None:
        path.unlink(missing_ok=True)
        super()._put(path, data)


class ForgetsTheEnd(FileSessions):
    def _read(self, path: Path) -> Session | None:
        return decode(path.read_bytes()).session if path.exists() else None


class IgnoresTheVersion(FileSessions):
    def _commit(self, session: Session, admission: Admission | None = None) -> Session:
        stored = self._read(self._path(session.id))
        return super()._commit(msgspec.structs.replace(session, version=stored.version if stored else 0), admission)


class ChecksTheVersionBeforeTheLock(FileSessions):
    async def commit(self, session: Session, admission: Admission | None = None) -> Session:
        stored = await self.get(session.id)
        if (stored.version if stored else 0) != session.version or admission is not None:
            return await super().commit(session, admission)
        async with self._locked():
            new = msgspec.structs.replace(session, version=session.version + 1, updated_at=self._clock())
            self._put(self._path(session.id), msgspec.msgpack.encode(Stored(FORMAT, new)))
        return new


class MakesFilesOfNames(FileSessions):
    def _path(self, id: str) -> Path:
        return self._folder / f"{re.sub(r'[^A-Za-z0-9]', '_', id)[:100]}.session"


class ForgetsTooMuch(FileSessions):
    def _forget(self, user: str) -> int:
        return sum(self._unlink(path) for path in self._folder.glob("*.session"))


class ForgetsTooLittle(FileSessions):
    """Keeps in its own memory whose session is whose."""

    def __init__(self, *args: Any, **how: Any) -> None:
        super().__init__(*args, **how)
        self._owners: dict[str, str] = {}

    async def commit(self, session: Session, admission: Admission | None = None) -> Session:
        self._owners.setdefault(session.id, session.user)
        return await super().commit(session, admission)

    async def forget(self, user: str) -> int:
        mine = [id for id, owner in self._owners.items() if user and owner == user]
        return sum([await self.delete(id) for id in mine])


class KeepsCopies(FileSessions):
    def __init__(self, *args: Any, **how: Any) -> None:
        super().__init__(*args, **how)
        self._copies: dict[str, Session] = {}

    async def get(self, id: str) -> Session | None:
        if id not in self._copies and (found := await super().get(id)):
            self._copies[id] = found
        return self._copies.get(id)

    async def commit(self, session: Session, admission: Admission | None = None) -> Session:
        self._copies[session.id] = new = await super().commit(session, admission)
        return new


class HasNoLimit(FileSessions):
    def __init__(self, folder: Path, *, ttl: float, max_size: int, **how: Any) -> None:
        super().__init__(folder, ttl=ttl, max_size=10**9, **how)


class StoresWhatWouldNotComeBack(FileSessions):
    """Writes what msgspec can't as something else, instead of refusing it."""

    async def commit(self, session: Session, admission: Admission | None = None) -> Session:
        try:
            pack(session)
        except TypeError:
            session = msgspec.structs.replace(session, context={"it": str(type(session.context))})
        return await super().commit(session, admission)


class Faulty(SessionsContract):
    """Gives the contract's fixtures, for a store of class ``store``."""

    store: type[FileSessions]

    @pytest.fixture
    def sessions(self, tmp_path: Path) -> Sessions:
        return self.store(tmp_path, ttl=60.0, max_size=100_000)

    @pytest.fixture
    def small(self, tmp_path: Path) -> Sessions:
        return self.store(tmp_path, ttl=60.0, max_size=2_000)

    @pytest.fixture
    def ending(self, tmp_path: Path) -> Ending:
        now = 1000.0

        async def pass_ttl() -> None:
            nonlocal now
            now += 61.0

        return self.store(tmp_path, ttl=60.0, max_size=2_000, clock=lambda: now), pass_ttl

    @pytest.fixture
    def shared(self, tmp_path: Path) -> Shared[Sessions]:
        return Shared(open_store, (self.store.__name__, str(tmp_path)))


@asynccontextmanager
async def open_store(name: str, folder: str) -> AsyncIterator[Sessions]:
    make: Callable[..., Sessions] = globals()[name]
    yield make(Path(folder), ttl=60.0, max_size=100_000)


for _store in (*FileSessions.__subclasses__(), *OwnFileForEachWrite.__subclasses__()):
    globals()[f"Test{_store.__name__}"] = type(f"Test{_store.__name__}", (Faulty,), {"store": _store})
