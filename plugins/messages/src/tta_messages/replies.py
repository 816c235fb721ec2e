"""The queue of a process's own in which it hears what others answer."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Never

from .guard import guard
from .leases import LeaseKeeper
from .model import Delivery, Messages, QueueSettings
from .prepare import check_queue

REPLY_SETTINGS = QueueSettings(retries=1, ttl=600.0, visibility=60.0, dead_limit=0, dead_ttl=60.0, audit_limit=100)
"""How replies wait: once their reader has gone they are worth nothing, so none is kept as a dead letter."""
SHUTDOWN_TIMEOUT = 2.0
"""How long, in seconds, each thing that a process does while it stops may take, such as ending its queue."""
_WAIT = 5.0  # in a receive; cancelling it is quicker
_AT_ONCE = 100
_log = logging.getLogger("tta.messages")


class ReplyQueue:
    """A queue that is there for as long as it is read, and is left behind empty."""

    def __init__(self, messages: Messages, name: str, *, log: logging.Logger = _log) -> None:
        self.name, self._messages = check_queue(name), guard(messages)
        self._leases = LeaseKeeper(self._messages, name, settings=REPLY_SETTINGS, log=log)

    async def read(self, take: Callable[[Sequence[Delivery]], Awaitable[None]]) -> Never:
        """Let ``take`` have what arrives, until cancelled.

        It must be quick, since nothing is extended meanwhile, and what it has returned from is done.
        """
        while True:
            if held := await self._leases.receive(limit=_AT_ONCE, wait=_WAIT):
                await take(held)
                self._leases.done(held)

    async def close(self) -> None:
        """End the queue, whatever is in it; raises `MessagesError`, and then it ends by its time to live."""
        await self._leases.close()
        await self._messages.purge(self.name)
        await self._messages.drop(self.name)
        # For a while, so that what is on its way still is treated as the others.
        await self._messages.configure(self.name, REPLY_SETTINGS)
