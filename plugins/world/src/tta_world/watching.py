"""Who waits for changes of a world, in this process."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterator
from contextlib import aclosing, asynccontextmanager, contextmanager

import anyio

from tta_kernel import check_count

from .store import Head, WorldRefused


class Subscribers:
    """At most ``limit`` of them. Nothing is kept for a slow one: it asks for the latest version when it comes back."""

    def __init__(self, limit: int) -> None:
        check_count("subscribers", limit)
        self._limit = limit
        self._waiting: dict[str, set[anyio.Event]] = {}
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def tell(self, session: str) -> None:
        """Let whoever waits for a world look again."""
        for event in self._waiting.pop(session, ()):
            event.set()

    def tell_all(self) -> None:
        """Let everybody look again."""
        for session in list(self._waiting):
            self.tell(session)

    @asynccontextmanager
    async def subscribe(
        self, session: str, head: Callable[[str], Awaitable[Head | None]], *, poll: float | None = None
    ) -> AsyncIterator[AsyncIterator[Head]]:  # fmt: skip
        """Iterate over versions later than now; without news, ask for the ``head`` every ``poll`` seconds."""
        with self._counted():
            async with aclosing(self._heads(session, await head(session), head, poll)) as heads:
                yield heads

    @contextmanager
    def _counted(self) -> Iterator[None]:
        if self._count >= self._limit:
            raise WorldRefused(f"{self._limit} wait for changes of worlds, and no more may; see subscribers")
        self._count += 1
        try:
            yield
        finally:
            self._count -= 1

    async def _heads(
        self, session: str, last: Head | None, head: Callable[[str], Awaitable[Head | None]], poll: float | None
    ) -> AsyncGenerator[Head, None]:  # fmt: skip
        while True:
            # Before it is asked: what changes meanwhile isn't missed.
            event = anyio.Event()
            waiting = self._waiting.setdefault(session, set())
            waiting.add(event)
            try:
                now = await head(session)
                if _is_news(last, now):
                    yield now or Head(session, 0)
                    last = now
                    continue
                with anyio.move_on_after(poll):
                    await event.wait()
            finally:
                waiting.discard(event)
                if not waiting and self._waiting.get(session) is waiting:
                    del self._waiting[session]


def _is_news(last: Head | None, now: Head | None) -> bool:
    if last is None or now is None:
        return last is not now
    return (last.version, last.digest) != (now.version, now.digest)
