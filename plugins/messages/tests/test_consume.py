from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any, cast

import anyio
import pytest

from tta_kernel import correlation_id
from tta_kernel.testing.numbers import NO_COUNTS, NO_DURATIONS
from tta_messages import (
    Consumed,
    Delivery,
    Message,
    Messages,
    MessagesError,
    Priority,
    Reject,
    consume,
    consume_batches,
)
from tta_messages.memory import MemoryMessages
from tta_messages.testing import TYPES, Note, note, settings
from tta_messages.testing.common import LONG, until

Handler = Callable[[Delivery], Awaitable[None]]


def text(delivery: Delivery) -> str:
    return delivery.message.decode(Note).text


@asynccontextmanager
async def consuming(messages: Messages, handler: Handler, **how: Any) -> AsyncIterator[Consumed]:
    """Consume ``q`` for as long as the block; then the consumer is cancelled, and has ended."""
    consumed = Consumed()

    async def run() -> None:
        await consume(messages, "q", handler, consumed=consumed, **how)

    with anyio.fail_after(LONG):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(run)
            yield consumed
            tasks.cancel_scope.cancel()


class Seen:
    """Collects what a handler saw, and can be waited for."""

    def __init__(self, wanted: int) -> None:
        self.texts: list[str] = []
        self.wanted = wanted
        self.complete = anyio.Event()

    def add(self, delivery: Delivery) -> None:
        self.texts.append(text(delivery))
        if len(self.texts) >= self.wanted:
            self.complete.set()


class MemoryProbe:
    """Remembers what each receive held."""

    def __init__(self, messages: Messages) -> None:
        self._messages = messages
        self.held: list[Sequence[Delivery]] = []

    async def receive(self, *args: Any, **how: Any) -> Sequence[Delivery]:
        held = await self._messages.receive(*args, **how)
        if held:
            self.held.append(held)
        return held

    def __getattr__(self, name: str) -> Any:
        return getattr(self._messages, name)


async def settled(messages: Messages) -> None:
    """Wait until nothing is waiting or held."""

    async def is_settled() -> bool:
        stats = (await messages.stats("q"))["q"]
        return not (stats.held or any(stats.waiting.values()))

    await until(is_settled)


class Clock:
    """That of the event loop, and ahead of it where a test has stopped the process for a while."""

    def __init__(self) -> None:
        self.ahead = 0.0

    def __call__(self) -> float:
        return anyio.current_time() + self.ahead


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def memory(clock: Clock) -> MemoryMessages:
    return MemoryMessages(settings(backoff_base=0.0), TYPES, clock=clock)


in_virtual_time = pytest.mark.parametrize("anyio_backend", ["virtual"], indirect=True)


@pytest.mark.parametrize("how", [{}, {"limit": 3}, {"concurrency": 4}, {"concurrency": 3, "limit": 2}])
async def test_every_message_is_handled_once_and_acknowledged(memory: MemoryMessages, how: dict[str, int]) -> None:
    names = [str(n) for n in range(50)]
    seen = Seen(len(names))

    async def handler(delivery: Delivery) -> None:
        seen.add(delivery)

    async with consuming(memory, handler, **how) as consumed:
        await memory.send(*(note(name) for name in names))
        await seen.complete.wait()
        await settled(memory)
    assert seen.texts == names
    assert (consumed.received, consumed.done, consumed.lost) == (50, 50, 0)
    stats = (await memory.stats("q"))["q"]
    assert (stats.acknowledged, stats.delivered) == (50, 50)


@in_virtual_time
async def test_one_after_the_other_means_no_two_at_once_and_several_means_several(memory: MemoryMessages) -> None:
    for concurrency in (1, 3):
        running = most = 0
        seen = Seen(12)

        async def handler(delivery: Delivery) -> None:
            nonlocal running, most
            running += 1
            most = max(most, running)
            await anyio.sleep(0.01)
            running -= 1
            seen.add(delivery)  # noqa: B023

        async with consuming(memory, handler, concurrency=concurrency):
            await memory.send(*(note() for _ in range(12)))
            await seen.complete.wait()
        assert most == concurrency


