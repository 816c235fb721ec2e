"""The pieces of a run's texts, live and from its journal alike: what a reader gets is what is stored."""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

import anyio

from .records import AnyRecord, Degraded, Piece, Skipped, Started
from .runs import Retracted, Streamed
from .state import State

More = Callable[[int], Awaitable[Sequence[AnyRecord]]]
"""Returns the records after the first so many, once there are any; none where there will be none."""


class Window:
    """Lets whoever streams be ahead of its readers by so many records, and no more; without readers it is open."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._readers: list[PieceReader] = []
        self._moved: anyio.Event | None = None

    async def wait(self, position: int) -> None:
        """Wait until no reader is further behind ``position`` than the window is wide."""
        while any(position - reader.position > self._size for reader in self._readers):
            self._moved = self._moved or anyio.Event()
            await self._moved.wait()

    def move(self) -> None:
        """Let whoever waits look again, since a reader has read on, or has left."""
        if self._moved is not None:
            self._moved.set()
            self._moved = None

    def add(self, reader: PieceReader) -> None:
        self._readers.append(reader)

    def remove(self, reader: PieceReader) -> None:
        self._readers.remove(reader)
        self.move()


class PieceReader:
    """Iterates over the pieces after a position; ``position`` is how many records it is done with."""

    def __init__(self, more: More, after: int, moved: Callable[[], None]) -> None:
        self._more, self._after, self._moved = more, after, moved
        self._state = State()
        self._ready: deque[Streamed | Retracted] = deque()
        self._read = 0
        self.position = 0

    def __aiter__(self) -> AsyncIterator[Streamed | Retracted]:
        return self

    async def __anext__(self) -> Streamed | Retracted:
        while not self._ready:
            self.position = self._read
            self._moved()
            records = await self._more(self._read)
            if not records:
                raise StopAsyncIteration
            for record in records:
                self._read += 1
                item = self._translate(record)
                self._state.advance(record)
                if item is not None and item.position > self._after:
                    self._ready.append(item)
        item = self._ready.popleft()
        self.position = item.position
        return item

    def _translate(self, record: AnyRecord) -> Streamed | Retracted | None:
        if isinstance(record, Piece):
            if record.attempt != self._state.step(record.step).attempt:
                return None
            return Streamed(record.step, record.attempt, record.number, record.text, self._read)
        if not isinstance(record, Started | Degraded | Skipped):
            return None
        step = self._state.steps.get(record.step)
        # What a person was told stands, whatever its step came to.
        if step is None or not step.text or step.released:
            return None
        return Retracted(record.step, step.attempt, self._read)
