"""Where notifications are kept until a human has seen them, and how any implementation is held to its word."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, Protocol, cast, get_type_hints

import msgspec

from tta_kernel import Service
from tta_kernel.shapes import fits
from tta_messages.guard import Check, Guarded

from .model import Entry, Page, Status

CALL_LIMIT = 15.0
"""How long, in seconds, any call may take beyond what it may wait: no client of a store waits for so long itself."""


class OutboxError(Exception):
    """The outbox can't be reached, or is late: what was asked may have been done or not. Ask the same again."""


class Changed(OutboxError):
    """Somebody else has changed the entry, or it is gone: nothing was stored. Look again."""


class NotHeld(OutboxError):
    """Another process has the entry by now: nothing was stored."""


class Full(OutboxError):
    """There are as many notifications as may be, and all are still to be looked at: nothing was stored."""


class Added(msgspec.Struct, frozen=True):
    """What became of a new entry, and under which key it is found, which is another's where it has ``joined``."""

    status: Literal["stored", "known", "joined"]
    key: str


class Taken(msgspec.Struct, frozen=True):
    """An entry to be worked on, and the token of the lease by which nobody else does meanwhile."""

    entry: Entry
    lease: str


class Outbox(Protocol):
    """Notifications by key; ``durable``: they outlive the process. Any call may raise `OutboxError`."""

    durable: bool

    async def add(self, entry: Entry, *, window: float = 0.0) -> Added:
        """Store an entry of a new key, whatever its version, and return; one that is known stays as it is.

        With a ``window`` it joins one of its notification's group that was added within so many seconds, and counts
        there as a repeat. Where there is no room, the oldest goes that nobody needs to look at; else it raises `Full`.
        """

    async def take(self, now: float, most: int, ttl: float) -> Sequence[Taken]:
        """Take entries whose ``wake`` is up to ``now``, under a lease each of ``ttl`` seconds by the outbox's clock.

        What another has taken comes again when that lease is over.
        """

    async def put(self, entry: Entry, *, lease: str = "", release: bool = False) -> Entry:
        """Store an entry whose stored version is ``entry.version``; return it with the next version.

        With ``lease`` it is stored only as long as nobody else has taken it since; ``release`` gives it back.
        Raises `Changed` and `NotHeld`; then nothing was stored.
        """

    async def get(self, key: str) -> Entry | None:
        """Return an entry; None also for one that can't be read, which is set aside."""

    async def page(self, cursor: str = "", most: int = 100, *, status: Status | None = None) -> Page:
        """Return entries, the newest first, after a page's cursor."""

    async def wake(self) -> float | None:
        """Return the first ``wake`` of what nobody has taken, None where there is none."""

    async def counts(self) -> Mapping[str, int]:
        """Count the entries by status."""

    async def changed(self, *, wait: float) -> None:
        """Return when something is to be looked at sooner than was known, or after ``wait`` seconds, or earlier."""

    async def remove(self, entry: Entry, *, lease: str = "") -> None:
        """Delete an entry of that version; raises as `put` does."""

    async def forget(self, owner: str) -> int:
        """Delete a person's entries that are finished, take the person out of the others, and count both.

        What is on its way still arrives: that somebody was told stays, and not about whom. Nobody ("") has none.
        """


OUTBOX = Service[Outbox]("notify-outbox")
"""The memory of notifications."""


def guard(outbox: Outbox, *, limit: float = CALL_LIMIT) -> Outbox:
    """Return ``outbox`` such that each call ends within ``limit`` seconds, rightly or with an `OutboxError`.

    So whoever holds one treats an outbox that is broken as one that is away. What it returns has the calls, and not
    ``durable``.
    """
    return cast(Outbox, outbox if isinstance(outbox, Guarded) else Guarded(outbox, _CHECKS, OutboxError, limit))


def _check_of(wanted: Any) -> Check:
    return lambda answer, *_: fits(answer, wanted)


_CHECKS: Mapping[str, Check] = {
    name: _check_of(get_type_hints(method)["return"]) for name, method in vars(Outbox).items() if name[0] != "_"
}
