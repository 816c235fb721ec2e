"""What a store of messages promises that several objects, and several processes, share."""

from __future__ import annotations

from collections import Counter

import anyio

from tta_kernel.testing.shared import Shared, Tell
from tta_messages.model import Messages, QueueSettings

from .common import LONG, note, put, take, texts

MANY = 200
"""How many messages two processes share out between them."""
_STRANGER = "what one store holds the other doesn't see: each keeps messages of its own"


async def take_all(messages: Messages, tell: Tell) -> None:
    """Receive and acknowledge, for ever, and tell the ids of what was had."""
    while True:
        held = await messages.receive("q", limit=3, wait=LONG)
        tell([delivery.message.id for delivery in held])
        await messages.ack(*held)


async def hold(messages: Messages, tell: Tell) -> None:
    """Receive, and never say what became of it."""
    tell([delivery.message.id for delivery in await messages.receive("q", wait=LONG, visibility=0.3)])
    await anyio.sleep_forever()


class SharingContract:
    patience = LONG
    """Seconds for what two processes need to share the messages out."""

    async def test_what_one_store_sends_another_on_the_same_place_receives(self, shared: Shared[Messages]) -> None:
        async with shared.again() as one, shared.again() as other:
            await put(one, note("a"))
            assert texts(held := await take(other)) == ["a"], _STRANGER
            assert not await take(one), "two stores gave out one message"
            assert list(await one.ack(*held)) == [True], "what one store holds the other must be able to acknowledge"
            await other.configure("q", QueueSettings(max_length=1))
            assert [result.error for result in await one.send(note("b"), note("c"))] == ["", "queue_full"]

    async def test_who_waits_hears_of_what_another_store_sends(self, shared: Shared[Messages]) -> None:
        async with shared.again() as one, shared.again() as other, anyio.create_task_group() as tasks:
            heard: list[str] = []

            async def wait() -> None:
                heard.extend(texts(await take(other, wait=LONG)))

            tasks.start_soon(wait)
            await anyio.wait_all_tasks_blocked()
            await put(one, note("a"))
        assert heard == ["a"], _STRANGER

    async def test_of_two_processes_each_message_comes_to_one(self, shared: Shared[Messages]) -> None:
        ids = [f"m{number}" for number in range(MANY)]
        async with shared.elsewhere(take_all) as one, shared.elsewhere(take_all) as other, shared.again() as store:
            for id in ids:
                await put(store, note(id=id))
            with anyio.move_on_after(self.patience):
                while sum(map(len, one.told + other.told)) < MANY:  # noqa: ASYNC110 - two may tell it
                    await anyio.sleep(0.01)
            had = Counter(id for told in (*one.told, *other.told) for id in told)
        twice = [id for id, times in had.items() if times > 1]
        assert not twice, (
            f"{len(twice)} messages came to two processes, such as {twice[0]}: between a look at what is first and the "
            "note that it is held another process got in; a lock within a process keeps no other out"
        )
        assert sorted(had) == sorted(ids), "what this process sent the others don't see: each has messages of its own"

    async def test_what_a_killed_process_held_comes_again(self, shared: Shared[Messages]) -> None:
        async with shared.elsewhere(hold) as other, shared.again() as store:
            await put(store, note("a", id="a"))
            await other.until_told()
            assert other.told == [["a"]]
            other.kill()
            [delivery] = await take(store, wait=LONG)
            assert (delivery.message.id, delivery.attempt, delivery.suspect) == ("a", 2, True)
