"""Records in files, which one process each writes and nobody else changes."""

from __future__ import annotations

import fcntl
import os
import re
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Literal, NamedTuple, TypeVar

import anyio
import anyio.to_thread
from msgspec.structs import replace

from tta_program.state import StateError, locked, make_private, sync_folder

from .chain import BEGAN, DROPPED, Chain, Link, Scan, chain_name, link_in, link_of, read_line, scan, verdicts
from .memory import matches, stamped
from .model import AuditError, Entry, Record, Verdict, position
from .owners import FileOwners

T = TypeVar("T")
_NAME = re.compile(r"(?P<chain>[\w.-]+)\.(?P<part>\d{6})\.jsonl")
_MOST_FILES = 10_000
_MOST_WAITING = 10_000
"""Entries that may wait for those before them to be written; a disk that stands still must not fill the memory."""
_END = 100_000
"""Bytes at the end of a file that hold more than one record."""
_SLACK = 2.0
"""Seconds by which the time of a file's last change may lag behind that of its last record."""
Sync = Literal["always", "never"]


class Limits(NamedTuple):
    """How large a file may become, and how much is kept of them all, in bytes and in seconds."""

    file: int = 10_000_000
    total: int = 1_000_000_000
    age: float = 365 * 86_400.0


class _Waiting:
    """Entries that are to be written together, and what became of that."""

    def __init__(self, entries: Sequence[Entry], records: Sequence[Record]) -> None:
        self.entries = entries
        self.records = records
        self.settled = False
        self.error: AuditError | None = None


