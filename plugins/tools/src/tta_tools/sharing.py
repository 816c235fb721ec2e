"""Calls that are made once however many want the same at once."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar, cast

import anyio

from .model import ToolError

T = TypeVar("T")


class _Call(Generic[T]):
    def __init__(self) -> None:
        self.over = anyio.Event()
        self.answer: T | None = None
        self.error: ToolError | None = None
        self.answered = False


class Shared(Generic[T]):
    """Calls under way, by what they are about; whoever comes meanwhile gets the same answer, or the same `ToolError`.

    Where the one that makes it is cancelled, or fails otherwise, one of the others makes it anew.
    """

    def __init__(self) -> None:
        self._calls: dict[object, _Call[T]] = {}

    def __len__(self) -> int:
        """Count the calls under way."""
        return len(self._calls)

    async def call(self, key: object, make: Callable[[], Awaitable[T]]) -> tuple[T, bool]:
        """Return the answer, and whether it is that of a call that somebody else has made."""
        while True:
            call = self._calls.get(key)
            if call is None:
                return await self._make(key, make), False
            await call.over.wait()
            if call.error is not None:
                # Each raises its own: an exception that is raised twice has two tracebacks in one.
                raise call.error.again()
            if call.answered:
                return cast(T, call.answer), True

    async def _make(self, key: object, make: Callable[[], Awaitable[T]]) -> T:
        call = self._calls[key] = _Call[T]()
        try:
            call.answer = await make()
            call.answered = True
        except ToolError as exc:
            call.error = exc
            raise
        finally:
            del self._calls[key]
            call.over.set()
        return call.answer
