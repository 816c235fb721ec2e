"""What is asked, and how it is answered."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import anyio
import pytest

from tta_messages.answers import FAILED, Failure, answer, respond, respond_error
from tta_messages.consume import Reject, consume
from tta_messages.model import Delivery, Message, Messages, MessagesConfig, QueueSettings
from tta_messages.requests import AnswerError, Requests, Unsent

from .common import LONG, Note, Open, note, put, settings, take, take_one, texts, until


class Broken(Exception):
    """What a handler raises whose text must not travel."""


@asynccontextmanager
async def asking(messages: Messages, **how: Any) -> AsyncIterator[Requests]:
    """Run the side that asks; after the block it has ended."""
    requests = Requests(messages, "replies", **how)
    with anyio.fail_after(2 * LONG):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(requests.run)
            yield requests
            tasks.cancel_scope.cancel()


@asynccontextmanager
async def answering(messages: Messages, **how: Any) -> AsyncIterator[Requests]:
    """Run both sides: each question is answered as its text says."""

    async def handle(delivery: Delivery) -> tuple[str, Any]:
        match delivery.message.decode(Note).text:
            case "reject":
                raise Reject("no such story")
            case "break":
                raise Broken("my secret")
            case "stay":
                await anyio.sleep(LONG)
            case "grow":
                return "test.note", Note("x" * 2_000)
            case "err":
                return "test.nothing", None
        return "test.note", Note(f"attempt {delivery.attempt}")

    async def serve() -> None:
        await answer(messages, "q", handle, concurrency=4, **how)

    async with asking(messages) as requests, anyio.create_task_group() as tasks:
        tasks.start_soon(serve)
        yield requests
        tasks.cancel_scope.cancel()


@asynccontextmanager
async def asked(messages: Messages) -> AsyncIterator[Sequence[AnswerError]]:
    """Ask; what that raises will be in the list."""
    caught: list[AnswerError] = []
    async with asking(messages) as requests, anyio.create_task_group() as tasks:

        async def ask() -> None:
            with pytest.raises(AnswerError) as raised:
                await requests.ask(note("well?"))
            caught.append(raised.value)

        tasks.start_soon(ask)
        yield caught


async def recovered(messages: Messages, caught: Sequence[AnswerError]) -> bool:
    """Look after the queue, as a sweep does; True once whoever asked has heard."""
    await messages.recover("q")
    return bool(caught)


class AskingContract:
    async def test_what_a_handler_returns_is_the_answer(self, messages: Open) -> None:
        async with messages() as m, answering(m) as requests:
            got = await requests.ask(note("well?", id="1", owner="u", ttl=5.0))
            assert got.decode(Note) == Note("attempt 1")
            assert (got.queue, got.correlation_id, got.sender, got.owner) == (requests.queue, "1", "q", "u")
            assert 4.0 < (got.ttl or 0.0) < 6.0
            assert (requests.counts.asked, requests.counts.answered) == (1, 1)

    async def test_a_rejected_question_is_answered_with_the_reason_and_done(self, messages: Open) -> None:
        async with messages() as m, answering(m) as requests:
            with pytest.raises(AnswerError, match=r"^no such story$") as caught:
                await requests.ask(note("reject"))
            assert (caught.value.reason, caught.value.retryable) == ("no such story", False)
            assert (requests.counts.failed, requests.counts.unanswered) == (1, 0)

            async def is_done() -> bool:
                return (await m.stats("q"))["q"].acknowledged == 1

            await until(is_done)
            assert list(await m.dead("q")) == []

    async def test_a_question_that_no_attempt_could_answer_is_dead_and_whoever_asked_hears_of_it(
        self, messages: Open
    ) -> None:
        async with messages(settings(retries=2, backoff_base=0.0)) as m, answering(m) as requests:
            with pytest.raises(AnswerError) as caught:
                await requests.ask(note("break"))
            assert (caught.value.reason, caught.value.retryable) == ("Broken", True)
            (letter,) = await m.dead("q")
            assert (letter.reason, letter.attempts) == ("retries", 3)
            assert "secret" not in repr(caught.value)

    async def test_a_question_whose_next_attempt_would_come_too_late_is_not_waited_for(self, messages: Open) -> None:
        async with messages(settings(backoff_base=60.0, backoff_cap=60.0)) as m, answering(m) as requests:
            with pytest.raises(AnswerError, match="Broken"):
                await requests.ask(note("break"))

    async def test_a_handler_that_takes_too_long_is_an_error(self, messages: Open) -> None:
        async with messages(settings(retries=0)) as m, answering(m, time_limit=0.05) as requests:
            with pytest.raises(AnswerError) as caught:
                await requests.ask(note("stay"))
            assert (caught.value.reason, caught.value.retryable) == ("timeout", True)

    @pytest.mark.parametrize(("text", "error"), [("grow", "too_large"), ("err", "unknown_type")])
    async def test_an_answer_that_cannot_be_sent_is_an_error(self, messages: Open, text: str, error: str) -> None:
        async with messages(MessagesConfig(max_size=1_000)) as m, answering(m) as requests:
            with pytest.raises(AnswerError, match=f"^its answer is {error}$"):
                await requests.ask(note(text))
            assert [letter.reason for letter in await m.dead("q")] == ["rejected"]

    async def test_what_expects_no_answer_is_handled_all_the_same(self, messages: Open) -> None:
        async with messages() as m, answering(m) as requests:
            await put(m, note("hello", id="1"), note("reject", id="2"))
            await requests.ask(note("the last"))

            async def is_done() -> bool:
                got = (await m.stats("q"))["q"]
                return (got.acknowledged, got.dead) == (2, 1)

            await until(is_done)

    async def test_an_error_can_be_answered_by_hand_and_is_heard_once(self, messages: Open) -> None:
        async with messages() as m, asking(m) as requests, anyio.create_task_group() as tasks:
            caught: list[AnswerError] = []

            async def ask() -> None:
                with pytest.raises(AnswerError) as raised:
                    await requests.ask(note("well?"))
                caught.append(raised.value)

            tasks.start_soon(ask)
            delivery = await take_one(m, LONG)
            assert (await respond_error(m, delivery, "busy " * 200, retryable=True)).delivered
            assert (await respond(m, delivery, "test.note", Note("after all"))).duplicate
            await m.ack(delivery)

            async def is_heard() -> bool:
                return bool(caught)

            await until(is_heard)
            assert (caught[0].reason[:9], caught[0].retryable) == ("busy busy", True)
            assert len(caught[0].reason) == 500

    async def test_whoever_asked_hears_that_all_who_took_it_have_vanished(self, messages: Open) -> None:
        async with messages(settings(retries=1, visibility=0.05)) as m, asked(m) as caught:
            for _ in range(2):
                await take_one(m, LONG)
            await until(partial(recovered, m, caught))
            assert (caught[0].reason, caught[0].retryable) == ("its hold ran out", True)

    async def test_whoever_asked_hears_of_a_rejection_by_one_who_answers_nothing(self, messages: Open) -> None:
        async def handle(delivery: Delivery) -> None:
            raise Reject("no such story")

        async with messages() as m, asked(m) as caught, anyio.create_task_group() as tasks:
            tasks.start_soon(consume, m, "q", handle)
            await until(partial(recovered, m, caught))
            assert (caught[0].reason, caught[0].retryable) == ("no such story", False)
            tasks.cancel_scope.cancel()

    @pytest.mark.parametrize("back", ["replies", "q"])
    async def test_whoever_asked_without_a_deadline_hears_that_his_question_has_expired(
        self, messages: Open, back: str
    ) -> None:
        async with messages() as m:
            await put(m, note("well?", id="1", reply_to=back, owner="u", ttl=0.05), note("well?", id="2", ttl=0.05))

            async def are_dead() -> bool:
                return (await m.stats("q"))["q"].dead == 2

            await until(are_dead)
            (answer,) = await take(m, 10, LONG, back)
            said = answer.message
            assert (said.id, said.type, said.correlation_id, said.owner) == ("1/answer", FAILED, "1", "u")
            assert said.decode(Failure) == Failure("expired", retryable=True)
            assert (said.ttl, said.reply_to) == (60.0, "")

    async def test_one_who_answered_and_vanished_has_answered(self, messages: Open) -> None:
        async with messages(settings(retries=0, visibility=0.2)) as m:
            await put(m, note("well?", id="1", reply_to="replies"))
            assert (await respond(m, await take_one(m, LONG), "test.note", Note("yes"))).delivered

            async def is_dead() -> bool:
                await m.recover("q")
                return bool(await m.dead("q"))

            await until(is_dead)
            await put(m, note("later", "replies"))
            assert texts(await take(m, 10, LONG, "replies")) == ["yes", "later"]

    async def test_nobody_hears_of_what_nobody_asked(self, messages: Open) -> None:
        async with messages() as m:
            await put(m, note("hello"))
            await m.nack(await take_one(m), permanent=True)
            await put(m, note("well?", reply_to="replies"))
            await m.nack(await take_one(m), permanent=True)
            (answer,) = await take(m, 10, LONG, "replies")
            assert answer.message.decode(Failure).reason == "rejected"

    async def test_a_question_that_is_refused_or_outlives_its_time_raises(self, messages: Open) -> None:
        async with messages() as m, asking(m, timeout=0.1) as requests:
            with pytest.raises(Unsent, match="unknown_type"):
                await requests.ask(Message.to("q", "test.nothing", Note("a")))
            with pytest.raises(TimeoutError, match=r"no answer came from queue 'q' within 0\.1 s"):
                await requests.ask(note("well?"))
            with pytest.raises(TimeoutError, match=r"within 0\.05 s"):
                await requests.ask(note("well?", ttl=0.05))
            assert (await m.stats("q"))["q"].dead == 0

    async def test_answers_for_a_process_that_has_gone_have_an_end_and_are_no_dead_letters(
        self, messages: Open
    ) -> None:
        async with messages() as m:
            async with asking(m) as requests:
                queue = requests.queue
                with anyio.move_on_after(0.2):
                    async with anyio.create_task_group() as tasks:
                        tasks.start_soon(requests.ask, note("well?"))
                        delivery = await take_one(m, LONG)
            assert (await m.settings(queue)).dead_limit == 0
            assert (await respond(m, delivery, "test.note", Note("too late"), ttl=0.1)).delivered

            async def is_over() -> bool:
                got = (await m.stats(queue))[queue]
                return (got.waiting["normal"], got.expired) == (0, 1)

            await until(is_over)
            assert (await m.stats(queue))[queue].dead == 0

    async def test_two_that_ask_do_not_take_each_others_answers(self, messages: Open) -> None:
        async with messages() as m, answering(m) as one, asking(m) as other:
            for requests in (one, other) * 5:
                assert (await requests.ask(note("well?"))).queue == requests.queue
            assert one.counts.late == other.counts.late == 0
            assert await m.settings(one.queue) != QueueSettings()

    @pytest.mark.parametrize("held", [False, True], ids=["waiting", "held"])
    async def test_whoever_asked_hears_at_once_that_the_question_was_forgotten(
        self, messages: Open, *, held: bool
    ) -> None:
        async with messages() as m, asking(m) as requests, anyio.create_task_group() as tasks:
            caught: list[AnswerError] = []

            async def ask() -> None:
                with pytest.raises(AnswerError) as raised:
                    await requests.ask(note("well?", owner="u"))
                caught.append(raised.value)

            async def is_there() -> bool:
                return bool(sum((await m.stats("q"))["q"].waiting.values()))

            tasks.start_soon(ask)
            await until(is_there)
            if held:
                await take_one(m)
            assert await m.forget("u") == 1

            async def has_heard() -> bool:
                return bool(caught)

            await until(has_heard)
            assert [(each.reason, each.retryable) for each in caught] == [("forgotten", False)]
            assert await m.dead("q") == []
