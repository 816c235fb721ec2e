"""The reference implementation of the outbox, in memory."""

from __future__ import annotations

import secrets
from bisect import bisect_left, insort
from collections.abc import Iterable, Mapping, Sequence

import anyio
import msgspec
from msgspec.structs import replace

from tta_kernel import check_count, check_duration

from .clock import Clock
from .model import STATUSES, Entry, Page, Status
from .outbox import Added, Changed, Full, NotHeld, Taken

_entry = msgspec.msgpack.Decoder(Entry)


class MemoryOutbox:
    """Keeps ``most`` notifications at most; one that nobody needs to look at goes after ``retention`` seconds."""

    durable = False

    def __init__(self, clock: Clock | None = None, *, most: int = 10_000, retention: float = 90 * 86400.0) -> None:
        check_count("most", most)
        check_duration("retention", retention, positive=True)
        self._now = (clock or Clock()).now
        self._most, self._retention = most, retention
        self._entries: dict[str, bytes] = {}
        """Encoded, the oldest first: nobody can change one behind its version, and what can't travel fails here."""
        self._wakes: dict[str, float] = {}
        self._by_wake: list[tuple[float, str]] = []
        """The same, in order, without what is taken."""
        self._leases: dict[str, tuple[str, float]] = {}
        self._ends: dict[str, float] = {}
        self._groups: dict[str, tuple[str, float]] = {}
        self._change = anyio.Event()

    def __len__(self) -> int:
        """Count the notifications."""
        return len(self._entries)

    async def add(self, entry: Entry, *, window: float = 0.0) -> Added:
        self._drop_ended()
        if entry.key in self._entries:
            return Added("known", entry.key)
        if (key := self._joined(entry, window)) is not None:
            return Added("joined", key)
        if len(self._entries) >= self._most and not self._make_room():
            raise Full(f"there are {len(self._entries)} notifications, and all are still to be looked at")
        self._store(entry)
        self._change.set()
        return Added("stored", entry.key)

    async def take(self, now: float, most: int, ttl: float) -> Sequence[Taken]:
        self._drop_ended()
        until = self._now() + ttl
        for key in [key for key, (_, over) in self._leases.items() if over <= self._now()]:
            del self._leases[key]
            self._set_wake(key, self._wakes.get(key))
        keys = [key for wake, key in self._by_wake[:most] if wake <= now]
        taken = []
        for key in keys:
            lease = secrets.token_hex(8)
            del self._by_wake[bisect_left(self._by_wake, (self._wakes[key], key))]
            self._leases[key] = lease, until
            taken.append(Taken(self._read(key), lease))
        return taken

    async def put(self, entry: Entry, *, lease: str = "", release: bool = False) -> Entry:
        self._expect(entry, lease)
        stored = replace(entry, version=entry.version + 1)
        if lease and release:
            del self._leases[entry.key]
        self._store(stored)
        if not lease:
            self._change.set()
        return stored

    async def get(self, key: str) -> Entry | None:
        self._drop_ended()
        return self._read(key) if key in self._entries else None

    async def page(self, cursor: str = "", most: int = 100, *, status: Status | None = None) -> Page:
        self._drop_ended()
        found = [entry for key in self._entries if status in (None, (entry := self._read(key)).status)]
        places = sorted(((_place(entry), entry) for entry in found), key=lambda each: each[0], reverse=True)
        left = [each for each in places if not cursor or each[0] < cursor]
        shown = left[:most]
        return Page([entry for _, entry in shown], shown[-1][0] if len(left) > most else "")

    async def wake(self) -> float | None:
        return self._by_wake[0][0] if self._by_wake else None

    async def counts(self) -> Mapping[str, int]:
        self._drop_ended()
        found = [self._read(key).status for key in self._entries]
        return {status: found.count(status) for status in STATUSES}

    async def changed(self, *, wait: float) -> None:
        with anyio.move_on_after(wait):
            # Set also by what has changed since the last call.
            await self._change.wait()
        # Another who waits may wait for a new one already.
        if self._change.is_set():
            self._change = anyio.Event()

    async def remove(self, entry: Entry, *, lease: str = "") -> None:
        self._expect(entry, lease)
        self._delete([entry.key])

    async def forget(self, owner: str) -> int:
        if not owner:
            return 0
        entries = [self._read(key) for key in self._entries]
        found = [entry for entry in entries if entry.notification.owner == owner]
        self._delete([entry.key for entry in found if entry.finished])
        for entry in found:
            if not entry.finished:
                self._store(replace(without_person(entry), version=entry.version + 1))
        return len(found)

    def _joined(self, entry: Entry, window: float) -> str | None:
        group = entry.notification.group
        if not (group and window):
            return None
        key, until = self._groups.get(group, ("", 0.0))
        if self._now() < until and key in self._entries:
            first = self._read(key)
            self._store(replace(first, repeats=first.repeats + 1, version=first.version + 1))
            return key
        self._groups[group] = entry.key, self._now() + window
        return None

    def _make_room(self) -> bool:
        oldest = next(iter(self._ends), None)
        if oldest is not None:
            self._delete([oldest])
        return oldest is not None

    def _expect(self, entry: Entry, lease: str) -> None:
        if lease and self._leases.get(entry.key, ("", 0.0))[0] != lease:
            raise NotHeld(f"somebody else has the notification {entry.key}")
        version = self._read(entry.key).version if entry.key in self._entries else None
        if version != entry.version:
            raise Changed(f"the notification {entry.key} is at version {version}, not {entry.version}")

    def _store(self, entry: Entry) -> None:
        self._entries[entry.key] = msgspec.msgpack.encode(entry)
        self._ends.pop(entry.key, None)
        if entry.wake is None:
            self._ends[entry.key] = self._now() + self._retention
        self._set_wake(entry.key, entry.wake)

    def _read(self, key: str) -> Entry:
        return _entry.decode(self._entries[key])

    def _set_wake(self, key: str, wake: float | None) -> None:
        before = self._wakes.pop(key, None)
        if before is not None:
            place = bisect_left(self._by_wake, (before, key))
            if self._by_wake[place : place + 1] == [(before, key)]:
                del self._by_wake[place]
        if wake is not None:
            self._wakes[key] = wake
            if key not in self._leases:
                insort(self._by_wake, (wake, key))

    def _delete(self, keys: Iterable[str]) -> None:
        for key in keys:
            self._set_wake(key, None)
            for each in (self._entries, self._ends, self._leases):
                each.pop(key, None)

    def _drop_ended(self) -> None:
        now = self._now()
        # All are kept for the same time, so the first to end stand first.
        while self._ends and (first := next(iter(self._ends))) and self._ends[first] <= now:
            self._delete([first])
        if len(self._groups) > self._most:
            self._groups = {group: each for group, each in self._groups.items() if each[1] > now}


def without_person(entry: Entry) -> Entry:
    """Return it without whom it concerns: no owner, and no ids that lead to them."""
    notification = replace(entry.notification, id=entry.key, owner="", about={}, group="")
    return replace(entry, notification=notification)


def _place(entry: Entry) -> str:
    """Return what sorts as entries were made."""
    return f"{int(entry.created_at * 1000):015d}:{entry.key}"
