"""Ask by message and wait for the answer: the enclosing cancel scope's deadline travels with the question."""

from __future__ import annotations

import itertools
import os
from typing import Any, Never

import anyio
import msgspec

from .consume import consume
from .model import Delivery, Message, Messages, MessagesError, SendResult

_WITHDRAW = 1.0


class Unsent(Exception):
    """A question was not stored: ``result`` says why."""

    def __init__(self, result: SendResult) -> None:
        super().__init__(f"{result.error}: {result.detail}")
        self.result = result


class Asked(msgspec.Struct):
    """What has become of questions so far; ``late`` answers came when nobody waited any more."""

    asked: int = 0
    answered: int = 0
    unanswered: int = 0
    late: int = 0


class _Question:
    def __init__(self) -> None:
        self.answered = anyio.Event()
        self.answer: Message | None = None


class Requests:
    """Questions of one process, whose answers come to ``queue``, which is this object's alone.

    `run` must run meanwhile: ``ctx.start_soon(requests.run)``. At most ``limit`` questions are open;
    who asks one more waits. ``timeout``, in seconds, is for those who set no deadline.
    """

    def __init__(self, messages: Messages, queue: str, *, timeout: float = 30.0, limit: int = 1000) -> None:
        self.counts = Asked()
        self._messages, self._queue, self._timeout = messages, queue, timeout
        self._open: dict[str, _Question] = {}
        self._slots = anyio.Semaphore(limit)
        self._prefix, self._count = os.urandom(8).hex(), itertools.count(1)

    async def run(self) -> Never:
        """Take answers until cancelled."""
        await consume(self._messages, self._queue, self._take, limit=100)

    async def _take(self, delivery: Delivery) -> None:
        question = self._open.get(delivery.message.correlation_id)
        if question is None or question.answer is not None:
            self.counts.late += 1
            return
        question.answer = delivery.message
        question.answered.set()

    async def ask(self, message: Message) -> Message:
        """Send a question, and return the answer to it.

        It lives as long as the enclosing cancel scope, and is withdrawn when that ends before the
        answer comes. Raises `Unsent` where it is refused, and TimeoutError after the ``timeout``.
        """
        async with self._slots:
            left = min(self._timeout, anyio.current_effective_deadline() - anyio.current_time())
            if message.ttl is not None:
                left = min(left, message.ttl)
            id = message.id or f"{self._prefix}-{os.getpid():x}-q{next(self._count):x}"
            sent = msgspec.structs.replace(message, id=id, reply_to=self._queue, ttl=left)
            self._open[id] = question = _Question()
            try:
                with anyio.fail_after(self._timeout):
                    self.counts.asked += 1
                    (result,) = await self._messages.send(sent)
                    if not result.delivered:
                        raise Unsent(result)
                    await question.answered.wait()
            finally:
                del self._open[id]
                if question.answer is None:
                    self.counts.unanswered += 1
                    await self._withdraw(sent)
            assert question.answer is not None
            self.counts.answered += 1
            return question.answer

    async def _withdraw(self, message: Message) -> None:
        """Take a question back that nobody has begun with, so that it is no dead letter later."""
        with anyio.move_on_after(_WITHDRAW, shield=True):
            try:
                await self._messages.cancel(message.queue, message.id)
            except (MessagesError, ValueError):
                return  # Its time to live is over anyway; an address that is none was refused already.


async def respond(messages: Messages, delivery: Delivery, type: str, body: Any, **fields: Any) -> SendResult:
    """Answer a question: to its ``reply_to``, with its id as ``correlation_id``, its owner and its priority.

    The answer's id follows from the question's, so that whoever answers twice is heard once. A
    ValueError, where no answer is expected.
    """
    question = delivery.message
    if not question.reply_to:
        raise ValueError(f"message {question.id} expects no answer")
    known = {
        "id": f"{question.id}/answer", "correlation_id": question.id, "owner": question.owner,
        "priority": question.priority, "sender": question.queue,
    }  # fmt: skip
    (result,) = await messages.send(Message.to(question.reply_to, type, body, **(known | fields)))
    return result
