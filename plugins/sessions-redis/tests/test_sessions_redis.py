from __future__ import annotations

import logging
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import msgspec
import pytest
import yaml

from tta_kernel import Health, Kernel, KernelSettings, PluginSettings
from tta_kernel.hookspecs import health
from tta_kernel.testing import Shared
from tta_kernel.testing.numbers import NO_COUNTS, NO_DURATIONS
from tta_redis import Config, Redis, RedisPlugin, connect
from tta_redis.testing import OnACluster, RedisCluster, RedisServer, cluster, redis_server, sentinel
from tta_sessions import (
    SESSIONS,
    Admission,
    Session,
    SessionCorrupt,
    Sessions,
    SessionsError,
    SessionsPlugin,
)
from tta_sessions.hookspecs import forget
from tta_sessions.testing import Ending, RoomContract, SessionsContract
from tta_sessions_redis import RedisSessions, SessionsRedis
from tta_sessions_redis.keys import index_keys, queue_keys, session_keys

README = Path(__file__).resolve().parents[1] / "README.md"


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


def store(
    redis: Redis, *, ttl: float = 60.0, max_size: int = 200_000, quarantine: float = 60.0, **how: Any
) -> RedisSessions:  # fmt: skip
    return RedisSessions(redis, ttl=ttl, max_size=max_size, quarantine=quarantine, **how)


class TestOnOneServer(SessionsContract):
    @pytest.fixture
    def sessions(self, redis: Redis) -> Sessions:
        return store(redis)

    @pytest.fixture
    def small(self, redis: Redis) -> Sessions:
        return store(redis, max_size=2000)

    @pytest.fixture
    def ending(self, redis: Redis) -> Ending:
        sessions = store(redis, ttl=0.2)

        async def pass_ttl() -> None:
            with anyio.fail_after(5):
                while await sessions.get("a") is not None:
                    await anyio.lowlevel.checkpoint()

        return sessions, pass_ttl

    @pytest.fixture
    def shared(self, redis: Redis) -> Shared[Sessions]:
        return Shared(open_store, (msgspec.to_builtins(redis.config),))


@asynccontextmanager
async def open_store(config: dict[str, Any]) -> AsyncIterator[Sessions]:
    async with connect(msgspec.convert(config, Config)) as redis:
        yield store(redis)


class TestOnACluster(OnACluster, TestOnOneServer):
    """The same on a Cluster."""


class TestRoomOnOneServer(RoomContract):
    @pytest.fixture
    def crowded(self, redis: Redis) -> Sessions:
        return store(redis, limit=3, per_user=2)


class TestRoomOnACluster(OnACluster, TestRoomOnOneServer):
    """The same on a Cluster."""


async def keys(redis: Redis) -> list[str]:
    return sorted(key.decode() for key in await redis.execute("KEYS", f"{redis.prefix}:*"))


async def test_every_key_has_an_end_that_a_commit_puts_off(redis: Redis) -> None:
    sessions = store(redis, ttl=60.0)
    first = await sessions.commit(Session("a", "u"))
    session = session_keys(redis, "a").value
    person = index_keys(redis, "u").value
    for key in await keys(redis):
        await redis.execute("PEXPIRE", key, 1000)
    await sessions.commit(first)
    assert 59_000 < await redis.execute("PTTL", session) <= 60_000
    assert 119_000 < await redis.execute("PTTL", person) <= 120_000


async def test_a_shorter_time_to_live_does_not_shorten_the_index(redis: Redis) -> None:
    await store(redis, ttl=60.0).commit(Session("a", "u"))
    await store(redis, ttl=1.0).commit(Session("b", "u"))
    assert await redis.execute("PTTL", index_keys(redis, "u").value) > 100_000
    assert await store(redis).forget("u") == 2
    assert await keys(redis) == []


async def test_what_ended_leaves_the_index_with_the_next_commit(redis: Redis) -> None:
    sessions = store(redis, ttl=0.05)
    for number in range(5):
        await sessions.commit(Session(f"s{number}", "u"))
    person = index_keys(redis, "u").value
    with anyio.fail_after(5):
        while await redis.execute("ZRANGE", person, 0, -1) != [b"t"]:
            await sessions.commit(await sessions.get("t") or Session("t", "u"))


