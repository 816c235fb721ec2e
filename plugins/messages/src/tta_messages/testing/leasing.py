"""How deliveries are held, and how a queue of replies is kept."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import anyio

from tta_messages.leases import LeaseCounts, LeaseKeeper
from tta_messages.model import Delivery, Messages
from tta_messages.replies import REPLY_SETTINGS, ReplyQueue

from .common import LONG, Open, note, put, take, texts, until


class Extensions:
    """Counts how often each message was extended."""

    def __init__(self, messages: Messages) -> None:
        self._messages = messages
        self.counts: Counter[str] = Counter()

    async def extend(self, delivery: Delivery, seconds: float) -> bool:
        held = await self._messages.extend(delivery, seconds)
        self.counts[delivery.message.id] += 1
        return held

    def __getattr__(self, name: str) -> Any:
        return getattr(self._messages, name)


class LeasesContract:
    async def test_all_that_one_receive_got_is_held_for_as_long_as_it_takes(self, messages: Open) -> None:
        async with messages() as m:
            watched, counts = Extensions(m), LeaseCounts()
            leases = LeaseKeeper(watched, "q", visibility=0.4, counts=counts)
            await put(m, *(note(name, id=name) for name in "abc"))
            a, b, c = await leases.receive(limit=3, wait=LONG)
            leases.done([b])

            async def are_extended() -> bool:
                return min(watched.counts["a"], watched.counts["c"]) >= 5

            with anyio.fail_after(LONG):
                async with anyio.create_task_group() as tasks:
                    tasks.start_soon(leases.run)
                    await until(are_extended)
                    tasks.cancel_scope.cancel()
            assert watched.counts["b"] == 0
            leases.done([a])
            await leases.close()
            assert texts(await take(m, 9)) == [c.message.id]
            stats = (await m.stats("q"))["q"]
            assert (stats.acknowledged, stats.recovered) == (2, 0)
            assert (counts.received, counts.released, counts.lost) == (3, 1, 0)

    async def test_what_is_done_is_acknowledged_by_the_next_receive_and_what_failed_comes_again(
        self, messages: Open
    ) -> None:
        async with messages() as m:
            leases = LeaseKeeper(m, "q")
            await put(m, *(note(name) for name in "abcd"))
            a, b = await leases.receive(limit=2, wait=0.0)
            leases.done([a])
            await leases.fail([b], "Test", permanent=True)
            (c,) = await leases.receive(limit=1, wait=0.0)
            stats = (await m.stats("q"))["q"]
            assert (stats.acknowledged, stats.held, stats.dead) == (1, 1, 1)
            await leases.release([c])
            assert texts(await leases.receive(limit=9, wait=0.0)) == ["c", "d"]

    async def test_a_reply_queue_is_configured_while_it_is_read_and_left_behind_empty(self, messages: Open) -> None:
        async with messages() as m:
            replies, heard, all_heard = ReplyQueue(m, "replies/me"), list[str](), anyio.Event()

            async def take_replies(deliveries: Sequence[Delivery]) -> None:
                heard.extend(texts(deliveries))
                if len(heard) == 2:
                    all_heard.set()

            with anyio.fail_after(LONG):
                async with anyio.create_task_group() as tasks:
                    tasks.start_soon(replies.read, take_replies)
                    await put(m, note("a", "replies/me"), note("b", "replies/me"))
                    await all_heard.wait()
                    tasks.cancel_scope.cancel()
            await put(m, note("too late", "replies/me"))
            await replies.close()
            assert heard == ["a", "b"]
            assert await m.settings("replies/me") == REPLY_SETTINGS
            stats = (await m.stats("replies/me"))["replies/me"]
            assert (sum(stats.waiting.values()), stats.held, stats.sent) == (0, 0, 0)