class FileAudit:
    """What this process records goes into files of its own; reading and verifying look at those of all.

    Nothing is written, nor the folder made, before the first record. A write that fails is taken back, so that the next
    one goes on where the last good one was; a crash in its midst leaves half a line, after which nobody writes.
    """

    def __init__(
        self,
        folder: Path,
        limits: Limits | None = None,
        *,
        sync: Sync = "always",
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.recorded = 0
        self.trouble = ""
        """Why the last entry could not be written; empty where it was."""
        self._folder = folder
        self._limits = limits or Limits()
        self._sync = sync
        self._clock = clock
        self._owners = FileOwners(folder / "owners")
        self._chain = Chain(chain_name(clock()))
        self._at = 0.0
        self._part = 0
        self._file: int | None = None
        self._size = 0
        self._waiting: list[_Waiting] = []
        self._lock = anyio.Lock()

    async def record(self, entry: Entry) -> None:
        await self.record_all((entry,))

    async def record_all(self, entries: Sequence[Entry]) -> None:
        if not entries:
            return
        if sum(len(each.entries) for each in self._waiting) >= _MOST_WAITING:
            raise AuditError(f"{_MOST_WAITING} entries wait to be written already")
        now = round(self._clock(), 6)
        # Here, and not in the thread: what can't be a record is its caller's alone.
        mine = _Waiting(entries, [stamped(entry, now) for entry in entries])
        self._waiting.append(mine)
        # What has been done must be recorded, also where nobody waits for its caller any more.
        with anyio.CancelScope(shield=True):
            async with self._lock:
                if not mine.settled:
                    await self._write_waiting()
        if mine.error is not None:
            raise mine.error

    async def read(
        self, *, limit: int = 100, before: str = "", who: str = "", what: str = "", owner: str = ""
    ) -> Sequence[Record]:
        def look() -> Sequence[Record]:
            pseudonym = self._owners.pseudonym(owner) if owner else ""
            if owner and not pseudonym:
                return ()
            found: list[Record] = []
            for file, changed_at, _ in self._newest():
                if len(found) == limit and found[-1].at > changed_at + _SLACK:
                    break  # No record of this file, nor of those after it, is newer.
                for line in _lines(file):
                    record = read_line(line)
                    if isinstance(record, Record) and matches(
                        record, before=before, who=who, what=what, owner=pseudonym
                    ):
                        found.append(record)
                found = sorted(found, key=position, reverse=True)[:limit]
            return found

        return await self._in_thread(look)

    async def verify(self) -> Sequence[Verdict]:
        def look() -> Sequence[Verdict]:
            chains: dict[str, list[Path]] = {}
            for file in self._files():
                chains.setdefault(_chain_of(file), []).append(file)
            return verdicts(_scan(chain, files) for chain, files in chains.items())

        found = await self._in_thread(look)
        if any(each.status == "broken" for each in found):
            # Another process may have dropped files meanwhile, and said so where nobody looked any more.
            found = await self._in_thread(look)
        return found

    async def forget(self, user: str) -> int:
        def forget() -> int:
            pseudonym = self._owners.pseudonym(user)
            if not pseudonym:
                return 0
            record = replace(stamped(_forgot(), self._clock()), owner=pseudonym)
            self._write([_Waiting([_forgot()], [record])])
            return self._owners.forget(user)

        count = 0
        with anyio.CancelScope(shield=True):
            async with self._lock:
                count = await self._in_thread(forget)
        return count

    def close(self) -> None:
        """Let go of the file."""
        if self._file is not None:
            os.close(self._file)
            self._file = None

    async def _write_waiting(self) -> None:
        batch, self._waiting = self._waiting, []
        error: AuditError | None = None
        try:
            await self._in_thread(self._write, batch)
        except AuditError as exc:
            error = exc
        except Exception as exc:  # noqa: BLE001 - of an entry of a stranger's; nobody beside it may take theirs for written
            error = AuditError(f"an entry can't be written: {type(exc).__name__}")
        self.trouble = str(error or "")
        for each in batch:
            each.error = error
            each.settled = True

    async def _in_thread(self, call: Callable[..., T], *args: object) -> T:
        try:
            return await anyio.to_thread.run_sync(call, *args)
        except StateError as exc:
            raise AuditError(str(exc)) from exc
        except OSError as exc:
            raise AuditError(f"{self._folder}: {exc.strerror}") from exc

    def _write(self, batch: Sequence[_Waiting]) -> None:
        """Write entries one after the other, and see to it that they stay; all of them, or none."""
        if self._file is None or self._size >= self._limits.file:
            self._next_file()
        # Looked up once for all of these entries, and not remembered: another process may forget a person.
        pseudonyms: dict[str, str] = {}
        records: list[Record] = []
        for each in batch:
            for entry, record in zip(each.entries, each.records, strict=True):
                if not entry.owner:
                    records.append(record)
                    continue
                if entry.owner not in pseudonyms:
                    pseudonyms[entry.owner] = self._owners.pseudonym(entry.owner, make=True)
                records.append(replace(record, owner=pseudonyms[entry.owner]))
        self._append(records)
        self.recorded += len(records)

    def _append(self, records: Sequence[Record]) -> None:
        chain = self._chain.copy()
        # Not when the entry was told: in a chain no record is older than one before it.
        self._at = max(self._at, round(self._clock(), 6))
        data = b"".join(chain.add(record, self._at) for record in records)
        assert self._file is not None
        try:
            written = 0
            while written < len(data):
                written += os.write(self._file, data[written:])
            if self._sync == "always":
                os.fsync(self._file)
        except OSError:
            # After a failed fsync nobody knows what is on the disk: the chain goes on in a file of its own.
            try:
                os.ftruncate(self._file, self._size)
            finally:
                self.close()
            raise
        self._size += len(data)
        self._chain = chain

    def _next_file(self) -> None:
        make_private(self._folder)
        first = self._file is None and self._chain.number == 0
        with locked(self._folder / "lock"):
            newest = self._newest_head() if first else None
            self.close()
            self._part += 1
            path = self._folder / f"{self._chain.name}.{self._part:06}.jsonl"
            self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC, 0o600)
            # Held for as long as this process writes to it: so others know which files are still in use.
            fcntl.flock(self._file, fcntl.LOCK_EX)
            self._size = 0
            if first:
                self._append([self._own(BEGAN, newest)])
            self._drop_old()
            sync_folder(self._folder)

    def _own(self, what: str, target: Link | None) -> Record:
        entry = Entry(what=what, who="tta", kind="local", outcome="done")
        return replace(stamped(entry, self._clock()), target=str(target or ""))

    def _newest_head(self) -> Link | None:
        """Return the last record of the file that was written last."""
        for file, _, _ in self._newest():
            links = [link for line in _last_lines(file) if (link := link_of(line))]
            if links:
                return links[-1]
        return None

    def _drop_old(self) -> None:
        """Drop the oldest files that nobody writes to, until what is kept is within the limits."""
        files = self._newest()
        total = 0
        keep: set[Path] = set()
        for number, (file, changed_at, size) in enumerate(files):
            total += size
            fresh = changed_at > self._clock() - self._limits.age
            if fresh and total <= self._limits.total and number < _MOST_FILES:
                keep.add(file)
        # Of a chain the first part goes first, and a part that stays keeps those after it.
        stays: set[str] = set()
        gone = []
        for file in self._files():
            if file in keep or _in_use(file):
                stays.add(_chain_of(file))
            if _chain_of(file) not in stays:
                gone.append(file)
        left = {_chain_of(file) for file in self._files() if file not in gone}
        for file in gone:
            self._drop(file, left)

    def _drop(self, file: Path, left: set[str]) -> None:
        last: Link | None = None
        handed_on: list[Link] = []
        for line in _lines(file):
            record = read_line(line)
            if isinstance(record, Record):
                last = Link(record.chain, record.number, record.digest)
                link = link_in(record)
                # What it says of a chain that is still there must be said by somebody.
                if link and record.what == DROPPED and link.chain in left:
                    handed_on.append(link)
        self._append([self._own(DROPPED, link) for link in [*handed_on, *([last] if last else [])]])
        file.unlink()

    def _files(self) -> list[Path]:
        """Return all files, by chain and part."""
        if not self._folder.is_dir():
            return []
        return sorted(file for file in self._folder.iterdir() if _NAME.fullmatch(file.name))

    def _newest(self) -> list[tuple[Path, float, int]]:
        """Return all files, when each was changed last, and their sizes; the newest first."""
        found = []
        for file in self._files():
            with suppress(FileNotFoundError):  # Another process has dropped it meanwhile.
                status = file.stat()
                found.append((file, status.st_mtime, status.st_size))
        return sorted(found, key=lambda each: (each[1], each[0]), reverse=True)


