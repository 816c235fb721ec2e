"""Stores that look shared, and aren't: the contract refuses them, and says why."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from tta_kernel.testing import Shared
from tta_messages import Delivery, Messages
from tta_messages.memory import MemoryMessages
from tta_messages.testing import TYPES, MessagesContract, settings

OF_THIS_PROCESS: dict[str, MemoryMessages] = {}


@asynccontextmanager
async def of_the_object(name: str) -> AsyncIterator[Messages]:
    yield MemoryMessages(settings(), TYPES)


@asynccontextmanager
async def of_the_process(name: str) -> AsyncIterator[Messages]:
    yield OF_THIS_PROCESS.setdefault(name, MemoryMessages(settings(), TYPES))


class GivesOutAgain(MemoryMessages):
    """Holds nothing: whoever comes gets it once more."""

    async def receive(self, queue: str, **how: object) -> list[Delivery]:
        held = list(await super().receive(queue, **how))  # type: ignore[arg-type]
        await self.release(*held)
        return held


@asynccontextmanager
async def that_holds_nothing(name: str) -> AsyncIterator[Messages]:
    yield OF_THIS_PROCESS.setdefault(name, GivesOutAgain(settings(), TYPES))


async def test_messages_of_an_object_are_not_shared() -> None:
    with pytest.raises(AssertionError, match="each keeps messages of its own"):
        await MessagesContract().test_what_one_store_sends_another_on_the_same_place_receives(
            Shared(of_the_object, ("q",))
        )


async def test_a_message_that_two_stores_give_out_is_found(request: pytest.FixtureRequest) -> None:
    with pytest.raises(AssertionError, match="two stores gave out one message"):
        await MessagesContract().test_what_one_store_sends_another_on_the_same_place_receives(
            Shared(that_holds_nothing, (request.node.name,))
        )


class Impatient(MessagesContract):
    patience = 0.5


async def test_messages_of_a_process_are_not_shared(request: pytest.FixtureRequest) -> None:
    shared = Shared[Messages](of_the_process, (request.node.name,))
    await Impatient().test_who_waits_hears_of_what_another_store_sends(shared)
    with pytest.raises(AssertionError, match="what this process sent the others don't see"):
        await Impatient().test_of_two_processes_each_message_comes_to_one(shared)
