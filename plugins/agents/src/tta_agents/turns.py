"""One task at a time for each key, in the order in which they came."""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable

import anyio


class Turns:
    """Keys that somebody has, and who waits for them.

    A lock of anyio's for each key would do the same, but makes a cancel scope, too: half of what a call costs.
    """

    def __init__(self) -> None:
        self._waiting: dict[Hashable, deque[anyio.Event]] = {}

    async def take(self, key: Hashable) -> None:
        """Return once ``key`` is the caller's, until it is passed on; others have had a turn meanwhile in any case."""
        await anyio.lowlevel.checkpoint()
        waiting = self._waiting.get(key)
        if waiting is None:
            self._waiting[key] = deque()
            return
        turn = anyio.Event()
        waiting.append(turn)
        try:
            await turn.wait()
        except BaseException:
            if turn.is_set():  # It has come in the same moment, and nobody else would pass it on.
                self.pass_on(key)
            else:
                waiting.remove(turn)
            raise

    def pass_on(self, key: Hashable) -> None:
        """Let the next have ``key``."""
        if waiting := self._waiting[key]:
            waiting.popleft().set()
        else:
            del self._waiting[key]
