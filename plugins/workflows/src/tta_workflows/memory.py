"""The reference journal, in memory: it outlives executors, and not its process."""

from __future__ import annotations

import secrets
from collections import Counter, OrderedDict
from collections.abc import Callable, Sequence
from math import inf

import anyio

from tta_kernel import check_count, check_duration

from .definition import Retention
from .journal import (
    Appended,
    Behind,
    Commit,
    Fenced,
    JournalFull,
    Journalled,
    Lease,
    Outgoing,
    Reopened,
    RunHead,
    RunPage,
    RunQuery,
    RunStatus,
    RunSummary,
)  # fmt: skip
from .records import CLOSING, AnyRecord, Asked, Ended

_UNUSED_DEFINITIONS = 256
_SWEEP_INTERVAL = 60.0


class _Run:
    """What is kept of one run; ``holder`` is the token of the lease that has it, ``released_by`` of who had it last."""

    def __init__(self, head: RunHead, holder: str) -> None:
        self.head, self.holder, self.released_by = head, holder, ""
        self.records: list[AnyRecord] = []
        self.status: RunStatus = "running"
        self.outgoing: dict[str, Outgoing] = {}
        self.appended: set[str] = set()
        self.commits = 0
        self.end: Ended | None = None
        self.aside = self.parked = False
        self.content_until = self.summary_until = inf
        self.changed: anyio.Event | None = None

    @property
    def over(self) -> bool:
        return self.end is not None

    @property
    def released(self) -> bool:
        return self.summary_until < inf

    def summary(self) -> RunSummary:
        head, end = self.head, self.end
        return RunSummary(
            id=head.id, workflow=head.workflow, status=self.status, created_at=head.created_at,
            ended_at=end.at if end else 0.0, code=end.code if end else "", session=head.session, owner=head.owner,
            labels=head.labels, definition=head.definition,
        )  # fmt: skip


