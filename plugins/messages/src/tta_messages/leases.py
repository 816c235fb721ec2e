"""What a process has received and not settled yet: extended, acknowledged many at once, and given back."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Sequence
from contextlib import suppress
from time import monotonic
from typing import Never

import anyio
import msgspec

from tta_kernel import as_failure, check_duration, raised_at

from .guard import guard
from .model import Delivery, Messages, MessagesError, QueueSettings
from .prepare import check_receive

_log = logging.getLogger("tta.messages")
_FIRST_PAUSE, _LONGEST_PAUSE = 0.05, 5.0
SETTLE_TIMEOUT = 5.0
"""How long, in seconds, giving back may take: a store that is gone must not keep anybody from stopping."""
_ACK_RETRY = 1.0
_ASSUMED_VISIBILITY = 30.0
"""How long a hold is supposed to last, in seconds, until the store has said so."""


class Backoff:
    """Waits ever longer between tries while a store is away; warns once, and says when it is over."""

    def __init__(self, log: logging.Logger, what: str) -> None:
        self._log, self._what, self._pause = log, what, 0.0

    @property
    def waiting(self) -> bool:
        """Whether the last try has failed."""
        return self._pause > 0

    async def wait(self, exc: Exception) -> None:
        """Wait before the next try, because of ``exc``."""
        if not self.waiting:
            self._log.warning("%s: %s", self._what, exc)
        self._pause = min(max(self._pause * 2, _FIRST_PAUSE), _LONGEST_PAUSE)
        await anyio.sleep(self._pause)

    def over(self) -> None:
        """Begin anew, since a try went well."""
        if self.waiting:
            self._log.info("no longer so: %s", self._what)
        self._pause = 0.0


class LeaseCounts(msgspec.Struct):
    """What has become of deliveries so far.

    ``lost`` were held no longer when that was found out; ``outages``: how often the store couldn't be reached.
    """

    received: int = 0
    released: int = 0
    lost: int = 0
    outages: int = 0


class LeaseKeeper:
    """Receives from one queue, and holds what it received until that is `done`, failed or released, or lost.

    `run` runs meanwhile, and extends what is worked on for long; `close` comes at the end, under a shield. What is
    done is acknowledged by the next `receive`, or ``ack_after`` seconds later, where that is given. Should the
    process die in between, the message comes once more: its handler must bear that anyway.

    ``visibility``: for how many seconds each hold is, in place of what the queue says. ``settings``: what the queue is
    configured with, for as long as it is received from. ``lost`` is told, once, of each delivery that was lost while it
    was worked on: somebody else may have it. ``clock`` gives seconds, and is never set back.
    """

    def __init__(
        self,
        messages: Messages,
        queue: str,
        *,
        visibility: float | None = None,
        settings: QueueSettings | None = None,
        ack_after: float | None = None,
        lost: Callable[[Delivery], None] = lambda delivery: None,
        counts: LeaseCounts | None = None,
        log: logging.Logger = _log,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        if visibility is not None:
            check_duration("visibility", visibility, positive=True)
        if ack_after is not None:
            check_duration("ack_after", ack_after)
        self._messages = guard(messages)
        self._queue, self._lost, self._log, self._clock = queue, lost, log, clock
        self._visibility, self._settings, self._ack_after = visibility, settings, ack_after
        self._counts = counts or LeaseCounts()
        self._backoff = Backoff(log, f"nothing can be received from queue {queue}")
        self._configure_at = -math.inf
        # By identity: what one receive got may share a token, and after a loss one id may be held twice.
        self._held: dict[int, Delivery] = {}
        self._extended: dict[int, float] = {}
        self._done: list[Delivery] = []
        self._something_done = anyio.Event()
        self._lasts = settings.visibility if visibility is None and settings is not None else visibility
        # What turns a deadline, by the store's clock, into our time: as the quickest answer so far has it.
        self._offset = math.inf
        self._doubted = False

    # From receiving to settling

    async def receive(self, *, limit: int, wait: float) -> Sequence[Delivery]:
        """Receive, and acknowledge what is done; while the store is away it is tried again, ever later."""
        check_receive(self._queue, limit, wait, self._visibility)
        while True:
            done, self._done = self._done, []
            try:
                await self._configure()
                held = await self._messages.receive(
                    self._queue, limit=limit, wait=wait, visibility=self._visibility, done=done
                )
            except MessagesError as exc:
                self._done[:0] = done
                self._configure_at = -math.inf  # The store may have forgotten everything.
                self._counts.outages += not self._backoff.waiting
                await self._backoff.wait(exc)
            except BaseException as exc:
                self._done[:0] = done  # Whether it was heard is unknown; saying it twice does no harm.
                if isinstance(exc, Exception):
                    raise
                # A cancellation that a store lets out would end whoever receives, and nobody hear of it.
                raise as_failure(exc) from exc
            else:
                self._backoff.over()
                if held:
                    self._hold(held)
                return held

    async def _configure(self) -> None:
        # Again in time: a queue in which nothing happens ends, though it is received from.
        if self._settings is not None and self._clock() >= self._configure_at:
            await self._messages.configure(self._queue, self._settings)
            self._configure_at = self._clock() + self._settings.ttl / 2

    def _hold(self, deliveries: Sequence[Delivery]) -> None:
        self._counts.received += len(deliveries)
        self._held.update(zip(map(id, deliveries), deliveries, strict=True))
        if self._lasts is not None:
            offset = self._clock() + self._lasts - deliveries[0].deadline
            self._offset = offset if self._doubted else min(self._offset, offset)
            self._doubted = False

    def holds(self, delivery: Delivery, now: float) -> bool:
        """Whether a delivery is held at ``now`` by our clock, as far as is known without asking the store."""
        # Asked of each message, so this is `_held_until` written out: its first half is nearly always enough.
        key = id(delivery)
        return key in self._held and (now < delivery.deadline + self._offset or now < self._extended.get(key, now))

    def _held_until(self, delivery: Delivery) -> float:
        """Return our time at which a hold ends; infinity as long as nobody has said how long one lasts."""
        until = delivery.deadline + self._offset
        return max(until, self._extended.get(id(delivery), until))

    def done(self, deliveries: Sequence[Delivery]) -> None:
        """Hold deliveries no longer, and acknowledge them soon."""
        self._drop(deliveries)
        self._done += deliveries
        if self._ack_after is not None:
            self._something_done.set()

    async def fail(self, deliveries: Sequence[Delivery], error: str, *, permanent: bool = False) -> None:
        """Give deliveries back as failed, be the caller cancelled or not."""
        self._drop(deliveries)
        with anyio.move_on_after(SETTLE_TIMEOUT, shield=True):
            try:
                for delivery in deliveries:
                    await self._messages.nack(delivery, error=error, permanent=permanent)
            except MessagesError as exc:
                self._log.warning(
                    "queue %s was not told of a failure, so its message comes when the hold runs out: %s",
                    self._queue, exc,
                )  # fmt: skip

    async def release(self, deliveries: Sequence[Delivery]) -> None:
        """Give deliveries back unharmed, as far as they are still held, be the caller cancelled or not."""
        with anyio.move_on_after(SETTLE_TIMEOUT, shield=True):
            try:
                await self._release(deliveries)
            except MessagesError as exc:
                self._log.warning(
                    "queue %s was not told of a release, so its messages come when their holds run out: %s",
                    self._queue, exc,
                )  # fmt: skip

    async def _release(self, deliveries: Sequence[Delivery]) -> None:
        now = self._clock()
        mine = [delivery for delivery in deliveries if id(delivery) in self._held]
        late = {id(delivery) for delivery in mine if now >= self._held_until(delivery)}
        # Or else the store's clock was set back: so a fresh hold is believed, and that happens only once.
        self._doubted = self._doubted or bool(late)
        self._drop(mine)
        if not mine:
            return
        for delivery, released in zip(mine, await self._messages.release(*mine), strict=True):
            if released and id(delivery) not in late:
                self._counts.released += 1
            else:
                self._counts.lost += 1

    def _drop(self, deliveries: Sequence[Delivery]) -> None:
        for delivery in deliveries:
            self._held.pop(id(delivery), None)
        if self._extended:
            for delivery in deliveries:
                self._extended.pop(id(delivery), None)

    async def _acknowledge(self) -> int:
        """Acknowledge what is done, and return of how much the hold was over."""
        done, self._done = self._done, []
        if not done:
            return 0
        try:
            return list(await self._messages.ack(*done)).count(False)
        except BaseException:
            self._done[:0] = done
            raise

    async def close(self) -> None:
        """Acknowledge what is done, and release what is held; where that raises `MessagesError`, holds run out."""
        await self._acknowledge()  # The last receive may have said so by then: how much was over tells nothing.
        await self._release(tuple(self._held.values()))

    # Meanwhile

    async def run(self) -> Never:
        """Extend and acknowledge, until cancelled."""
        async with anyio.create_task_group() as tasks:
            if self._ack_after is not None:
                tasks.start_soon(self._acknowledge_soon, self._ack_after)
            # Neither a task nor a timer for each delivery: what two looks find, a quarter of its time apart, is
            # extended; so what is quicker costs nothing.
            seen = set[int]()
            while True:
                await self._learn()
                if self._done:
                    tasks.start_soon(self._try_to_acknowledge)
                for key, delivery in self._held.items():
                    if key in seen:
                        tasks.start_soon(self._extend, delivery)
                seen = set(self._held)
                await anyio.sleep(self._until_next_look())
        raise AssertionError("it ends only by an exception")

    async def _learn(self) -> None:
        """Ask how long a hold lasts, since that may have been configured."""
        if self._visibility is not None or self._settings is not None:
            return
        try:
            lasts = (await self._messages.settings(self._queue)).visibility
        except MessagesError:
            return  # `receive` tells of it.
        if lasts != self._lasts:
            self._lasts, self._offset = lasts, math.inf

    def _until_next_look(self) -> float:
        quarter = (self._lasts or _ASSUMED_VISIBILITY) / 4
        # While the store is away, be there when the first hold ends.
        end = min(map(self._held_until, self._held.values()), default=math.inf)
        return min(quarter, max(end - self._clock(), quarter / 10))

    async def _extend(self, delivery: Delivery) -> None:
        now, lasts = self._clock(), self._lasts or _ASSUMED_VISIBILITY
        left = self._held_until(delivery) - now
        held: bool | None = None
        with anyio.move_on_after(left if left > 0 else lasts / 4):
            with suppress(MessagesError):  # It is tried again, for as long as it is held.
                held = await self._messages.extend(delivery, lasts)
        if id(delivery) not in self._held:
            return  # It was settled meanwhile.
        if held:
            self._extended[id(delivery)] = now + lasts  # from before it was asked for, so never too late
            self._doubted = self._doubted or left <= 0
        elif held is False or self._clock() >= self._held_until(delivery):
            self._drop([delivery])
            self._counts.lost += 1
            try:
                self._lost(delivery)
            except BaseException as exc:  # noqa: BLE001 - a stranger's code; all else must be extended all the same
                as_failure(exc)
                what, where = type(exc).__name__, raised_at(exc)
                self._log.error("who is told that a hold of queue %s is lost raised %s at %s", self._queue, what, where)

    async def _acknowledge_soon(self, delay: float) -> None:
        """Acknowledge what no receive has acknowledged in time."""
        while True:
            await self._something_done.wait()
            await anyio.sleep(delay)
            self._something_done = anyio.Event()
            if not await self._try_to_acknowledge():
                await anyio.sleep(_ACK_RETRY)
                self._something_done.set()

    async def _try_to_acknowledge(self) -> bool:
        try:
            lost = await self._acknowledge()
        except MessagesError:
            return False  # The next receive says so, and tries again.
        self._counts.lost += lost
        return True
