"""Deliveries held while somebody works on them: extended in time, and acknowledged many at once."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from logging import Logger

import anyio

from tta_messages import Delivery, Messages, MessagesError

_SOON = 0.02
"""How long, in seconds, what is done waits for the next receive to acknowledge it."""
_LONGEST_PAUSE = 5.0


class Backoff:
    """Waits ever longer between tries while a store is away; warns once, and says when it is over."""

    def __init__(self, log: Logger, what: str) -> None:
        self._log, self._what, self._pause = log, what, 0.0

    async def wait(self, exc: Exception) -> None:
        """Wait before the next try, because of ``exc``."""
        if not self._pause:
            self._log.warning("%s: %s", self._what, exc)
        self._pause = min(max(self._pause * 2, 0.05), _LONGEST_PAUSE)
        await anyio.sleep(self._pause)

    def over(self) -> None:
        """Begin anew, since a try went well."""
        if self._pause:
            self._log.info("no longer so: %s", self._what)
        self._pause = 0.0


class _Lease:
    __slots__ = ("delivery", "extend_at", "held_until", "lost")

    def __init__(self, delivery: Delivery, lost: Callable[[], None]) -> None:
        self.delivery, self.lost = delivery, lost
        self.extend_at = self.held_until = 0.0


class LeaseKeeper:
    """Holds deliveries for as long as `run` runs, each for ``visibility`` seconds anew.

    What is done is acknowledged by the next receive of its queue, or by `run` a moment later. Should the process die in
    between, the message comes once more: its handler must bear that anyway.
    """

    def __init__(self, messages: Messages, log: Logger, visibility: float) -> None:
        self._messages, self._log, self._visibility = messages, log, visibility
        # In the order in which they are to be extended: all have the same time from one extension to the next. By the
        # delivery's identity: on Redis what one receive has found shares a token.
        self._leases: dict[int, _Lease] = {}
        self._done: dict[str, list[Delivery]] = {}
        self._changed = anyio.Event()

    def hold(self, delivery: Delivery, lost: Callable[[], None]) -> None:
        """Hold a delivery that has just been received; ``lost`` is called, once, when somebody else may have it."""
        lease = self._leases[id(delivery)] = _Lease(delivery, lost)
        now = anyio.current_time()
        lease.held_until, lease.extend_at = now + self._visibility, now + self._visibility / 3
        self._changed.set()

    def let_go(self, delivery: Delivery) -> None:
        """Extend it no longer: it is acknowledged, given back or lost."""
        self._leases.pop(id(delivery), None)

    def done(self, delivery: Delivery) -> None:
        """Let it go, and acknowledge it soon."""
        self.let_go(delivery)
        self._done.setdefault(delivery.message.queue, []).append(delivery)
        self._changed.set()

    async def receive(self, queue: str, *, limit: int, wait: float) -> Sequence[Delivery]:
        """Receive, and acknowledge what is done of that queue with the same request."""
        done = self._done.pop(queue, [])
        try:
            return await self._messages.receive(
                queue, limit=limit, wait=wait, visibility=self._visibility, done=done
            )  # fmt: skip
        except BaseException:
            for delivery in done:  # Whether that has arrived is unknown; acknowledging twice does no harm.
                self.done(delivery)
            raise

    async def acknowledge(self) -> None:
        """Acknowledge what is done, now."""
        done = [delivery for group in self._done.values() for delivery in group]
        self._done.clear()
        if not done:
            return
        try:
            await self._messages.ack(*done)
        except MessagesError as exc:
            self._log.warning("messages come once more, because their end could not be noted: %s", exc)
        except BaseException:
            for delivery in done:
                self.done(delivery)
            raise

    async def run(self) -> None:
        """Extend and acknowledge, until cancelled."""
        async with anyio.create_task_group() as tasks:
            while True:
                if not self._done:
                    await self._until_extension()
                # Not at once, even if an extension is due: until then the next receive may acknowledge all.
                await anyio.sleep(min(_SOON, self._visibility / 10))
                now = anyio.current_time()
                for lease in self._due(now):
                    lease.extend_at = now + self._visibility / 3
                    tasks.start_soon(self._extend, lease)
                if self._done:
                    tasks.start_soon(self.acknowledge)

    async def _until_extension(self) -> None:
        soonest = next((lease.extend_at for lease in self._leases.values()), math.inf)
        self._changed = anyio.Event()
        with anyio.move_on_after(max(soonest - anyio.current_time(), 0.0)):
            await self._changed.wait()

    def _due(self, now: float) -> list[_Lease]:
        due = []
        for lease in self._leases.values():
            if lease.extend_at > now:
                break
            due.append(lease)
        for lease in due:
            key = id(lease.delivery)
            self._leases[key] = self._leases.pop(key)
        return due

    async def _extend(self, lease: _Lease) -> None:
        until = anyio.current_time() + self._visibility  # from before it is asked for, so never too late
        try:
            held = await self._messages.extend(lease.delivery, self._visibility)
            if held:
                lease.held_until = until
        except MessagesError:
            held = anyio.current_time() < lease.held_until
        if not held and self._leases.pop(id(lease.delivery), None) is lease:
            lease.lost()
