"""What STORAGE.md says of keys and their ends, and what is done with what isn't ours."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, cast

import anyio
import msgspec
import pytest

from tta_kernel.testing.numbers import NO_COUNTS, NO_DURATIONS
from tta_redis import Redis, RedisDown, connect
from tta_redis.testing import RedisServer, redis_server
from tta_workflows.journal import (
    Commit,
    Fenced,
    JournalCorrupt,
    JournalError,
    JournalFull,
    Outgoing,
    RunHead,
    RunQuery,
)
from tta_workflows.records import Done, Ended, Signal, Started
from tta_workflows_redis import RedisJournal
from tta_workflows_redis.index import READ_AT_ONCE
from tta_workflows_redis.layout import Places, run_keys

LONG = 60.0
PATIENCE = 20.0
STORAGE = Path(__file__).resolve().parents[1] / "STORAGE.md"


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


def head(id: str = "r", **more: Any) -> RunHead:
    return RunHead(id, "turn", "d", 1000.0, **more)


async def keys(redis: Redis) -> dict[str, int]:
    """Return all keys, and how long each still lives, in ms."""
    found = [key.decode() for key in await redis.execute("KEYS", f"{redis.prefix}:runs:*")]
    return {key.removeprefix(f"{redis.prefix}:"): await redis.execute("PTTL", key) for key in found}


async def full_run(journal: RedisJournal) -> None:
    """Leave every key that a run can have."""
    lease = await journal.join("p", LONG)
    await journal.define("d", b"definition")
    await journal.create(lease, head(owner="u", session="s"))
    out = Outgoing("r:a:1", "send", "q", "t")
    await journal.commit(lease, Commit("r", 1, (Started(at=1.0, step="a"),), "running", (out,)))
    await journal.append("r", Signal(at=2.0, step="a", id="s"), id="s")
    await journal.wait("r", 2, 0.01)


async def test_every_key_stands_in_the_table_and_has_an_end_but_two(redis: Redis) -> None:
    await full_run(RedisJournal(redis))
    table = STORAGE.read_text(encoding="utf-8")
    found = await keys(redis)
    assert len(found) == 13
    for key, ttl in found.items():
        named = re.sub(r"\{r\.r\}:(\w+)", r"`\1`", key) if "{r.r}" in key else key
        parts = named.removeprefix("runs:").split(":")
        assert (parts[0] if "{r.r}" in key else ":".join(parts[1:3]).partition(":")[0]) in table, key
        assert (ttl == -1) == (key.rpartition(":")[2] in ("leases", "open")), key


async def test_a_released_run_ends_with_its_retention(redis: Redis) -> None:
    journal = RedisJournal(redis)
    await full_run(journal)
    lease = await journal.join("q", LONG)
    await redis.execute("HSET", run_keys(redis, "r").run, "holder", lease.token, "number", 0)
    await journal.commit(lease, Commit("r", 1, (Ended(at=3.0, status="done"),), "done"))
    await journal.sent(lease, "r", ["r:a:1"])
    await journal.release(lease, "r", content=10.0, summary=100.0)
    found = {key.rpartition(":")[2]: ttl for key, ttl in (await keys(redis)).items() if "{r.r}" in key}
    for name in ("input", "records", "said"):
        assert 9_000 < found[name] <= 10_000
    assert 99_000 < found["run"] <= 100_000
    assert await redis.execute("ZRANGE", Places.of(redis).open, 0, -1) == []


async def test_a_run_that_goes_on_lives_on(redis: Redis) -> None:
    journal = RedisJournal(redis, unfinished=100.0)
    await full_run(journal)
    lease = await journal.join("q", LONG)
    await redis.execute("HSET", run_keys(redis, "r").run, "holder", lease.token, "number", 0)
    for key in run_keys(redis, "r"):
        await redis.execute("PEXPIRE", key, 10_000)
    await journal.commit(lease, Commit("r", 1, (Started(at=3.0, step="b"),), "running"))
    for name in ("run", "input", "records", "outgoing", "said"):
        assert await redis.execute("PTTL", getattr(run_keys(redis, "r"), name)) > 90_000, name


async def test_forgetting_a_person_leaves_no_key_of_theirs(redis: Redis) -> None:
    journal = RedisJournal(redis)
    await full_run(journal)
    assert await journal.forget("u") == 1
    left = [key for key in await keys(redis) if "{r.r}" in key or "owner" in key]
    assert left == []


async def test_an_index_keeps_the_newest_and_the_unfinished_stay_findable(redis: Redis) -> None:
    journal = RedisJournal(redis, runs=3)
    lease = await journal.join("p", LONG)
    for number in range(6):
        await journal.create(lease, RunHead(f"r{number}", "turn", "d", float(number)))
    assert [run.id for run in (await journal.list(RunQuery())).runs] == ["r5", "r4", "r3"]
    await journal.leave(lease)
    claimed = await journal.claim(await journal.join("q", LONG), 10)
    assert sorted(claimed) == [f"r{number}" for number in range(6)]


async def test_an_entry_that_leads_nowhere_goes_after_a_while(redis: Redis) -> None:
    journal = RedisJournal(redis)
    open = Places.of(redis).open
    seconds, _ = await redis.execute("TIME")
    await redis.execute("ZADD", open, int(seconds) - 1000, "old", int(seconds), "new")
    assert list(await journal.claim(await journal.join("p", LONG), 10)) == []
    assert await redis.execute("ZRANGE", open, 0, -1) == [b"new"]


class AwayOnce:
    """A client whose server is away for one moment: while it is asked for more of what it has shown a part of."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self.was_away = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._redis, name)

    async def execute(self, *command: Any, **how: Any) -> Any:
        if command[0] == "ZSCAN" and command[2] != b"0" and not self.was_away:
            self.was_away = True
            raise RedisDown("it is away")
        return await self._redis.execute(*command, **how)


