from __future__ import annotations

import time
from collections.abc import Iterator

import anyio
import anyio.to_thread
import pytest

from tta_redis import Redis, RedisDown, connect
from tta_redis.testing import Sentinels, sentinel


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def several() -> Iterator[Sentinels]:
    with sentinel() as found:
        yield found


async def first_that_works(redis: Redis, limit: float) -> float:
    """Return how many seconds pass until a write is done; the tries until then may be lost."""
    before = time.monotonic()
    with anyio.fail_after(limit):
        while True:
            if await done(redis):
                return time.monotonic() - before


async def done(redis: Redis) -> bool:
    """Write; False where the client can't know whether that was done, and anything else is an error."""
    try:
        await redis.execute("INCR", redis.key("n"))
    except RedisDown as down:
        if not down.unknown:
            raise
        return False
    return True


async def test_the_client_follows_the_master_when_it_is_killed(several: Sentinels) -> None:
    async with connect(several.config(socket_timeout=1.0)) as redis:
        script = redis.script("return redis.call('INCR', KEYS[1])")
        assert await script([redis.key("n")], replicas=1) == (1, 1)
        async with redis.listen("c") as signals:
            old = several.master()
            old.kill()
            assert await first_that_works(redis, 10.0) < 6.0
            assert await script([redis.key("n")]) == 3  # What a replica had is not lost, and the script is loaded anew.
            with anyio.fail_after(5):
                assert await anext(signals) is None
            await redis.execute("PUBLISH", "c", "x")
            assert await anext(signals) == ("c", b"x")
        assert redis.connections()[0].address.port == several.master().port != old.port


async def test_the_client_follows_the_master_when_it_falls_silent(several: Sentinels) -> None:
    async with connect(several.config(socket_timeout=0.5, connect_timeout=0.5)) as redis:
        await redis.execute("INCR", redis.key("n"))
        old = several.master()
        old.pause()
        assert await first_that_works(redis, 10.0) < 7.0
        old.resume()
        assert await redis.execute("GET", redis.key("n")) in (b"1", b"2")


async def test_the_client_follows_an_ordered_failover_without_losing_a_call(several: Sentinels) -> None:
    async with connect(several.config()) as redis:
        await redis.execute("SET", redis.key("n"), 0)
        assert await redis.wait(1, 2.0, key=redis.key("n")) == 1
        old = several.master()
        several.watchers[0].command("SENTINEL", "FAILOVER", "mymaster")
        known = unknown = 0
        with anyio.fail_after(20):
            while several.master() is old or known < 10:
                if await done(redis):
                    known += 1
                else:
                    unknown += 1
        count = int(await redis.execute("GET", redis.key("n")))
        assert count >= 10
        assert unknown < 5


async def test_one_sentinel_is_enough_to_find_the_master_and_none_is_said(several: Sentinels) -> None:
    async with connect(several.config(command_timeout=1.0)) as redis:
        for watcher in several.watchers[1:]:
            watcher.kill()
        assert await redis.execute("PING") == b"PONG"
    several.watchers[0].kill()
    async with connect(several.config(command_timeout=1.0)) as redis:
        with pytest.raises(RedisDown, match="no Sentinel answers") as caught:
            await redis.execute("PING")
        assert all(str(watcher.port) in str(caught.value) for watcher in several.watchers)


async def test_sentinels_and_servers_have_passwords_of_their_own() -> None:
    with sentinel(sentinels=1, password="secret") as several:
        async with connect(several.config()) as redis:
            assert await redis.execute("INCR", redis.key("n")) == 1
            assert await redis.client.get(redis.key("n")) == b"1"


async def test_the_plain_client_finds_the_master_too(several: Sentinels) -> None:
    async with connect(several.config()) as redis:
        assert await redis.client.set(redis.key("a"), "x")
        assert await redis.execute("GET", redis.key("a")) == b"x"
