"""The plugin as a deployment has it, and what it makes of what isn't its own."""

from __future__ import annotations

import logging
import re
from collections.abc import Awaitable, Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import anyio
import msgspec
import pytest

from tta_kernel import Health, Kernel
from tta_kernel.hookspecs import health, snapshot
from tta_kernel.testing import problems, running
from tta_redis import Redis, RedisPlugin, connect
from tta_redis.testing import RedisServer, redis_server, sentinel
from tta_safety import REVIEWS, ReviewsError, SafetyPlugin
from tta_safety.reviews import LONGEST
from tta_safety.rules import RULES, RuleSourceError
from tta_safety.testing import review
from tta_safety_redis import RedisReviews, RedisRuleSource, SafetyRedis
from tta_safety_redis.layout import ReviewKeys, RuleKeys
from tta_safety_redis.scripts import ADD

README = Path(__file__).resolve().parents[1] / "README.md"


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="module")
def server() -> Iterator[RedisServer]:
    with redis_server() as found:
        yield found


def kernel(server: RedisServer, config: Mapping[str, Any]) -> Kernel:
    plugins = {"redis": RedisPlugin, "safety": SafetyPlugin, "safety-redis": SafetyRedis}
    return running(plugins, configs={"redis": {"url": server.url}, "safety-redis": config})


async def test_reviews_and_rules_outlive_their_process(server: RedisServer) -> None:
    (example,) = re.findall(r"```yaml\n(.*?)```", README.read_text(), re.DOTALL)
    config = msgspec.yaml.decode(example)["plugins"]["safety-redis"]["config"]
    async with kernel(server, config) as one:
        await one.get(REVIEWS).add(review())
        await one.get(RULES).write("rules: []", tag="")
        assert (await one.ask(snapshot))["safety-redis"] == {"safety.reviews": 1, "safety.reviews_added": 1}
    async with kernel(server, config) as two:
        assert await two.get(REVIEWS).get(review().id) == review()
        found = await two.get(RULES).read()
    assert found is not None
    assert found.text == "rules: []"


async def test_a_review_that_too_few_replicas_have_is_kept_and_degrades_the_health(server: RedisServer) -> None:
    async with kernel(server, {"wait_replicas": 1, "wait_timeout": "50ms"}) as k:
        reviews = k.get(REVIEWS)
        await reviews.add(review(9))
        found = (await k.ask(health))["safety-redis"]
        assert await reviews.get(review(9).id) == review(9)
        with pytest.raises(ReviewsError, match="forget once more"):
            await reviews.forget("nobody-else")
    assert isinstance(found, Health)
    assert (found.status, found.detail) == ("degraded", "0 of 1 replicas confirmed the last commit in time")


def test_an_unknown_key_is_refused_before_anything_starts() -> None:
    [problem, *_] = problems(SafetyRedis, config={"colour": "blue"})
    assert problem.startswith("plugins.safety-redis.config.colour: ")


async def test_no_more_bytes_are_kept_than_may_be(redis: Redis) -> None:
    reviews = RedisReviews(redis, size=2 * LONGEST)
    for number in range(5):
        await reviews.add(review(number, text="x" * (LONGEST - 1000)))
    assert [each.turn for each in await reviews.list()] == [4, 3]
    await reviews.add(review(4))
    await reviews.add(review(5))
    assert [each.turn for each in await reviews.list()] == [5, 4, 3]


async def test_what_is_forgotten_deleted_or_over_leaves_no_key(redis: Redis) -> None:
    reviews = RedisReviews(redis, keep=0.5)
    for number in range(3):
        await reviews.add(review(number))
    await reviews.delete(review(0).id)
    assert await reviews.forget("anna") == 2
    left = {ReviewKeys(redis).size.encode(), (sign := ReviewKeys(redis).forgotten("anna")).encode()}
    assert {*await redis.execute("KEYS", f"{redis.prefix}:*")} == left
    assert 0 < await redis.execute("PTTL", sign) <= 3_600_000
    await redis.execute("DEL", sign)
    assert await redis.execute("GET", ReviewKeys(redis).size) == b"0"
    await reviews.add(review(1))
    with anyio.fail_after(20):
        while await redis.execute("KEYS", f"{redis.prefix}:*"):  # noqa: ASYNC110 - Redis ends them, and tells nobody
            await anyio.sleep(0.05)


async def test_what_can_t_be_read_stands_in_nobody_s_way(redis: Redis, caplog: pytest.LogCaptureFixture) -> None:
    reviews, keys = RedisReviews(redis), ReviewKeys(redis)
    for number in range(4):
        await reviews.add(review(number))
    await redis.execute("HSET", keys.review(review(0).id), "packed", b"\xc1what a person wrote")
    await redis.execute("HSET", keys.review(review(1).id), "format", "2")
    await redis.execute("DEL", keys.review(review(2).id))
    await redis.execute("LPUSH", keys.review(review(2).id), "x")
    assert list(await reviews.list()) == [review(3)]
    with pytest.raises(ReviewsError, match=r"format 2, .* up to 1"):
        await reviews.add(review(1))
    with pytest.raises(ReviewsError):
        await reviews.add(review(2))
    await reviews.add(review(0))
    assert await reviews.get(review(0).id) == review(0)
    assert "can't be read" in caplog.text
    assert "person wrote" not in caplog.text