async def test_no_more_is_held_than_is_worked_on_where_several_are(memory: MemoryMessages) -> None:
    go = anyio.Event()

    async def handler(delivery: Delivery) -> None:
        await go.wait()

    async with consuming(memory, handler, concurrency=2, limit=10):
        await memory.send(*(note() for _ in range(10)))
        await anyio.wait_all_tasks_blocked()
        assert (await memory.stats("q"))["q"].held == 2
        go.set()
        await settled(memory)


async def test_a_failure_is_tried_again_and_only_its_type_is_kept(
    memory: MemoryMessages, caplog: pytest.LogCaptureFixture
) -> None:
    seen, errors = Seen(3), []

    async def handler(delivery: Delivery) -> None:
        seen.add(delivery)
        errors.append(delivery.last_error)
        if delivery.attempt < 3:
            raise KeyError("my secret")

    async with consuming(memory, handler) as consumed:
        await memory.send(note("a"))
        await seen.complete.wait()
        await settled(memory)
    assert errors == ["", "KeyError", "KeyError"]
    assert (consumed.failed, consumed.done) == (2, 1)
    assert "raised KeyError at" in caplog.text
    assert "secret" not in caplog.text
    assert "secret" not in repr(await memory.history("q"))


async def test_a_failure_does_not_keep_the_others_waiting(memory: MemoryMessages) -> None:
    await memory.send(*(note(name) for name in ("bad", "b", "c")))
    seen = Seen(2)

    async def handler(delivery: Delivery) -> None:
        if text(delivery) == "bad":
            raise ValueError
        seen.add(delivery)

    async with consuming(memory, handler):
        await seen.complete.wait()
        await settled(memory)
    assert seen.texts == ["b", "c"]
    assert [(d.reason, d.error, d.attempts) for d in await memory.dead("q")] == [("retries", "ValueError", 4)]


async def test_a_rejected_message_is_dead_at_once(memory: MemoryMessages) -> None:
    async def handler(delivery: Delivery) -> None:
        raise Reject("no such story")

    async with consuming(memory, handler) as consumed:
        await memory.send(note("a"))
        letters = await until(lambda: memory.dead("q"))
    assert [(d.reason, d.error) for d in letters] == [("rejected", "no such story")]
    assert consumed.rejected == 1


@in_virtual_time
@pytest.mark.parametrize("concurrency", [1, 2])
async def test_a_handler_that_takes_too_long_is_cancelled_and_its_message_comes_again(
    memory: MemoryMessages, concurrency: int
) -> None:
    seen = Seen(3)

    async def handler(delivery: Delivery) -> None:
        if text(delivery) == "slow" and delivery.attempt == 1:
            await anyio.sleep_forever()
        assert delivery.attempt == 1 or delivery.last_error == "timeout"
        seen.add(delivery)

    async with consuming(memory, handler, time_limit=0.05, concurrency=concurrency) as consumed:
        await memory.send(*(note(name) for name in ("slow", "b", "c")))
        await seen.complete.wait()
        await settled(memory)
    assert sorted(seen.texts) == ["b", "c", "slow"]
    assert (consumed.timed_out, consumed.done) == (1, 3)


@in_virtual_time
async def test_a_handler_that_swallows_its_cancellation_spoils_nothing_for_the_next(memory: MemoryMessages) -> None:
    seen = Seen(2)

    async def handler(delivery: Delivery) -> None:
        if text(delivery) == "stubborn":
            try:
                await anyio.sleep_forever()
            except anyio.get_cancelled_exc_class():
                seen.add(delivery)
                return
        await anyio.sleep(0.01)
        seen.add(delivery)

    async with consuming(memory, handler, time_limit=0.1) as consumed:
        await memory.send(note("stubborn"), note("b"))
        await seen.complete.wait()
        await settled(memory)
    assert (seen.texts, consumed.done) == (["stubborn", "b"], 2)


@in_virtual_time
@pytest.mark.parametrize("concurrency", [1, 2])
async def test_holds_are_extended_while_handlers_run(clock: Clock, concurrency: int) -> None:
    memory = MemoryMessages(settings(visibility=0.8), TYPES, clock=clock)
    seen = Seen(2)

    async def handler(delivery: Delivery) -> None:
        await anyio.sleep(1.0)
        seen.add(delivery)

    async with consuming(memory, handler, concurrency=concurrency, clock=clock) as consumed:
        await memory.send(*(note(name) for name in "ab"))
        await seen.complete.wait()
        await settled(memory)
    assert (sorted(seen.texts), consumed.lost) == (["a", "b"], 0)
    stats = (await memory.stats("q"))["q"]
    assert (stats.recovered, stats.acknowledged, stats.delivered) == (0, 2, 2)


