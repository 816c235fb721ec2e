"""A breaker in one process: decides by its own copy of what all processes know, in well under a microsecond."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from types import TracebackType

from .machine import Change, Claimed, Counted, Outcome, Settled, Tripped, apply, apply_all, is_due
from .model import BreakerSettings, Record, Refused
from .window import Window

_MOST_CHANGES = 16
"""How many changes wait for a store that is away; the oldest go first, and what rests on them says nothing more."""


class Process(ABC):
    """What a breaker needs of its process."""

    clock: Callable[[], float] = staticmethod(time.monotonic)
    """Says seconds, from whenever on; it never jumps."""

    @abstractmethod
    def random(self) -> float:
        """Return any number from 0 up to 1."""

    @abstractmethod
    def now(self) -> float:
        """Return the store's time, as far as it is known."""

    @abstractmethod
    def learn_time(self, now: float) -> None:
        """Hear what the store's time is."""

    @abstractmethod
    def changed(self, breaker: Breaker) -> None:
        """See that what waits in ``breaker`` is told to the store."""

    @abstractmethod
    async def claim(self, breaker: Breaker) -> str:
        """Ask for the probe; return its token, or "" where another has it."""


class Permit:
    """Leave to make one call; say once how that went, or ``async with`` it.

    A call in ``async with`` that raises an Exception has failed; with what is none, such as a cancellation, nobody
    knows how it would have gone.
    """

    __slots__ = ()
    probe = False

    def succeeded(self) -> None:
        """Say that the call was answered."""

    def failed(self) -> None:
        """Say that the one who was called is to blame."""

    def returned(self) -> None:
        """Say that this call tells nothing: it was cancelled, or refused for a reason of the caller's."""

    async def __aenter__(self) -> Permit:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if exc is None:
            self.succeeded()
        elif isinstance(exc, Exception):
            self.failed()
        else:
            self.returned()


class Breaker:
    """Says of one name whether a call may be made, and hears how it went; `Breakers.breaker` makes them."""

    # Weakly held by their process: whoever has one in hand hears of its changes, however many there are.
    __slots__ = (
        "__weakref__", "_permit", "_process", "base", "expected", "failing", "name", "record", "refusals", "sending",
        "settings", "stamp", "told", "waiting", "window",
    )  # fmt: skip

    def __init__(self, process: Process, name: str, settings: BreakerSettings, record: Record) -> None:
        self._process, self.name, self.settings = process, name, settings
        self.window = Window(settings.window, process.clock) if settings.rate is not None and settings.enabled else None
        self.base = record
        """What was last heard of the store."""
        self.expected = record.stamp
        """The stamp of what the store has, which is older than `base` where it has lost something."""
        self.sending: list[Change] = []
        """What the store is being told, or was when it went away."""
        self.stamp = ""
        """The stamp of that: where an answer was lost, it shows whether it had been stored."""
        self.waiting: list[Change] = []
        """What it is to be told next."""
        self.told = record.status
        self.refusals = 0
        self._permit: Permit | None = None
        self.record = Record(generation=-1)
        self.failing = False
        self.take(record)

    def allow(self) -> Permit | Refused:
        """Decide at once. It never gives the probe: see `Refused.due`, or ask `admit`."""
        permit = self._permit
        return permit if permit is not None else self._refuse()

    async def admit(self) -> Permit | Refused:
        """Decide, and where the probe is due ask for it: of all processes one gets it.

        Where the store is away, one of this process does.
        """
        answer = self.allow()
        if not isinstance(answer, Refused) or not answer.due:
            return answer
        token = await self._process.claim(self)
        return _Probe(self, token) if token else self.allow()

    # For its process.

    def take(self, record: Record) -> None:
        """Take over what the store says."""
        self.base = record
        self.refresh()

    def refresh(self) -> None:
        """Take over what the store said last, and what it has yet to hear."""
        changes = (*self.sending, *self.waiting)
        self._become(apply_all(self.base, changes, self.settings, self._process.random))

    def add(self, change: Change) -> None:
        """Let something happen, here at once and for all others soon."""
        last = self.waiting[-1] if self.waiting else None
        if isinstance(change, Counted) and isinstance(last, Counted) and last.generation == change.generation:
            failures = change.failures if change.reset else last.failures + change.failures
            self.waiting[-1] = Counted(change.at, change.generation, failures, reset=last.reset or change.reset)
        else:
            self.waiting.append(change)
            del self.waiting[:-_MOST_CHANGES]
        self._become(apply(self.record, change, self.settings, self._process.random))
        self._process.changed(self)

    def _become(self, record: Record) -> None:
        before, self.record = self.record, record
        self.failing = record.failures > 0
        if record.status != "closed" and self.settings.enabled:
            self._permit = None
        elif self._permit is None or before.generation != record.generation:
            self._permit = _Closed(self, record.generation)
            if self.window is not None:
                self.window.clear()

    def _refuse(self) -> Refused:
        self.refusals += 1
        record, now = self.record, self._process.now()
        if is_due(record, self.settings, now):
            return Refused(self.name, 0.0, due=True, reason=record.reason)
        until = record.until if record.status == "open" else record.probe_until
        return Refused(self.name, max(0.0, until - now), reason=record.reason)

    # For its permits.

    def count(self, permit: _Closed, failed: int) -> None:
        """Count a call that was made while it was closed."""
        if permit is not self._permit or not self.settings.enabled:
            return  # It was begun before the breaker changed, and says nothing about how it is now.
        if failed:
            self.add(Counted(self._process.now(), permit.generation, 1))
        elif self.failing:
            self.add(Counted(self._process.now(), permit.generation, 0, reset=True))
        window, rate = self.window, self.settings.rate
        if window is None or rate is None or permit is not self._permit:
            return
        window.add(failed)
        if window.failed and window.calls >= self.settings.calls and window.failed >= rate * window.calls:
            reason = f"{window.failed} of {window.calls} calls have failed"
            self.add(Tripped(self._process.now(), reason, permit.generation))

    def settle(self, token: str, outcome: Outcome) -> None:
        """Hear how the probe went."""
        self.add(Settled(self._process.now(), token, outcome))

    def claimed(self, token: str) -> bool:
        """Whether ``token`` has the probe."""
        return self.record.status == "half_open" and self.record.probe == token

    def claim(self, token: str) -> None:
        """Ask for the probe."""
        self.add(Claimed(self._process.now(), token))


class _Closed(Permit):
    """Of all calls while the breaker is closed, since they have nothing of their own."""

    __slots__ = ("_breaker", "_plain", "generation")

    def __init__(self, breaker: Breaker, generation: int) -> None:
        self._breaker, self.generation = breaker, generation
        self._plain = breaker.window is None

    def succeeded(self) -> None:
        breaker = self._breaker
        if breaker.failing or not self._plain:
            breaker.count(self, 0)

    def failed(self) -> None:
        self._breaker.count(self, 1)


class _Probe(Permit):
    """Of the one call that shows how it goes."""

    __slots__ = ("_breaker", "_token")
    probe = True

    def __init__(self, breaker: Breaker, token: str) -> None:
        self._breaker, self._token = breaker, token

    def succeeded(self) -> None:
        self._settle("succeeded")

    def failed(self) -> None:
        self._settle("failed")

    def returned(self) -> None:
        self._settle("returned")

    def _settle(self, outcome: Outcome) -> None:
        token, self._token = self._token, ""
        if token:
            self._breaker.settle(token, outcome)