async def test_a_look_at_all_runs_that_was_interrupted_begins_anew(redis: Redis) -> None:
    journal = RedisJournal(redis)
    gone = await journal.join("gone", LONG)
    for number in range(2 * READ_AT_ONCE):
        await journal.create(gone, head(f"r{number}"))
    await journal.leave(gone)
    away = AwayOnce(redis)
    journal = RedisJournal(cast(Redis, away), sweep=LONG)
    lease = await journal.join("p", LONG)
    while not away.was_away:
        with suppress(JournalError):
            await journal.claim(lease, 50)
    while await journal.claim(lease, 50):
        pass
    places = [run_keys(redis, f"r{number}").run for number in range(2 * READ_AT_ONCE)]
    assert {await redis.execute("HGET", place, "holder") for place in places} == {lease.token.encode()}
    assert await redis.execute("ZSCORE", Places.of(redis).leases, gone.token) is None


async def test_a_run_that_a_paused_process_began_is_found_by_the_sweep(redis: Redis) -> None:
    journal = RedisJournal(redis, sweep=0.05)
    gone = await journal.join("gone", LONG)
    await journal.leave(gone)
    other = await journal.join("other", LONG)
    assert list(await journal.claim(other, 10)) == []
    assert await redis.execute("ZSCORE", Places.of(redis).leases, gone.token) is None
    await journal.create(gone, head())  # It has not noticed yet.
    claimed: list[str] = []
    with anyio.fail_after(10):
        while not claimed:
            claimed += await journal.claim(other, 10)
            await anyio.lowlevel.checkpoint()
    assert claimed == ["r"]
    with pytest.raises(Fenced):
        await journal.commit(gone, Commit("r", 1, (Started(at=1.0, step="a"),), "running"))


NESTED = b"\x91" * 100_000 + b"\xc0"
"""A list in a list in a list, deeper than anybody reads."""


@pytest.mark.parametrize("key", ["run", "input", "records", "outgoing", "said"])
@pytest.mark.parametrize("value", ["text", "list", "zset"])
async def test_what_is_foreign_under_a_run_is_told_and_stops_no_other(
    redis: Redis, key: str, value: str, caplog: pytest.LogCaptureFixture
) -> None:
    journal = RedisJournal(redis)
    lease = await journal.join("p", LONG)
    await journal.create(lease, head("good"))
    await full_run(journal)
    place = getattr(run_keys(redis, "r"), key)
    await redis.execute("DEL", place)
    await redis.execute(
        *{"text": ("SET", place, "x"), "list": ("RPUSH", place, "x"), "zset": ("ZADD", place, 1, "x")}[value]
    )
    with caplog.at_level(logging.CRITICAL):
        try:
            await journal.read("r")
        except (JournalCorrupt, JournalError) as exc:
            assert "r" in str(exc)  # noqa: PT017 - some of these can be read
        other = await journal.join("q", LONG)
        await journal.leave(lease)
        for each in await redis.execute("ZRANGE", Places.of(redis).leases, 0, -1):
            if each.decode() not in (lease.token, other.token):
                await redis.execute("ZADD", Places.of(redis).leases, 0, each)
        claimed = list(await journal.claim(other, 10))
    assert "good" in claimed
    assert (await journal.summary("good")) is not None
    assert await journal.commit(other, Commit("good", 1, (Started(at=1.0, step="a"),), "running")) == 1


@pytest.mark.parametrize("field", ["head", "status"])
async def test_a_summary_that_does_not_decode_is_none_and_the_others_are_there(redis: Redis, field: str) -> None:
    journal = RedisJournal(redis)
    lease = await journal.join("p", LONG)
    await journal.create(lease, head())
    await journal.create(lease, head("good"))
    await redis.execute("HSET", run_keys(redis, "r").run, field, NESTED)
    assert await journal.summary("r") is None
    assert await journal.summary("good") is not None


