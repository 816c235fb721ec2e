"""Answer what is asked by message: with what a handler returns, or with the reason why there is no answer."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Never, cast

import msgspec

from .consume import Consumed, Reject, consume
from .model import Delivery, Message, Messages, SendResult, Settled
from .prepare import shorten

FAILED = "messages.failed"
"""The type of an answer that is an error."""


class Failure(msgspec.Struct, frozen=True):
    """What an error answer says; ``retryable``: the same question may well be answered another time."""

    reason: str
    retryable: bool = False
    version: int = 1


async def respond(messages: Messages, delivery: Delivery, type: str, body: Any, **fields: Any) -> SendResult:
    """Answer a question: to its ``reply_to``, with its id as ``correlation_id``, its owner, priority and time to live.

    The answer's id follows from the question's, so that whoever answers twice is heard once. A
    ValueError, where no answer is expected.
    """
    question = delivery.message
    if not question.reply_to:
        raise ValueError(f"message {question.id} expects no answer")
    known = {
        "id": f"{question.id}/answer", "correlation_id": question.id, "owner": question.owner,
        "priority": question.priority, "sender": question.queue, "ttl": question.ttl,
    }  # fmt: skip
    (result,) = await messages.send(Message.to(question.reply_to, type, body, **(known | fields)))
    return result


async def respond_error(
    messages: Messages, delivery: Delivery, reason: str, *, retryable: bool = False
) -> SendResult:  # fmt: skip
    """Answer a question with an error, which `Requests.ask` raises as an `AnswerError`.

    The reason, of which 500 characters are kept, is shown to whoever asked: never put in it what a person wrote.
    """
    return await respond(messages, delivery, FAILED, Failure(shorten(reason), retryable))


async def answer(
    messages: Messages,
    queue: str,
    handler: Callable[[Delivery], Awaitable[tuple[str, Any]]],
    *,
    limit: int = 10,
    concurrency: int = 1,
    time_limit: float = 30.0,
    visibility: float | None = None,
    wait: float = 5.0,
    grace: float = 5.0,
    consumed: Consumed | None = None,
) -> Never:
    """Answer a queue's questions until cancelled, each with the type and the body that the handler returns.

    One that raises `Reject` answers with that as an error, and is done. Otherwise it is as with `consume`:
    one that raises or takes too long has failed, and is tried again; when there is no attempt left, or it would
    come too late, the question is a dead letter, and whoever asked hears the error. An answer that can't be sent
    for what it is, such as ``too_large``, is an error, too. What expects no answer is handled, and not answered.
    """

    async def handle(delivery: Delivery) -> None:
        asked = bool(delivery.message.reply_to)
        try:
            type, body = await handler(delivery)
        except Reject as exc:
            if not asked:
                raise
            result = await respond_error(messages, delivery, exc.reason)
        else:
            if not asked:
                return
            result = await respond(messages, delivery, type, body)
        if not result.delivered:
            if result.error == "queue_full":
                raise AnswerUnsent
            if result.error != "expired":  # Then nobody waits for it.
                raise Reject(f"its answer is {result.error}")

    telling = cast(Messages, _Telling(messages))
    await consume(
        telling, queue, handle, limit=limit, concurrency=concurrency, time_limit=time_limit, visibility=visibility,
        wait=wait, grace=grace, consumed=consumed,
    )  # fmt: skip


class AnswerUnsent(Exception):
    """An answer found no room in the queue of whoever asked; the question is tried again."""


class _Telling:
    """Messages, but that whoever asks hears when his question has died."""

    def __init__(self, messages: Messages) -> None:
        self._messages = messages

    def __getattr__(self, name: str) -> Any:
        return getattr(self._messages, name)

    async def nack(
        self, delivery: Delivery, *, error: str = "", permanent: bool = False, delay: float | None = None
    ) -> Settled:
        settled = await self._messages.nack(delivery, error=error, permanent=permanent, delay=delay)
        if settled is Settled.DEAD and delivery.message.reply_to:
            await respond_error(self._messages, delivery, error, retryable=not permanent)
        return settled
