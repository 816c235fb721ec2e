"""Where interventions are kept, and how any implementation of it is held to its word."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Protocol, cast, get_type_hints

from tta_kernel import Service
from tta_kernel.shapes import fits
from tta_messages.guard import Check, Guarded

from .model import (
    Crises,
    CrisisError,
    CrisisPage,
    CrisisQuery,
    Feedback,
    FeedbackPage,
    Intervention,
    NoSuchIntervention,
    Packet,
    Trace,
)

CALL_LIMIT = 2.0
"""How long, in seconds, a call may take: a crisis doesn't wait for a store."""


class Changed(CrisisError):
    """Somebody else has changed the intervention, or it is gone: nothing was stored. Look again."""


class CrisisStore(Protocol):
    """Interventions by id; ``durable``: another process finds them. Any call may raise `CrisisError`.

    One that is resolved goes by itself after some time, as packets, feedback and traces do.
    """

    durable: bool

    async def open(self, intervention: Intervention, packet: Packet) -> Intervention:
        """Store a new one (version 0) with its packet, or return what is stored under its id."""

    async def get(self, id: str) -> Intervention | None:
        """Return an intervention; None also for one that can't be read, which is set aside."""

    async def put(self, intervention: Intervention) -> Intervention:
        """Store one whose stored version is still this one's; return it with the next. Raises `Changed`."""

    async def packet(self, id: str) -> Packet | None:
        """Return a packet."""

    async def page(self, query: CrisisQuery) -> CrisisPage:
        """Return interventions, the newest first, those after a page's cursor."""

    async def judge(self, feedback: Feedback) -> None:
        """Keep feedback; the oldest goes where there is too much."""

    async def judgements(self, cursor: str = "", most: int = 100) -> FeedbackPage:
        """Return feedback, the newest first."""

    async def traces(self, most: int = 1000) -> Sequence[Trace]:
        """Return what is left of forgotten persons' interventions, the newest first."""

    async def forget(self, owner: str) -> int:
        """Erase a person's interventions, packets and feedback, and return how many; nobody ("") has none.

        Of each intervention a `Trace` is left.
        """


CRISIS_STORE = Service[CrisisStore]("crisis-store")
"""The memory of interventions."""


def guard(store: CrisisStore, *, limit: float = CALL_LIMIT) -> CrisisStore:
    """Return ``store`` such that each call ends within ``limit`` seconds, rightly or with a `CrisisError`.

    What it returns has the calls, and not ``durable``.
    """
    return cast(CrisisStore, store if isinstance(store, Guarded) else Guarded(store, _CHECKS, CrisisError, limit))


def guard_crises(crises: Crises, *, limit: float = CALL_LIMIT) -> Crises:
    """Return ``crises`` such that each call ends within ``limit`` seconds, rightly or with a `CrisisError`.

    So whoever tells of a crisis goes on with its turn, whatever provides ``CRISIS`` does: and alarms where that fails.
    """
    if isinstance(crises, Guarded):
        return cast(Crises, crises)
    return cast(Crises, _GuardedCrises(crises, _CRISES_CHECKS, CrisisError, limit))


class _GuardedCrises(Guarded):
    """As any other, but that there is no intervention is an answer."""

    def __getattr__(self, name: str) -> Callable[..., Awaitable[Any]]:
        guarded = super().__getattr__(name)

        async def call(*args: Any, **kwargs: Any) -> Any:
            try:
                return await guarded(*args, **kwargs)
            except CrisisError as exc:
                if isinstance(exc.__cause__, NoSuchIntervention):
                    raise exc.__cause__ from None
                raise

        setattr(self, name, call)
        return call


def _check_of(wanted: Any) -> Check:
    return lambda answer, *_: fits(answer, wanted)


def _checks_of(protocol: type) -> Mapping[str, Check]:
    return {
        name: _check_of(get_type_hints(method)["return"])
        for name, method in vars(protocol).items()
        if not name.startswith("_")
    }


_CHECKS = _checks_of(CrisisStore)
_CRISES_CHECKS = _checks_of(Crises)