@pytest.mark.parametrize(
    "doctored",
    [b"", b"\xc1", b"\x81", msgspec.msgpack.encode({"kind": "nobody", "at": 1.0}), b"\xff" * 1000,
     msgspec.msgpack.encode(Done(at=1.0, step="a"))[:-3], msgspec.msgpack.encode([1, 2]), NESTED,
     b"\x81\xa4more" + NESTED],
)  # fmt: skip
async def test_a_record_that_does_not_decode_is_corrupt_and_can_be_set_aside(redis: Redis, doctored: bytes) -> None:
    journal = RedisJournal(redis)
    lease = await journal.join("p", LONG)
    await journal.create(lease, head())
    await journal.commit(lease, Commit("r", 1, (Started(at=1.0, step="a"),), "running"))
    await redis.execute("RPUSH", run_keys(redis, "r").records, doctored)
    with pytest.raises(JournalCorrupt, match="r"):
        await journal.read("r")
    await journal.set_aside(lease, "r", "a record doesn't decode")
    with pytest.raises(JournalCorrupt):
        await journal.read("r")
    summary = await journal.summary("r")
    assert summary is not None
    assert summary.status == "set-aside"
    assert 0 < await redis.execute("PTTL", run_keys(redis, "r").records) <= 7 * 86_400_000


async def test_what_a_newer_release_has_written_is_left_alone(redis: Redis) -> None:
    journal = RedisJournal(redis)
    lease = await journal.join("p", LONG)
    await journal.create(lease, head())
    await redis.execute("HSET", run_keys(redis, "r").run, "format", "2")
    before = await redis.execute("HGETALL", run_keys(redis, "r").run)
    for call in (
        journal.read("r"),
        journal.append("r", Signal(at=1.0, step="a")),
        journal.commit(lease, Commit("r", 1, (Started(at=1.0, step="a"),), "running")),
        journal.create(lease, head()),
    ):
        with pytest.raises(JournalError, match="newer release"):
            await call
    await journal.leave(lease)
    assert list(await journal.claim(await journal.join("q", LONG), 10)) == []
    assert await redis.execute("HGETALL", run_keys(redis, "r").run) == before


@pytest.mark.parametrize("input", [{"x": object()}, {"x": 2**70}, {"x": "\udcff"}, {1: "one"}])
async def test_what_would_not_come_back_is_not_stored(redis: Redis, input: Any) -> None:
    journal = RedisJournal(redis)
    lease = await journal.join("p", LONG)
    with pytest.raises(TypeError):
        await journal.create(lease, head(input=input))
    await journal.create(lease, head("good"))
    with pytest.raises(TypeError):
        await journal.commit(lease, Commit("good", 1, (Done(at=1.0, step="a", output=input),), "running"))
    assert await journal.read("r") is None


async def test_an_input_that_is_too_large_leaves_nothing(redis: Redis) -> None:
    journal = RedisJournal(redis, max_size=1000)
    lease = await journal.join("p", LONG)
    with pytest.raises(JournalFull, match="1000"):
        await journal.create(lease, head(input={"text": "x" * 1000}))
    assert [key for key in await keys(redis) if "r.r" in key] == []


@pytest.fixture(scope="module")
def own_server() -> Iterator[RedisServer]:
    with redis_server("--appendonly", "yes", "--appendfsync", "always", own=True) as found:
        yield found


async def test_runs_survive_the_end_of_the_server(own_server: RedisServer) -> None:
    async with connect(own_server.config()) as redis:
        journal = RedisJournal(redis)
        lease = await journal.join("p", LONG)
        await journal.create(lease, head("durable"))
        await journal.commit(lease, Commit("durable", 1, (Started(at=1.0, step="a"),), "running"))
        own_server.kill()
        own_server.start()
        with anyio.fail_after(20):
            assert await journal.commit(lease, Commit("durable", 2, (Done(at=2.0, step="a"),), "running")) == 2
        assert await journal.renew(lease, LONG)


@pytest.mark.parametrize("wrong", NO_COUNTS)
@pytest.mark.parametrize("name", ["most_records", "max_size", "runs"])
async def test_a_count_that_is_none_is_refused(redis: Redis, name: str, wrong: Any) -> None:
    with pytest.raises(ValueError, match=name):
        RedisJournal(redis, **{name: wrong})


@pytest.mark.parametrize("wrong", NO_DURATIONS)
@pytest.mark.parametrize("name", ["unfinished", "quarantine", "sweep", "poll", "wait_timeout"])
async def test_a_duration_that_is_none_is_refused(redis: Redis, name: str, wrong: Any) -> None:
    with pytest.raises(ValueError, match=name):
        RedisJournal(redis, **{name: wrong})


async def test_whoever_waits_hears_also_what_changes_while_that_is_being_arranged(shared_redis: RedisServer) -> None:
    where = shared_redis.config()
    async with connect(where) as here, connect(where) as there:
        waiting, saying = RedisJournal(here, poll=LONG), RedisJournal(there)
        await saying.create(await saying.join("p", LONG), head())
        async with waiting.listening():
            with anyio.fail_after(PATIENCE):
                for number in range(300):
                    async with anyio.create_task_group() as tasks:
                        tasks.start_soon(waiting.wait, "r", number, LONG)
                        await saying.append("r", Signal(at=1.0, step="a"))
