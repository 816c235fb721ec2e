from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import anyio
import pytest

from tta_kernel.testing.numbers import NO_COUNTS, NO_DURATIONS
from tta_messages import Delivery, Message, Requests, Unsent, consume, respond
from tta_messages.memory import MemoryMessages
from tta_messages.testing import TYPES, Note, note, settings


@pytest.fixture
def memory() -> MemoryMessages:
    return MemoryMessages(settings(), TYPES)


@asynccontextmanager
async def serving(
    memory: MemoryMessages, handler: Callable[[Delivery], Awaitable[None]] | None, *, patience: float = 30.0
) -> AsyncIterator[Requests]:
    """Run the asking side, and a server of the queue ``q``."""
    requests = Requests(memory, "replies", timeout=patience)

    async def serve() -> None:
        assert handler
        await consume(memory, "q", handler, concurrency=5)

    with anyio.fail_after(20):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(requests.run)
            if handler:
                tasks.start_soon(serve)
            yield requests
            tasks.cancel_scope.cancel()


async def test_each_question_gets_its_answer(memory: MemoryMessages) -> None:
    async def shout(delivery: Delivery) -> None:
        asked = delivery.message.decode(Note).text
        await anyio.sleep(0.02 if asked == "a" else 0.0)  # so that they overtake
        assert (await respond(memory, delivery, "test.note", Note(asked.upper()))).delivered

    answers: dict[str, str] = {}

    async with serving(memory, shout) as requests:

        async def ask(text: str) -> None:
            answers[text] = (await requests.ask(note(text))).decode(Note).text

        async with anyio.create_task_group() as tasks:
            for text in "abc":
                tasks.start_soon(ask, text)
    assert answers == {"a": "A", "b": "B", "c": "C"}
    assert (requests.counts.asked, requests.counts.answered, requests.counts.late) == (3, 3, 0)


async def test_an_answer_knows_its_question(memory: MemoryMessages) -> None:
    async def answer(delivery: Delivery) -> None:
        await respond(memory, delivery, "test.note", Note("yes"), tags=("final",))

    async with serving(memory, answer) as requests:
        got = await requests.ask(note("well?", id="1", owner="u"))
    assert (got.queue, got.correlation_id, got.sender) == (requests.queue, "1", "q")
    assert (got.owner, got.tags) == ("u", ("final",))


async def test_the_deadline_travels_as_the_time_to_live(memory: MemoryMessages) -> None:
    async with serving(memory, None) as requests:
        with anyio.move_on_after(0.3) as scope:
            await requests.ask(note("well?", id="1"))
        assert scope.cancelled_caught
        (sent,) = [entry for entry in await memory.history("q") if entry.what == "sent"]
        assert sent.ids == ("1",)
        assert requests.counts.unanswered == 1
        assert not any((await memory.stats("q"))["q"].waiting.values()), "it is withdrawn"


async def test_whoever_works_on_a_question_sees_how_long_it_matters(memory: MemoryMessages) -> None:
    lives: list[float | None] = []

    async def answer(delivery: Delivery) -> None:
        lives.append(delivery.message.ttl)
        await respond(memory, delivery, "test.note", Note("yes"))

    async with serving(memory, answer, patience=9.0) as requests:
        with anyio.fail_after(5):
            await requests.ask(note("a"))
        await requests.ask(note("b"))
        await requests.ask(note("c", ttl=2.0))
    assert [round(life or 0) for life in lives] == [5, 9, 2]


async def test_without_a_deadline_the_time_limit_is_an_error(memory: MemoryMessages) -> None:
    async with serving(memory, None, patience=0.1) as requests:
        with pytest.raises(TimeoutError):
            await requests.ask(note("well?"))


async def test_a_late_answer_is_dropped_and_counted(memory: MemoryMessages) -> None:
    async with serving(memory, None) as requests:
        with anyio.move_on_after(0.2):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(requests.ask, note("well?"))
                (late,) = await memory.receive("q", wait=5.0)
        await respond(memory, late, "test.note", Note("yes"))
        await anyio.wait_all_tasks_blocked()
        stats = (await memory.stats(requests.queue))[requests.queue]
        assert (requests.counts.late, stats.dead) == (1, 0)


async def test_a_question_that_is_refused_says_why(memory: MemoryMessages) -> None:
    async with serving(memory, None) as requests:
        with pytest.raises(Unsent, match="unknown_type") as caught:
            await requests.ask(Message.to("q", "test.nothing", Note("a")))
    assert caught.value.result.error == "unknown_type"


async def test_answering_twice_is_heard_once(memory: MemoryMessages) -> None:
    await memory.send(note("well?", reply_to="replies"))
    (delivery,) = await memory.receive("q")
    first = await respond(memory, delivery, "test.note", Note("yes"))
    second = await respond(memory, delivery, "test.note", Note("yes"))
    assert (first.duplicate, second.duplicate) == (False, True)


async def test_what_is_no_question_has_no_answer(memory: MemoryMessages) -> None:
    await memory.send(note("hello"))
    (delivery,) = await memory.receive("q")
    with pytest.raises(ValueError, match="expects no answer"):
        await respond(memory, delivery, "test.note", Note("yes"))


async def test_the_questions_open_at_once_are_bounded(memory: MemoryMessages) -> None:
    requests = Requests(memory, "replies", limit=2)
    with anyio.move_on_after(0.1):
        async with anyio.create_task_group() as tasks:
            for _ in range(5):
                tasks.start_soon(requests.ask, note("well?"))
    assert (await memory.stats("q"))["q"].sent == 2


@pytest.mark.parametrize("seconds", [*NO_DURATIONS, 0.0])
def test_a_timeout_that_is_no_time_is_a_mistake(memory: MemoryMessages, seconds: float) -> None:
    with pytest.raises(ValueError, match="timeout"):
        Requests(memory, "replies", timeout=seconds)


@pytest.mark.parametrize("limit", NO_COUNTS)
def test_a_number_of_questions_that_is_none_is_a_mistake(memory: MemoryMessages, limit: int) -> None:
    with pytest.raises(ValueError, match="limit"):
        Requests(memory, "replies", limit=limit)


async def test_a_question_whose_time_to_live_is_no_time_is_not_asked(memory: MemoryMessages) -> None:
    requests = Requests(memory, "replies")
    for seconds in NO_DURATIONS:
        with pytest.raises(ValueError, match="ttl"):
            await requests.ask(note("a", ttl=seconds))
    assert requests.counts.asked == 0
    assert await memory.stats() == {}
