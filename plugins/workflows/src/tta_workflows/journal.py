"""Where runs are remembered: records in the order of their commits, by whoever holds the run, and by nobody else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, Protocol

import msgspec

from tta_kernel import Service

from .definition import Retention
from .records import AnyRecord, Asked

RunStatus = Literal[
    "refused", "running", "waiting", "paused", "undoing", "done", "failed", "cancelled", "stuck", "set-aside"
]
"""``waiting``: for a signal or a timer; ``paused``: by an operator; ``stuck``: over, with effects that could not be
taken back; ``set-aside``: nobody can go on with it, and it waits for an operator."""


class RunHead(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a run was started with; ``definition`` is the hash of what it runs, and ``owner`` whose data it carries.

    ``deadline`` is when its result is wanted, in seconds since the epoch (0: nobody said); ``fairness`` is to whose
    share its calls count, in place of its owner's.
    """

    id: str
    workflow: str
    definition: str
    created_at: float
    input: Mapping[str, Any] = {}
    session: str = ""
    owner: str = ""
    labels: Mapping[str, str] = {}
    correlation_id: str = ""
    priority: int = 0
    deadline: float = 0.0
    fairness: str = ""
    format: int = 1


class Outgoing(msgspec.Struct, frozen=True):
    """What leaves a run together with a commit; by its ``id``, ``run:step:n``, a receiver knows a second one."""

    id: str
    kind: Literal["send", "publish"]
    to: str
    type: str
    body: Mapping[str, Any] = {}


class Commit(msgspec.Struct, frozen=True):
    """Records that are stored together, or not at all.

    ``number`` counts the commits of one holder to one run, from 1: the same number again is the same commit, sent
    again since its answer was lost, and it is done once. ``expected`` is how many records the decision was made from:
    where there are more by now, somebody else has added one, and it must be made anew. The last commit of a run that
    has nothing left to send may let go of it, as `Journal.release` does: ``release`` says for how long it is kept.
    """

    run: str
    number: int
    records: tuple[AnyRecord, ...]
    status: RunStatus
    outgoing: tuple[Outgoing, ...] = ()
    expected: int | None = None
    release: Retention | None = None


class Lease(msgspec.Struct, frozen=True):
    """A process's hold on its runs; ``token`` is random and never comes back."""

    process: str
    token: str


class Journalled(msgspec.Struct, frozen=True):
    """A run as the journal has it: the records after the ``after`` first ones, and what has yet to leave."""

    head: RunHead
    records: Sequence[AnyRecord] = ()
    after: int = 0
    status: RunStatus = "running"
    outgoing: Sequence[Outgoing] = ()

    @property
    def length(self) -> int:
        return self.after + len(self.records)


class RunQuery(msgspec.Struct, frozen=True):
    """Which runs to list, the newest first: all that are given must hold; ``labels`` each."""

    workflow: str = ""
    status: RunStatus | None = None
    session: str = ""
    owner: str = ""
    labels: Mapping[str, str] = {}
    most: int = 100
    cursor: str = ""


class RunSummary(msgspec.Struct, frozen=True):
    """Ids, times and codes of a run: what is kept longest, and holds nothing that a person wrote."""

    id: str
    workflow: str
    status: RunStatus
    created_at: float
    ended_at: float = 0.0
    code: str = ""
    session: str = ""
    owner: str = ""
    labels: Mapping[str, str] = {}
    definition: str = ""


class RunPage(msgspec.Struct, frozen=True):
    """Some of the runs that were asked for; an empty ``cursor`` says that there are no more."""

    runs: Sequence[RunSummary] = ()
    cursor: str = ""


class JournalError(Exception):
    """The store can't be reached, or is late: what was asked may have been done or not. Ask the same again."""


class Fenced(Exception):
    """Another process holds the run by now; nothing was stored, and it isn't ours to go on with."""


class Behind(Exception):
    """Somebody else has added records since the decision was made; nothing was stored."""


class JournalCorrupt(Exception):
    """A run's journal can't be read: it says why. The run is set aside, and the others go on."""


class JournalFull(Exception):
    """The run or the journal would be larger than it may be; nothing was stored.

    What brings a run to its end (`CLOSING`) still fits.
    """


Appended = Literal["added", "twice", "ended", "unknown"]
Reopened = Literal["added", "twice", "held", "unknown"]
"""``held``: it is over, and whoever holds it is about to let go of it."""


