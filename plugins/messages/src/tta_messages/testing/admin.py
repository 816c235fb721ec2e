"""What is kept of messages, what can be seen of it, and how it goes."""

from __future__ import annotations

import math
import time
from typing import Any

import anyio
import pytest

from tta_kernel import Event
from tta_kernel.testing.numbers import NO_COUNTS
from tta_messages.model import (
    DeadLetter,
    MessageDied,
    Messages,
    Priority,
    QueueSettings,
    QueueStats,
    Requeued,
    Settled,
)

from .common import (
    LONG,
    Note,
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


async def kill(messages: Messages, *names: str, **fields: str) -> list[DeadLetter]:
    """Make a dead letter of each name, which is its id, too."""
    await put(messages, *(note(name, id=name, **fields) for name in names))
    for held in await take(messages, len(names)):
        await messages.nack(held, error="Test", permanent=True)
    return list(await messages.dead("q"))


_NO_TIME: Any = (math.nan, math.inf, -1.0, 1e300)
MISTAKES = [
    QueueSettings(visibility=0.0), QueueSettings(ttl=0.0), QueueSettings(max_length=0), QueueSettings(retries=-1),
    QueueSettings(backoff_factor=0.5), QueueSettings(backoff_factor=math.inf), QueueSettings(jitter=1.5),
    QueueSettings(jitter=math.nan), QueueSettings(starvation_limit=-1), QueueSettings(dead_limit=10**400),
    *(
        QueueSettings(**{name: seconds})
        for name in ("visibility", "ttl", "dead_ttl", "backoff_base", "backoff_cap", "dedup_window")
        for seconds in _NO_TIME
    ),
]  # fmt: skip
"""Settings that nobody's config could hold."""


class AdminContract:
    async def test_settings_that_no_config_could_hold_are_a_mistake_that_changes_nothing(self, messages: Open) -> None:
        async with messages() as m:
            await m.configure("q", QueueSettings(retries=7))
            for mistake in MISTAKES:
                with pytest.raises(ValueError, match="settings"):
                    await m.configure("q", mistake)
            assert await m.settings("q") == QueueSettings(retries=7)

    async def test_a_number_of_entries_that_is_none_is_a_mistake(self, messages: Open) -> None:
        async with messages() as m:
            await kill(m, "a")
            for limit in (*NO_COUNTS, 10**400):
                with pytest.raises(ValueError, match="limit"):
                    await m.dead("q", limit=limit)
                with pytest.raises(ValueError, match="limit"):
                    await m.history("q", limit=limit)

    async def test_what_lived_too_long_is_dead_and_told(self, messages: Open) -> None:
        told: list[Event] = []
        async with messages(publish=told.append) as m:
            await put(m, note("short", id="1", ttl=0.05), note("long"))
            await elapse(m, 0.06)
            assert texts(await take(m, 9)) == ["long"]
            (letter,) = await m.dead("q")
            assert (letter.id, letter.reason, letter.attempts) == ("1", "expired", 0)
            assert (await first(told, MessageDied)).reason == "expired"

    async def test_a_queue_says_how_long_messages_live_that_do_not(self, messages: Open) -> None:
        async with messages(settings(ttl=0.05)) as m:
            await put(m, note("short", id="1"), note("long", ttl=60.0))
            await elapse(m, 0.06)
            assert texts(await take(m, 9)) == ["long"]
            assert [letter.id for letter in await m.dead("q")] == ["1"]

    async def test_a_retry_after_its_time_to_live_never_comes(self, messages: Open) -> None:
        async with messages() as m:
            await put(m, note("a", ttl=60.0))
            assert await m.nack(await take_one(m), delay=60.1) is Settled.DEAD
            assert [letter.reason for letter in await m.dead("q")] == ["expired"]

    async def test_what_lives_too_long_makes_room(self, messages: Open) -> None:
        async with messages(settings(max_length=1)) as m:
            await put(m, note("a", ttl=0.05))
            await elapse(m, 0.06)
            assert await take(m) == []
            await put(m, note("b"))

    async def test_a_dead_letter_holds_the_message_and_when_it_died(self, messages: Open) -> None:
        async with messages() as m:
            (letter,) = await kill(m, "a")
            assert letter.message is not None
            assert letter.message.decode(Note) == Note("a")
            assert (letter.attempts, letter.raw) == (1, b"")
            assert abs(letter.died_at - time.time()) < 60

    async def test_dead_letters_come_in_pages_the_oldest_first(self, messages: Open) -> None:
        async with messages() as m:
            await kill(m, "c")
            await kill(m, "a")
            await kill(m, "b")
            assert [letter.id for letter in await m.dead("q", limit=2)] == ["c", "a"]
            assert [letter.id for letter in await m.dead("q", limit=2, after="a")] == ["b"]
            assert list(await m.dead("q", after="b")) == list(await m.dead("q", after="gone")) == []
            assert list(await m.dead("nobody")) == []

    async def test_of_too_many_dead_letters_the_oldest_go(self, messages: Open) -> None:
        async with messages(settings(dead_limit=2)) as m:
            for name in "abc":
                await kill(m, name)
            assert [letter.id for letter in await m.dead("q")] == ["b", "c"]

    async def test_dead_letters_go_after_their_time(self, messages: Open) -> None:
        async with messages(settings(dead_ttl=0.2)) as m:
            await kill(m, "a")

            async def is_gone() -> bool:
                return not await m.dead("q")

            await until(is_gone)
            assert (await m.stats("q"))["q"].dead == 0

    async def test_dead_letters_live_again_with_all_their_attempts(self, messages: Open) -> None:
        async with messages() as m:
            await kill(m, "a", "b", "c")
            await put(m, note("first"))
            assert await m.requeue("q", "b") == {"b": Requeued.REQUEUED}
            assert await m.requeue("q") == dict.fromkeys("ac", Requeued.REQUEUED)
            assert await m.requeue("q") == {}
            got = await take(m, 9)
            assert texts(got) == ["first", "b", "a", "c"]
            assert {(d.attempt, d.last_error) for d in got} == {(1, "")}
            assert list(await m.dead("q")) == []

    async def test_what_died_of_age_lives_its_whole_time_again(self, messages: Open) -> None:
        async with messages() as m:
            await put(m, note("a", id="old", ttl=2.0))
            held = await take_one(m)
            await m.nack(held, delay=60.0)
            with anyio.fail_after(LONG):
                while not await m.dead("q"):
                    assert await take(m, wait=0.1) == []
            assert await m.requeue("q", "old") == {"old": Requeued.REQUEUED}
            assert texts(await take(m)) == ["a"]

    async def test_dead_letters_for_which_there_is_no_room_stay(self, messages: Open) -> None:
        async with messages(settings(max_length=2)) as m:
            await kill(m, "a", "b")
            await put(m, note("c"))
            assert await m.requeue("q") == {"a": Requeued.REQUEUED, "b": Requeued.QUEUE_FULL}
            assert [letter.id for letter in await m.dead("q")] == ["b"]

    async def test_whoever_lets_dead_letters_live_again_hears_what_became_of_each(self, messages: Open) -> None:
        async with messages(settings(max_length=3, dedup_window=0.0)) as m:
            await kill(m, "a", "b", "c")
            await put(m, note("another", id="b"), note())
            found = await m.requeue("q", "nobody", "b", "a", "c", "a")
            assert list(found.items()) == [
                ("nobody", Requeued.UNKNOWN), ("b", Requeued.ALIVE), ("a", Requeued.REQUEUED),
                ("c", Requeued.QUEUE_FULL),
            ]  # fmt: skip
            assert [letter.id for letter in await m.dead("q")] == ["b", "c"]
            assert await m.requeue("elsewhere", "a") == {"a": Requeued.UNKNOWN}

    async def test_a_dead_letter_whose_time_is_over_is_unknown(self, messages: Open) -> None:
        async with messages(settings(dead_ttl=0.1)) as m:
            await kill(m, "a")

            async def is_gone() -> bool:
                return not await m.dead("q")

            await until(is_gone)
            assert await m.requeue("q", "a") == {"a": Requeued.UNKNOWN}

    async def test_a_queue_without_dead_letters_keeps_none_and_tells_of_each(self, messages: Open) -> None:
        told: list[Event] = []
        async with messages(settings(dead_limit=0), publish=told.append) as m:
            assert await kill(m, "a") == []
            await put(m, note("b", id="b", ttl=0.05))
            await elapse(m, 0.06)
            assert await take(m) == []
            assert list(await m.dead("q")) == []
            got = (await m.stats("q"))["q"]
            assert (got.dead, got.died, got.expired) == (0, 2, 1)
            await first(told, MessageDied)
            assert [event.id for event in told if isinstance(event, MessageDied)] == ["a", "b"]
            assert await m.drop("q")

    async def test_dead_letters_can_be_thrown_away(self, messages: Open) -> None:
        async with messages() as m:
            await kill(m, "a", "b", "c")
            assert await m.purge_dead("q", "b", "nobody") == 1
            assert [letter.id for letter in await m.dead("q")] == ["a", "c"]
            assert await m.purge_dead("q") == 2
            assert list(await m.dead("q")) == []
            assert await m.purge_dead("nobody") == 0

    async def test_only_an_empty_queue_can_be_dropped(self, messages: Open) -> None:
        async with messages(settings(visibility=60.0)) as m:
            assert await m.drop("q")
            await put(m, note("a", id="1"))
            assert not await m.drop("q")
            held = await take_one(m)
            assert not await m.drop("q")
            await m.nack(held, delay=60.0)
            assert not await m.drop("q")
            assert await m.cancel("q", "1")
            await kill(m, "b")
            assert not await m.drop("q")
            assert [letter.id for letter in await m.dead("q")] == ["b"]
            await m.purge_dead("q")
            assert await m.drop("q")
            assert "q" not in await m.stats()
            assert await m.history("q") == []

    async def test_a_dropped_queue_begins_anew(self, messages: Open) -> None:
        async with messages() as m:
            await m.configure("q", QueueSettings(max_length=1))
            await put(m, note("a", id="1"))
            await m.ack(await take_one(m))
            assert await m.drop("q")
            assert (await m.settings("q")).max_length > 1
            await put(m, note("b", id="1"), note("c"))
            assert (await m.stats("q"))["q"].sent == 2
            assert list(await m.stats()) == ["q"]
            assert texts(await take(m, 9)) == ["b", "c"]

    async def test_who_waits_for_a_queue_that_is_dropped_waits_for_the_new_one(self, messages: Open) -> None:
        async with messages() as m:
            got: list[str] = []

            async def wait() -> None:
                got.extend(texts(await take(m, wait=LONG)))

            async with anyio.create_task_group() as tasks:
                tasks.start_soon(wait)
                await until_all_wait(m)
                assert await m.drop("q")
                await put(m, note("a"))
            assert got == ["a"]

    async def test_a_purge_leaves_what_is_held_and_what_is_dead(self, messages: Open) -> None:
        async with messages() as m:
            await kill(m, "dead")
            await put(m, note("held"))
            held = await take_one(m)
            await put(m, *(note(p.name, priority=p) for p in Priority), note("delayed", delay=60.0))
            assert await m.purge("q") == 4
            assert await take(m) == []
            assert list(await m.ack(held)) == [True]
            assert len(await m.dead("q")) == 1
            assert await m.purge("q") == 0

    async def test_a_person_is_forgotten_wherever_the_messages_are(self, messages: Open) -> None:
        async with messages() as m:
            await kill(m, "dead", owner="u")
            await put(m, note("held", owner="u"), note("held too", owner="v"))
            held = await take(m, 2)
            await put(m, note("a", owner="u"), note("b"), note("c", "r", owner="u"), note("d", "r", owner="v"))
            await put(m, note("delayed", owner="u", delay=60.0))
            assert await m.forget("u") == 5
            assert list(await m.ack(*held)) == [False, True]
            assert texts(await take(m, 9)) == ["b"]
            assert texts(await take(m, 9, queue="r")) == ["d"]
            assert list(await m.dead("q")) == []
            assert await m.forget("u") == 0

    async def test_nobody_is_not_a_person_to_forget(self, messages: Open) -> None:
        async with messages() as m:
            await put(m, note("a"))
            assert await m.forget("") == 0
            assert texts(await take(m)) == ["a"]

    async def test_the_numbers_of_a_queue_say_what_became_of_its_messages(self, messages: Open) -> None:
        async with messages(settings(max_length=6)) as m:
            await put(m, note("done"), note("dead"), note("retried"), note("held"))
            done, dead, retried, _ = await take(m, 4)
            await m.ack(done)
            await m.ack(done)
            await m.nack(dead, permanent=True)
            await m.nack(retried, delay=60.0)
            await put(m, note("l", priority=Priority.LOW), note("n"), note("h", priority=Priority.HIGH))
            await m.send(note("one"), note("two"))
            (name,) = stats = await m.stats("q")
            got = stats[name]
            assert dict(got.waiting) == {"high": 1, "normal": 2, "low": 1}
            assert (got.delayed, got.held, got.dead) == (1, 1, 1)
            assert (got.sent, got.refused, got.delivered, got.acknowledged) == (8, 1, 4, 1)
            assert (got.retried, got.died, got.recovered, got.expired, got.stale) == (1, 1, 0, 0, 1)

    async def test_holds_that_ran_out_and_messages_that_expired_are_counted(self, messages: Open) -> None:
        async with messages() as m:
            await put(m, note("a"), note("b", ttl=0.05))
            await take_one(m, visibility=0.05)
            await elapse(m, 0.06)
            assert texts(await take(m, 2)) == ["a"]
            got = (await m.stats("q"))["q"]
            assert (got.recovered, got.expired, got.died, got.delivered) == (1, 1, 1, 2)

    async def test_the_oldest_that_waits_says_for_how_long(self, messages: Open) -> None:
        async with messages() as m:
            await put(m, note("first", priority=Priority.LOW))
            await elapse(m, 0.2)
            await put(m, note("second", id="2"), note("delayed", delay=LONG), note("soon", "r", delay=0.2))
            await put(m, note("none", "s", id="3"))
            assert await m.cancel("s", "3")
            await elapse(m, 0.2)
            stats = await m.stats()
            assert 0.4 <= stats["q"].oldest_age < LONG
            # Until its time had come it was nobody's to take.
            assert 0 <= stats["r"].oldest_age < stats["q"].oldest_age - 0.3
            assert (stats["r"].waiting["normal"], stats["s"].oldest_age) == (1, 0.0)
            # What is held doesn't wait, and what was cancelled before it is passed over.
            assert await m.cancel("q", "2")
            await put(m, note("third"))
            assert texts(await take(m, 2)) == ["third", "first"]
            assert (await m.stats("q"))["q"].oldest_age == 0.0

    async def test_what_lies_behind_a_cancelled_one_is_the_oldest(self, messages: Open) -> None:
        async with messages() as m:
            await put(m, *(note(str(number), id=str(number)) for number in range(40)))
            for number in range(39):
                assert await m.cancel("q", str(number))
            await elapse(m, 0.1)
            assert 0.1 <= (await m.stats("q"))["q"].oldest_age < LONG

    async def test_the_numbers_of_all_queues_are_by_name(self, messages: Open) -> None:
        async with messages() as m:
            await put(m, note("a", "q"), note("b", "r"))
            assert {name: got.sent for name, got in (await m.stats()).items()} == {"q": 1, "r": 1}

    async def test_a_queue_that_nobody_used_has_zeros(self, messages: Open) -> None:
        async with messages() as m:
            got = (await m.stats("q"))["q"]
            assert not any(got.waiting.values())
            assert [getattr(got, name) for name in QueueStats.__struct_fields__[1:]] == [0] * 13

    async def test_the_history_tells_the_steps_the_newest_first(self, messages: Open) -> None:
        async with messages() as m:
            await put(m, note("my secret", id="1"), note("b", id="2"))
            held = await take(m, 2)
            await m.ack(held[0])
            await m.nack(held[1], error="Test", permanent=True)
            entries = await m.history("q")
            assert [(entry.what, entry.ids) for entry in entries] == [
                ("died", ("2",)), ("acknowledged", ("1",)), ("delivered", ("1", "2")), ("sent", ("1", "2")),
            ]  # fmt: skip
            assert all(abs(entry.at - time.time()) < 60 for entry in entries)
            assert "secret" not in repr(entries)
            assert [entry.what for entry in await m.history("q", limit=2)] == ["died", "acknowledged"]
            assert list(await m.history("nobody")) == []

    async def test_the_history_is_bounded(self, messages: Open) -> None:
        async with messages(settings(audit_limit=10)) as m:
            for _ in range(300):
                await put(m, note())
            assert 10 <= len(await m.history("q", limit=1000)) <= 250

    async def test_a_history_of_nothing_is_possible(self, messages: Open) -> None:
        async with messages(settings(audit_limit=0)) as m:
            await put(m, note())
            assert list(await m.history("q")) == []
