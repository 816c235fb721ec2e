"""A store that misbehaves, whoever wrote it: each call of ours is a failure then, and all goes on once it is well."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from itertools import count
from typing import Any, cast

import anyio
import pytest

from tta_kernel.testing.strangers import LIMIT, Outcome, Stranger, strangers
from tta_messages import (
    Delivery,
    LeaseKeeper,
    Messages,
    MessagesError,
    Requests,
    SendResult,
    Unsent,
    answer,
    consume,
    consume_batches,
    guard,
    respond,
    respond_error,
)
from tta_messages.memory import MemoryMessages
from tta_messages.testing import TYPES, note, settings
from tta_messages.testing.common import LONG, until

SETTLES = ("receive", "ack", "nack", "extend", "settings", "configure")


def going_on(all: Sequence[Stranger]) -> Sequence[Stranger]:
    """Leave out what ends the program in order."""
    return [each for each in all if each.outcome is not Outcome.STOP]


class Odd:
    """A store in memory whose methods of these names do what a stranger does, each the first ``times`` times."""

    def __init__(self, stranger: Stranger, *names: str, times: int = 1) -> None:
        self.memory = MemoryMessages(settings(backoff_base=0.0, retries=5), TYPES)
        self._stranger, self._left = stranger, dict.fromkeys(names, times)

    def __getattr__(self, name: str) -> Any:
        def call(*args: Any, **how: Any) -> Any:
            if self._left.get(name, 0):
                self._left[name] -= 1
                return self._stranger()
            return getattr(self.memory, name)(*args, **how)

        return call


def odd(stranger: Stranger, *names: str, **how: Any) -> tuple[Messages, MemoryMessages]:
    """Return a store that is odd, guarded with a limit that a test can wait for, and what is behind it."""
    store = Odd(stranger, *names, **how)
    return guard(cast(Messages, store), limit=LIMIT), store.memory


@pytest.mark.boundary(
    "tta_messages.Messages",
    "tta_messages.consume.messages",
    "tta_messages.LeaseKeeper.__init__.messages",
    "tta_messages.guard.messages",
)
@pytest.mark.parametrize("stranger", going_on(strangers("async", returns=Sequence[Delivery])), ids=str)
@pytest.mark.parametrize("how", [{}, {"concurrency": 3}], ids=["one", "many"])
async def test_whatever_a_store_does_its_consumer_handles_every_message(
    stranger: Stranger, how: dict[str, Any]
) -> None:
    async def handler(delivery: Delivery) -> None:
        handled.add(delivery.message.id)
        if delivery.attempt == 1 and delivery.message.id == "fails":
            raise ValueError

    handled = set[str]()
    messages, memory = odd(stranger, *SETTLES)
    await memory.send(note(id="well"), note(id="fails"))
    with anyio.fail_after(LONG):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(partial(consume, messages, "q", handler, wait=0.01, visibility=0.2, **how))

            async def all_done() -> bool:
                stats = (await memory.stats("q"))["q"]
                return not (stats.held or stats.delayed or sum(stats.waiting.values()))

            await until(all_done)
            tasks.cancel_scope.cancel()
    assert handled >= {"well", "fails"}  # What is odd, and a delivery all the same, is handled, too.
    assert not await memory.dead("q")


@pytest.mark.boundary("tta_messages.consume_batches.messages")
@pytest.mark.parametrize("stranger", going_on(strangers("async", returns=Sequence[Delivery])), ids=str)
async def test_whatever_a_store_does_batches_are_handled(stranger: Stranger) -> None:
    async def handler(deliveries: Sequence[Delivery]) -> None:
        handled.set()

    handled = anyio.Event()
    messages, memory = odd(stranger, "receive", "settings")
    await memory.send(note())
    with anyio.fail_after(LONG):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(partial(consume_batches, messages, "q", handler, wait=0.01, visibility=0.2))
            await handled.wait()
            tasks.cancel_scope.cancel()


@pytest.mark.boundary(
    "tta_messages.answer.messages",
    "tta_messages.Requests.__init__.messages",
    "tta_messages.ReplyQueue.__init__.messages",
)
@pytest.mark.parametrize("stranger", going_on(strangers("async", returns=Sequence[SendResult])), ids=str)
async def test_whatever_a_store_does_who_asks_again_is_answered(stranger: Stranger) -> None:
    async def handler(delivery: Delivery) -> tuple[str, Any]:
        return "test.note", {"text": "well"}

    messages, _ = odd(stranger, "send", "receive", "cancel", "configure", "purge", "drop", times=2)
    requests = Requests(messages, "replies", timeout=0.5)
    with anyio.fail_after(LONG):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(requests.run)
            tasks.start_soon(partial(answer, messages, "q", handler, wait=0.01, visibility=0.2))
            tries, said = count(), set[str]()
            while next(tries) < 10:
                try:
                    await requests.ask(note())
                    break
                except MessagesError as error:
                    said.add(str(error))
                except (Unsent, TimeoutError):
                    continue  # It said of what it never stored that it was stored, or was not; or is away too long.
            else:
                pytest.fail("nobody answers")
            tasks.cancel_scope.cancel()
    assert all("Odd.send" in each for each in said)


@pytest.mark.boundary("tta_messages.respond.messages", "tta_messages.respond_error.messages")
@pytest.mark.parametrize("stranger", going_on(strangers("async", returns=Sequence[SendResult])), ids=str)
async def test_whatever_a_store_does_a_response_is_sent_or_an_error(stranger: Stranger) -> None:
    messages, memory = odd(stranger, "send", times=2)
    await memory.send(note(reply_to="replies"))
    [delivery] = await memory.receive("q")
    for send in (
        partial(respond, messages, delivery, "test.note", {"text": "x"}),
        partial(respond_error, messages, delivery, "no"),
    ):
        with anyio.fail_after(LONG):
            if stranger.outcome in (Outcome.FAILURE, Outcome.TIME_LIMIT):
                with pytest.raises(MessagesError, match=r"Odd\.send (raised|answered|did not answer)"):
                    await send()
            else:
                try:
                    assert isinstance(await send(), SendResult)
                except MessagesError:
                    continue  # What it answered was for none, or for more than the one.


async def test_the_error_names_the_backend_and_its_line_and_quotes_nothing() -> None:
    def raises() -> Any:
        raise ValueError("what a person wrote")

    messages, _ = odd(Stranger("raises", Outcome.FAILURE, raises), "send")
    with pytest.raises(MessagesError, match=rf"Odd\.send raised ValueError at {__file__}:\d+$"):
        await messages.send(note())


async def test_a_result_too_few_is_an_error() -> None:
    async def none() -> Any:
        return []

    messages, memory = odd(Stranger("none", Outcome.FAILURE, none), "send", "ack", "release")
    with pytest.raises(MessagesError, match="wrong"):
        await messages.send(note())
    await memory.send(note())
    held = await memory.receive("q")
    for call in (messages.ack, messages.release):
        with pytest.raises(MessagesError, match="wrong"):
            await call(*held)


async def test_a_guarded_store_is_guarded_once() -> None:
    memory = MemoryMessages(settings(), TYPES)
    assert guard(guarded := guard(memory)) is guarded


async def test_an_interrupt_in_a_store_is_none_of_its_failures() -> None:
    def interrupted() -> Any:
        raise KeyboardInterrupt

    messages, _ = odd(Stranger("interrupted", Outcome.STOP, interrupted), "send")
    with pytest.raises(KeyboardInterrupt):
        await messages.send(note())


async def test_leases_of_a_store_that_answers_nonsense_are_kept_until_they_run_out() -> None:
    async def nonsense() -> Any:
        return "yes"

    messages, memory = odd(Stranger("nonsense", Outcome.FAILURE, nonsense), "receive", "extend", times=3)
    leases = LeaseKeeper(messages, "q", visibility=0.2)
    await memory.send(note(id="a"))
    with anyio.fail_after(LONG):
        [delivery] = await leases.receive(limit=1, wait=0.0)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(leases.run)

            async def is_extended() -> bool:
                return (await memory.stats("q"))["q"].held == 1 and leases.holds(delivery, 0.0)

            await until(is_extended)
            tasks.cancel_scope.cancel()
        await leases.close()
