"""A handler or a store that lets out what is no `Exception`: a failure, not the silent end of who called it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from functools import partial
from typing import Any

import anyio
import pytest

from tta_kernel.testing.strangers import LIMIT, Outcome, Stranger, strangers
from tta_messages import (
    AnswerError,
    Consumed,
    Delivery,
    Requests,
    answer,
    consume,
    consume_batches,
)
from tta_messages.memory import MemoryMessages
from tta_messages.testing import TYPES, Note, note, settings
from tta_messages.testing.common import LONG, until

CANCELLED = asyncio.CancelledError  # noqa: TID251 - what a stranger lets out, on whichever event loop
Handler = Callable[[Any], Awaitable[None]]
FOREIGN = pytest.mark.parametrize("kind", [CANCELLED, SystemExit, GeneratorExit])


@pytest.fixture
def memory() -> MemoryMessages:
    return MemoryMessages(settings(backoff_base=0.0, retries=1), TYPES)


@FOREIGN
@pytest.mark.parametrize("how", [{}, {"concurrency": 3}], ids=["one", "many"])
async def test_a_message_whose_handler_exits_or_is_cancelled_from_elsewhere_pays_an_attempt_and_dies(
    memory: MemoryMessages, kind: type[BaseException], how: dict[str, Any]
) -> None:
    async def handler(delivery: Delivery) -> None:
        if delivery.message.id == "poison":
            raise kind
        after.set()

    after, consumed = anyio.Event(), Consumed()
    with anyio.fail_after(LONG):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(lambda: consume(memory, "q", handler, consumed=consumed, **how))
            await memory.send(note(id="poison"))
            letters = await until(lambda: memory.dead("q"))
            await memory.send(note(id="well"))
            await after.wait()
            tasks.cancel_scope.cancel()
    assert [(d.reason, d.error, d.attempts) for d in letters] == [("retries", kind.__name__, 2)]
    assert consumed.failed == 2


@FOREIGN
async def test_a_batch_whose_handler_exits_or_is_cancelled_from_elsewhere_has_failed(
    memory: MemoryMessages, kind: type[BaseException]
) -> None:
    async def handler(deliveries: Sequence[Delivery]) -> None:
        raise kind

    with anyio.fail_after(LONG):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(consume_batches, memory, "q", handler)
            await memory.send(note(id="a"))
            letters = await until(lambda: memory.dead("q"))
            tasks.cancel_scope.cancel()
    assert [(d.error, d.attempts) for d in letters] == [(kind.__name__, 2)]


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_a_handler_that_awaits_a_cancelled_future_has_failed(memory: MemoryMessages) -> None:
    async def handler(delivery: Delivery) -> None:
        future: asyncio.Future[None] = asyncio.Future()
        future.cancel()
        await future

    with anyio.fail_after(LONG):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(consume, memory, "q", handler)
            await memory.send(note())
            letters = await until(lambda: memory.dead("q"))
            tasks.cancel_scope.cancel()
    assert [d.error for d in letters] == ["CancelledError"]


@FOREIGN
async def test_whoever_asked_hears_that_the_answer_was_cancelled_from_elsewhere(
    memory: MemoryMessages, kind: type[BaseException]
) -> None:
    async def handler(delivery: Delivery) -> tuple[str, Any]:
        raise kind

    requests = Requests(memory, "replies")
    with anyio.fail_after(LONG):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(requests.run)
            tasks.start_soon(answer, memory, "q", handler)
            with pytest.raises(AnswerError) as caught:
                await requests.ask(note())
            tasks.cancel_scope.cancel()
    assert (caught.value.reason, caught.value.retryable) == (kind.__name__, True)


async def test_an_interrupt_within_a_handler_is_no_failure_of_its_message(memory: MemoryMessages) -> None:
    async def handler(delivery: Delivery) -> None:
        raise KeyboardInterrupt

    await memory.send(note())
    with anyio.fail_after(LONG), pytest.raises(BaseExceptionGroup) as caught:
        await consume(memory, "q", handler)
    assert caught.group_contains(KeyboardInterrupt)
    stats = (await memory.stats("q"))["q"]
    assert (stats.retried, stats.dead, sum(stats.waiting.values())) == (0, 0, 1)


async def everything_is_settled(messages: MemoryMessages) -> bool:
    stats = (await messages.stats("q"))["q"]
    return not (stats.held or stats.delayed or sum(stats.waiting.values()))


async def consumes_what_is_odd(
    messages: MemoryMessages, stranger: Stranger, run: Callable[[Handler], Coroutine[Any, Any, None]]
) -> None:
    """Let a stranger handle one message; look what becomes of it, and that the next one is handled."""

    async def handler(given: Delivery | Sequence[Delivery]) -> None:
        [delivery] = given if isinstance(given, Sequence) else [given]
        if delivery.message.id == "odd":
            await stranger()
        else:
            after.set()

    after = anyio.Event()
    await messages.send(note(id="odd"), note(id="well"))
    with anyio.fail_after(LONG):
        if stranger.outcome is Outcome.STOP:
            with pytest.raises((KeyboardInterrupt, BaseExceptionGroup)):
                await run(handler)
            assert (await messages.stats("q"))["q"].held == 0
            return
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(run, handler)
            await after.wait()
            await until(lambda: everything_is_settled(messages))
            tasks.cancel_scope.cancel()
    dead = await messages.dead("q")
    if stranger.outcome is Outcome.FAILURE:
        assert [(letter.reason, letter.attempts) for letter in dead] == [("retries", 2)]
    if stranger.outcome is Outcome.TIME_LIMIT:
        assert [letter.error for letter in dead] in (["timeout"], [])  # It may end, late, after all.
    if stranger.outcome is Outcome.HARMLESS:
        assert not dead


@pytest.mark.boundary("tta_messages.consume.handler")
@pytest.mark.parametrize("stranger", strangers("async"), ids=str)
@pytest.mark.parametrize("concurrency", [1, 2])
async def test_whatever_a_handler_does_its_message_is_settled_and_the_next_is_handled(
    memory: MemoryMessages, stranger: Stranger, concurrency: int
) -> None:
    def run(handler: Handler) -> Coroutine[Any, Any, None]:
        return consume(memory, "q", handler, time_limit=LIMIT, wait=0.01, concurrency=concurrency)

    await consumes_what_is_odd(memory, stranger, run)


@pytest.mark.boundary("tta_messages.consume_batches.handler")
@pytest.mark.parametrize("stranger", strangers("async"), ids=str)
async def test_whatever_a_handler_of_batches_does_its_messages_are_settled_and_the_next_are_handled(
    memory: MemoryMessages, stranger: Stranger
) -> None:
    def run(handler: Handler) -> Coroutine[Any, Any, None]:
        return consume_batches(memory, "q", handler, time_limit=LIMIT, wait=0.01, limit=1)

    await consumes_what_is_odd(memory, stranger, run)


@pytest.mark.boundary("tta_messages.answer.handler")
@pytest.mark.parametrize(
    "stranger", strangers("async", returns=tuple[str, Any], answer=("test.note", Note("late"))), ids=str
)
async def test_whatever_answers_whoever_asked_hears_it_and_the_next_question_is_answered(
    memory: MemoryMessages, stranger: Stranger
) -> None:
    async def handler(delivery: Delivery) -> Any:
        return ("test.note", Note("well")) if delivery.message.decode(Note).text == "well" else await stranger()

    requests = Requests(memory, "replies")
    serve = partial(answer, memory, "q", handler, time_limit=LIMIT, wait=0.01)
    with anyio.fail_after(LONG):
        if stranger.outcome is Outcome.STOP:
            await memory.send(note("odd"))
            with pytest.raises(BaseExceptionGroup) as caught:
                await serve()
            assert caught.group_contains(KeyboardInterrupt)
            return
        error: AnswerError | None = None
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(requests.run)
            tasks.start_soon(serve)
            try:
                await requests.ask(note("odd"))
            except AnswerError as exc:
                error = exc
            reply = await requests.ask(note("well"))
            await until(lambda: everything_is_settled(memory))
            tasks.cancel_scope.cancel()
    assert reply.decode(Note).text == "well"
    if stranger.outcome is Outcome.FAILURE:
        assert error is not None
        assert error.reason != "timeout"
