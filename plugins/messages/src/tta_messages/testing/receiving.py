"""What becomes of a message on its way out, and back."""

from __future__ import annotations

import time
from collections import Counter

import anyio
import pytest

from tta_kernel import Event
from tta_kernel.testing.numbers import NO_COUNTS, NO_DURATIONS
from tta_messages.model import Delivery, MessageDied, Messages, Priority, QueueSettings, Settled

from .common import (
    LONG,
    Open,
    elapse,
    first,
    note,
    put,
    settings,
    take,
    take_one,
    texts,
    until,
    until_all_wait,
)


class ReceivingContract:
    async def test_an_empty_queue_gives_nothing(self, messages: Open) -> None:
        async with messages() as m:
            assert list(await m.receive("q")) == []
            assert list(await m.receive("q", wait=0.05, limit=5)) == []

    async def test_a_limit_out_of_range_is_a_mistake_that_holds_nothing(self, messages: Open) -> None:
        async with messages() as m:
            await put(m, note("a"))
            for limit in (*NO_COUNTS, 1001):
                with pytest.raises(ValueError, match="limit"):
                    await m.receive("q", limit=limit)
            assert (await take_one(m)).attempt == 1

    async def test_a_time_that_is_none_is_a_mistake_that_holds_nothing(self, messages: Open) -> None:
        async with messages() as m:
            await put(m, note("a"))
            for seconds in NO_DURATIONS:
                with pytest.raises(ValueError, match="wait"):
                    await m.receive("q", wait=seconds)
            for seconds in (*NO_DURATIONS, 0.0):
                with pytest.raises(ValueError, match="visibility"):
                    await m.receive("q", visibility=seconds)
            assert (await take_one(m)).attempt == 1

    async def test_a_time_that_is_none_leaves_a_message_with_its_holder(self, messages: Open) -> None:
        async with messages() as m:
            await put(m, note("a"))
            held = await take_one(m)
            for seconds in NO_DURATIONS:
                with pytest.raises(ValueError, match="delay"):
                    await m.nack(held, delay=seconds)
            for seconds in (*NO_DURATIONS, 0.0):
                with pytest.raises(ValueError, match="seconds"):
                    await m.extend(held, seconds)
            stats = (await m.stats("q"))["q"]
            assert (stats.held, stats.retried) == (1, 0)
            assert list(await m.ack(held)) == [True]

    async def test_a_queue_that_cannot_be_is_a_mistake(self, messages: Open) -> None:
        async with messages() as m:
            with pytest.raises(ValueError, match="address"):
                await m.receive("a b")

    async def test_a_batch_keeps_the_order_and_is_held(self, messages: Open) -> None:
        async with messages() as m:
            await put(m, *(note(text) for text in "abcde"))
            assert texts(await take(m, 3)) == ["a", "b", "c"]
            assert texts(await take(m, 3)) == ["d", "e"]
            assert await take(m, 3) == []

    async def test_a_thousand_messages_are_one_batch(self, messages: Open) -> None:
        async with messages() as m:
            await put(m, *(note(str(n)) for n in range(1000)))
            held = await take(m, 1000)
            assert texts(held) == [str(n) for n in range(1000)]
            assert all(await m.ack(*held))

    async def test_a_deadline_is_as_far_away_as_asked(self, messages: Open) -> None:
        async with messages(settings(visibility=1000.0)) as m:
            await put(m, note("a"), note("b"))
            first, second = await take_one(m), await take_one(m, visibility=5000.0)
            assert 3500 <= second.deadline - first.deadline <= 4100

    async def test_several_receivers_get_each_message_once(self, messages: Open) -> None:
        async with messages() as m:
            names = [str(n) for n in range(300)]
            await put(m, *(note(name) for name in names))
            got: Counter[str] = Counter()

            async def receiver() -> None:
                while held := await take(m, 7):
                    got.update(texts(held))
                    await m.ack(*held)

            async with anyio.create_task_group() as tasks:
                for _ in range(4):
                    tasks.start_soon(receiver)
            assert got == Counter(names)

    async def test_an_acknowledgement_counts_once(self, messages: Open) -> None:
        async with messages() as m:
            await put(m, note("a"), note("b"))
            first, second = await take(m, 2)
            assert list(await m.ack(first)) == [True]
            assert list(await m.ack(first, second)) == [False, True]

    async def test_what_is_done_is_acknowledged_with_the_next_receive(self, messages: Open) -> None:
        async with messages(settings(max_length=1)) as m:
            await put(m, note("a"))
            held = await take(m)
            assert await take(m, done=held) == []
            assert list(await m.ack(*held)) == [False]
            await put(m, note("b"))

    async def test_a_waiting_receive_wakes_when_something_is_sent(self, messages: Open) -> None:
        async with messages() as m, anyio.create_task_group() as tasks:
            tasks.start_soon(_put_soon, m)
            assert texts(await take(m, wait=LONG)) == ["soon"]

    async def test_each_of_several_waiting_receives_wakes(self, messages: Open) -> None:
        async with messages() as m:
            got: list[str] = []

            async def receiver() -> None:
                got.extend(texts(await take(m, wait=LONG)))

            async with anyio.create_task_group() as tasks:
                for _ in range(3):
                    tasks.start_soon(receiver)
                await until_all_wait(m)
                await put(m, *(note(text) for text in "abc"))
            assert sorted(got) == ["a", "b", "c"]

    async def test_a_delayed_message_comes_when_it_is_due(self, messages: Open) -> None:
        async with messages() as m:
            start = time.monotonic()
            await put(m, note("late", delay=0.3))
            assert texts(await take(m, wait=LONG)) == ["late"]
            assert time.monotonic() - start >= 0.25

    async def test_a_delay_sent_to_someone_who_waits_wakes_them_in_time(self, messages: Open) -> None:
        async with messages() as m, anyio.create_task_group() as tasks:
            tasks.start_soon(_put_soon, m, 0.05)
            assert texts(await take(m, wait=LONG)) == ["soon"]

    async def test_a_delayed_message_lets_others_pass(self, messages: Open) -> None:
        async with messages() as m:
            await put(m, note("late", delay=60.0, priority=Priority.HIGH), note("now"))
            assert texts(await take(m, 2)) == ["now"]

    async def test_a_hold_that_runs_out_counts_as_an_attempt(self, messages: Open) -> None:
        async with messages(settings(visibility=0.1)) as m:
            await put(m, note("a"))
            lost = await take_one(m)
            again = await take_one(m, wait=LONG, visibility=60.0)
            assert (texts([again]), again.attempt) == (["a"], 2)
            assert again.last_error
            assert again.token != lost.token

    async def test_an_old_token_is_void_after_another_delivery(self, messages: Open) -> None:
        async with messages() as m:
            await put(m, note("a"))
            old = await take_one(m, visibility=0.1)
            new = await take_one(m, wait=LONG)
            assert list(await m.ack(old)) == [False]
            assert await m.nack(old) is Settled.STALE
            assert list(await m.release(old)) == [False]
            assert not await m.extend(old, 60.0)
            assert list(await m.ack(new)) == [True]
            assert list(await m.ack(new)) == [False]

    async def test_what_is_recovered_cannot_be_acknowledged(self, messages: Open) -> None:
        async with messages() as m:
            await put(m, note("a"))
            old = await take_one(m, visibility=0.05)
            assert await until(m.recover) == {"q": 1}
            assert list(await m.ack(old)) == [False]
            assert texts([again := await take_one(m)]) == ["a"]
            assert list(await m.ack(again)) == [True]

    async def test_a_late_acknowledgement_holds_or_fails_but_never_both(self, messages: Open) -> None:
        async with messages() as m:
            await put(m, note("a"))
            old = await take_one(m, visibility=0.05)
            await elapse(m, 0.06)
            (acknowledged,) = await m.ack(old)
            assert len(await take(m, wait=0.05)) == (0 if acknowledged else 1)

    async def test_recovery_can_be_of_one_queue(self, messages: Open) -> None:
        async with messages() as m:
            await put(m, note("a", "q"), note("b", "r"))
            for queue in ("q", "r"):
                await take_one(m, queue=queue, visibility=0.05)
            assert await until(lambda: m.recover("r")) == {"r": 1}

    async def test_what_comes_back_after_its_hold_goes_to_the_head(self, messages: Open) -> None:
        async with messages() as m:
            await put(m, note("first"), note("second"))
            await take_one(m, visibility=0.05)
            await until(m.recover)
            assert texts([await take_one(m), await take_one(m)]) == ["first", "second"]

    async def test_what_comes_back_after_its_hold_is_received_alone(self, messages: Open) -> None:
        async with messages(settings(backoff_base=0.0)) as m:
            await put(m, note("a"), note("b"), note("c"), note("d"))
            await take(m, 2, visibility=0.05)
            await until(m.recover)
            held = [await take(m, 9) for _ in range(3)]
            assert [texts(each) for each in held] == [["a"], ["b"], ["c", "d"]]
            assert [each[0].suspect for each in held] == [True, True, False]
            await m.nack(held[0][0], error="Oops")
            await m.release(*held[2])
            again = await take(m, 9)
            assert texts(again) == ["c", "d", "a"]
            assert [delivery.suspect for delivery in again] == [False, False, False]

    async def test_a_failure_that_sounds_like_a_vanished_holder_is_an_ordinary_retry(self, messages: Open) -> None:
        async with messages() as m:
            await put(m, note("a"), note("b"), note("c"))
            for held in await take(m, 3):
                await m.nack(held, error="its hold ran out", delay=0.0)
            again = await take(m, 3)
            assert [(d.last_error, d.suspect) for d in again] == [("its hold ran out", False)] * 3

    async def test_what_is_to_be_received_alone_costs_no_turn_before(self, messages: Open) -> None:
        async with messages(settings(starvation_limit=2)) as m:
            await put(m, note("normal"))
            await take_one(m, visibility=0.05)
            await until(m.recover)
            await put(m, note("low", priority=Priority.LOW), note("high", priority=Priority.HIGH))
            assert [texts(await take(m, 9)) for _ in range(3)] == [["high"], ["normal"], ["low"]]

    async def test_a_message_that_kills_its_holder_every_time_is_dead_in_the_end(self, messages: Open) -> None:
        async with messages(settings(visibility=0.05, retries=2)) as m:
            await put(m, note("poison"))
            attempts = [(await take_one(m, wait=LONG)).attempt for _ in range(3)]
            assert attempts == [1, 2, 3]
            with anyio.fail_after(LONG):
                while not (letters := await m.dead("q")):
                    assert await take(m, wait=0.05) == []
            assert [(d.reason, d.attempts) for d in letters] == [("retries", 3)]

    async def test_a_failure_comes_again_after_its_pause_with_its_error(self, messages: Open) -> None:
        async with messages(settings(backoff_base=0.3, jitter=0.0)) as m:
            await put(m, note("a"))
            start = time.monotonic()
            assert await m.nack(await take_one(m), error="Oops") is Settled.RETRY
            again = await take_one(m, wait=LONG)
            assert time.monotonic() - start >= 0.25
            assert (texts([again]), again.attempt, again.last_error) == (["a"], 2, "Oops")

    async def test_the_pauses_grow_up_to_their_cap(self, messages: Open) -> None:
        async with messages(settings(backoff_base=0.1, backoff_factor=4.0, backoff_cap=0.3, jitter=0.0)) as m:
            await put(m, note("a"))
            held, pauses = await take_one(m), []
            for _ in range(3):
                start = time.monotonic()
                await m.nack(held)
                held = await take_one(m, wait=LONG)
                pauses.append(time.monotonic() - start)
            assert pauses[0] >= 0.08
            assert all(pause >= 0.25 for pause in pauses[1:])

    async def test_during_its_pause_a_failure_is_not_to_be_had(self, messages: Open) -> None:
        async with messages(settings(backoff_base=60.0, backoff_cap=60.0)) as m:
            await put(m, note("a"))
            await m.nack(await take_one(m))
            assert await take(m) == []

    async def test_a_pause_can_be_named(self, messages: Open) -> None:
        async with messages(settings(backoff_base=3600.0, backoff_cap=3600.0)) as m:
            await put(m, note("a"))
            await m.nack(await take_one(m), delay=0.05)
            assert texts(await take(m, wait=LONG)) == ["a"]

    async def test_without_a_pause_a_failure_goes_to_the_tail_at_once(self, messages: Open) -> None:
        async with messages(settings(backoff_base=0.0)) as m:
            await put(m, note("a"), note("b"), note("c"))
            a, b = await take(m, 2)
            await m.nack(a, delay=0.0)
            await m.nack(b)
            await put(m, note("d"))
            assert texts(await take(m, 9)) == ["c", "a", "b", "d"]

    async def test_after_its_retries_a_failure_is_dead(self, messages: Open) -> None:
        async with messages(settings(retries=2, backoff_base=0.0)) as m:
            await put(m, note("a"))
            settled = [await m.nack(await take_one(m), error=f"E{n}") for n in range(3)]
            assert settled == [Settled.RETRY, Settled.RETRY, Settled.DEAD]
            assert await take(m) == []
            (letter,) = await m.dead("q")
            assert (letter.reason, letter.error, letter.attempts) == ("retries", "E2", 3)

    async def test_a_permanent_failure_is_dead_at_once(self, messages: Open) -> None:
        told: list[Event] = []
        async with messages(publish=told.append) as m:
            await put(m, note("a", id="1"))
            assert await m.nack(await take_one(m), error="Nonsense", permanent=True) is Settled.DEAD
            (letter,) = await m.dead("q")
            assert (letter.id, letter.queue, letter.reason, letter.error) == ("1", "q", "rejected", "Nonsense")
            died = MessageDied(queue="q", id="1", message_type="test.note", reason="rejected")
            assert await first(told, MessageDied) == died

    async def test_a_long_error_is_cut(self, messages: Open) -> None:
        async with messages() as m:
            await put(m, note("a"))
            await m.nack(await take_one(m), error="x" * 100_000, permanent=True)
            (letter,) = await m.dead("q")
            assert 1 <= len(letter.error) <= 1000

    async def test_a_release_is_no_attempt_and_goes_to_the_head_in_order(self, messages: Open) -> None:
        async with messages(settings(retries=0)) as m:
            await put(m, note("a"), note("b"), note("c"))
            held = await take(m, 2)
            assert list(await m.release(*held)) == [True, True]
            again = await take(m, 3)
            assert texts(again) == ["a", "b", "c"]
            assert [delivery.attempt for delivery in again] == [1, 1, 1]
            assert list(await m.ack(*held)) == [False, False]

    async def test_a_release_wakes_who_waits(self, messages: Open) -> None:
        async with messages() as m, anyio.create_task_group() as tasks:
            await put(m, note("a"))
            held = await take_one(m)

            async def release() -> None:
                await until_all_wait(m)
                await m.release(held)

            tasks.start_soon(release)
            assert texts(await take(m, wait=LONG)) == ["a"]

    async def test_a_hold_can_be_extended(self, messages: Open) -> None:
        async with messages() as m:
            await put(m, note("a"))
            held = await take_one(m, visibility=1.0)
            assert await m.extend(held, 60.0)
            await elapse(m, 1.05)
            assert await take(m) == []
            assert list(await m.ack(held)) == [True]

    async def test_a_hold_can_be_shortened(self, messages: Open) -> None:
        async with messages() as m, anyio.create_task_group() as tasks:
            await put(m, note("a"))
            held = await take_one(m)

            async def shorten() -> None:
                await until_all_wait(m)
                assert await m.extend(held, 0.05)

            tasks.start_soon(shorten)
            assert texts(await take(m, wait=LONG)) == ["a"]

    async def test_what_nobody_holds_can_be_cancelled(self, messages: Open) -> None:
        async with messages() as m:
            await put(m, note("held", id="1"), note("waiting", id="2"), note("delayed", id="3", delay=60.0))
            held = await take_one(m)
            assert [await m.cancel("q", id) for id in "1234"] == [False, True, True, False]
            assert not await m.cancel("nobody", "2")
            assert await take(m) == []
            assert list(await m.ack(held)) == [True]

    async def test_a_cancelled_receive_loses_nothing(self, messages: Open) -> None:
        async with messages(settings(visibility=0.2, retries=100)) as m:
            names = [str(n) for n in range(50)]
            got: set[str] = set()

            async def sender() -> None:
                for name in names:
                    await put(m, note(name))
                    await anyio.lowlevel.checkpoint()

            async with anyio.create_task_group() as tasks:
                tasks.start_soon(sender)
                for n in range(50):
                    held: list[Delivery] = []
                    with anyio.move_on_after(n * 0.0002):
                        held = await take(m, 3, wait=LONG)
                    got.update(texts(held))
                    await m.ack(*held)
            with anyio.fail_after(LONG):
                while len(got) < len(names):
                    held = await take(m, 50, wait=1.0)
                    got.update(texts(held))
                    await m.ack(*held)
            assert got == set(names)

    async def test_strictly_by_priority_the_lower_one_waits(self, messages: Open) -> None:
        async with messages(settings(starvation_limit=0)) as m:
            await put(m, note("low", priority=Priority.LOW), *(note(str(n)) for n in range(50)))
            assert texts(await take(m, 51))[-1] == "low"

    async def test_a_lower_priority_that_was_passed_over_often_enough_gets_a_turn(self, messages: Open) -> None:
        async with messages(settings(starvation_limit=2)) as m:
            await put(m, *(note(f"l{n}", priority=Priority.LOW) for n in range(2)))
            await put(m, *(note(f"h{n}", priority=Priority.HIGH) for n in range(6)))
            assert texts(await take(m, 9)) == ["h0", "h1", "l0", "h2", "h3", "l1", "h4", "h5"]

    async def test_the_guard_counts_across_receives_and_three_priorities(self, messages: Open) -> None:
        async with messages(settings(starvation_limit=2)) as m:
            await put(m, *(note(f"l{n}", priority=Priority.LOW) for n in range(2)))
            await put(m, *(note(f"n{n}", priority=Priority.NORMAL) for n in range(2)))
            await put(m, *(note(f"h{n}", priority=Priority.HIGH) for n in range(6)))
            got = [texts([await take_one(m)])[0] for _ in range(10)]
            assert got == ["h0", "h1", "n0", "l0", "h2", "h3", "n1", "l1", "h4", "h5"]

    async def test_settings_can_be_changed_and_read(self, messages: Open) -> None:
        async with messages() as m:
            assert await m.settings("q") == QueueSettings()
            await m.configure("q", new := QueueSettings(max_length=1, retries=0))
            assert await m.settings("q") == new
            assert await m.settings("r") == QueueSettings()
            results = await m.send(note("a"), note("b"), note("c", "r"), note("d", "r"))
            assert [result.error for result in results] == ["", "queue_full", "", ""]
            assert await m.nack(await take_one(m)) is Settled.DEAD

    async def test_each_queue_has_its_own_settings_from_the_config(self, messages: Open) -> None:
        config = settings(max_length=5)
        config = type(config)(config.defaults, {"q": QueueSettings(max_length=1)})
        async with messages(config) as m:
            assert [(await m.settings(queue)).max_length for queue in ("q", "r")] == [1, 5]
            assert [r.error for r in await m.send(note("a"), note("b"))] == ["", "queue_full"]


async def _put_soon(messages: Messages, delay: float = 0.0) -> None:
    await until_all_wait(messages)
    await put(messages, note("soon", delay=delay))