async def test_a_review_that_is_too_large_is_refused(redis: Redis) -> None:
    with pytest.raises(ReviewsError, match="bytes, of at most"):
        await RedisReviews(redis).add(review(rules=("x" * 200,) * 2000))


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"text": "rules: [{}]"}, "isn't what was written there; delete it"),
        ({"tag": b"\xff"}, "isn't what was written there; delete it"),
        ({"text": "x" * 101}, "has 101 bytes, of at most 100; plugins.safety-redis.config.rules_size"),
        ({"format": "2"}, "format 2, and this one knows formats up to 1"),
    ],
)
async def test_rules_that_are_not_what_was_written_are_not_read(
    redis: Redis, fields: dict[str, str], said: str
) -> None:
    source, keys = RedisRuleSource(redis, size=100), RuleKeys(redis)
    await source.write("rules: []", tag="")
    for field, value in fields.items():
        await redis.execute("HSET", keys.layer, field, value)
    with pytest.raises(RuleSourceError, match=re.escape(said)):
        await source.read()


async def test_rules_that_are_too_large_are_not_written(redis: Redis) -> None:
    source = RedisRuleSource(redis, size=100)
    with pytest.raises(RuleSourceError, match="rules of 101 bytes, of at most 100"):
        await source.write("x" * 101, tag="")
    assert await source.read() is None


async def test_a_write_that_is_sent_twice_is_done_once(redis: Redis) -> None:
    source, keys = RedisRuleSource(redis), RuleKeys(redis)
    places = [keys.layer, keys.writes]
    arguments: list[str | bytes | int | float] = [1, "", "a name", "rules: []", "abc", 0, keys.channel]
    assert await source._write(places, arguments) == [b"ok", b"1:abc"]
    assert await source._write(places, arguments) == [b"ok", b"1:abc"]
    assert await redis.execute("HGET", keys.writes, "number") == b"1"


async def test_a_store_that_is_gone_is_an_error_of_the_capability(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.CRITICAL)
    with redis_server(own=True) as server:
        async with connect(server.config(command_timeout=0.5)) as redis:
            reviews, source = RedisReviews(redis), RedisRuleSource(redis)
            await reviews.add(review())
            server.kill()
            for call in (
                reviews.add(review()), reviews.get("a"), reviews.list(), reviews.delete("a"), reviews.forget("u"),
                reviews.count(),
            ):  # fmt: skip
                with pytest.raises(ReviewsError, match="the store of reviews"):
                    await call
            for asked in source.read(), source.changed(""), source.write("", tag=""):
                with pytest.raises(RuleSourceError, match="the shared rules"):
                    await asked


async def test_what_replicas_have_confirmed_outlives_its_master() -> None:
    with sentinel() as several:
        async with connect(several.config(socket_timeout=1.0)) as redis:
            reviews, source = RedisReviews(redis, wait_replicas=1, wait_timeout=5.0), RedisRuleSource(redis)
            await reviews.add(review())
            assert reviews.unconfirmed == ""
            tag = await source.write("rules: []", tag="")
            await redis.wait(1, 5.0, key=RuleKeys(redis).layer)
            several.master().kill()
            assert await reviews.get(review().id) == review()
            layer = await source.read()
            assert layer is not None
            assert layer.tag == tag


class SentTwice:
    """A Redis whose client sends a script again, as where the answer to it was lost, and ``meanwhile`` something is."""

    def __init__(self, redis: Redis, source: str, meanwhile: Callable[[], Awaitable[object]]) -> None:
        self._redis, self._source, self._meanwhile = redis, source, meanwhile

    def __getattr__(self, name: str) -> Any:
        return getattr(self._redis, name)

    def script(self, source: str) -> Any:
        real = self._redis.script(source)

        async def run(*arguments: Any, **more: Any) -> Any:
            await real(*arguments, **more)
            await self._meanwhile()
            return await real(*arguments, **more)

        return run if source == self._source else real


async def test_a_review_that_is_sent_again_after_its_person_was_forgotten_does_not_come_back(redis: Redis) -> None:
    reviews = RedisReviews(redis)
    resending: Any = SentTwice(redis, ADD, lambda: reviews.forget("anna"))
    await RedisReviews(resending).add(review(1, owner="anna"))
    assert list(await reviews.list()) == []
    await reviews.add(review(2, owner="anna"))
    assert [each.turn for each in await reviews.list()] == [2]
    assert not [key for key in await redis.execute("KEYS", "*") if b"anna" in key and b"owner" not in key]
