"""Answer what is asked by message: with what a handler returns, or with the reason why there is no answer."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Never

import msgspec

from .consume import Consumed, Reject, consume
from .guard import guard
from .model import Delivery, Message, Messages, SendResult
from .prepare import FORGOTTEN, shorten

FAILED = "messages.failed"
"""The type of an answer that is an error."""
_EXPIRED_TTL = 60.0
"""How long, in seconds, the answer to a question that died of age waits: whoever asked has mostly gone."""


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
    if not delivery.message.reply_to:
        raise ValueError(f"message {delivery.message.id} expects no answer")
    (result,) = await guard(messages).send(_answer(delivery.message, type, body, **fields))
    return result


def _answer(question: Message, type: str, body: Any, **fields: Any) -> Message:
    known = {
        "id": f"{question.id}/answer", "correlation_id": question.id, "owner": question.owner,
        "priority": question.priority, "sender": question.queue, "ttl": question.ttl,
    }  # fmt: skip
    return Message.to(question.reply_to, type, body, **(known | fields))


async def respond_error(
    messages: Messages, delivery: Delivery, reason: str, *, retryable: bool = False
) -> SendResult:  # fmt: skip
    """Answer a question with an error, which `Requests.ask` raises as an `AnswerError`.

    The reason, of which 500 characters are kept, is shown to whoever asked: never put in it what a person wrote.
    """
    return await respond(messages, delivery, FAILED, Failure(shorten(reason), retryable))


def bounced(question: Message, reason: str, error: str) -> Message | None:
    """Return the error answer to a question that is dead, with why (see `DeadLetter`); None where nobody asked.

    A question that was deleted with its person is answered, too: with ``forgotten``, and that is nobody's message.

    A backend sends it as soon as it sees a message die, whatever that died of, and without holding up whoever it
    works for. It has the id of any answer to that question: so an answer which came before is the one that counts.
    """
    if not question.reply_to:
        return None
    # Where the time of the question is over, who hasn't gone doesn't wait for long.
    ttl = _EXPIRED_TTL if reason == "expired" else question.ttl
    failure = Failure(shorten(error or reason), retryable=reason not in ("rejected", FORGOTTEN))
    # It says nothing of the person who was forgotten: as theirs it would be deleted before it is heard.
    owner = "" if reason == FORGOTTEN else question.owner
    return _answer(question, FAILED, failure, ttl=ttl, owner=owner)


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

    messages = guard(messages)

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

    await consume(
        messages, queue, handle, limit=limit, concurrency=concurrency, time_limit=time_limit, visibility=visibility,
        wait=wait, grace=grace, consumed=consumed,
    )  # fmt: skip


class AnswerUnsent(Exception):
    """An answer found no room in the queue of whoever asked; the question is tried again."""
