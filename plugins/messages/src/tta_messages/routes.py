"""What is asked for over HTTP: queues, their dead letters, and letting these live again."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Annotated, TypeVar

import msgspec

from tta_http import CONFLICT, NOT_FOUND, UNAVAILABLE, Paged, Part, Principal, Route, cursor_after, part_of
from tta_kernel import Kernel, KernelError

from .guard import guard
from .model import MESSAGES, DeadLetter, Messages, MessagesError, QueueStats, Requeued

T = TypeVar("T")
Name = Annotated[str, msgspec.Meta(min_length=1, max_length=200)]
READ = "messages:read"


class QueueView(msgspec.Struct, frozen=True):
    """A queue, now and so far; ``oldest_dead_at`` is when its oldest dead letter died, in seconds since the epoch."""

    queue: str
    stats: QueueStats
    oldest_dead_at: float | None = None


class QueueList(Part[QueueView], frozen=True):
    """Queues, by name."""


class AskDead(Paged, frozen=True, forbid_unknown_fields=True):
    """Which dead letters, the oldest first; ``text`` asks for what is said of their errors, too."""

    queue: Name
    text: bool = False


class DeadView(msgspec.Struct, frozen=True):
    """A dead letter without what it says; its ``error``, which a receiver has worded, only with ``text``."""

    id: str
    reason: str
    attempts: int
    died_at: float
    type: str = ""
    sender: str = ""
    correlation_id: str = ""
    sent_at: float = 0.0
    size: int = 0
    error: str | None = None


class DeadList(Part[DeadView], frozen=True):
    """Dead letters of a queue, the oldest first."""


class RequeueDead(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which dead letters of a queue are to live again; without ``ids`` all of them."""

    queue: Name
    ids: Annotated[tuple[Name, ...], msgspec.Meta(max_length=1000)] = ()


class RequeueReport(msgspec.Struct, frozen=True):
    """How many live again, and what became of the others, by their ids."""

    requeued: int
    others: Mapping[str, str] = {}


def message_routes(kernel: Callable[[], Kernel]) -> Sequence[Route]:
    """Return the routes; ``kernel`` has the store, whichever plugin that is."""
    return _Routes(kernel).declared()


class _Routes:
    def __init__(self, kernel: Callable[[], Kernel]) -> None:
        self._kernel = kernel

    def declared(self) -> Sequence[Route]:
        return [
            Route(
                method="GET", path="/messages", permission=READ, request=Paged, response=QueueList,
                summary="Count what waits, is delayed, held and dead, in each queue.", handler=self.queues,
                example=QueueList([QueueView("agents.echo", QueueStats({"normal": 2}, sent=40, oldest_age=3.5))]),
            ),
            Route(
                method="GET", path="/messages/{queue}/dead", permission=READ, request=AskDead, response=DeadList,
                summary="List the dead letters of a queue, without what they say.", handler=self.dead,
                reveals="text", problems=(NOT_FOUND,),
                example=DeadList([DeadView("m-1", "retries", 5, 1_790_000_000.0, "agents.call", size=120)]),
            ),
            Route(
                method="POST", path="/messages/{queue}/requeue", permission="messages:requeue", request=RequeueDead,
                response=RequeueReport, summary="Let dead letters live again, with all their attempts.",
                handler=self.requeue, problems=(NOT_FOUND, CONFLICT), example=RequeueReport(3),
            ),
        ]  # fmt: skip

    def _messages(self) -> Messages:
        try:
            return guard(self._kernel().get(MESSAGES))
        except KernelError:
            raise UNAVAILABLE("nothing that carries messages runs here") from None

    async def queues(self, request: Paged, principal: Principal) -> QueueList:
        messages = self._messages()
        stats = await _told(messages.stats())
        names, cursor = part_of([*stats], request)
        shown = []
        for name in names:
            oldest = await _told(messages.dead(name, limit=1)) if stats[name].dead else ()
            shown.append(QueueView(name, stats[name], oldest[0].died_at if oldest else None))
        return QueueList(shown, cursor)

    async def dead(self, request: AskDead, principal: Principal) -> DeadList:
        messages = self._messages()
        await self._demand(messages, request.queue)
        letters = await _told(messages.dead(request.queue, limit=request.limit + 1, after=request.after))
        shown = letters[: request.limit]
        cursor = cursor_after(shown[-1].id) if len(letters) > len(shown) else None
        return DeadList([_view(letter, text=request.text) for letter in shown], cursor)

    async def requeue(self, request: RequeueDead, principal: Principal) -> RequeueReport:
        messages = self._messages()
        await self._demand(messages, request.queue)
        found = await _told(messages.requeue(request.queue, *request.ids))
        others = {id: str(became.value) for id, became in found.items() if became is not Requeued.REQUEUED}
        return RequeueReport(len(found) - len(others), others)

    async def _demand(self, messages: Messages, queue: str) -> None:
        if queue not in await _told(messages.stats()):
            raise NOT_FOUND("there is no such queue, or it has ended")


async def _told(asked: Awaitable[T]) -> T:
    """Return what a store answers; raises `HttpProblem` where it can't."""
    try:
        return await asked
    except MessagesError as exc:
        raise UNAVAILABLE(f"the store of messages can't be used: {exc}") from None
    except ValueError:
        raise NOT_FOUND("there is no such queue, or it has ended") from None


def _view(letter: DeadLetter, *, text: bool) -> DeadView:
    error = letter.error if text else None
    message = letter.message
    if message is None:
        return DeadView(letter.id, letter.reason, letter.attempts, letter.died_at, size=len(letter.raw), error=error)
    return DeadView(
        letter.id, letter.reason, letter.attempts, letter.died_at, message.type, message.sender,
        message.correlation_id, message.sent_at, len(bytes(message.body)), error,
    )  # fmt: skip
