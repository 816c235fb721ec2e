"""NOTIFY: hand something over that humans are to know, see what became of it, and acknowledge it."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import anyio
from anyio.abc import TaskGroup
from msgspec.structs import replace

from tta_kernel import Event, Service, as_failure

from .clock import Clock
from .config import Config
from .memory import MemoryOutbox
from .model import (
    Acknowledgement,
    Entry,
    How,
    Link,
    Notification,
    NotificationAcknowledged,
    Page,
    Receipt,
    Status,
    fitted,
    is_key,
    key_of,
)
from .outbox import Added, Changed, Outbox, OutboxError, guard
from .sender import Sender
from .worker import FollowUp, Worker

_STORE_LIMIT = 1.0
"""Seconds that the outbox has to store a notification before that goes out from memory."""
_MOST_WAITING = 1000
"""How many may wait for the outbox at once; what comes beyond goes out from memory."""
_FIRST = 86400.0
"""How many seconds before its time something critical is due, so that it is taken before all else."""
_TRIES = 20
"""How often a change is tried again because another was quicker."""


class UnknownNotification(Exception):
    """There is no notification of that id or key; it may have ended."""


async def _nobody(entry: Entry) -> Sequence[str]:
    return ()


class _Handover:
    """A notification that the outbox is being told of."""

    def __init__(self) -> None:
        self.added: Added | None = None
        self.done = anyio.Event()


class Notifier:
    """Takes what humans are to know. It waits for nobody, and an outbox that is away stops nothing."""

    def __init__(
        self, outbox: Outbox, config: Config, log: logging.Logger, *, publish: Callable[[Event], None],
        clock: Clock | None = None,
    ) -> None:  # fmt: skip
        self.outbox = guard(outbox)
        self.config = config
        self.clock = clock or Clock()
        self.lane = MemoryOutbox(self.clock)
        """What the outbox hasn't got yet; from here it goes out all the same."""
        self.trouble = ""
        """Why the outbox couldn't be used the last time; empty where it could."""
        self.handed_over = 0
        self.sender = Sender({}, config, log, notify=self.notify)
        self.follow_up: FollowUp = _nobody
        self._log, self._publish = log, publish
        self._tasks: TaskGroup | None = None
        self._waiting = 0
        self._idle = anyio.Event()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Take notifications for as long as the block; what waits for the outbox at its end has another second."""
        async with anyio.create_task_group() as tasks:
            self._tasks = tasks
            try:
                yield
            finally:
                self._tasks = None
                with anyio.CancelScope(shield=True), anyio.move_on_after(_STORE_LIMIT):
                    self._idle = anyio.Event()
                    if self._waiting:
                        await self._idle.wait()
                tasks.cancel_scope.cancel()

    async def notify(self, notification: Notification) -> Receipt:
        """Hand it over, and return within 50 ms; from then on it is tried until a channel takes it, or it is dead.

        Raises a ValueError for what has no id or an unknown severity, and nothing else.
        """
        notification = fitted(notification)
        self.handed_over += 1
        now = self.clock.now()
        # What is critical stands first among what is due.
        wake = now - _FIRST if notification.severity == "critical" else now
        entry = Entry(key=key_of(notification.id), notification=notification, created_at=now, wake=wake)
        handover = _Handover()
        if self._tasks is not None and self._waiting < _MOST_WAITING:
            self._waiting += 1
            self._tasks.start_soon(self._store, entry, handover)
            with anyio.move_on_after(self.config.patience):
                await handover.done.wait()
        else:
            await self._keep(entry)
        added = handover.added
        if added is None:
            return Receipt(notification.id, entry.key, "kept")
        return Receipt(notification.id, added.key, added.status)

    def reaches(self, contact: str) -> bool:
        """Say whether a channel leads to one of the config's contacts."""
        found = self.config.contacts.get(contact)
        return found is not None and any(map(self.sender.has, found.addresses))

    async def acknowledge(self, id: str, by: str, how: How = "api", *, used: Link | None = None) -> Entry:
        """Keep that a human, ``by``, has seen a notification; whoever follows up on it is told.

        ``id`` may also be its key; ``used``: by which link they did, which is used up. Who was first stays.
        Raises `UnknownNotification`, and `OutboxError` while the outbox is away and this process doesn't know of it.
        """
        if not by.strip():
            raise ValueError("whoever acknowledges a notification has a name")
        key = id if is_key(id) else key_of(id)
        for outbox in (self.lane, self.outbox):
            for _ in range(_TRIES):
                entry = await outbox.get(key)
                if entry is None:
                    break
                if entry.acknowledgement is not None:
                    return entry
                said = Acknowledgement(by.strip()[:200], self.clock.now(), how)
                changed = replace(
                    entry, status="acknowledged", acknowledgement=said, wake=said.at, escalate_at=None, told=False,
                    links=tuple(each for each in entry.links if each != used),
                )  # fmt: skip
                try:
                    stored = await outbox.put(changed)
                except Changed:
                    continue
                self._tell(stored, how)
                return stored
        raise UnknownNotification(f"there is no notification {id!r}")

    async def get(self, id: str) -> Entry | None:
        """Return a notification by its id or key, None for one that is gone. Raises `OutboxError`."""
        key = id if is_key(id) else key_of(id)
        return await self.lane.get(key) or await self.outbox.get(key)

    async def page(self, cursor: str = "", most: int = 100, *, status: Status | None = None) -> Page:
        """Return notifications, the newest first. Raises `OutboxError`."""
        return await self.outbox.page(cursor, most, status=status)

    def worker(self, outbox: Outbox, log: logging.Logger, **settings: Any) -> Worker:
        """Return what sends the notifications of an outbox through this process's channels."""
        lane = None if outbox is self.lane else self.lane
        return Worker(
            outbox, self.sender, log, lane=lane, follow_up=self.follow_up, publish=self.publish,
            clock=self.clock, link=self.config.link, **settings,
        )  # fmt: skip

    def configure(self, config: Config) -> None:
        """Go by another config from now on."""
        self.config = config
        self.sender.configure(config)

    async def _store(self, entry: Entry, handover: _Handover) -> None:
        window = self._window(entry)
        try:
            # Where it was away a moment ago nobody waits to hear that it is: the lane finds out when it is back.
            limit = self.config.patience if self.trouble else _STORE_LIMIT
            with anyio.move_on_after(limit) as late:
                handover.added = await self.outbox.add(entry, window=window)
            if late.cancelled_caught:
                self._is_away(f"did not answer within {limit:g} s")
        except OutboxError as exc:
            self._is_away(str(exc))
        finally:
            self._waiting -= 1
            if not self._waiting:
                self._idle.set()
        if handover.added is None:
            await self._keep(entry)
        else:
            self.is_back()
        handover.done.set()

    async def _keep(self, entry: Entry) -> None:
        try:
            await self.lane.add(entry, window=self._window(entry))
        except OutboxError:
            self._log.critical("nothing more fits into memory: notification %s is lost", entry.key)

    def _window(self, entry: Entry) -> float:
        # What is critical is told each time.
        return 0.0 if entry.notification.severity == "critical" else self.config.window

    def is_back(self) -> None:
        """Take down that the outbox can be used."""
        if self.trouble:
            self.trouble = ""
            self._log.info("the outbox can be used again")

    def _is_away(self, why: str) -> None:
        if not self.trouble:
            self._log.error("the outbox can't be used, and notifications go out from memory: %s", why)
        self.trouble = why

    def _tell(self, entry: Entry, how: How) -> None:
        about = entry.notification
        self.publish(NotificationAcknowledged(entry.key, about.topic, about.severity, how, about.owner))

    def publish(self, event: Event) -> None:
        """Tell of it; whoever hears it stops nothing."""
        try:
            self._publish(event)
        except BaseException as exc:  # noqa: BLE001 - `as_failure` raises what must go on
            self._log.error("an event couldn't be published", exc_info=as_failure(exc))


NOTIFY = Service[Notifier]("notify")
"""To tell humans."""
