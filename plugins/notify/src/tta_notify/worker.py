"""Takes notifications out of an outbox when they are due, sends them, and keeps what became of it."""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Sequence
from typing import Never

import anyio
from anyio.abc import TaskGroup
from msgspec.structs import replace

from tta_kernel import Duration, Event
from tta_messages import Backoff

from .clock import Clock
from .links import new_token, with_link
from .memory import MemoryOutbox
from .model import Delivery, Entry, NotificationAccepted, NotificationDead
from .outbox import Changed, NotHeld, Outbox, OutboxError, Taken
from .plan import settled
from .sender import Result, Sender

FollowUp = Callable[[Entry], Awaitable[Sequence[str]]]
"""Tells whoever follows up on an acknowledgement, and returns who couldn't be told."""
_LONGEST_RETRY = 300.0
_MOST_OPEN = 1000
"""How many critical notifications are kept at hand."""
_RECORD_FOR = 300.0
"""Seconds for which it is tried to keep what became of a message, while the outbox is away."""


class Worker:
    """Works on ``at_once`` notifications at once, each under a lease of ``lease`` seconds.

    ``poll``: how long, in seconds, it waits at most before it looks again. ``lane``: what is critical goes on from
    there where the outbox is away for longer than a lease.
    """

    def __init__(
        self, outbox: Outbox, sender: Sender, log: logging.Logger, *, follow_up: FollowUp,
        publish: Callable[[Event], None], clock: Clock, lane: MemoryOutbox | None, link: Duration,
        at_once: int = 16, lease: float = 20.0, poll: float = 5.0,
    ) -> None:  # fmt: skip
        self._outbox, self._sender, self._log = outbox, sender, log
        self._follow_up, self._publish, self._clock = follow_up, publish, clock
        self._link, self._at_once, self._lease, self._poll = link, at_once, lease, poll
        self._lane = lane
        self._open: OrderedDict[str, Entry] = OrderedDict()
        self._away_since: float | None = None
        self._working = 0
        self._closing = False
        self._freed = anyio.Event()

    async def run(self) -> Never:
        """Work until cancelled."""
        async with anyio.create_task_group() as tasks:
            await self._take_all(tasks)
        raise AssertionError("it ends by being cancelled")

    async def finish(self, grace: float) -> None:
        """Take no more, and wait up to ``grace`` seconds for what is being sent: else it would be sent once more."""
        self._closing = True
        with anyio.move_on_after(grace):
            while self._working:
                self._freed = anyio.Event()
                await self._freed.wait()

    async def _take_all(self, tasks: TaskGroup) -> Never:
        backoff = Backoff(self._log, "notifications can't be taken from the outbox")
        while True:
            try:
                await self._take(tasks)
            except OutboxError as exc:
                await self._go_on_from_memory()
                await backoff.wait(exc)
                continue
            backoff.over()
            self._away_since = None

    async def _go_on_from_memory(self) -> None:
        """Let the lane see to what is critical and due, once the outbox has been away for as long as a lease lasts."""
        now = self._clock.now()
        if self._away_since is None:
            self._away_since = now
        if self._lane is None or now - self._away_since < self._lease:
            return
        for entry in [each for each in self._open.values() if each.wake is not None and each.wake <= now]:
            del self._open[entry.key]
            # Whoever else has worked on it may do the same: its messages have the same ids.
            try:
                await self._lane.add(entry)
            except OutboxError as exc:
                self._log.critical("notification %s waits for the outbox: %s", entry.key, exc)

    def _remember(self, entry: Entry) -> None:
        """Keep at hand what is critical and not at its end, in case the outbox goes away."""
        self._open.pop(entry.key, None)
        if entry.notification.severity == "critical" and entry.wake is not None and entry.acknowledgement is None:
            # Without its person's name, which `forget` would have to find here, in each process.
            self._open[entry.key] = replace(entry, notification=replace(entry.notification, owner=""))
            if len(self._open) > _MOST_OPEN:
                self._open.popitem(last=False)

    async def _take(self, tasks: TaskGroup) -> None:
        """Begin to work on what is due, or wait until something is, or there is a hand free."""
        free = 0 if self._closing else self._at_once - self._working
        taken = await self._outbox.take(self._clock.now(), free, self._lease) if free else ()
        for each in taken:
            self._working += 1
            tasks.start_soon(self._work, each)
        if len(taken) == free:
            self._freed = anyio.Event()
            if self._closing or self._working >= self._at_once:
                await self._freed.wait()
            return
        if not taken:
            wake = await self._outbox.wake()
            wait = self._poll if wake is None else min(max(wake - self._clock.now(), 0.0), self._poll)
            if wait > 0:
                await self._outbox.changed(wait=wait)

    async def _work(self, taken: Taken) -> None:
        try:
            if taken.entry.acknowledgement is not None:
                await self._tell(taken)
            else:
                await self._send(taken)
        except NotHeld:
            # Whoever has it by now does the rest.
            pass
        except Changed:
            # A human was quicker. It is given back as it is now, and taken again at its time.
            await self._keep(taken, taken.entry, lambda each: each)
        except OutboxError as exc:
            self._log.warning("notification %s waits for the outbox: %s", taken.entry.key, exc)
        finally:
            self._working -= 1
            self._freed.set()

    async def _tell(self, taken: Taken) -> None:
        entry = taken.entry
        said = entry.acknowledgement
        assert said is not None
        if not entry.told and (untold := await self._follow_up(entry)):
            now = self._clock.now()
            names = ", ".join(untold)
            self._log.warning("notification %s was acknowledged, and %s could not follow up", entry.key, names)
            wake = now + min(max(now - said.at, 1.0), _LONGEST_RETRY)
            await self._keep(taken, entry, lambda each: replace(each, wake=wake))
        else:
            await self._keep(taken, entry, lambda each: replace(each, told=True, wake=None))

    async def _send(self, taken: Taken) -> None:
        plan, now = self._sender.plan, self._clock.now()
        entry = plan.advance(taken.entry, now)
        due = [each for each in entry.deliveries if each.status == "pending" and each.next <= now]
        for each in _newly_dead(taken.entry, entry):
            await self._dead(entry, each)
        if not due:
            await self._keep(taken, entry, lambda each: each)
            return
        tokens = {each.id: new_token(entry.key) if self._sender.offers_links else "" for each in due}
        for each in due:
            if tokens[each.id]:
                links = with_link(entry.links, tokens[each.id], each.person, now + self._link)
                entry = replace(entry, links=links)
        # What is to be sent is known before it is: whoever takes over sends it under the same ids.
        try:
            entry = await self._outbox.put(entry, lease=taken.lease)
        except (Changed, NotHeld):
            raise
        except OutboxError:
            # An outbox that is away stops nothing; a link that nobody has kept would lead nowhere.
            tokens = dict.fromkeys(tokens, "")
        lock, left = anyio.Lock(), len(due)

        async def one(delivery: Delivery) -> None:
            nonlocal entry, left
            result = await self._sender.send(entry, delivery, tokens[delivery.id], now)
            async with lock:
                left -= 1
                entry = await self._record(taken, entry, delivery, result, is_last=not left)

        async with anyio.create_task_group() as tasks:
            for each in due:
                tasks.start_soon(one, each)

    async def _record(
        self, taken: Taken, entry: Entry, delivery: Delivery, result: Result, *, is_last: bool
    ) -> Entry:  # fmt: skip
        plan, now = self._sender.plan, self._clock.now()

        def change(entry: Entry) -> Entry:
            """Put what became of the delivery into the entry, whatever else has become of that."""
            deliveries = tuple(
                became(each, result, now) if each.id == delivery.id else each for each in entry.deliveries
            )
            return plan.advance(replace(entry, deliveries=deliveries), now) if is_last else settled(
                replace(entry, deliveries=deliveries)
            )  # fmt: skip

        def became(each: Delivery, result: Result, now: float) -> Delivery:
            if each.status != "pending":
                return each
            if result.accepted:
                return replace(each, status="accepted", said=result.said, tries=each.tries + 1)
            if result.put_off:
                return replace(each, next=result.put_off)
            return plan.after(each, result.said, now, retryable=result.retryable)

        about = entry.notification
        for each in _newly_dead(entry, change(entry)):
            await self._dead(entry, each)
        kept = await self._keep(taken, entry, change, release=is_last)
        if result.accepted:
            event = NotificationAccepted(entry.key, about.topic, about.severity, delivery.channel, about.owner)
            self._publish(event)
        return kept

    async def _dead(self, entry: Entry, delivery: Delivery) -> None:
        # Before it is kept: told twice is better than never, and the other channels know it by its id.
        await self._sender.tell_dead(entry, delivery)
        about = entry.notification
        self._publish(
            NotificationDead(entry.key, about.topic, about.severity, delivery.channel, delivery.said, about.owner)
        )  # fmt: skip

    async def _keep(
        self, taken: Taken, entry: Entry, change: Callable[[Entry], Entry], *, release: bool = True
    ) -> Entry:
        """Store what ``change`` makes of the entry, also of what others have made of it meanwhile.

        While the outbox is away it is tried for long: what was sent and isn't kept would be sent again.
        """
        lease = taken.lease
        backoff = Backoff(self._log, "what became of a notification can't be kept")
        with anyio.move_on_after(_RECORD_FOR):
            while True:
                try:
                    changed = change(entry)
                    self._remember(changed)
                    return await self._outbox.put(changed, lease=lease, release=release and bool(lease))
                except NotHeld:
                    lease = ""
                except Changed:
                    found = await self._outbox.get(entry.key)
                    if found is None:
                        # It was forgotten, and is nobody's any more.
                        return entry
                    entry = found
                except OutboxError as exc:
                    await backoff.wait(exc)
        return entry


def _newly_dead(before: Entry, after: Entry) -> list[Delivery]:
    dead = {each.id for each in before.deliveries if each.status == "dead"}
    return [each for each in after.deliveries if each.status == "dead" and each.id not in dead]
