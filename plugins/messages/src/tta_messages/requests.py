"""Ask by message and wait for the answer: the enclosing cancel scope's deadline travels with the question."""

from __future__ import annotations

import itertools
import logging
import math
import os
from collections.abc import Sequence
from typing import Never

import anyio
import msgspec

from tta_kernel import check_count, check_duration
from tta_kernel.errors import overdue

from .answers import FAILED, Failure
from .guard import guard
from .model import MANY, Delivery, Message, Messages, MessagesError, SendResult
from .replies import SHUTDOWN_TIMEOUT, ReplyQueue

log = logging.getLogger("tta.messages")
_WITHDRAWAL_TIMEOUT = 1.0
_SLACK = 0.25
"""How much longer than its asker waits a question lives, in seconds, so that it is withdrawn and doesn't die of age."""


class Unsent(Exception):
    """A question was not stored: ``result`` says why."""

    def __init__(self, result: SendResult) -> None:
        super().__init__(f"{result.error}: {result.detail}")
        self.result = result


class AnswerError(Exception):
    """The answer is an error: ``reason`` says which, and ``retryable`` whether to ask again may help.

    The reason is that of a `Reject`, or of `respond_error`; where all attempts to answer failed, it is what
    the last one raised, by name, or ``timeout``.
    """

    def __init__(self, reason: str, *, retryable: bool = False) -> None:
        super().__init__(reason)
        self.reason, self.retryable = reason, retryable


class Asked(msgspec.Struct):
    """What has become of questions so far; ``late`` answers came when nobody waited any more.

    ``failed``: the answer was an error.
    """

    asked: int = 0
    answered: int = 0
    failed: int = 0
    unanswered: int = 0
    late: int = 0


class _Question:
    def __init__(self) -> None:
        self.answered = anyio.Event()
        self.answer: Message | None = None


class Requests:
    """Questions of one process, whose answers come to ``queue``: this object's alone, below ``name``.

    `run` must run meanwhile: ``ctx.start_soon(requests.run)``. At most ``limit`` questions are open;
    who asks one more waits. ``timeout``, in seconds, is for those who set no deadline.
    """

    def __init__(self, messages: Messages, name: str, *, timeout: float = 30.0, limit: int = 1000) -> None:
        check_duration("timeout", timeout, positive=True)
        check_count("limit", limit, most=MANY)
        self.counts = Asked()
        self._messages, self._timeout = guard(messages), timeout
        self._open: dict[str, _Question] = {}
        self._slots = anyio.Semaphore(limit)
        self._prefix, self._count = f"{os.urandom(8).hex()}-{os.getpid():x}", itertools.count(1)
        self._replies = ReplyQueue(self._messages, f"{name}/{self._prefix}")
        self.queue = self._replies.name

    async def run(self) -> Never:
        """Take answers until cancelled; then the queue ends."""
        try:
            await self._replies.read(self._take)
        finally:
            with anyio.move_on_after(SHUTDOWN_TIMEOUT, shield=True):
                try:
                    await self._replies.close()
                except MessagesError as exc:
                    log.warning("queue %s is left to its time to live: %s", self.queue, exc)

    async def _take(self, deliveries: Sequence[Delivery]) -> None:
        for delivery in deliveries:
            question = self._open.get(delivery.message.correlation_id)
            if question is None or question.answer is not None:
                self.counts.late += 1
                continue
            question.answer = delivery.message
            question.answered.set()

    async def ask(self, message: Message) -> Message:
        """Send a question, and return the answer to it.

        It lives as long as the enclosing cancel scope, its ``ttl`` and the ``timeout`` let it, and is withdrawn when
        it is over before the answer comes. Raises `Unsent` where it is refused, `AnswerError` where the answer is an
        error, TimeoutError where none came within ``ttl`` and ``timeout``, and `MessagesError`; a ``ttl`` that is no
        time is a ValueError.
        """
        if message.ttl is not None:
            check_duration("ttl", message.ttl)
        async with self._slots:
            limit = min(self._timeout, math.inf if message.ttl is None else message.ttl)
            left = min(limit, anyio.current_effective_deadline() - anyio.current_time())
            id = message.id or f"{self._prefix}-q{next(self._count):x}"
            sent = msgspec.structs.replace(message, id=id, reply_to=self.queue, ttl=left + _SLACK)
            self._open[id] = question = _Question()
            try:
                with anyio.move_on_after(limit):
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
        if question.answer is None:
            raise overdue(f"no answer came from queue {message.queue!r} within {limit:g} s", limit)
        if question.answer.type == FAILED:
            self.counts.failed += 1
            raise _error(question.answer)
        self.counts.answered += 1
        return question.answer

    async def _withdraw(self, message: Message) -> None:
        """Take a question back that nobody has begun with, so that it is no dead letter later."""
        with anyio.move_on_after(_WITHDRAWAL_TIMEOUT, shield=True):
            try:
                await self._messages.cancel(message.queue, message.id)
            except (MessagesError, ValueError):
                return  # Its time to live is over anyway; an address that is none was refused already.


def _error(answer: Message) -> AnswerError:
    try:
        failure = answer.decode(Failure)
    except (msgspec.DecodeError, RecursionError):
        return AnswerError("an error that can't be read")
    return AnswerError(failure.reason, retryable=failure.retryable)