def _forgot() -> Entry:
    return Entry(what="audit.forgot", who="tta", kind="local", outcome="done")


def _chain_of(file: Path) -> str:
    return file.name.rpartition(".")[0].rpartition(".")[0]


def _lines(file: Path) -> Iterator[bytes]:
    try:
        with file.open("rb") as lines:
            yield from lines
    except FileNotFoundError:
        return  # Another process has dropped it meanwhile.


def _last_lines(file: Path) -> list[bytes]:
    """Return the lines at the end of a file; the first of them may be a part of one, which is no record."""
    with file.open("rb") as lines:
        lines.seek(max(0, file.stat().st_size - _END))
        return lines.read().splitlines(keepends=True)


def _scan(chain: str, files: Sequence[Path]) -> Scan:
    # Asked first: what its process adds later can be seen or not.
    live = _in_use(files[-1])
    lines = (line for file in files for line in _lines(file))
    if live:
        # Half a line is one that is just being written.
        lines = (line for line in lines if line.endswith(b"\n"))
    return scan(chain, lines, live=live)


def _in_use(file: Path) -> bool:
    """Say whether a process still writes to a file."""
    try:
        with file.open("rb") as opened:
            fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except FileNotFoundError:
        pass  # Another process has dropped it meanwhile.
    return False
