"""What a circuit breaker is to whoever asks it: settings, records, events, and the store that processes share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, ClassVar, Literal, Protocol

import msgspec
from msgspec import Meta

from tta_kernel import Event, PositiveDuration, Service

Status = Literal["closed", "open", "half_open"]
"""``closed``: calls are made; ``open``: they are refused; ``half_open``: one at a time is made, to see how it goes."""
LONGEST_NAME = 200
"""Characters."""
CLOCK_SLIP = 1.0
"""Seconds by which the clocks of two processes may differ: each learns the store's from its answers."""


class BreakerSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """When a breaker opens, and for how long.

    It opens after ``failures`` failed calls in a row, of all processes, or where in one process at least ``rate`` of at
    least ``calls`` calls within ``window`` seconds have failed; without a rate only for the former. It is open for
    ``open`` seconds the first time, ``growth`` times as long each time that the probe fails, too, and never longer than
    ``longest``; up to ``jitter`` of itself is added at random. A probe that says nothing for ``probe`` seconds lets
    another one be made; ``successes`` of them in a row close the breaker. One that isn't ``enabled`` never opens.
    """

    enabled: bool = True
    failures: Annotated[int, Meta(ge=1, le=10_000)] = 5
    rate: Annotated[float, Meta(gt=0, le=1)] | None = 0.5
    calls: Annotated[int, Meta(ge=1, le=1_000_000)] = 20
    window: PositiveDuration = 60.0
    open: PositiveDuration = 30.0
    growth: Annotated[float, Meta(ge=1, le=10)] = 2.0
    longest: PositiveDuration = 600.0
    jitter: Annotated[float, Meta(ge=0, le=1)] = 0.1
    probe: PositiveDuration = 30.0
    successes: Annotated[int, Meta(ge=1, le=100)] = 1


class Record(msgspec.Struct, frozen=True):
    """A breaker as all processes see it; times are in seconds since the epoch, by the store's clock.

    ``at`` is when it was written, and grows with every write; ``stamp`` is that write's own. ``generation`` is another
    after each change of the status, so that the outcome of a call that began before doesn't count. ``failures`` is how
    many calls have failed in a row, ``opens`` how often in a row it has opened, ``successes`` how many probes have
    succeeded in a row. It is open at least until ``until``; ``probe`` is who makes the probe, or "", and has until
    ``probe_until``. ``reason`` and ``by`` say why it is as it is, and who wanted that, where somebody did.
    """

    status: Status = "closed"
    at: float = 0.0
    stamp: str = ""
    generation: int = 0
    failures: int = 0
    successes: int = 0
    opens: int = 0
    since: float = 0.0
    until: float = 0.0
    probe: str = ""
    probe_until: float = 0.0
    reason: str = ""
    by: str = ""

    @property
    def clean(self) -> bool:
        """Whether it is as if nothing had ever been."""
        return self.status == "closed" and not self.failures


class Swap(msgspec.Struct, frozen=True):
    """Put ``record`` under a name where the record there has the stamp ``expected``; "" where there is none."""

    name: str
    expected: str
    record: Record


class Records(msgspec.Struct, frozen=True):
    """Breakers by name, and the store's time when it was asked."""

    now: float
    records: Mapping[str, Record]


class BreakersError(Exception):
    """The store of breakers can't be reached or used; what it was told may have been stored or not."""


class BreakerStore(Protocol):
    """Where the processes of a deployment keep their breakers; each call may raise `BreakersError`."""

    async def read(self) -> Records:
        """Return all breakers that are known; one that has been closed for long may have been dropped."""

    async def swap(self, swaps: Sequence[Swap]) -> Records:
        """Make each swap whose expected stamp is right, and tell the other processes; never a part of one.

        Return what is now under each name: the new record, or the one that was in the way. Where that was lost, it is
        an empty `Record`.
        """

    async def news(self, *, wait: float) -> Mapping[str, Record] | None:
        """Return what was changed since the last call, here or elsewhere; wait up to ``wait`` seconds for anything.

        None says that something may have been missed: read. One caller at a time.
        """


class Refused(msgspec.Struct, frozen=True):
    """A call that is not to be made; ``again``: in how many seconds it may be asked anew.

    ``due``: that time is over, and `Breaker.admit` might give the one probe.
    """

    name: str
    again: float = 0.0
    due: bool = False
    reason: str = ""


class BreakerOpen(Exception):
    """A call was refused, and not made."""

    def __init__(self, refused: Refused) -> None:
        why = f": {refused.reason}" if refused.reason else ""
        super().__init__(f"breaker {refused.name} is open, and is asked again in {refused.again:.1f} s{why}")
        self.refused = refused


class BreakerInfo(msgspec.Struct, frozen=True):
    """A breaker for operators; fields as in a `Record`."""

    name: str
    status: Status
    failures: int = 0
    opens: int = 0
    since: float = 0.0
    until: float = 0.0
    reason: str = ""
    by: str = ""


class BreakerChanged(Event, frozen=True, tag="breakers.changed"):
    """A breaker has another status, by what this process saw or was told: each change is published by one process."""

    __shown__: ClassVar = ("name", "before", "after")

    name: str
    before: Status
    after: Status
    reason: str = ""
    by: str = ""


BREAKER_STORE = Service[BreakerStore]("breaker-store")