class Journal(Protocol):
    """Runs by id; ``durable``: another process finds them. Any call may raise `JournalError`."""

    durable: bool

    async def join(self, process: str, ttl: float) -> Lease:
        """Begin to hold runs, for ``ttl`` seconds from each renewal; times are by the store's clock."""

    async def renew(self, lease: Lease, ttl: float) -> bool:
        """Hold on; False where the lease is over and its runs may be another's: join anew."""

    async def leave(self, lease: Lease) -> None:
        """Give up the lease and, with it, all runs, for anybody to claim at once."""

    async def define(self, definition: str, packed: bytes) -> None:
        """Keep a definition by its hash, for as long as a run has it, so that any process can finish that run."""

    async def definition(self, definition: str) -> bytes | None:
        """Return a definition."""

    async def create(
        self, lease: Lease, head: RunHead, records: Sequence[AnyRecord] = (), status: RunStatus = "running"
    ) -> tuple[Journalled, bool]:  # fmt: skip
        """Begin a run that ``lease`` holds, with its first records, and return it, and True.

        Where there is one of that id return that as it is, and False. Raises `JournalFull`.
        """

    async def commit(self, lease: Lease, commit: Commit) -> int:
        """Store records at the end; return how many there are now.

        Raises `Fenced`, `Behind` and `JournalFull`; then nothing was stored. What belongs to `CLOSING` is taken beyond
        a journal's limits, also beside other records that are within them.
        """

    async def append(self, run: str, record: AnyRecord, *, id: str = "") -> Appended:
        """Add what somebody says who doesn't hold the run: a `Signal`, `Asked` or `Released`.

        The same ``id`` again is the same thing: ``twice``. A run that is over takes only an `Asked`.
        """

    async def read(self, run: str, after: int = 0) -> Journalled | None:
        """Return a run with its records after the ``after`` first ones, or None where there is none (any more).

        Raises `JournalCorrupt`.
        """

    async def wait(self, run: str, after: int, limit: float) -> None:
        """Return when the run has more than ``after`` records or is gone, or after ``limit`` seconds; maybe earlier."""

    async def claim(self, lease: Lease, most: int) -> Sequence[str]:
        """Take over runs that nobody alive holds and that weren't released; ``lease`` has them now, and nobody else.

        Some may be over: whoever held them came no further than that.
        """

    async def take(self, lease: Lease, run: str) -> bool:
        """Take one run, also one that is over; False where somebody alive holds it, or there is none."""

    async def sent(self, lease: Lease, run: str, ids: Sequence[str]) -> None:
        """Note that these `Outgoing` have left."""

    async def release(self, lease: Lease, run: str, *, content: float, summary: float) -> None:
        """Let go of a run that is over: its records end after ``content`` seconds, its summary after ``summary``.

        Both count from when the run ended.
        """

    async def set_aside(self, lease: Lease, run: str, reason: str) -> None:
        """Keep a run from being claimed, for an operator to look at, until it is reopened."""

    async def park(self, lease: Lease, run: str, expected: int) -> None:
        """Let go of an unfinished run that is ``paused``, so that nobody claims it until it is reopened.

        It still takes what is said to it. Raises `Behind` where it has more records than ``expected``.
        """

    async def reopen(self, run: str, asked: Asked, *, id: str = "") -> Reopened:
        """Add what somebody asks, and let the run be claimed if nobody holds it: it is paused, set aside, or over.

        Who holds it learns of it. The same ``id`` again is the same thing: ``twice``. ``retry`` lets a run that is over
        be unfinished.
        """

    async def vacant(self, limit: float) -> None:
        """Return when there may be runs to claim that somebody has left or reopened, or after ``limit`` seconds."""

    async def summary(self, run: str) -> RunSummary | None:
        """Return what is kept longest of a run."""

    async def list(self, query: RunQuery) -> RunPage:
        """Return runs, the newest first, by the time at which they were created."""

    async def enter(self, slot: str, run: str, most: int) -> Sequence[str]:
        """Let a run hold a slot, unless ``most`` others do; return all who do, those first that came first.

        None lets go by itself, also where it is over: that is for `exit`, by whoever has seen it.
        """

    async def exit(self, slot: str, run: str) -> None:
        """Let a run hold a slot no more."""

    async def forget(self, owner: str) -> int:
        """Delete a person's runs, wherever they are, and return how many there were; nobody ("") has none."""


JOURNAL = Service[Journal]("workflow-journal")
"""The memory of runs."""