async def test_every_key_of_a_turn_has_an_end_and_its_text_the_first(redis: Redis) -> None:
    sessions = store(redis, ttl=1000.0, admission_ttl=60.0)
    await sessions.admit(Admission("a", "u", "1", "look", "h"), 1.0)
    queue, texts = queue_keys(redis, "a")
    assert 59_000 < await redis.execute("PTTL", texts) <= 60_000
    assert 999_000 < await redis.execute("PTTL", queue) <= 1_000_000
    assert await sessions.forget("u") == 1
    assert await keys(redis) == []


async def test_the_text_of_a_turn_goes_before_the_turn_does(redis: Redis) -> None:
    sessions = store(redis, admission_ttl=0.05)
    await sessions.admit(Admission("a", "u", "1", "look", "h"), 0.0)
    with anyio.fail_after(5):
        while (held := await sessions.hold("a", "1", "h", 1.0)).first and held.first.text:
            await anyio.lowlevel.checkpoint()
    assert held.status == "held"
    assert b"look" not in b"".join(await redis.execute("HVALS", queue_keys(redis, "a")[1]))


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (("SET", "x"), "they are a string"),
        (("RPUSH", "\xc1"), "one is no turn"),
        (("RPUSH", b"\x91\xa11"), "the format of one is unknown"),
        (("RPUSH", b"\x98\xa11\xa1r\xa1u\xa1h\xa0\xa1x\xa11\xa11"), "the numbers of one are none"),
        (("RPUSH", b"\x98\xa11\xa1r\xa1u\xa1h\xa0\x01\xa11\xa11"), "a field of one is no text"),
        (("RPUSH", *"12345678901"), "there are too many"),
    ],
)
async def test_a_queue_that_is_none_is_quarantined_and_the_session_goes_on(
    redis: Redis, damage: tuple[Any, ...], reason: str
) -> None:
    sessions = store(redis)
    kept = await sessions.commit(Session("a", "u"))
    command, *values = damage
    await redis.execute(command, queue_keys(redis, "a")[0], *values)
    with pytest.raises(SessionCorrupt, match=reason):
        await sessions.hold("a", "1", "h", 1.0)
    entered = await sessions.admit(Admission("a", "u", "1", "look", "h"), 1.0)
    assert (await sessions.commit(kept, entered)).version == 2
    assert await sessions.forget("u") == 1
    assert await keys(redis) == []


async def test_turns_of_a_newer_release_are_left_alone(redis: Redis) -> None:
    sessions = store(redis)
    await redis.execute("RPUSH", queue_keys(redis, "a")[0], b"\x92\xa12\xa1r")
    with pytest.raises(SessionsError, match="newer release, in format 2"):
        await sessions.admit(Admission("a", "u", "1", "look", "h"), 1.0)
    assert await redis.execute("LLEN", queue_keys(redis, "a")[0]) == 1


async def test_a_deleted_session_leaves_nothing(redis: Redis) -> None:
    sessions = store(redis)
    await sessions.commit(Session("a", "u"))
    assert await sessions.delete("a")
    assert await keys(redis) == []


async def test_a_crash_before_the_first_commit_leaves_an_entry_that_does_no_harm(redis: Redis) -> None:
    sessions = store(redis)
    await sessions._index("a", "u")
    assert await sessions.forget("u") == 0
    assert await keys(redis) == []


async def test_a_commit_is_done_once_however_often_it_is_sent(redis: Redis) -> None:
    sessions = store(redis)
    keys_of = sessions._keys("a")
    arguments: list[str | bytes | int] = [1000, 0, "u", 0, msgspec.msgpack.encode({}), 60_000, "name", "", ""]
    first = await sessions._commit(keys_of, arguments)
    assert await sessions._commit(keys_of, arguments) == first
    assert (await sessions._commit(keys_of, [*arguments[:-3], "other", "", ""]))[0] == b"conflict"


