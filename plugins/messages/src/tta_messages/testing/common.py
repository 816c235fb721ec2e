"""What the tests of the contract share."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any, Protocol, TypeVar

import anyio
import msgspec

from tta_kernel import Event
from tta_messages.answers import FAILED, Failure
from tta_messages.model import Delivery, Message, Messages, MessagesConfig, QueueSettings
from tta_messages.prepare import Types

T = TypeVar("T")
E = TypeVar("E", bound=Event)


class Note(msgspec.Struct, frozen=True):
    text: str
    number: int = 0


class Other(msgspec.Struct, frozen=True):
    flag: bool = False


TYPES: Types = {"test.note": Note, "test.other": Other, FAILED: Failure}
"""What the contract sends. In a deployment, error answers (`FAILED`) are declared by the plugin ``messages``."""
LONG = 10.0
"""Seconds for what should take milliseconds: an upper bound, so that a failure shows."""


def ignore(event: Event) -> None:
    """Listen to nothing."""


class Open(Protocol):
    """What the fixture ``messages`` is: ``async with messages(config) as m`` opens an empty implementation."""

    def __call__(
        self, config: MessagesConfig = ..., *, types: Types = ..., publish: Callable[[Event], None] = ...
    ) -> AbstractAsyncContextManager[Messages]: ...


def settings(**fields: Any) -> MessagesConfig:
    """Return a config whose queues all have these settings."""
    return MessagesConfig(defaults=QueueSettings(**fields))


def note(text: str = "", queue: str = "q", **fields: Any) -> Message:
    """Return a message that is told by its text."""
    return Message.to(queue, "test.note", Note(text), **fields)


def texts(deliveries: Sequence[Delivery]) -> list[str]:
    """Return what the messages say."""
    return [delivery.message.decode(Note).text for delivery in deliveries]


async def put(messages: Messages, *sent: Message) -> None:
    """Send what must arrive."""
    results = await messages.send(*sent)
    assert [result.error for result in results] == [""] * len(sent)


async def take(messages: Messages, limit: int = 1, wait: float = 0.0, queue: str = "q", **how: Any) -> list[Delivery]:
    """Receive."""
    return list(await messages.receive(queue, limit=limit, wait=wait, **how))


async def take_one(messages: Messages, wait: float = 0.0, **how: Any) -> Delivery:
    """Receive what must be there."""
    (delivery,) = await take(messages, 1, wait, **how)
    return delivery


async def until(look: Callable[[], Awaitable[T]]) -> T:
    """Look again and again, until there is something to see; what a store does by its own clock calls nobody."""
    with anyio.fail_after(LONG):
        while not (seen := await look()):  # noqa: ASYNC110
            await anyio.sleep(0.02)
    return seen


async def elapse(messages: Messages, seconds: float) -> None:
    """Wait until so much time has gone by on the store's own clock: a delayed message says so."""
    await put(messages, note("it is time", "clock", delay=seconds, ttl=seconds + LONG))
    assert texts(await take(messages, wait=LONG, queue="clock")) == ["it is time"]


async def until_all_wait(messages: Messages) -> None:
    """Let all other tasks go on until they wait, and a store behind a network has answered what they asked first."""
    for _ in range(3):
        await anyio.wait_all_tasks_blocked()
        await messages.stats("clock")


async def first(told: Sequence[Event], kind: type[E]) -> E:
    """Wait for an event of this type, and return it as its publisher made it."""

    async def look() -> Sequence[E]:
        return [event for event in told if isinstance(event, kind)]

    return msgspec.structs.replace((await until(look))[0], source="", at=0.0, correlation_id="")