@in_virtual_time
async def test_what_was_taken_away_is_not_begun(memory: MemoryMessages, clock: Clock) -> None:
    seen, begun, go = Seen(1), anyio.Event(), anyio.Event()

    async def handler(delivery: Delivery) -> None:
        seen.add(delivery)
        begun.set()
        await go.wait()

    async with consuming(memory, handler, visibility=0.2, clock=clock) as consumed:
        await memory.send(note("a"), note("b", owner="u"))
        await begun.wait()
        await memory.forget("u")
        await anyio.sleep(0.2)
        assert consumed.lost == 1
        go.set()
        await settled(memory)
    assert seen.texts == ["a"]


async def test_a_consumer_that_was_stopped_does_not_begin_what_it_may_hold_no_longer(
    memory: MemoryMessages, clock: Clock
) -> None:
    seen: list[str] = []

    async def handler(delivery: Delivery) -> None:
        if not seen:
            clock.ahead = 40.0
        seen.append(delivery.token)

    await memory.send(*(note(name) for name in "abc"))
    first = MemoryProbe(memory)
    async with consuming(cast(Messages, first), handler, visibility=20.0, clock=clock) as consumed:
        await settled(memory)
    _, b, c = first.held[0]
    assert b.token not in seen
    assert c.token not in seen
    assert consumed.lost >= 2
    assert (await memory.stats("q"))["q"].acknowledged == 3


@in_virtual_time
async def test_what_a_holder_vanished_with_is_handled_while_nothing_else_is(memory: MemoryMessages) -> None:
    running: set[str] = set()
    beside: dict[str, set[str]] = {}

    async def handler(delivery: Delivery) -> None:
        name = text(delivery)
        running.add(name)
        await anyio.sleep(0.05)
        beside[name] = set(running)
        running.discard(name)

    await memory.send(note("a"))
    await memory.receive("q", visibility=0.01)
    await anyio.sleep(0.05)
    await memory.send(*(note(name) for name in "bcd"))
    await memory.send(note("first", priority=Priority.HIGH))
    async with consuming(memory, handler, concurrency=3) as consumed:
        await settled(memory)
    assert beside["a"] == {"a"}
    assert (consumed.done, consumed.lost) == (5, 0)


@in_virtual_time
@pytest.mark.parametrize("concurrency", [1, 2])
async def test_when_cancelled_what_runs_may_end_and_the_rest_is_released(
    memory: MemoryMessages, concurrency: int
) -> None:
    begun, ended = Seen(concurrency), []

    async def handler(delivery: Delivery) -> None:
        begun.add(delivery)
        await anyio.sleep(0.1)
        ended.append(text(delivery))

    async with consuming(memory, handler, concurrency=concurrency, limit=3) as consumed:
        await memory.send(*(note(name) for name in "abcd"))
        await begun.complete.wait()
    assert sorted(ended) == ["a", "b"][:concurrency]
    stats = (await memory.stats("q"))["q"]
    assert (stats.held, stats.waiting["normal"], stats.acknowledged) == (0, 4 - concurrency, concurrency)
    again = await memory.receive("q", limit=9)
    assert [(text(d), d.attempt) for d in again] == [(name, 1) for name in "abcd"[concurrency:]]
    assert consumed.released == (2 if concurrency == 1 else 0)


@in_virtual_time
async def test_what_runs_longer_than_its_grace_is_cancelled_and_released(memory: MemoryMessages) -> None:
    begun = anyio.Event()

    async def handler(delivery: Delivery) -> None:
        begun.set()
        await anyio.sleep_forever()

    async with consuming(memory, handler, grace=0.05) as consumed:
        await memory.send(note("a"), note("b"))
        await begun.wait()
    assert [(text(d), d.attempt) for d in await memory.receive("q", limit=9)] == [("a", 1), ("b", 1)]
    assert (consumed.released, consumed.timed_out) == (2, 0)


