"""What becomes of a message on its way in."""

from __future__ import annotations

import time

import msgspec
import pytest

from tta_kernel import Event
from tta_kernel.testing.numbers import NO_DURATIONS
from tta_messages.model import Filter, Message, MessagesConfig, Priority, QueueFilled, QueueSettings

from .common import Note, Open, Other, elapse, first, note, put, settings, take, take_one, texts, until


class SendingContract:
    async def test_a_message_arrives_as_it_was_sent(self, messages: Open) -> None:
        async with messages() as m:
            before = time.time()
            sent = note(
                "hello", id="m-1", priority=Priority.HIGH, sender="s", topic="t", tags=("a", "b"),
                correlation_id="c", reply_to="replies", owner="u", ttl=60.0,
            )  # fmt: skip
            (result,) = await m.send(sent)
            assert (result.id, result.delivered, result.error, result.duplicate) == ("m-1", True, "", False)
            delivery = await take_one(m)
            got = delivery.message
            assert before - 1 <= got.sent_at <= time.time() + 1
            assert msgspec.structs.replace(got, sent_at=0.0, body=sent.body) == sent
            assert got.decode(Note) == Note("hello")
            assert (delivery.attempt, delivery.last_error) == (1, "")

    async def test_a_message_without_an_id_gets_one_of_its_own(self, messages: Open) -> None:
        async with messages() as m:
            results = await m.send(note("a"), note("b"))
            assert len({result.id for result in results} - {""}) == 2
            assert [d.message.id for d in await take(m, 2)] == [result.id for result in results]

    async def test_priorities_go_first_and_the_oldest_within_one(self, messages: Open) -> None:
        async with messages() as m:
            await put(m, note("low", priority=Priority.LOW), note("high", priority=Priority.HIGH))
            await put(m, note("a"), note("b"))
            got = []
            for _ in range(4):
                delivery = await take_one(m)
                got += texts([delivery])
                assert list(await m.ack(delivery)) == [True]
            assert got == ["high", "a", "b", "low"]

    async def test_one_call_sends_to_many_queues_with_results_in_order(self, messages: Open) -> None:
        async with messages() as m:
            results = await m.send(note("a", "q"), note("b", "other"), note("c", "no queue"), note("d", "q"))
            assert [result.error for result in results] == ["", "", "bad_address", ""]
            assert texts(await take(m, 9)) == ["a", "d"]
            assert texts(await take(m, 9, queue="other")) == ["b"]

    async def test_nothing_sent_is_no_result(self, messages: Open) -> None:
        async with messages() as m:
            assert list(await m.send()) == []
            assert list(await m.broadcast(note(), [])) == []

    async def test_a_full_queue_is_a_result_and_takes_more_after_an_acknowledgement(self, messages: Open) -> None:
        async with messages(settings(max_length=1)) as m:
            await put(m, note("a"))
            held = await take_one(m)
            (result,) = await m.send(note("b"))
            assert (result.delivered, result.error) == (False, "queue_full")
            await m.ack(held)
            await put(m, note("b"))

    async def test_waiting_delayed_and_held_messages_count_as_length(self, messages: Open) -> None:
        async with messages(settings(max_length=3)) as m:
            await put(m, note("held"))
            held = await take_one(m)
            await put(m, note("waiting"), note("delayed", delay=60.0))
            assert [r.error for r in await m.send(note("more"))] == ["queue_full"]
            await m.nack(held, delay=60.0)
            assert [r.error for r in await m.send(note("more"))] == ["queue_full"]

    async def test_of_a_batch_too_large_for_the_queue_the_first_go_in(self, messages: Open) -> None:
        async with messages(settings(max_length=2)) as m:
            results = await m.send(*(note(text) for text in "abcd"))
            assert [result.error for result in results] == ["", "", "queue_full", "queue_full"]
            assert texts(await take(m, 9)) == ["a", "b"]

    async def test_a_queue_that_was_full_is_told_at_most_once_a_second(self, messages: Open) -> None:
        told: list[Event] = []
        async with messages(settings(max_length=1), publish=told.append) as m:
            for _ in range(3):
                await m.send(note())
            assert await first(told, QueueFilled) == QueueFilled(queue="q")
            assert len([event for event in told if isinstance(event, QueueFilled)]) == 1

    async def test_one_id_sent_twice_is_delivered_once(self, messages: Open) -> None:
        async with messages() as m:
            first, second = await m.send(note("a", id="1"), note("b", id="1"))
            (third,) = await m.send(note("c", id="1"))
            assert [r.duplicate for r in (first, second, third)] == [False, True, True]
            assert [r.delivered for r in (first, second, third)] == [True, True, True]
            assert texts(await take(m, 9)) == ["a"]

    async def test_an_id_is_known_in_its_window_even_after_the_acknowledgement(self, messages: Open) -> None:
        async with messages() as m:
            await put(m, note("a", id="1"))
            await m.ack(await take_one(m))
            (result,) = await m.send(note("a", id="1"))
            assert result.duplicate
            assert await take(m) == []

    async def test_an_id_is_new_again_after_its_window(self, messages: Open) -> None:
        async with messages(settings(dedup_window=0.2)) as m:
            await put(m, note("a", id="1"))
            await m.ack(await take_one(m))

            async def is_new() -> bool:
                return not (await m.send(note("b", id="1")))[0].duplicate

            await until(is_new)
            assert texts(await take(m)) == ["b"]

    async def test_an_id_in_the_queue_is_known_beyond_its_window(self, messages: Open) -> None:
        async with messages(settings(dedup_window=0.05)) as m:
            await put(m, note("a", id="1"))
            await elapse(m, 0.15)
            assert [r.duplicate for r in await m.send(note("b", id="1"))] == [True]

    async def test_one_id_in_two_queues_is_two_messages(self, messages: Open) -> None:
        async with messages() as m:
            assert [r.duplicate for r in await m.send(note("a", "q", id="1"), note("b", "r", id="1"))] == [False] * 2

    async def test_a_duplicate_is_recognised_by_a_full_queue(self, messages: Open) -> None:
        async with messages(settings(max_length=1)) as m:
            await put(m, note("a", id="1"))
            (result,) = await m.send(note("a", id="1"))
            assert (result.delivered, result.duplicate) == (True, True)

    async def test_a_refused_message_may_be_sent_again_with_its_id(self, messages: Open) -> None:
        async with messages(settings(max_length=1)) as m:
            await put(m, note("a"))
            assert (await m.send(note("b", id="1")))[0].error == "queue_full"
            await m.ack(await take_one(m))
            assert not (await m.send(note("b", id="1")))[0].duplicate

    @pytest.mark.parametrize(
        ("message", "error"),
        [
            (note("x" * 2000), "too_large"),
            (Message.to("q", "test.nothing", Note("a")), "unknown_type"),
            (Message.to("q", "test.note", {"text": 5}), "bad_body"),
            (Message.to("q", "test.note"), "bad_body"),
            (Message("q", "test.note", msgspec.Raw(b"\x81\xa4text\xa1a\xc0")), "bad_body"),
            (Message("q", "test.note", msgspec.Raw(b"\xc1")), "bad_body"),
            (Message("q", "test.note", msgspec.Raw(b"")), "bad_body"),
            (note("a", ""), "bad_address"),
            (note("a", "a b"), "bad_address"),
            (note("a", "a:{b}"), "bad_address"),
            (note("a", "q" * 201), "bad_address"),
            (note("a", reply_to="a b"), "bad_address"),
            (note("a", ttl=0.0), "expired"),
            (note("a", ttl=-1.0), "expired"),
            (note("a", ttl=5.0, delay=5.0), "expired"),
            (note("a", id="a b"), "bad_message"),
            (note("a", id="a\n"), "bad_message"),
            (note("a", delay=-1.0), "bad_message"),
            (note("a", delay=float("nan")), "bad_message"),
            (note("a", ttl=float("inf")), "bad_message"),
            (note("a", ttl=float("nan")), "bad_message"),
            (note("a", ttl=1e300), "bad_message"),
            (note("a", delay=1e300), "bad_message"),
            (note("a", priority=7), "bad_message"),
            (note("a", tags=(1,)), "bad_message"),
            (note("a", owner="\ud800"), "bad_message"),
        ],
    )
    async def test_bad_input_is_a_result_and_changes_nothing(
        self, messages: Open, message: Message, error: str
    ) -> None:
        async with messages(MessagesConfig(max_size=1000)) as m:
            results = await m.send(note("before"), message, note("after"))
            assert [(r.delivered, r.error) for r in results] == [(True, ""), (False, error), (True, "")]
            assert texts(await take(m, 9)) == ["before", "after"]

    async def test_what_does_not_fit_is_not_quoted(self, messages: Open) -> None:
        async with messages() as m:
            (result,) = await m.send(Message.to("q", "test.note", {"text": "a", "number": "my secret"}))
            assert result.error == "bad_body"
            assert "number" in result.detail
            assert "secret" not in result.detail

    async def test_a_misspelt_type_comes_with_a_suggestion(self, messages: Open) -> None:
        async with messages() as m:
            (result,) = await m.send(Message.to("q", "test.noet", Note("a")))
            assert "'test.note'" in result.detail

    async def test_the_longest_address_and_its_odd_characters_are_fine(self, messages: Open) -> None:
        async with messages() as m:
            for queue in ("a" * 200, "agents.x/host-1+2@site_3", "."):
                await put(m, note("a", queue))
                assert texts(await take(m, queue=queue)) == ["a"]

    async def test_a_broadcast_gives_each_queue_a_copy_with_an_id_of_its_own(self, messages: Open) -> None:
        async with messages() as m:
            results = await m.broadcast(note("a"), ["r", "q"])
            assert [result.delivered for result in results] == [True, True]
            got = [await take_one(m, queue=queue) for queue in ("r", "q")]
            assert [d.message.queue for d in got] == ["r", "q"]
            assert [d.message.id for d in got] == [result.id for result in results]
            assert len({result.id for result in results}) == 2

    async def test_a_broadcast_with_an_id_arrives_once_though_it_is_sent_twice(self, messages: Open) -> None:
        async with messages() as m:
            await m.broadcast(note("a", id="1"), ["q", "r"])
            results = await m.broadcast(note("a", id="1"), ["r", "q", "s"])
            assert [result.duplicate for result in results] == [True, True, False]

    async def test_a_broadcast_says_for_each_queue_what_became_of_it(self, messages: Open) -> None:
        config = MessagesConfig(queues={"full": QueueSettings(max_length=1)})
        async with messages(config) as m:
            await put(m, note("a", "full"))
            results = await m.broadcast(note("b"), ["q", "full", "a b"])
            assert [result.error for result in results] == ["", "queue_full", "bad_address"]

    async def test_a_subscription_can_be_seen_and_ended(self, messages: Open) -> None:
        async with messages() as m:
            wanted = Filter(types=("test.note",))
            subscription = await m.subscribe("q", wanted)
            other = await m.subscribe("r", wanted)
            assert (subscription.queue, subscription.filter) == ("q", wanted)
            assert [s.id for s in await m.subscriptions()] == sorted([subscription.id, other.id])
            assert list(await m.subscriptions("q")) == [subscription]
            assert [await m.unsubscribe(subscription.id), await m.unsubscribe(subscription.id)] == [True, False]
            assert [s.id for s in await m.subscriptions()] == [other.id]

    @pytest.mark.parametrize(
        ("wanted", "fits"),
        [
            (Filter(), True),
            (Filter(types=("test.other", "test.note")), True),
            (Filter(types=("test.other",)), False),
            (Filter(topics=("story.ended",)), True),
            (Filter(topics=("story.*",)), True),
            (Filter(topics=("nothing", "*")), True),
            (Filter(topics=("story",)), False),
            (Filter(topics=("world.*",)), False),
            (Filter(tags=("b", "a")), True),
            (Filter(tags=("a", "c")), False),
            (Filter(("test.note",), ("story.*",), ("a",)), True),
            (Filter(("test.note",), ("story.*",), ("c",)), False),
        ],
    )
    async def test_a_published_message_goes_where_it_fits(self, messages: Open, wanted: Filter, fits: bool) -> None:
        async with messages() as m:
            await m.subscribe("q", wanted)
            results = await m.publish(note("a", "", topic="story.ended", tags=("a", "b")))
            assert [result.delivered for result in results] == [True] * fits
            assert texts(await take(m)) == ["a"] * fits

    async def test_a_queue_with_two_subscriptions_that_fit_gets_one_copy(self, messages: Open) -> None:
        async with messages() as m:
            await m.subscribe("q", Filter(types=("test.note",)))
            await m.subscribe("q", Filter(topics=("t",)))
            await m.subscribe("r", Filter())
            assert len(await m.publish(note("a", "", topic="t"))) == 2
            assert texts(await take(m, 9)) == texts(await take(m, 9, queue="r")) == ["a"]

    async def test_the_same_subscription_once_more_renews_it(self, messages: Open) -> None:
        async with messages() as m:
            first = await m.subscribe("q", Filter(tags=("a", "b")), ttl=60.0)
            second = await m.subscribe("q", Filter(tags=("a", "b")), ttl=600.0)
            assert first.id == second.id
            assert second.expires_at > first.expires_at + 100
            assert [s.expires_at for s in await m.subscriptions()] == [second.expires_at]

    async def test_a_time_that_is_none_subscribes_nobody(self, messages: Open) -> None:
        async with messages() as m:
            for seconds in (*NO_DURATIONS, 0.0):
                with pytest.raises(ValueError, match="ttl"):
                    await m.subscribe("q", Filter(), ttl=seconds)
            assert list(await m.subscriptions()) == []

    async def test_a_subscription_ends_unless_it_is_renewed(self, messages: Open) -> None:
        async with messages() as m:
            await m.subscribe("q", Filter(), ttl=0.05)

            async def is_over() -> bool:
                return not await m.subscriptions()

            await until(is_over)
            assert list(await m.publish(note("a", ""))) == []

    async def test_bodies_of_other_types_arrive_too(self, messages: Open) -> None:
        async with messages() as m:
            await put(m, Message.to("q", "test.other", {"flag": True, "new": "field of a later release"}))
            assert (await take_one(m)).message.decode(Other) == Other(flag=True)
