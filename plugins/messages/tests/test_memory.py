from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager, nullcontext

import pytest
from hypothesis import HealthCheck, Phase
from hypothesis import settings as hypothesis_settings
from hypothesis.stateful import run_state_machine_as_test

from tta_messages import Delivery, Filter, Messages, MessagesConfig, MessagesError, Settled
from tta_messages.memory import MemoryMessages
from tta_messages.testing import TYPES, MessagesMachine, SingleProcessMessagesContract, note, settings


class TestMemoryMessages(SingleProcessMessagesContract):
    """On asyncio and on trio, by the fixtures of this folder."""


class MemoryMachine(MessagesMachine):
    """Without a second implementation at hand this proves that the machine runs, and that the rules hold together."""

    def open(self, config: MessagesConfig) -> AbstractAsyncContextManager[Messages]:
        return nullcontext(MemoryMessages(config, TYPES))


TestMemoryMachine = MemoryMachine.TestCase
TestMemoryMachine.settings = hypothesis_settings(max_examples=30, stateful_step_count=40)


class Forgetful(MemoryMessages):
    """Gives what is released to the tail."""

    async def release(self, *deliveries: Delivery) -> Sequence[bool]:
        return [await self.nack(delivery, delay=0.0) is Settled.RETRY for delivery in deliveries]


def test_the_machine_finds_a_mistake() -> None:
    class ForgetfulMachine(MessagesMachine):
        def open(self, config: MessagesConfig) -> AbstractAsyncContextManager[Messages]:
            return nullcontext(Forgetful(config, TYPES))

    found = hypothesis_settings(
        max_examples=2000, derandomize=True, phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    with pytest.raises(AssertionError):
        run_state_machine_as_test(ForgetfulMachine, settings=found)


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


async def test_too_many_queues_are_a_full_queue() -> None:
    m = MemoryMessages(MessagesConfig(), TYPES, limit=2)
    results = await m.send(note("a", "q"), note("b", "r"), note("c", "s"), note("d", "q"))
    assert [result.error for result in results] == ["", "", "queue_full", ""]
    with pytest.raises(MessagesError):
        await m.receive("s")


async def test_an_empty_queue_makes_room_for_another() -> None:
    m = MemoryMessages(settings(dedup_window=0.0), TYPES, limit=1)
    for queue in ("q", "r"):
        await m.send(note("a", queue))
        await m.ack(*await m.receive(queue))
    assert list(await m.stats()) == ["r"]


async def test_a_queue_that_nobody_used_for_a_day_ends_and_later_if_it_was_configured() -> None:
    clock = Clock()
    config = MessagesConfig()
    m = MemoryMessages(config, TYPES, clock=clock)
    await m.receive("q")
    await m.configure("r", config.defaults)
    await m.send(note("a", "s", ttl=300_000.0))
    clock.now += 100_000
    await m.receive("t")
    assert list(await m.stats()) == ["r", "s", "t"]
    clock.now += 600_000
    await m.receive("u")
    assert list(await m.stats()) == ["s", "u"]


async def test_subscriptions_are_bounded_and_those_that_ended_make_room() -> None:
    clock = Clock()
    m = MemoryMessages(MessagesConfig(), TYPES, clock=clock, limit=1)
    await m.subscribe("q", Filter(), ttl=60.0)
    with pytest.raises(MessagesError):
        await m.subscribe("r", Filter())
    clock.now += 60
    await m.subscribe("r", Filter())
    assert [s.queue for s in await m.subscriptions()] == ["r"]


async def test_the_pause_is_shortened_by_a_random_part() -> None:
    clock, dice = Clock(), iter([0.0, 0.5])
    m = MemoryMessages(settings(backoff_base=10.0, jitter=0.4), TYPES, clock=clock, random=lambda: next(dice))
    for pause in (10.0, 8.0):
        await m.purge("q")
        await m.send(note("a"))
        (held,) = await m.receive("q")
        await m.nack(held)
        clock.now += pause - 0.1
        assert await m.receive("q") == []
        clock.now += 0.2
        assert len(await m.receive("q")) == 1