class MemoryJournal:
    """Keeps at most ``runs``, each with at most ``records``; beyond that finished runs go, the oldest first.

    Where all are unfinished a new one is refused. ``clock`` gives seconds that only go forward, for leases and for how
    long runs are kept. What is stored is kept as it was handed in: its giver changes it no more.
    """

    durable = False

    def __init__(self, clock: Callable[[], float], *, runs: int = 10_000, records: int = 10_000) -> None:
        check_count("runs", runs)
        check_count("records", records)
        self._clock, self._most_runs, self._most_records = clock, runs, records
        self._runs: OrderedDict[str, _Run] = OrderedDict()
        self._leases: dict[str, float] = {}
        """Until when each lease counts, by its token."""
        self._definitions: OrderedDict[str, bytes] = OrderedDict()
        self._uses: Counter[str] = Counter()
        self._slots: dict[str, dict[str, None]] = {}
        """The runs that hold each slot, in the order in which they came."""
        self._swept_at = clock()
        self._vacated: anyio.Event | None = None

    def __len__(self) -> int:
        """Count the runs that are kept, also those that have ended and were not looked at since."""
        return len(self._runs)

    async def join(self, process: str, ttl: float) -> Lease:
        check_duration("ttl", ttl, positive=True)
        lease = Lease(process, secrets.token_hex(16))
        self._leases[lease.token] = self._clock() + ttl
        return lease

    async def renew(self, lease: Lease, ttl: float) -> bool:
        check_duration("ttl", ttl, positive=True)
        if not self._holds(lease.token):
            self._leases.pop(lease.token, None)
            return False
        self._leases[lease.token] = self._clock() + ttl
        return True

    async def leave(self, lease: Lease) -> None:
        self._leases.pop(lease.token, None)
        self._vacate()

    async def define(self, definition: str, packed: bytes) -> None:
        self._definitions[definition] = packed
        self._definitions.move_to_end(definition)
        unused = [each for each in self._definitions if not self._uses[each]]
        for each in unused[:-_UNUSED_DEFINITIONS]:
            del self._definitions[each]

    async def definition(self, definition: str) -> bytes | None:
        return self._definitions.get(definition)

    async def create(
        self, lease: Lease, head: RunHead, records: Sequence[AnyRecord] = (), status: RunStatus = "running"
    ) -> tuple[Journalled, bool]:  # fmt: skip
        self._sweep()
        if (stored := self._find(head.id)) is not None:
            return self._journalled(stored, 0), False
        self._make_room()
        stored = _Run(head, lease.token)
        self._check_length(stored, records)
        stored.records.extend(records)
        stored.status = status
        self._runs[head.id] = stored
        self._uses[head.definition] += 1
        return self._journalled(stored, 0), True

    async def commit(self, lease: Lease, commit: Commit) -> int:
        stored = self._runs.get(commit.run)
        if stored is None or lease.token != (stored.holder or stored.released_by):
            raise _fenced(lease, commit.run)
        length = len(stored.records)
        if commit.number == stored.commits:
            return length
        if not stored.holder:
            raise _fenced(lease, commit.run)
        if commit.number != stored.commits + 1:
            raise ValueError(f"after commit {stored.commits} of this holder comes no commit {commit.number}")
        if commit.expected not in (None, length):
            raise Behind(f"the run {commit.run} has {length} records by now, not {commit.expected}")
        self._check_length(stored, commit.records)
        end = next((record for record in commit.records if isinstance(record, Ended)), stored.end)
        if commit.release is not None and (end is None or stored.outgoing or commit.outgoing):
            raise _unfinished(commit.run)
        stored.commits, stored.end = commit.number, end
        stored.status = commit.status
        stored.outgoing.update((each.id, each) for each in commit.outgoing)
        if commit.release is not None:
            self._let_go(stored, commit.release)
        return self._add(stored, commit.records)

    async def append(self, run: str, record: AnyRecord, *, id: str = "") -> Appended:
        if (stored := self._with_content(run)) is None:
            return "unknown"
        if stored.over and not isinstance(record, Asked):
            return "ended"
        if id and id in stored.appended:
            return "twice"
        self._check_length(stored, [record])
        if id:
            stored.appended.add(id)
        self._add(stored, [record])
        return "added"

    async def read(self, run: str, after: int = 0) -> Journalled | None:
        stored = self._with_content(run)
        return self._journalled(stored, after) if stored else None

    async def wait(self, run: str, after: int, limit: float) -> None:
        stored = self._with_content(run)
        if stored is None or len(stored.records) > after:
            return
        if stored.changed is None:
            stored.changed = anyio.Event()
        with anyio.move_on_after(limit):
            await stored.changed.wait()

    async def claim(self, lease: Lease, most: int) -> Sequence[str]:
        claimed: list[str] = []
        for id, stored in self._runs.items():
            if len(claimed) == most:
                break
            if not (stored.released or stored.aside or stored.parked or self._holds(stored.holder)):
                self._hand_over(stored, lease)
                claimed.append(id)
        return claimed

    async def take(self, lease: Lease, run: str) -> bool:
        stored = self._with_content(run)
        if stored is None or stored.aside or (stored.holder != lease.token and self._holds(stored.holder)):
            return False
        if stored.holder != lease.token:
            self._hand_over(stored, lease)
        return True

    async def sent(self, lease: Lease, run: str, ids: Sequence[str]) -> None:
        stored = self._runs.get(run)
        if stored is None or stored.holder != lease.token:
            raise _fenced(lease, run)
        for id in ids:
            stored.outgoing.pop(id, None)

    async def release(self, lease: Lease, run: str, *, content: float, summary: float) -> None:
        stored = self._runs.get(run)
        if stored is not None and stored.released_by == lease.token:
            return
        if stored is None or stored.holder != lease.token:
            raise _fenced(lease, run)
        if not stored.over or stored.outgoing:
            raise _unfinished(run)
        self._let_go(stored, Retention(content, summary))

    async def set_aside(self, lease: Lease, run: str, reason: str) -> None:
        stored = self._runs.get(run)
        if stored is None or stored.holder != lease.token:
            raise _fenced(lease, run)
        stored.aside, stored.status, stored.holder = True, "set-aside", ""
        self._wake(stored)

    async def park(self, lease: Lease, run: str, expected: int) -> None:
        stored = self._runs.get(run)
        if stored is None or stored.holder != lease.token:
            raise Fenced(f"{lease.process} doesn't hold the run {run}")
        if len(stored.records) != expected:
            raise Behind(f"the run {run} has {len(stored.records)} records by now, not {expected}")
        stored.parked, stored.status, stored.holder = True, "paused", ""
        self._wake(stored)

    async def reopen(self, run: str, asked: Asked, *, id: str = "") -> Reopened:
        if (stored := self._with_content(run)) is None:
            return "unknown"
        if id and id in stored.appended:
            return "twice"
        if stored.holder and stored.over and not stored.released:
            return "held"
        self._check_length(stored, (asked,))
        if id:
            stored.appended.add(id)
        if asked.what == "retry":
            stored.end = None
        if not stored.holder:
            stored.aside = stored.parked = False
            stored.status = "running"
            stored.content_until = stored.summary_until = inf
            self._vacate()
        self._add(stored, (asked,))
        return "added"

    async def vacant(self, limit: float) -> None:
        check_duration("limit", limit)
        vacated = self._vacated = self._vacated or anyio.Event()
        with anyio.move_on_after(limit):
            await vacated.wait()
            self._vacated = None

    async def summary(self, run: str) -> RunSummary | None:
        stored = self._find(run)
        return stored.summary() if stored else None

    async def list(self, query: RunQuery) -> RunPage:
        self._sweep()
        found = sorted((self._key(stored), stored) for stored in list(self._runs.values()) if _matches(stored, query))
        if query.cursor:
            found = [each for each in found if each[0] < _key_of(query.cursor)]
        page = found[::-1][: query.most]
        cursor = f"{page[-1][0][0]!r} {page[-1][0][1]}" if len(page) < len(found) else ""
        return RunPage([stored.summary() for _, stored in page], cursor)

    async def enter(self, slot: str, run: str, most: int) -> Sequence[str]:
        holders = self._slots.setdefault(slot, {})
        if len(holders) < most:
            holders.setdefault(run)
        return list(holders)

    async def exit(self, slot: str, run: str) -> None:
        holders = self._slots.get(slot, {})
        holders.pop(run, None)
        if not holders:
            self._slots.pop(slot, None)

    async def forget(self, owner: str) -> int:
        if not owner:
            return 0
        found = [stored for stored in self._runs.values() if stored.head.owner == owner]
        for stored in found:
            self._drop(stored)
        return len(found)

    def _holds(self, token: str) -> bool:
        return self._leases.get(token, -inf) > self._clock()

    def _hand_over(self, stored: _Run, lease: Lease) -> None:
        stored.holder, stored.released_by, stored.commits, stored.parked = lease.token, "", 0, False
        stored.content_until = stored.summary_until = inf

    def _vacate(self) -> None:
        self._vacated = self._vacated or anyio.Event()
        self._vacated.set()

    def _let_go(self, stored: _Run, keep: Retention) -> None:
        now = self._clock()
        stored.holder, stored.released_by = "", stored.holder
        stored.content_until, stored.summary_until = now + keep.content, now + max(keep.content, keep.summary)

    def _check_length(self, stored: _Run, records: Sequence[AnyRecord]) -> None:
        most, length = self._most_records, len(stored.records)
        if length + len(records) <= most:
            return
        others = sum(not isinstance(each, CLOSING) for each in records)
        if length + len(records) > 2 * most or (others and length + others > most):
            raise JournalFull(f"the run {stored.head.id} would have more than {most} records")

    def _add(self, stored: _Run, records: Sequence[AnyRecord]) -> int:
        stored.records.extend(records)
        self._wake(stored)
        return len(stored.records)

    def _wake(self, stored: _Run) -> None:
        if stored.changed is not None:
            stored.changed.set()
            stored.changed = None

    def _journalled(self, stored: _Run, after: int) -> Journalled:
        return Journalled(
            stored.head, tuple(stored.records[after:]), after, stored.status, tuple(stored.outgoing.values())
        )  # fmt: skip

    def _find(self, run: str) -> _Run | None:
        """Return a run of which at least the summary is there."""
        stored = self._runs.get(run)
        if stored is not None and self._clock() > stored.summary_until:
            self._drop(stored)
            return None
        return stored

    def _with_content(self, run: str) -> _Run | None:
        stored = self._find(run)
        return None if stored is None or self._clock() > stored.content_until else stored

    def _drop(self, stored: _Run) -> None:
        del self._runs[stored.head.id]
        self._uses[stored.head.definition] -= 1
        self._wake(stored)

    def _sweep(self) -> None:
        """Drop what has ended, now and then."""
        now = self._clock()
        if now - self._swept_at < _SWEEP_INTERVAL:
            return
        self._swept_at = now
        for id in list(self._runs):
            if (stored := self._find(id)) is not None and now > stored.content_until:
                stored.records, stored.head = [], _without_input(stored.head)
        self._leases = {token: until for token, until in self._leases.items() if until > now}
        self._uses += Counter()  # Leaves out what counts 0.

    def _make_room(self) -> None:
        if len(self._runs) < self._most_runs:
            return
        for stored in self._runs.values():
            if stored.released:
                self._drop(stored)
                return
        raise JournalFull(f"{self._most_runs} runs are kept, and none of them is over")

    @staticmethod
    def _key(stored: _Run) -> tuple[float, str]:
        return stored.head.created_at, stored.head.id


def _fenced(lease: Lease, run: str) -> Fenced:
    return Fenced(f"{lease.process} doesn't hold the run {run}")


def _unfinished(run: str) -> ValueError:
    return ValueError(f"the run {run} isn't over, or has something yet to send")


def _matches(stored: _Run, query: RunQuery) -> bool:
    head = stored.head
    return (
        query.workflow in ("", head.workflow)
        and query.status in (None, stored.status)
        and query.session in ("", head.session)
        and query.owner in ("", head.owner)
        and query.labels.items() <= head.labels.items()
    )


def _key_of(cursor: str) -> tuple[float, str]:
    created_at, _, id = cursor.partition(" ")
    try:
        return float(created_at), id
    except ValueError:
        raise ValueError(f"{cursor!r} is no cursor of a page of runs") from None


def _without_input(head: RunHead) -> RunHead:
    return RunHead(
        id=head.id, workflow=head.workflow, definition=head.definition, created_at=head.created_at,
        session=head.session, owner=head.owner, labels=head.labels, correlation_id=head.correlation_id,
    )  # fmt: skip
