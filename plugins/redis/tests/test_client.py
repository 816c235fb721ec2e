from __future__ import annotations

import pytest
from redis.exceptions import ResponseError

from tta_kernel.testing.numbers import NO_COUNTS, NO_DURATIONS
from tta_redis import Redis, RedisDown, Signal, connect
from tta_redis.testing import redis_server


@pytest.fixture(params=[False, True], ids=["asyncio", "uvloop"])
def anyio_backend(request: pytest.FixtureRequest) -> tuple[str, dict[str, bool]]:
    return "asyncio", {"use_uvloop": request.param}


async def test_a_command_is_answered_in_bytes(redis: Redis) -> None:
    assert await redis.execute("SET", redis.key("a"), "ä") == b"OK"
    assert await redis.execute("GET", redis.key("a")) == "ä".encode()


async def test_an_error_of_the_server_is_raised(redis: Redis) -> None:
    await redis.execute("SET", redis.key("a"), "x")
    with pytest.raises(ResponseError, match="WRONGTYPE"):
        await redis.execute("LPUSH", redis.key("a"), 1)


async def test_an_error_in_a_pipeline_stands_in_its_place(redis: Redis) -> None:
    a = redis.key("a")
    first, second, third = await redis.pipeline(("SET", a, "x"), ("INCR", a), ("GET", a))
    assert (first, third) == (b"OK", b"x")
    assert isinstance(second, ResponseError)


async def test_a_script_is_loaded_again_when_the_server_forgot_it(redis: Redis) -> None:
    script = redis.script("return redis.call('INCRBY', KEYS[1], ARGV[1])")
    assert await script([redis.key("n")], [2]) == 2
    await redis.execute("SCRIPT", "FLUSH")
    assert await script([redis.key("n")], [3]) == 5
    await redis.execute("SCRIPT", "FLUSH")
    command = script.command([redis.key("n")], [1])
    assert await redis.pipeline(command, ("GET", redis.key("n")), command) == [6, b"5", 7]


async def test_who_listens_hears_what_is_published_from_then_on(redis: Redis) -> None:
    async with redis.listen(redis.key("c"), redis.key("d")) as signals:
        await redis.execute("PUBLISH", redis.key("d"), "x")
        assert await anext(signals) == Signal(redis.key("d"), b"x")


@pytest.mark.parametrize(
    "command", [("BLPOP", "x", 0), ("MULTI",), ("SUBSCRIBE", "x"), ("XREAD", "BLOCK", 0, "STREAMS", "x", "$")]
)
async def test_what_would_hold_up_other_callers_is_refused(redis: Redis, command: tuple[object, ...]) -> None:
    with pytest.raises(ValueError, match="holds up all other callers"):
        await redis.execute(*command)


async def test_a_number_that_is_none_is_a_mistake_and_nothing_is_sent(redis: Redis) -> None:
    before = redis.counts()["redis.calls"]
    script = redis.script("return 1")
    for seconds in NO_DURATIONS:
        with pytest.raises(ValueError, match="timeout"):
            await redis.execute("SET", redis.key("a"), "x", timeout=seconds)
        with pytest.raises(ValueError, match="timeout"):
            await redis.pipeline(("SET", redis.key("a"), "x"), timeout=seconds)
        with pytest.raises(ValueError, match="timeout"):
            await script(timeout=seconds)
        with pytest.raises(ValueError, match="replica_timeout"):
            await script(replicas=1, replica_timeout=seconds)
        with pytest.raises(ValueError, match="timeout"):
            await redis.wait(1, seconds, key="a")
    for count in NO_COUNTS:
        with pytest.raises(ValueError, match="replicas"):
            await redis.wait(count, 1.0, key="a")
        with pytest.raises(ValueError, match="buffer"):
            redis.listen("c", buffer=count)
    assert redis.counts()["redis.calls"] == before


async def test_an_unreachable_server_is_named(redis: Redis) -> None:
    with redis_server(own=True) as server:
        config = server.config(command_timeout=0.5)
    async with connect(config) as gone:
        with pytest.raises(RedisDown, match=rf"PING: 127.0.0.1:{server.port}: connection refused") as caught:
            await gone.execute("PING")
        assert not caught.value.unknown
