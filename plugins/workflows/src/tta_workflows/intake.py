"""Messages that begin a run, or answer what it waits for: acknowledged once the journal has them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Never

import msgspec

from tta_messages import Delivery, Messages, Reject, consume

if TYPE_CHECKING:
    from .executor import Executor


_LATER = ("unavailable", "overloaded", "rate_limited", "breaker_open")
"""The codes of a run that may begin later: its message goes back to the queue, and comes again."""


class StartRun(msgspec.Struct, frozen=True):
    """Begin a run; without a ``key`` the message's id is its name, so that a second delivery begins no second run."""

    TYPE: ClassVar[str] = "workflows.start"

    workflow: str
    input: Mapping[str, Any] = {}
    key: str = ""
    session: str = ""
    owner: str = ""
    labels: Mapping[str, str] = {}
    priority: int = 0
    deadline: float = 0.0
    fairness: str = ""
    version: int = 1


class SignalRun(msgspec.Struct, frozen=True):
    """Answer what a step waits for; without an ``id`` the message's is the answer's."""

    TYPE: ClassVar[str] = "workflows.signal"

    run: str
    step: str
    data: Mapping[str, Any] = {}
    id: str = ""
    by: str = ""
    version: int = 1


class NotNow(Exception):
    """It can't be done now, and may be later."""


class Intake:
    """Reads a queue; what can't ever be done is rejected, with its reason."""

    def __init__(self, executor: Executor, messages: Messages, queue: str, *, concurrency: int) -> None:
        self._executor, self._messages, self._queue, self._concurrency = executor, messages, queue, concurrency

    async def run(self) -> Never:
        """Read until cancelled."""
        await consume(self._messages, self._queue, self._handle, concurrency=self._concurrency)

    async def _handle(self, delivery: Delivery) -> None:
        message = delivery.message
        try:
            if message.type == StartRun.TYPE:
                await self._start(message.decode(StartRun), message.id, message.owner)
            elif message.type == SignalRun.TYPE:
                await self._signal(message.decode(SignalRun), message.id)
            else:
                raise Reject(f"a message of the type {message.type!r} neither begins nor answers a run")
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            raise Reject("its body doesn't fit its type") from None

    async def _start(self, wanted: StartRun, id: str, owner: str) -> None:
        handle = await self._executor.start(
            wanted.workflow, wanted.input, key=wanted.key or id, session=wanted.session, owner=wanted.owner or owner,
            labels=wanted.labels, priority=wanted.priority, deadline=wanted.deadline, fairness=wanted.fairness,
        )  # fmt: skip
        run = await handle.query()
        if run.status == "refused":
            raise NotNow(run.error) if run.error in _LATER else Reject(f"refused: {run.error}")

    async def _signal(self, wanted: SignalRun, id: str) -> None:
        outcome = await self._executor.signal(
            wanted.run, wanted.step, wanted.data, id=wanted.id or id, by=wanted.by
        )  # fmt: skip
        if outcome.status in ("unknown", "refused", "ended"):
            raise Reject(f"{outcome.status}: {outcome.detail}" if outcome.detail else outcome.status)
