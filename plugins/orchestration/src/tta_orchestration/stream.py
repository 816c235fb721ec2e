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
"""Seconds for a reader that has yet to take what was told, where the system stops."""


class Stream:
    """The released pieces of a turn, and then its response; or what the turn raised, told once.

    The turn doesn't depend on its reader: whoever stalls, or leaves, misses only what is left of it.

    The turn is told in a task of its own, so that any task may read a piece, and any may close the stream. What was
    released waits here until it is read: no agent's time is spent on a reader, and the story, which is kept whole
    anyway, is all that can wait. ``limit`` is how many seconds the reader may take for a piece.
    """

    def __init__(self, limit: float, log: Logger) -> None:
        self._limit, self._log = limit, log
        # The turn never waits to send; it waits for its reader at the end, in `taken`.
        self._send, self._receive = anyio.create_memory_object_stream[str](math.inf)
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
        """Play the turn to its end; its reader hears of whatever it raises."""
        try:
            try:
                self._response = await play()
            except BaseException as exc:  # noqa: BLE001 - its reader raises it, where the pieces end
                # asyncio would let an interrupt out of the event loop at once; so it is the reader's.
                self._error = exc if is_interrupt(exc) else as_failure(exc)
            self._ended.set()
            await self._taken()
        except anyio.get_cancelled_exc_class():
            self._error = NotRunning(
                "the system has stopped while this turn was told; whoever plays on goes on with it"
            )
            raise
        finally:
            self._send.close()
            self._ended.set()

    async def ended(self) -> None:
        """Wait until the turn is over."""
        await self._ended.wait()

    async def send(self, text: str) -> None:
        """Release a text, and let its reader have a turn."""
        try:
            self._send.send_nowait(text)
        except anyio.BrokenResourceError:
            return  # Its reader has left.
        await anyio.lowlevel.checkpoint()

    async def _taken(self) -> None:
        """Wait until the reader has taken everything, or has left; one that takes nothing for too long hears of it."""
        while (waits := self._send.statistics()).current_buffer_used and waits.open_receive_streams:
            self._moved = anyio.Event()
            limit = PARTING if self._stopping else self._limit
            with anyio.move_on_after(limit):
                await self._moved.wait()
            if self._moved.is_set():
                continue
            if self._stopping:
                return
            why = f"nothing was read for {limit:g} s, so there is no more of this turn; it was kept"
            self._log.warning("the reader of a turn has stalled: %s", why)
            self._error, self._response = ReadTimeout(why), None
            return

    def hurry(self) -> None:
        """Let the reader have no more time than a stop has."""
        self._stopping = True
        self._moved.set()

    def close(self) -> None:
        """Read no more of the turn, which goes on."""
        self._receive.close()
        self._moved.set()

    def raise_failure(self) -> None:
        """Raise what the turn has raised, once."""
        error, self._error = self._error, None
        if error is not None:
            raise error
