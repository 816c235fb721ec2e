"""Many callers, processes and servers."""

from __future__ import annotations

import asyncio
import itertools
import re
import sys
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

import anyio
import anyio.lowlevel
import pytest

from tta_messages import Delivery, Filter, Messages, MessagesConfig, MessagesError, Priority, QueueSettings
from tta_messages.testing import Note, note
from tta_messages_redis import Config, RedisMessages
from tta_redis import Redis, connect
from tta_redis.testing import RedisServer, cluster, redis_server, sentinel

OpenRedis = Callable[..., AbstractAsyncContextManager[RedisMessages]]


def texts(deliveries: list[Delivery]) -> list[str]:
    return [d.message.decode(Note).text for d in deliveries]


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
            got = texts(list(await m.receive("q", limit=300)))
            assert got == ["first", "second", *(str(n) for n in range(200))]
            again = await m.receive("q", limit=300)
            assert not again


def test_it_runs_under_whatever_started_the_event_loop(open_on: OpenRedis) -> None:
    reported: list[dict[str, Any]] = []

    async def main() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda loop, context: reported.append(context))  # noqa: TID251
        config = Config(batch=2, linger=0.01)
        with redis_server(own=True) as server:
            async with open_on(server.config(), config=config) as m, anyio.create_task_group() as tasks:
                await m.send(note())
                server.pause()
                for _ in range(6):
                    tasks.start_soon(m.send, note())
                    await anyio.sleep(0.02)  # The second leaves by the clock, while nobody hears of the first.
                server.resume()
        assert (m._queue("q").sends.idle, reported) == (True, [])

    asyncio.run(main())  # noqa: TID251


@pytest.mark.parametrize("what", ["chosen ids", "another priority", "a wrong clock", "nothing"])
async def test_what_is_out_of_the_ordinary_overtakes_nobody_and_is_overtaken_by_nobody(
    shared_redis: RedisServer, open_on: OpenRedis, what: str
) -> None:
    async with open_on(shared_redis.config()) as m:
        await m.send(note("-1"))

        async def send(n: int) -> None:
            odd = n % 30 > 20
            if what == "a wrong clock" and odd:
                m._queues["q"].offset = 0.0
            priority = Priority.HIGH if what == "another priority" and odd else Priority.NORMAL
            (result,) = await m.send(
                note(str(n), id=f"id-{n}" if what == "chosen ids" and odd else "", priority=priority)
            )
            assert (result.delivered, result.duplicate) == (True, False)

        async with anyio.create_task_group() as tasks:
            for n in range(200):
                tasks.start_soon(send, n)
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


async def test_a_receiver_elsewhere_is_called_not_asking(open_on: OpenRedis) -> None:
    with redis_server(own=True) as server:
        where = server.config()
        async with open_on(where) as one, open_on(where) as other:
            spans = []
            for n in range(5):

                async def send(n: int = n) -> None:
                    await anyio.sleep(0.1)
                    await other.send(note(str(n), sender=repr(anyio.current_time())))

                async with anyio.create_task_group() as tasks:
                    tasks.start_soon(send)
                    (held,) = await one.receive("q", wait=10.0)
                    spans.append(anyio.current_time() - float(held.message.sender))
                await one.ack(held)
            # Looking from time to time would take half a second on average.
            assert sorted(spans)[2] < 0.1


async def test_of_many_that_wait_enough_wake(shared_redis: RedisServer, open_on: OpenRedis) -> None:
    where = shared_redis.config()
    async with open_on(where) as a, open_on(where) as b, open_on(where) as c:
        got: list[str] = []

        async def receive(m: Messages) -> None:
            got.extend(texts(list(await m.receive("q", wait=10.0))))

        with anyio.fail_after(0.7):  # Before anybody looks of his own accord.
            async with anyio.create_task_group() as tasks:
                for m in (a, a, b, b, c, c):
                    tasks.start_soon(receive, m)
                await anyio.sleep(0.15)
                await a.send(*(note(str(n)) for n in range(6)))
        assert sorted(got) == [str(n) for n in range(6)]


async def test_a_call_that_comes_too_late_is_passed_on(shared_redis: RedisServer, open_on: OpenRedis) -> None:
    where = shared_redis.config()
    async with open_on(where) as a, open_on(where) as b:
        got: list[str] = []

        async def receive() -> None:
            got.extend(texts(list(await b.receive("q", wait=10.0))))

        # Both are known to wait, and one doesn't any more.
        for _ in range(3):
            assert not await a.receive("q", wait=0.02)
        with anyio.fail_after(0.7):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(receive)
                await anyio.sleep(0.1)
                await b.send(note("x"))
        assert got == ["x"]


