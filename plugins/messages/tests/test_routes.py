"""Queues over HTTP: their numbers, their dead letters without what they say, and letting these live again."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping

import msgspec
import pytest

from tta_http import HttpPlugin, HttpProblem, Principal
from tta_http.testing import EVERYTHING, Caller
from tta_kernel import Kernel, NoConfig, Plugin, hookimpl
from tta_messages import MESSAGES, Message, MessagesMemory, MessagesPlugin


class Said(msgspec.Struct, frozen=True):
    said: str


class Types(Plugin[NoConfig]):
    @hookimpl
    def message_types(self) -> Mapping[str, type[msgspec.Struct]]:
        return {"t": Said}


PLUGINS = {"types": Types, "http": HttpPlugin, "messages": MessagesPlugin, "messages-memory": MessagesMemory}
READER = Principal("reader", "key", permissions=EVERYTHING.permissions | {"text:read"})


@pytest.fixture
async def kernel() -> AsyncIterator[Kernel]:
    """Run a deployment in which queue q has three dead letters, and p one message that waits."""
    async with Kernel(plugins=PLUGINS) as kernel:
        messages = kernel.get(MESSAGES)
        said = Said("SECRET")
        await messages.send(*(Message.to("q", "t", said, id=f"m-{n}") for n in range(3)))
        await messages.send(Message.to("p", "t", said))
        for delivery in await messages.receive("q", limit=3):
            await messages.nack(delivery, error="SECRET error", permanent=True)
        yield kernel


async def test_queues_are_counted(kernel: Kernel) -> None:
    answer = await Caller(kernel.hooks).get("/messages")

    assert [(each["queue"], each["stats"]["dead"]) for each in answer["items"]] == [("p", 0), ("q", 3)]
    assert answer["items"][1]["oldest_dead_at"] > 0
    assert answer["next"] is None


async def test_dead_letters_come_a_page_at_a_time_and_say_nothing(kernel: Kernel) -> None:
    caller = Caller(kernel.hooks)
    first = await caller.get("/messages/q/dead?limit=2")
    second = await caller.get(f"/messages/q/dead?limit=2&cursor={first['next']}")

    assert [each["id"] for each in first["items"] + second["items"]] == ["m-0", "m-1", "m-2"]
    assert second["next"] is None
    assert first["items"][0]["size"] == 13
    assert "SECRET" not in str(first)


async def test_what_is_said_of_an_error_needs_its_own_permission(kernel: Kernel) -> None:
    answer = await Caller(kernel.hooks, READER).get("/messages/q/dead?text=true")

    assert answer["items"][0]["error"] == "SECRET error"
    with pytest.raises(HttpProblem, match="forbidden"):
        await Caller(kernel.hooks).get("/messages/q/dead?text=true")


async def test_dead_letters_live_again(kernel: Kernel) -> None:
    caller = Caller(kernel.hooks)

    assert await caller.post("/messages/q/requeue", {"ids": ["m-0", "no"]}) == {
        "requeued": 1,
        "others": {"no": "unknown"},
    }
    assert await caller.post("/messages/q/requeue") == {"requeued": 2, "others": {}}


@pytest.mark.parametrize("queue", ["nobody", "b%C3%A4d", "q%20q"])
async def test_a_queue_that_is_not_there_is_not_found(kernel: Kernel, queue: str) -> None:
    with pytest.raises(HttpProblem, match="not-found"):
        await Caller(kernel.hooks).get(f"/messages/{queue}/dead")
    with pytest.raises(HttpProblem, match="not-found"):
        await Caller(kernel.hooks).post(f"/messages/{queue}/requeue")
