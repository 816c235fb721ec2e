"""What goes on beside the agents' work: calls are accepted, extended and acknowledged, many at once and not at once."""

from __future__ import annotations

import math
from collections.abc import Iterator
from logging import Logger

import anyio

from tta_messages import Delivery, Messages, MessagesError

from .outbox import PAUSE
from .serving import Serving


class Care:
    """Looks after what is held, for as long as `run` runs; each call is held for ``visibility`` seconds anew.

    What is done is acknowledged by the next receive, or here a moment later: should the process
    die in between, the call comes once more, and its kept reply answers it.
    """

    def __init__(self, messages: Messages, log: Logger, visibility: float) -> None:
        self._messages, self._log, self._visibility = messages, log, visibility
        self._servings: set[Serving] = set()
        self._done: dict[str, list[Delivery]] = {}
        self._stirred = anyio.Event()

    def __iter__(self) -> Iterator[Serving]:
        return iter(tuple(self._servings))

    def add(self, serving: Serving) -> None:
        """Look after a call from now on."""
        now = anyio.current_time()
        serving.held_until, serving.extend_at = now + self._visibility, now + self._visibility / 3
        serving.tell_at = now + PAUSE
        self._servings.add(serving)
        self._stirred.set()

    def remove(self, serving: Serving) -> None:
        """Look after it no longer."""
        self._servings.discard(serving)

    def done(self, delivery: Delivery) -> None:
        """Acknowledge it soon."""
        self._done.setdefault(delivery.message.queue, []).append(delivery)
        self._stirred.set()

    def take_done(self, queue: str) -> list[Delivery]:
        """Leave it to the caller to acknowledge what is done of a queue, or to give it back with `done`."""
        return self._done.pop(queue, [])

    async def run(self) -> None:
        """Look after all, until cancelled."""
        async with anyio.create_task_group() as tasks:
            while True:
                if not self._done and not any(serving.accepted for serving in self._servings):
                    soonest = min((each.extend_at for each in self._servings), default=math.inf)
                    self._stirred = anyio.Event()
                    with anyio.move_on_after(max(soonest - anyio.current_time(), 0.0)):
                        await self._stirred.wait()
                await anyio.sleep(min(PAUSE, self._visibility / 10))
                now = anyio.current_time()
                for serving in self._servings:
                    if serving.accepted and serving.tell_at <= now:
                        tasks.start_soon(self._accept, serving)
                    if serving.extend_at <= now:
                        serving.extend_at = now + self._visibility / 3
                        tasks.start_soon(self._extend, serving)
                if self._done:
                    tasks.start_soon(self.acknowledge)

    async def acknowledge(self) -> None:
        """Acknowledge what is done, now."""
        done = [delivery for group in self._done.values() for delivery in group]
        self._done.clear()
        if not done:
            return
        try:
            await self._messages.ack(*done)
        except MessagesError as exc:
            self._log.warning("calls come once more, because their end could not be noted: %s", exc)
        except BaseException:
            for delivery in done:
                self.done(delivery)
            raise

    async def _accept(self, serving: Serving) -> None:
        accepted, serving.accepted = serving.accepted, None
        if accepted is not None and serving.outbox is not None:
            await serving.outbox.tell(accepted)

    async def _extend(self, serving: Serving) -> None:
        try:
            held = await self._messages.extend(serving.delivery, self._visibility)
            serving.held_until = anyio.current_time() + self._visibility if held else 0.0
        except MessagesError:
            held = anyio.current_time() < serving.held_until
        if not held and serving in self._servings:
            self._log.warning("a call is no longer held here, and its agent stops: it goes on elsewhere")
            serving.end("lost")
