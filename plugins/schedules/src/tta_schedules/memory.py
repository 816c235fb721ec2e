"""The reference implementation of the store, in memory."""

from __future__ import annotations

import secrets
from bisect import bisect_left, bisect_right, insort
from collections import OrderedDict, deque
from collections.abc import Callable, Sequence

import anyio
import msgspec
from msgspec.structs import replace

from tta_kernel import check_count, check_duration
from tta_workflows.journal import Lease

from .model import Entry, Page, Record
from .store import HISTORY, Changed, NotHeld, TooMany


class MemoryScheduleStore:
    """Keeps ``most`` schedules at most, and ``history`` records of each; what has ended for ``ended`` seconds goes."""

    durable = False

    def __init__(
        self, clock: Callable[[], float], *, most: int = 10_000, history: int = HISTORY, ended: float = 30 * 86400.0
    ) -> None:
        check_count("most", most)
        check_count("history", history)
        check_duration("ended", ended, positive=True)
        self._clock, self._most, self._history, self._ended = clock, most, history, ended
        self._entries: dict[str, bytes] = {}
        """Encoded: nobody can change one behind its version, and what can't travel fails here."""
        self._wakes: dict[str, float] = {}
        self._by_wake: list[tuple[float, str]] = []
        """The same, in order."""
        self._histories: OrderedDict[str, deque[Record]] = OrderedDict()
        self._ends: dict[str, float] = {}
        self._lease: Lease | None = None
        self._until = 0.0
        self._change = anyio.Event()

    def __len__(self) -> int:
        """Count the schedules."""
        return len(self._entries)

    async def hold(self, process: str, ttl: float, held: Lease | None = None) -> Lease | None:
        now = self._clock()
        is_held = self._lease is not None and now < self._until
        if is_held and self._lease != held:
            return None
        if not is_held:
            self._lease = Lease(process, secrets.token_hex(8))
        self._until = now + ttl
        return self._lease

    async def leave(self, lease: Lease) -> None:
        if self._lease == lease:
            self._lease = None
            self._tell()

    async def put(self, entry: Entry, records: Sequence[Record] = (), *, lease: Lease | None = None) -> Entry:
        if lease is not None and (lease != self._lease or self._clock() >= self._until):
            raise NotHeld(f"{lease.process} doesn't hold the lease on schedules")
        self._drop_ended()
        self._expect(entry)
        if not entry.version and len(self._entries) >= self._most:
            raise TooMany(f"there are {len(self._entries)} schedules, and no more may be")
        stored = replace(entry, version=entry.version + 1)
        self._entries[entry.name] = msgspec.msgpack.encode(stored)
        self._ends.pop(entry.name, None)
        if entry.ended:
            self._ends[entry.name] = self._clock() + self._ended
        self._set_wake(entry.name, entry.wake)
        if records:
            self._histories.setdefault(entry.name, deque(maxlen=self._history)).extend(records)
            self._histories.move_to_end(entry.name)
            while len(self._histories) > self._most:
                self._histories.popitem(last=False)
        if lease is None:
            self._tell()
        return stored

    async def get(self, name: str) -> Entry | None:
        self._drop_ended()
        return self._read(name)

    async def due(self, now: float, most: int) -> Sequence[Entry]:
        names = [name for wake, name in self._by_wake[:most] if wake <= now]
        return [entry for name in names if (entry := self._read(name)) is not None]

    async def wake(self, now: float) -> float | None:
        first = bisect_right(self._by_wake, now, key=lambda each: each[0])
        return self._by_wake[first][0] if first < len(self._by_wake) else None

    async def page(self, cursor: str = "", most: int = 100) -> Page:
        self._drop_ended()
        names = sorted(self._entries)
        first = bisect_right(names, cursor) if cursor else 0
        shown = names[first : first + most]
        entries = [entry for name in shown if (entry := self._read(name)) is not None]
        return Page(entries, shown[-1] if first + most < len(names) else "")

    async def history(self, name: str, most: int = HISTORY) -> Sequence[Record]:
        return list(reversed(self._histories.get(name, ())))[:most]

    async def remove(self, entry: Entry) -> None:
        self._expect(entry)
        self._delete(entry.name)
        if entry.schedule.owner:
            self._histories.pop(entry.name, None)

    async def changed(self, *, wait: float) -> None:
        with anyio.move_on_after(wait):
            # Set also by what has changed since the last call.
            await self._change.wait()
        self._change = anyio.Event()

    async def forget(self, owner: str) -> int:
        if not owner:
            return 0
        found = [name for name in self._entries if (entry := self._read(name)) and entry.schedule.owner == owner]
        for name in found:
            self._delete(name)
            self._histories.pop(name, None)
        return len(found)

    def _expect(self, entry: Entry) -> None:
        stored = self._read(entry.name)
        version = stored.version if stored is not None else 0
        if version != entry.version:
            raise Changed(f"the schedule {entry.name!r} is at version {version}, not {entry.version}")

    def _read(self, name: str) -> Entry | None:
        packed = self._entries.get(name)
        return msgspec.msgpack.decode(packed, type=Entry) if packed is not None else None

    def _delete(self, name: str) -> None:
        self._set_wake(name, None)
        for each in (self._entries, self._ends):
            each.pop(name, None)
        self._tell()

    def _set_wake(self, name: str, wake: float | None) -> None:
        if (before := self._wakes.pop(name, None)) is not None:
            del self._by_wake[bisect_left(self._by_wake, (before, name))]
        if wake is not None:
            self._wakes[name] = wake
            insort(self._by_wake, (wake, name))

    def _drop_ended(self) -> None:
        now = self._clock()
        for name in [name for name, until in self._ends.items() if until <= now]:
            self._delete(name)

    def _tell(self) -> None:
        self._change.set()