GOOD = {
    "format": "1",
    "version": "1",
    "user": "u",
    "created": "1",
    "updated": "1",
    "context": msgspec.msgpack.encode({}),
}


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"format": "one"}, "its format is unknown"),
        ({"format": "0"}, "its format is unknown"),
        ({"version": None}, "it has no version"),
        ({"version": "one"}, "its numbers are none"),
        ({"version": "-1"}, "its numbers are none"),
        ({"updated": "1e3"}, "its numbers are none"),
        ({"context": None}, "it has no context"),
        ({"context": b"\xc1what a person wrote"}, "its context is no mapping"),
        ({"context": msgspec.msgpack.encode([1])}, "its context is no mapping"),
        ({"user": b"\xff"}, "its user no text"),
        (None, "it is a string"),
    ],
)
async def test_what_is_no_session_is_quarantined_with_its_reason(
    redis: Redis, change: dict[str, object] | None, reason: str, caplog: pytest.LogCaptureFixture
) -> None:
    sessions = store(redis)
    place, (quarantined, *_), reasons = session_keys(redis, "a")
    if change is None:
        await redis.execute("SET", place, "what a person wrote")
    else:
        fields = {key: value for key, value in {**GOOD, **change}.items() if value is not None}
        await redis.execute("HSET", place, *(part for pair in fields.items() for part in pair))
    before = await redis.execute("DUMP", place)
    with pytest.raises(SessionCorrupt, match=reason):
        await sessions.get("a")
    assert await sessions.get("a") is None
    assert await redis.execute("DUMP", quarantined) == before
    assert reason in (await redis.execute("HGET", reasons, 1)).decode()
    for key in (quarantined, reasons):
        assert 0 < await redis.execute("PTTL", key) <= 120_000
    assert (await sessions.commit(Session("a", "u"))).version == 1
    assert "it is in quarantine" in caplog.text
    assert "person wrote" not in caplog.text
    assert await sessions.forget("u") == 1
    assert await keys(redis) == []


@pytest.mark.parametrize("newer", [{**GOOD, "format": "2"}, {"format": "12", "whatever": "it needs"}], ids=str)
async def test_a_session_of_a_newer_release_is_left_alone_and_said_to_be_one(
    redis: Redis, newer: dict[str, object]
) -> None:
    sessions = store(redis)
    place = session_keys(redis, "a").value
    await redis.execute("HSET", place, *(part for pair in newer.items() for part in pair))
    before = await redis.execute("DUMP", place)
    for call in (sessions.get("a"), sessions.commit(Session("a", "u")), sessions.commit(Session("a", "u", 1))):
        with pytest.raises(SessionsError, match=f"format {newer['format']}, .* up to 1") as caught:
            await call
        assert not isinstance(caught.value, SessionCorrupt)
    assert await redis.execute("DUMP", place) == before
    assert await sessions.delete("a")


async def test_a_commit_over_what_is_no_session_changes_nothing_of_it(redis: Redis) -> None:
    sessions = store(redis)
    place, (quarantined, *_), _ = session_keys(redis, "a")
    await redis.execute("LPUSH", place, "x")
    with pytest.raises(SessionCorrupt, match="it is a list"):
        await sessions.commit(Session("a"))
    assert await redis.execute("LRANGE", quarantined, 0, -1) == [b"x"]


async def test_the_fifth_corrupt_value_stays_and_is_said_each_time(redis: Redis) -> None:
    sessions = store(redis)
    place = session_keys(redis, "a").value
    for number in range(6):
        await redis.execute("SET", place, number)
        with pytest.raises(
            SessionCorrupt, match="too many such are in quarantine" if number > 3 else "the session is gone"
        ):
            await sessions.get("a")
    assert await redis.execute("GET", place) == b"5"
    assert await sessions.delete("a")


async def test_a_corrupt_index_is_quarantined_and_forgetting_says_what_may_be_left(
    redis: Redis, caplog: pytest.LogCaptureFixture
) -> None:
    sessions = store(redis)
    old = await sessions.commit(Session("old", "u"))
    index = index_keys(redis, "u").value
    await redis.execute("SET", index, "x")
    await sessions.commit(Session("new", "u"))
    assert "the index of a person's sessions isn't one (it is a string)" in caplog.text
    with pytest.raises(SessionCorrupt, match="1 sessions are forgotten"):
        await sessions.forget("u")
    await sessions.commit(old)
    with pytest.raises(SessionCorrupt, match="1 sessions are forgotten"):
        await sessions.forget("u")
    assert [await sessions.get(id) for id in ("old", "new")] == [None, None]


