"""Servers that die, come back, have replicas, or are many."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager

import anyio
import anyio.lowlevel
import pytest

from tta_messages import (
    Delivery,
    MessagesConfig,
    MessagesError,
    QueueSettings,
)
from tta_messages.testing import Note, note
from tta_messages.testing.common import until
from tta_messages_redis import Config, RedisMessages
from tta_redis import Redis, connect
from tta_redis.testing import cluster, redis_server, sentinel

OpenRedis = Callable[..., AbstractAsyncContextManager[RedisMessages]]


def texts(deliveries: Sequence[Delivery]) -> list[str]:
    return [delivery.message.decode(Note).text for delivery in deliveries]


async def waiting(redis: Redis, count: int = 1) -> None:
    """Wait until so many receivers wait."""

    async def look() -> bool:
        return bool(await redis.execute("SCARD", redis.key("messages", "idle", tag="q")) == count)

    await until(look)


async def test_all_is_there_after_the_server_was_killed_and_started_again(open_on: OpenRedis) -> None:
    with redis_server("--appendonly", "yes", "--appendfsync", "always", own=True) as server:
        where = server.config()
        async with connect(where) as redis, open_on(where) as m:
            sent = [r.id for r in await m.send(*(note(str(n)) for n in range(20)))]
            (held, *_) = await m.receive("q", limit=3)
            got: list[str] = []

            async def receive() -> None:
                with anyio.fail_after(30):
                    while len(got) < 18:
                        got.extend(d.message.id for d in await m.receive("q", limit=10, wait=20.0))

            async with anyio.create_task_group() as tasks:
                await m.receive("q", limit=16)
                tasks.start_soon(receive)
                await waiting(redis)
                server.kill()
                server.start()
                # Whoever waited looks again, and is called again.
                results = await m.send(*(note(str(n)) for n in range(17)))
                assert {r.error for r in results} == {""}
            assert list(await m.ack(held)) == [True]
            assert got == [sent[19], *(r.id for r in results)]


async def test_senders_and_receivers_live_through_restarts(open_on: OpenRedis) -> None:
    with redis_server("--appendonly", "yes", "--appendfsync", "always", own=True) as server:
        settings = QueueSettings(visibility=1.0, retries=50)
        async with open_on(server.config(), MessagesConfig(defaults=settings)) as m:
            sent: set[str] = set()
            got: set[str] = set()
            stopping = False

            async def sender(name: str) -> None:
                n = 0
                while not stopping:
                    n += 1
                    text = f"{name}-{n}"
                    try:
                        (result,) = await m.send(note(text))
                    except MessagesError:
                        continue
                    assert result.error == ""
                    assert not result.duplicate
                    sent.add(text)
                    await anyio.lowlevel.checkpoint()

            async def receiver() -> None:
                done: list[Delivery] = []
                while not (stopping and sent <= got):
                    try:
                        done = list(await m.receive("q", limit=10, wait=0.5, done=done))
                    except MessagesError:
                        continue
                    got.update(texts(done))

            with anyio.fail_after(40):
                async with anyio.create_task_group() as tasks:
                    for name in "ab":
                        tasks.start_soon(sender, name)
                    for _ in range(2):
                        tasks.start_soon(receiver)

                    async def progress() -> None:
                        """Wait until more is sent and received than now."""
                        before = len(sent), len(got)

                        async def look() -> bool:
                            return len(sent) > before[0] + 30 and len(got) > before[1] + 30

                        await until(look)

                    for _ in range(3):
                        await progress()
                        await anyio.to_thread.run_sync(server.kill)
                        await anyio.to_thread.run_sync(server.start)
                    await progress()
                    stopping = True
            assert len(sent) > 100


async def test_replicas_vouch_for_what_is_sent(open_on: OpenRedis) -> None:
    with sentinel(replicas=1, sentinels=1) as those:
        config = Config(wait_replicas=1, wait_timeout=1.0)
        async with open_on(those.config(), config=config) as m:
            assert [(r.delivered, r.error) for r in await m.send(note("a"))] == [(True, "")]
            (replica,) = those.replicas()
            replica.pause()
            try:
                (result,) = await m.send(note("b", id="b"))
                assert (result.delivered, result.error) == (True, "not_replicated")
            finally:
                replica.resume()
            with anyio.fail_after(10):
                while (result := (await m.send(note("b", id="b")))[0]).error:
                    assert result.error == "not_replicated"
            assert (result.delivered, result.duplicate) == (True, True)
            assert texts(list(await m.receive("q", limit=9))) == ["a", "b"]


async def test_queues_live_all_over_a_cluster_and_move_under_load(open_on: OpenRedis) -> None:
    with cluster(replicas=0) as those:
        where = those.config()
        async with open_on(where) as m, open_on(where) as other:
            names = [f"agents.type-{n}" for n in range(20)]
            await m.broadcast(note("a"), names)
            stats = await m.stats()
            assert set(stats) == set(names)
            assert all(0 <= each.oldest_age < 60.0 for each in stats.values())
            for name in names:
                assert texts(list(await other.receive(name, limit=3, done=()))) == ["a"]
            assert await m.forget("nobody") == 0

            got: list[str] = []

            async def receive() -> None:
                while len(got) < 300:
                    held = await other.receive("q", limit=7, wait=5.0)
                    got.extend(texts(list(held)))
                    await other.ack(*held)

            async with anyio.create_task_group() as tasks:
                tasks.start_soon(receive)
                key = f"{where.prefix}:messages:{{q}}:queue"
                for n in range(300):
                    await m.send(note(str(n)))
                    if n in (100, 200):
                        target = next(node for node in those.nodes if node is not those.owner(key))
                        await anyio.to_thread.run_sync(those.move, key, target)
            assert got == [str(n) for n in range(300)]


async def test_a_server_that_is_away_is_an_error_in_time(open_on: OpenRedis) -> None:
    with redis_server(own=True) as server:
        async with open_on(server.config(command_timeout=0.5, socket_timeout=0.5, connect_timeout=0.5)) as m:
            await m.send(note("a"))
            server.stop()
            with pytest.raises(MessagesError):
                await m.send(note("b"))
            with pytest.raises(MessagesError):
                await m.receive("q", wait=5.0)
            with pytest.raises(MessagesError):
                await m.stats()