async def test_a_cancelled_receive_gives_back_at_once_what_it_got(
    shared_redis: RedisServer, open_on: OpenRedis
) -> None:
    async with open_on(shared_redis.config()) as m:
        await m.send(*(note(str(n)) for n in range(20)))
        for _ in range(20):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(m.receive, "q")
                await anyio.lowlevel.checkpoint()
                tasks.cancel_scope.cancel()
        await m.settled()
        held = await m.receive("q", limit=20)
        assert texts(list(held)) == [str(n) for n in range(20)]
        assert {d.attempt for d in held} == {1}


async def test_a_subscription_elsewhere_counts_from_the_next_publish_on(
    shared_redis: RedisServer, open_on: OpenRedis
) -> None:
    where = shared_redis.config()
    async with open_on(where) as a, open_on(where) as b:
        for _ in range(10):
            assert list(await a.publish(note("x"))) == []
            subscription = await b.subscribe("q", Filter())
            assert len(await a.publish(note("x"))) == 1
            await b.unsubscribe(subscription.id)


async def test_settings_changed_elsewhere_count_here(shared_redis: RedisServer, open_on: OpenRedis) -> None:
    where = shared_redis.config()
    async with open_on(where) as a, open_on(where) as b:
        await a.send(note("x"))
        await b.configure("q", QueueSettings(max_length=1))
        assert [r.error for r in await a.send(note("y"))] == ["queue_full"]


async def test_what_a_vanished_process_held_comes_to_others(shared_redis: RedisServer, open_on: OpenRedis) -> None:
    where = shared_redis.config()
    program = f"""
import anyio
import anyio.lowlevel
from tta_messages import MessagesConfig
from tta_messages.testing import TYPES
from tta_messages_redis import open_messages
from tta_redis import Config as RedisConfig, connect

async def main():
    async with connect(RedisConfig(url={where.url!r}, prefix={where.prefix!r})) as redis:
        async with open_messages(redis, MessagesConfig(), TYPES) as m:
            held = await m.receive("q", limit=3, wait=10, visibility=0.3)
            print(len(held), flush=True)
            await anyio.sleep_forever()

anyio.run(main)
"""
    async with open_on(where) as m:
        await m.send(*(note(text) for text in "abc"))
        async with await anyio.open_process([sys.executable, "-c", program]) as process:
            assert process.stdout is not None
            with anyio.fail_after(30):
                assert (await process.stdout.receive()).startswith(b"3")
            assert not await m.receive("q")
            process.kill()
        held = [delivery for _ in range(3) for delivery in await m.receive("q", limit=1, wait=5.0)]
        assert (texts(held), {d.attempt for d in held}) == (list("abc"), {2})


async def test_all_is_there_after_the_server_was_killed_and_started_again(open_on: OpenRedis) -> None:
    with redis_server("--appendonly", "yes", "--appendfsync", "always", own=True) as server:
        async with open_on(server.config()) as m:
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
                await anyio.sleep(0.05)
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
                    await anyio.sleep(0.002)

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
                    for _ in range(3):
                        await anyio.sleep(0.3)
                        await anyio.to_thread.run_sync(server.kill)
                        await anyio.to_thread.run_sync(server.start)
                    await anyio.sleep(0.3)
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
            assert set(await m.stats()) == set(names)
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


def idle(m: RedisMessages) -> bytes:
    return m._queue("q").keys.all[15]


async def registered(redis: Redis, m: RedisMessages, count: int = 1) -> None:
    with anyio.fail_after(10):
        while await redis.execute("SCARD", idle(m)) != count:  # noqa: ASYNC110
            await anyio.sleep(0.005)


async def usual(m: RedisMessages) -> None:
    """Have a queue that is in use, and empty, so that sends take the quick way."""
    await m.send(note("before"))
    await m.ack(*await m.receive("q", limit=10))


async def test_what_is_sent_while_somebody_waits_is_handed_over(open_on: OpenRedis) -> None:
    with redis_server(own=True) as server:
        where = server.config()
        async with connect(where) as redis, open_on(where) as m, open_on(where) as other:
            await usual(m)
            await usual(m)
            got: list[list[str]] = []

            async def receive() -> None:
                held = list(await other.receive("q", limit=2, wait=20.0))
                assert {(d.attempt, d.last_error) for d in held} == {(1, "")}
                got.append(texts(held))
                assert await other.ack(*held) == [True] * len(held)

            async with anyio.create_task_group() as tasks:
                for _ in range(2):
                    tasks.start_soon(receive)
                await registered(redis, other, 2)
                before = await scripts_run(server)
                await m.send(*(note(text) for text in "abcde"))
                assert await scripts_run(server) - before == 1
                assert await redis.execute("SCARD", idle(m)) == 0
            assert sorted(got) == [["a", "b"], ["c", "d"]]
            assert texts(list(await m.receive("q", limit=9))) == ["e"]
            stats = (await m.stats("q"))["q"]
            assert (stats.delivered, stats.acknowledged, stats.held) == (7, 6, 1)
            assert [step.what for step in await m.history("q", limit=5)] == [
                "delivered", "acknowledged", "acknowledged", "delivered", "sent",
            ]  # fmt: skip