async def test_the_log_and_the_errors_hold_no_name(redis: Redis, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    sessions = store(redis, max_size=100)
    await redis.execute("SET", session_keys(redis, "Anna").value, "x")
    for call in (sessions.get("Anna"), sessions.commit(Session("Anna", "Anna", context={"Anna": "Anna" * 100}))):
        with pytest.raises(Exception, match="session") as caught:
            await call
        assert "Anna" not in str(caught.value)
    assert "Anna" not in caplog.text


async def test_a_store_that_is_gone_is_an_error_of_the_capability() -> None:
    with redis_server(own=True) as server:
        async with connect(server.config(command_timeout=0.5)) as redis:
            sessions = store(redis)
            await sessions.commit(Session("a", "u"))
            server.kill()
            for call in (
                sessions.get("a"),
                sessions.commit(Session("b", "u")),
                sessions.forget("u"),
                sessions.delete("a"),
            ):
                with pytest.raises(SessionsError, match="the sessions' store"):
                    await call


async def test_a_full_store_refuses_commits_and_keeps_what_it_has() -> None:
    with redis_server("--maxmemory", "4mb", "--maxmemory-policy", "noeviction") as server:
        async with connect(server.config()) as redis:
            sessions = store(redis)
            first = await sessions.commit(Session("a", "u"))

            async def fill() -> None:
                for number in range(100):
                    await sessions.commit(Session(str(number), context={"x": "x" * 100_000}))

            with pytest.raises(SessionsError, match="OOM"):
                await fill()
            assert await sessions.get("a") == first


async def test_sessions_are_there_after_a_failover() -> None:
    with sentinel() as several:
        async with connect(several.config(socket_timeout=1.0)) as redis:
            sessions = store(redis)
            first = await sessions.commit(Session("a", "u", context={"turn": 1}))
            assert await redis.wait(1, 2.0, key=session_keys(redis, "a").value) == 1
            several.master().kill()
            assert await sessions.get("a") == first
            second = await sessions.commit(first)
            assert second.version == 2


async def test_sessions_outlive_their_process_and_the_hook_forgets_them(shared_redis: RedisServer) -> None:
    (example,) = re.findall(r"```yaml\n(.*?)```", README.read_text(), re.DOTALL)
    config = {name: it["config"] for name, it in yaml.safe_load(example)["plugins"].items()}
    config["redis"] = shared_redis.section(prefix="outlive")
    settings = KernelSettings(plugins={name: PluginSettings(config=it) for name, it in config.items()})
    plugins = {"redis": RedisPlugin, "sessions": SessionsPlugin, "sessions-redis": SessionsRedis}
    async with Kernel(settings, plugins=plugins) as kernel:
        first = await kernel.get(SESSIONS).commit(Session("a", "u"))
    async with Kernel(settings, plugins=plugins) as kernel:
        assert await kernel.get(SESSIONS).get("a") == first
        assert await kernel.ask(forget, "u") == {"sessions-redis": 1}
        assert await kernel.get(SESSIONS).get("a") is None


async def test_a_commit_that_too_few_replicas_have_confirmed_counts_once_and_is_told(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO, "tta.sessions-redis")
    with sentinel(replicas=1, sentinels=1) as several:
        async with connect(several.config()) as redis:
            assert await redis.wait(1, 10.0, key="warm") == 1
            sessions = store(redis, wait_replicas=1, wait_timeout=0.5)
            session = await sessions.commit(Session("a", "u"))
            assert (sessions.unconfirmed, caplog.messages) == ("", [])
            (replica,) = several.replicas()
            replica.pause()
            try:
                for version in (2, 3):
                    session = await sessions.commit(session)
                    assert session.version == version
                    assert await sessions.get("a") == session
                assert sessions.unconfirmed == "0 of 1 replicas confirmed the last commit in time"
                assert len(caplog.messages) == 1
            finally:
                replica.resume()
            with anyio.fail_after(10):
                while sessions.unconfirmed:
                    session = await sessions.commit(session)
            assert caplog.messages[-1] == "enough replicas confirm the sessions' commits again"


async def test_what_replicas_have_confirmed_is_there_when_one_of_them_takes_over() -> None:
    with sentinel() as several:
        async with connect(several.config(socket_timeout=1.0)) as redis:
            sessions = store(redis, wait_replicas=1, wait_timeout=5.0)
            session = Session("a", "u")
            for _ in range(20):
                session = await sessions.commit(session)
            several.master().kill()
            assert await sessions.get("a") == session
            assert (await sessions.commit(session)).version == 21


async def test_a_commit_that_is_sent_again_is_vouched_for_by_replicas_that_have_the_first_one() -> None:
    with sentinel(replicas=1, sentinels=1) as several:
        config = several.config()
        async with connect(config) as redis, connect(config) as again:
            assert await redis.wait(1, 10.0, key="warm") == 1
            (replica,) = several.replicas()
            arguments: list[str | bytes | int] = [1000, 0, "u", 0, msgspec.msgpack.encode({}), 60_000, "name"]
            first, second = store(redis), store(again, wait_replicas=1, wait_timeout=0.2)
            replica.pause()
            try:
                stored = await first._commit(first._keys("a"), arguments)
                assert await second._replication.run(second._commit, second._keys("a"), arguments) == stored
                assert second.unconfirmed == "0 of 1 replicas confirmed the last commit in time"
            finally:
                replica.resume()


@pytest.mark.parametrize("clustered", [False, True])
async def test_forgetting_that_too_few_replicas_have_confirmed_is_an_error_until_they_have(*, clustered: bool) -> None:
    with cluster() if clustered else sentinel(replicas=1, sentinels=1) as several:
        async with connect(several.config()) as redis:
            sessions = store(redis, wait_replicas=1, wait_timeout=0.2)
            for id in "abcdefgh":
                await sessions.commit(Session(id, "u"))
                assert await redis.wait(1, 10.0, key=session_keys(redis, id).value) == 1
            if isinstance(several, RedisCluster):
                index = several.owner(index_keys(redis, "u").value)
                pairs = zip(several.nodes[:3], several.nodes[3:], strict=True)
                replicas = [replica for master, replica in pairs if master is not index]
            else:
                replicas = several.replicas()
            for replica in replicas:
                replica.pause()
            try:
                with pytest.raises(SessionsError, match="0 of 1 replicas have confirmed it"):
                    await sessions.forget("u")
                assert [await sessions.get(id) for id in "abcdefgh"] == [None] * 8
                with pytest.raises(SessionsError, match="forget once more"):
                    await sessions.forget("u")
            finally:
                for replica in replicas:
                    replica.resume()
            with anyio.fail_after(10):
                while True:
                    try:
                        assert await sessions.forget("u") == 0
                        break
                    except SessionsError:
                        continue
            assert clustered or [key for key in await keys(redis) if ":wait:" not in key] == []


async def test_without_replicas_that_are_to_be_waited_for_all_goes_on_and_health_is_degraded(
    shared_redis: RedisServer,
) -> None:
    redis = shared_redis.section(prefix="unconfirmed")
    sections: dict[str, dict[str, Any]] = {
        "redis": redis,
        "sessions-redis": {"wait_replicas": 1, "wait_timeout": "20ms"},
    }
    settings = KernelSettings(plugins={name: PluginSettings(config=it) for name, it in sections.items()})
    plugins = {"redis": RedisPlugin, "sessions": SessionsPlugin, "sessions-redis": SessionsRedis}
    async with Kernel(settings, plugins=plugins) as kernel:

        async def state() -> str:
            found = (await kernel.ask(health))["sessions-redis"]
            assert isinstance(found, Health)
            return found.status

        sessions = kernel.get(SESSIONS)
        assert await state() == "ok"
        first = await sessions.commit(Session("a", "u"))
        assert await sessions.commit(first) == await sessions.get("a")
        assert await state() == "degraded"
        assert await sessions.delete("a")
        assert await sessions.get("a") is None
        assert await state() == "degraded"


@pytest.mark.parametrize("name", ["ttl", "quarantine", "wait_timeout", "max_size", "wait_replicas"])
async def test_a_number_that_is_none_is_a_mistake(redis: Redis, name: str) -> None:
    counts = [value for value in NO_COUNTS if value != 0 or name != "wait_replicas"]
    for value in counts if name in ("max_size", "wait_replicas") else [*NO_DURATIONS, 0.0]:
        with pytest.raises(ValueError, match=name):
            store(redis, **{name: value})
