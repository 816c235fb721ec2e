"""Calls that travel together: sent and acknowledged in batches, in order."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any

import anyio
import anyio.lowlevel
import pytest

from tta_messages import (
    Delivery,
    Priority,
)
from tta_messages.testing import Note, note
from tta_messages_redis import Config, RedisMessages
from tta_messages_redis.names import Names
from tta_redis import connect
from tta_redis.testing import RedisServer, redis_server

OpenRedis = Callable[..., AbstractAsyncContextManager[RedisMessages]]


def texts(deliveries: Sequence[Delivery]) -> list[str]:
    return [delivery.message.decode(Note).text for delivery in deliveries]


async def scripts_run(where: RedisServer) -> int:
    info = where.command("INFO", "commandstats")
    return int(info.get("cmdstat_evalsha", {}).get("calls", 0))


async def test_what_many_send_at_once_travels_together_in_order(open_on: OpenRedis) -> None:
    with redis_server(own=True) as server:
        async with open_on(server.config()) as m:
            await m.send(note("first"))
            await m.send(note("second"))  # Now the server knows all scripts.
            before = await scripts_run(server)

            async with anyio.create_task_group() as tasks:
                for n in range(200):
                    tasks.start_soon(m.send, note(str(n)))
            # Twenty batches of ten; on a busy machine some of them leave before they are full.
            assert await scripts_run(server) - before <= 100
            got = texts(await m.receive("q", limit=300))
            assert got == ["first", "second", *(str(n) for n in range(200))]
            again = await m.receive("q", limit=300)
            assert not again


def test_it_runs_under_whatever_started_the_event_loop(open_on: OpenRedis) -> None:
    reported: list[dict[str, Any]] = []

    async def main() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda loop, context: reported.append(context))  # noqa: TID251
        config = Config(batch=2, linger=0.0)
        with redis_server(own=True) as server:
            where = server.config()
            async with open_on(where, config=config) as m, anyio.create_task_group() as tasks:
                await m.send(note())
                server.pause()
                for _ in range(6):
                    tasks.start_soon(m.send, note())
                    for _ in range(5):  # The second leaves by the clock, while nobody hears of the first.
                        await anyio.lowlevel.checkpoint()
                server.resume()
            async with open_on(where) as m:
                assert ((await m.stats("q"))["q"].sent, reported) == (7, [])

    asyncio.run(main())  # noqa: TID251


@pytest.mark.parametrize("what", ["chosen ids", "another priority", "a lost state", "nothing"])
async def test_what_is_out_of_the_ordinary_overtakes_nobody_and_is_overtaken_by_nobody(
    shared_redis: RedisServer, open_on: OpenRedis, what: str
) -> None:
    where = shared_redis.config()
    async with connect(where) as redis, open_on(where) as m:
        await m.send(note("-1"))

        async def send(n: int) -> None:
            odd = n % 30 > 20
            priority = Priority.HIGH if what == "another priority" and odd else Priority.NORMAL
            (result,) = await m.send(
                note(str(n), id=f"id-{n}" if what == "chosen ids" and odd else "", priority=priority)
            )
            assert (result.delivered, result.duplicate) == (True, False)

        async with anyio.create_task_group() as tasks:
            for n in range(200):
                tasks.start_soon(send, n)
                if what == "a lost state" and n % 30 == 20:
                    tasks.start_soon(redis.execute, "HDEL", redis.key("messages", "queue", tag="q"), "state")
                if n % 50 == 25:
                    await anyio.lowlevel.checkpoint()
        held = await m.receive("q", limit=300)
        for priority in Priority:
            those = [int(d.message.decode(Note).text) for d in held if d.message.priority == priority]
            assert those == sorted(those)
        assert len(held) == 201


async def test_what_many_acknowledge_at_once_travels_together(open_on: OpenRedis) -> None:
    with redis_server(own=True) as server:
        async with open_on(server.config()) as m:
            await m.send(*(note(str(n)) for n in range(300)))
            held = await m.receive("q", limit=300)
            before = await scripts_run(server)
            results: list[bool] = []

            async def ack(delivery: Delivery) -> None:
                results.extend(await m.ack(delivery))

            async with anyio.create_task_group() as tasks:
                for delivery in held:
                    tasks.start_soon(ack, delivery)
            assert results == [True] * 300
            assert await scripts_run(server) - before <= 10


async def test_a_sender_that_gives_up_takes_nobody_with_it(shared_redis: RedisServer, open_on: OpenRedis) -> None:
    async with open_on(shared_redis.config()) as m:
        results: list[str] = []

        async def send(n: int) -> None:
            results.extend(r.error for r in await m.send(note(str(n))))

        async with anyio.create_task_group() as tasks:
            with anyio.move_on_after(0):
                await m.send(note("given up"))
            for n in range(20):
                tasks.start_soon(send, n)
            async with anyio.create_task_group() as others:
                for n in range(5):
                    others.start_soon(send, 100 + n)
                await anyio.lowlevel.checkpoint()
                others.cancel_scope.cancel()
        assert results.count("") >= 20


async def test_a_thousand_kilobytes_and_more_fit(shared_redis: RedisServer, open_on: OpenRedis) -> None:
    async with open_on(shared_redis.config()) as m:
        results = await m.send(*(note("x" * 900_000) for _ in range(12)), *(note("y") for _ in range(2500)))
        assert {result.error for result in results} == {""}
        assert len(results) == 2512
        assert (await m.stats("q"))["q"].waiting["normal"] == 2512
        assert await m.purge("q") == 2512


def test_names_are_of_one_length_and_nobody_elses() -> None:
    makers = [Names(start=2**24 - 500), Names()]  # The first soon begins anew.
    names = [each.new() for each in makers for _ in range(1000)]
    assert len(set(names)) == 2000
    assert all(re.fullmatch(r"[A-Za-z0-9_-]{12}", name) for name in names)
    assert len({name[:8] for name in names}) == 2
