"""A turn while it is told: what was released and not read yet, and how long its reader may take."""

from __future__ import annotations

import math
from collections.abc import AsyncIterator, Awaitable, Callable
from logging import Logger

import anyio
import anyio.lowlevel

from tta_kernel import as_failure
from tta_kernel.isolation import is_interrupt

from .model import NotRunning, OrchestrationResponse, ReadTimeout

PARTING = 1.0
"""Seconds for what is left of a turn, where the system stops or its reader leaves."""


class Stream:
    """The released pieces of a turn, and then its response; or what the turn raised, told once.

    The turn is told in a task of its own, so that any task may read a piece, and any may close the stream. What was
    released waits here until it is read: no agent's time is spent on a reader, and the story, which is kept whole
    anyway, is all that can wait. ``limit`` is how many seconds the reader may take for a piece.
    """

    def __init__(self, limit: float, log: Logger) -> None:
        self._limit, self._log = limit, log
        # The turn never waits to send; it waits for its reader at the end, in `taken`.
        self._send, self._receive = anyio.create_memory_object_stream[str](math.inf)
        self._scope = anyio.CancelScope()
        self._moved = anyio.Event()
        self._ended = anyio.Event()
        self._stopping = False
        self._response: OrchestrationResponse | None = None
        self._error: BaseException | None = None

    @property
    def response(self) -> OrchestrationResponse:
        self.raise_failure()
        if self._response is None:
            raise RuntimeError("the turn isn't over; read its pieces to the end first")
        return self._response

    def __aiter__(self) -> AsyncIterator[str]:
        return self

    async def __anext__(self) -> str:
        try:
            piece = await self._receive.receive()
        except (anyio.EndOfStream, anyio.ClosedResourceError):
            self.raise_failure()
            raise StopAsyncIteration from None
        self._moved.set()
        return piece

    async def run(self, play: Callable[[], Awaitable[OrchestrationResponse]]) -> None:
        """Play the turn until it ends or its reader leaves, who hears of whatever it raises."""
        try:
            with self._scope:
                try:
                    self._response = await play()
                except BaseException as exc:  # noqa: BLE001 - its reader raises it, where the pieces end
                    # asyncio would let an interrupt out of the event loop at once; so it is the reader's.
                    self._error = exc if is_interrupt(exc) else as_failure(exc)
        except anyio.get_cancelled_exc_class():
            self._error = NotRunning("the system has stopped while this turn was told; it was not kept")
            raise
        finally:
            self._send.close()
            self._ended.set()

    async def send(self, text: str) -> None:
        """Release a text, and let its reader have a turn."""
        self._send.send_nowait(text)
        await anyio.lowlevel.checkpoint()

    async def taken(self) -> None:
        """Wait until the reader has taken everything; raise `ReadTimeout` where it takes nothing any more."""
        while self._send.statistics().current_buffer_used:
            self._moved = anyio.Event()
            limit = PARTING if self._stopping else self._limit
            with anyio.move_on_after(limit):
                await self._moved.wait()
            if self._moved.is_set():
                continue
            if self._stopping:
                raise NotRunning("the system has stopped while this turn was read; it was not kept")
            why = f"nothing was read for {limit:g} s, so this turn was given up; it was not kept"
            self._log.warning("the reader of a turn has stalled: %s", why)
            raise ReadTimeout(why)

    def hurry(self) -> None:
        """Let the reader have no more time than a stop has."""
        self._stopping = True
        self._moved.set()

    async def close(self) -> None:
        """Give the turn up, if it isn't over, and wait for its end, though not for ever."""
        self._scope.cancel()
        self._receive.close()
        with anyio.move_on_after(PARTING, shield=True):
            await self._ended.wait()

    def raise_failure(self) -> None:
        """Raise what the turn has raised, once."""
        error, self._error = self._error, None
        if error is not None:
            raise error
