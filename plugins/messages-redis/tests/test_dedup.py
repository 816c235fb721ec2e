"""What was sent is known by its id, whoever made that up, and however it is kept in mind."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

import anyio
import pytest

from tta_messages import Message, MessagesConfig, Priority, QueueSettings, SendResult
from tta_messages.testing import note
from tta_messages_redis import RedisMessages
from tta_redis import Redis, connect
from tta_redis.testing import RedisServer, redis_server

OpenRedis = Callable[..., AbstractAsyncContextManager[RedisMessages]]
SMALL = MessagesConfig(defaults=QueueSettings(max_length=5))
PATHS = pytest.mark.parametrize("fast", [True, False], ids=["fast", "full"])


@pytest.fixture
async def both(shared_redis: RedisServer, open_on: OpenRedis) -> AsyncIterator[tuple[Redis, RedisMessages]]:
    where = shared_redis.config()
    async with connect(where) as redis, open_on(where, SMALL) as messages:
        yield redis, messages


async def warm_up(m: RedisMessages, redis: Redis, *, fast: bool = True) -> None:
    """Have a queue in which nothing is, and to which is sent by the fast path, or not."""
    for _ in range(2):
        await m.send(note("before"))
        await drain(m)
    if not fast:  # After a call that wasn't eligible, sixteen more take the full path.
        await redis.execute("HDEL", redis.key("messages", "queue", tag="q"), "state")
        await m.send(note("before"))
        await drain(m)


async def drain(m: RedisMessages) -> list[str]:
    held = await m.receive("q", limit=100)
    await m.ack(*held)
    return [delivery.message.id for delivery in held]


async def again(m: RedisMessages, results: list[SendResult]) -> list[bool]:
    """Send each id once more, each by itself, and say which were known."""
    found = [(await m.send(note("again", id=result.id)))[0] for result in results]
    assert all(result.delivered for result in found)
    return [result.duplicate for result in found]


@PATHS
@pytest.mark.parametrize("count", [1, 3])
async def test_an_id_that_was_made_up_is_known_after_its_message_is_gone(
    both: tuple[Redis, RedisMessages], count: int, fast: bool
) -> None:
    redis, m = both
    await warm_up(m, redis, fast=fast)
    sent = list(await m.send(*(note() for _ in range(count))))
    assert await drain(m) == [result.id for result in sent]
    assert await again(m, sent) == [True] * count
    assert await drain(m) == []


@PATHS
async def test_ids_of_many_senders_that_travelled_together_are_known(
    shared_redis: RedisServer, open_on: OpenRedis, fast: bool
) -> None:
    where = shared_redis.config()
    async with connect(where) as redis, open_on(where) as m:
        await warm_up(m, redis, fast=fast)
        sent: list[SendResult] = []

        async def send(n: int) -> None:
            chosen = f"id-{n}" if n % 5 == 4 else ""
            sent.extend(await m.send(*(note(id=chosen and f"{chosen}.{k}") for k in range(1 + n % 3))))

        async with anyio.create_task_group() as tasks:
            for n in range(60):
                tasks.start_soon(send, n)
        assert sorted(await drain(m) + await drain(m)) == sorted(result.id for result in sent)
        assert all(await again(m, sent))


async def test_of_a_call_that_was_accepted_in_part_only_that_part_is_known(
    both: tuple[Redis, RedisMessages],
) -> None:
    redis, m = both
    await warm_up(m, redis)
    sent = list(await m.send(*(note() for _ in range(8))))
    assert [result.error for result in sent] == [""] * 5 + ["queue_full"] * 3
    await drain(m)
    assert await again(m, sent) == [True] * 5 + [False] * 3


async def test_what_was_refused_before_it_left_is_not_known(both: tuple[Redis, RedisMessages]) -> None:
    redis, m = both
    await warm_up(m, redis)
    sent = list(await m.send(note(), Message.to("q", "test.note", {"text": 5}), note()))
    assert [result.error for result in sent] == ["", "bad_body", ""]
    await drain(m)
    assert await again(m, sent) == [True, False, True]


async def test_what_was_sent_to_one_queue_is_not_known_to_another(both: tuple[Redis, RedisMessages]) -> None:
    redis, m = both
    await warm_up(m, redis)
    sent = list(await m.send(note(), note(queue="r"), note(), note(queue="r")))
    await drain(m)
    assert await again(m, sent) == [True, False, True, False]


@PATHS
async def test_a_mark_is_no_id_and_ids_that_look_alike_are_none_of_it(
    both: tuple[Redis, RedisMessages], fast: bool
) -> None:
    redis, m = both
    await warm_up(m, redis, fast=fast)
    (sent,) = await m.send(note())
    stem = sent.id.rpartition(".")[0]
    for id in (stem, f"{sent.id}.0", f"{sent.id}/q", f"{stem}0.0", ".", "a.", ".a"):
        await drain(m)
        assert await again(m, [SendResult(id, delivered=True)]) == [False]


async def test_an_id_is_known_through_the_turn_of_its_window(shared_redis: RedisServer, open_on: OpenRedis) -> None:
    window = 0.3
    where = shared_redis.config()
    settings = MessagesConfig(defaults=QueueSettings(dedup_window=window))
    async with connect(where) as redis, open_on(where, settings) as m:
        turns = 0
        with anyio.fail_after(30):
            while turns < 3:
                seconds, micros = await redis.execute("TIME")
                before = (int(seconds) + int(micros) / 1e6) // window
                sent = list(await m.send(note(), note()))
                await drain(m)
                known = await again(m, sent)
                seconds, micros = await redis.execute("TIME")
                after = (int(seconds) + int(micros) / 1e6) // window
                assert all(known) or after - before > 1
                turns += after > before


@PATHS
async def test_a_call_takes_one_member_of_what_is_known(both: tuple[Redis, RedisMessages], fast: bool) -> None:
    redis, m = both
    await warm_up(m, redis, fast=fast)

    keys = [redis.key("messages", part, tag="q") for part in ("seen-0", "seen-1")]

    async def known() -> int:
        return sum([await redis.execute("SCARD", key) for key in keys])

    before = await known()
    await m.send(*(note() for _ in range(5)))
    assert await known() == before + 1


@pytest.mark.parametrize("how", [{"ttl": 60.0}, {"id": "1"}, {"ttl": 60.0, "id": "1"}, {"priority": Priority.HIGH}])
async def test_what_is_chosen_takes_the_fast_path_too(open_on: OpenRedis, how: dict[str, Any]) -> None:
    with redis_server(own=True) as server:
        where = server.config()
        async with connect(where) as redis, open_on(where) as m:
            await warm_up(m, redis)
            before = scripts_run(server)
            for n in range(5):
                own = how | ({"id": f"id-{n}"} if "id" in how else {})
                assert not (await m.send(note(str(n), **own)))[0].duplicate
                (held,) = await m.receive("q")
                assert (held.message.ttl, held.attempt) == (how.get("ttl"), 1)
                await m.ack(held)
            # Whatever isn't eligible runs a second script.
            assert scripts_run(server) - before == 15
            if "id" in how:
                assert (await m.send(note("again", id="id-0", ttl=60.0)))[0].duplicate


def scripts_run(server: RedisServer) -> int:
    info = server.command("INFO", "commandstats")
    return int(info["cmdstat_evalsha"]["calls"])