async def test_an_idle_consumer_ends_at_once(memory: MemoryMessages) -> None:
    async def handler(delivery: Delivery) -> None:
        raise AssertionError

    async with consuming(memory, handler, wait=60.0):
        await anyio.wait_all_tasks_blocked()


async def test_a_handler_works_for_what_its_message_is_about(memory: MemoryMessages) -> None:
    seen, found = Seen(2), []

    async def handler(delivery: Delivery) -> None:
        found.append(correlation_id.get())
        seen.add(delivery)

    async with consuming(memory, handler):
        await memory.send(note("a", correlation_id="c-1"), note("b", correlation_id="c-2"))
        await seen.complete.wait()
    assert found == ["c-1", "c-2"]


class Flaky(MemoryMessages):
    """Can't be reached for its first few receives."""

    failures = 3

    async def receive(self, queue: str, **how: Any) -> Sequence[Delivery]:
        if self.failures:
            self.failures -= 1
            raise MessagesError("down")
        return await super().receive(queue, **how)


async def test_a_store_that_cannot_be_reached_is_tried_again_and_told_once(caplog: pytest.LogCaptureFixture) -> None:
    flaky, seen = Flaky(settings(), TYPES), Seen(1)

    async def handler(delivery: Delivery) -> None:
        seen.add(delivery)

    async with consuming(flaky, handler) as consumed:
        await flaky.send(note("a"))
        await seen.complete.wait()
    assert consumed.outages == 1
    warnings = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
    assert warnings == ["nothing can be received from queue q: down"]


@pytest.mark.parametrize("name", ["limit", "concurrency", "time_limit", "visibility", "wait", "grace"])
async def test_a_number_that_is_none_is_an_error_before_anything_is_held(memory: MemoryMessages, name: str) -> None:
    async def handler(delivery: Delivery) -> None:
        raise AssertionError("it must not begin")

    await memory.send(note("a"))
    for value in NO_COUNTS if name in ("limit", "concurrency") else NO_DURATIONS:
        with pytest.raises(ValueError, match=name):
            await consume(memory, "q", handler, **{name: value})
        if name != "concurrency":
            with pytest.raises(ValueError, match=name):
                await consume_batches(memory, "q", cast(Any, handler), **{name: value})
    stats = (await memory.stats("q"))["q"]
    assert (stats.delivered, sum(stats.waiting.values())) == (0, 1)


async def test_a_malformed_call_is_an_error_and_no_group(memory: MemoryMessages) -> None:
    async def handler(delivery: Delivery) -> None:
        raise AssertionError

    with pytest.raises(ValueError, match="limit is a whole number, 1 to 1,000"):
        await consume(memory, "q", handler, limit=0)
    with pytest.raises(ValueError, match="concurrency is a whole number"):
        await consume(memory, "q", handler, concurrency=0)


async def test_batches_are_done_together_or_fail_together(memory: MemoryMessages) -> None:
    batches: list[list[str]] = []
    complete = anyio.Event()

    async def handler(deliveries: Sequence[Delivery]) -> None:
        batches.append([text(delivery) for delivery in deliveries])
        if len(batches) == 1:
            raise ValueError
        complete.set()

    await memory.send(*(note(name) for name in "abc"))
    consumed = Consumed()

    async def run() -> None:
        await consume_batches(memory, "q", handler, consumed=consumed)

    with anyio.fail_after(10):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(run)
            await complete.wait()
            await settled(memory)
            tasks.cancel_scope.cancel()
    assert batches == [["a", "b", "c"], ["a", "b", "c"]]
    assert (consumed.failed, consumed.done) == (3, 3)


@in_virtual_time
async def test_a_batch_handler_is_never_given_nothing(memory: MemoryMessages) -> None:
    batches: list[int] = []
    complete = anyio.Event()

    async def handler(deliveries: Sequence[Delivery]) -> None:
        batches.append(len(deliveries))
        complete.set()

    async def run() -> None:
        await consume_batches(memory, "q", handler, wait=0.01)

    with anyio.fail_after(10):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(run)
            await anyio.sleep(0.05)
            await memory.send(Message.to("q", "test.note", Note("a")))
            await complete.wait()
            tasks.cancel_scope.cancel()
    assert batches == [1]