@pytest.mark.parametrize("who", ["gone", "waits no more", "nonsense"])
async def test_what_nobody_takes_is_handed_over_to_nobody(
    shared_redis: RedisServer, open_on: OpenRedis, who: str
) -> None:
    where = shared_redis.config()
    async with connect(where) as redis, open_on(where) as m:
        await usual(m)
        await m.receive("q", wait=0.01)  # Now it hears.
        process = {"gone": "deadbeef0000", "waits no more": m._bell.name, "nonsense": "?"}[who]
        await redis.execute("SADD", idle(m), f"{process} 000000000000 5 -")
        await m.send(note("a"))
        (held,) = await m.receive("q", wait=5.0)
        assert (texts([held]), held.attempt, held.last_error) == (["a"], 1, "")
        assert (await m.stats("q"))["q"].held == 1


async def test_whoever_may_have_missed_what_he_was_handed_gives_it_back(
    shared_redis: RedisServer, open_on: OpenRedis
) -> None:
    where = shared_redis.config()
    async with connect(where) as redis, open_on(where) as m:
        await usual(m)
        async with anyio.create_task_group() as tasks:
            got: list[Delivery] = []

            async def receive() -> None:
                got.extend(await m.receive("q", wait=20.0))

            tasks.start_soon(receive)
            await registered(redis, m)
            ring, m._bell._ring = m._bell._ring, lambda payload: m._bell._ring_all()  # type: ignore[method-assign]
            await m.send(note("a"))
            with anyio.fail_after(10):
                while not got:
                    await anyio.sleep(0.01)
                    m._bell._ring = ring  # type: ignore[method-assign]
        assert (texts(got), got[0].attempt, got[0].last_error) == (["a"], 1, "")


async def test_who_is_cancelled_while_he_is_called_loses_nothing(shared_redis: RedisServer, open_on: OpenRedis) -> None:
    where = shared_redis.config()
    async with connect(where) as redis, open_on(where) as m, open_on(where) as other:
        await usual(m)
        for n in range(30):
            got: list[Delivery] = []

            async def receive(got: list[Delivery] = got) -> None:
                got.extend(await other.receive("q", wait=20.0))

            async with anyio.create_task_group() as tasks:
                tasks.start_soon(receive)
                await registered(redis, other)
                await m.send(note(str(n)))
                await anyio.sleep(n * 0.0001)
                tasks.cancel_scope.cancel()
            held = got or list(await m.receive("q", wait=5.0))
            assert (texts(held), held[0].attempt) == ([str(n)], 1)
            await m.ack(*held)
            await other.settled()


async def test_names_of_holds_are_of_one_length_and_nobody_elses(shared_redis: RedisServer, open_on: OpenRedis) -> None:
    async with open_on(shared_redis.config()) as one, open_on(shared_redis.config()) as other:
        one._count = itertools.count(2**24 - 500)  # Soon it begins anew.
        names = [m._nonce() for m in (one, other) for _ in range(1000)]
        await one.send(*(note(str(n)) for n in range(3)))
        held = [delivery for m in (one, other) for delivery in await m.receive("q")]
    assert len(set(names)) == 2000
    assert all(re.fullmatch(r"[A-Za-z0-9_-]{12}", name) for name in [*names, *(delivery.token for delivery in held)])
    assert len({name[:8] for name in names}) == 2


async def test_many_queues_are_looked_at_and_one_that_fails_is_one_error(
    open_on: OpenRedis, monkeypatch: pytest.MonkeyPatch
) -> None:
    with redis_server(own=True) as server:
        async with open_on(server.config()) as m:
            names = [f"q{number:03}" for number in range(100)]
            await m.broadcast(note("to all"), names)
            found = await m.stats()
            assert list(found) == names
            assert {stats.waiting["normal"] for stats in found.values()} == {1}

            admin = m._admin

            async def failing(queue: Any, *args: Any) -> Any:
                if queue.name == "q050":
                    raise MessagesError("it is away")
                return await admin(queue, *args)

            monkeypatch.setattr(m, "_admin", failing)
            with pytest.raises(MessagesError, match="it is away"):
                await m.stats()
