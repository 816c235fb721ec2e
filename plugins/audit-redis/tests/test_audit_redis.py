"""Records on Redis: the contract, what somebody changes there, and servers that are away."""

from __future__ import annotations

import anyio
import msgspec
import pytest

from tta_audit import Audit, AuditError, Verdict
from tta_audit.testing import SharedAuditContract, an_entry
from tta_audit_redis import RedisAudit
from tta_redis import Redis, connect
from tta_redis.testing import OnACluster, redis_server, sentinel


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


def store(redis: Redis, limit: int = 100_000) -> RedisAudit:
    return RedisAudit(redis, keep=600.0, limit=limit)


class TestOnOneServer(SharedAuditContract):
    @pytest.fixture
    def audit(self, redis: Redis) -> Audit:
        return store(redis)

    @pytest.fixture
    def other(self, redis: Redis) -> Audit:
        return store(redis)


class TestOnACluster(OnACluster, TestOnOneServer):
    """The same on a Cluster."""


async def verdict(audit: RedisAudit) -> Verdict:
    (found,) = await audit.verify()
    return found


async def lines_of(redis: Redis, audit: RedisAudit) -> str:
    (record, *_) = await audit.read(limit=1)
    return redis.key("audit", "lines", tag=record.chain)


async def test_what_is_dropped_leaves_a_digest_that_the_rest_is_held_to(redis: Redis) -> None:
    audit = store(redis, limit=10)
    for number in range(25):
        await audit.record(an_entry(target=f"run-{number}"))
    found = await verdict(audit)
    assert (found.status, found.first, found.last) == ("whole", 17, 26)
    await redis.execute("LPOP", await lines_of(redis, audit))
    assert (await verdict(audit)).status == "broken"


async def test_a_record_that_somebody_changes_or_takes_out_is_seen(redis: Redis) -> None:
    audit = store(redis)
    for number in range(5):
        await audit.record(an_entry(target=f"run-{number}"))
    lines = await lines_of(redis, audit)
    line = await redis.execute("LINDEX", lines, 2)
    await redis.execute("LSET", lines, 2, line.replace(b"run-1", b"run-9"))
    assert (await verdict(audit)).why == "after record 2: a record was changed"
    await redis.execute("LSET", lines, 2, line)
    assert (await verdict(audit)).status == "whole"
    await redis.execute("LREM", lines, 1, line)
    assert "record 3 is missing" in (await verdict(audit)).why


async def test_a_chain_that_is_taken_away_is_missed_by_whoever_began_later(redis: Redis) -> None:
    first, second = store(redis), store(redis)
    await first.record(an_entry())
    lines = await lines_of(redis, first)
    await second.record(an_entry())
    await redis.execute("DEL", lines)
    assert "broken" in {each.status for each in await second.verify()}


async def test_where_its_chain_was_taken_away_a_process_says_so_and_begins_another(redis: Redis) -> None:
    audit = store(redis)
    await audit.record(an_entry(target="a"))
    (record, *_) = await audit.read(limit=1)
    for part in ("lines", "head"):
        await redis.execute("DEL", redis.key("audit", part, tag=record.chain))
    with pytest.raises(AuditError, match="begins another"):
        await audit.record(an_entry(target="b"))
    assert audit.trouble
    await audit.record(an_entry(target="c"))
    assert audit.trouble == ""
    assert [each.target for each in await audit.read(what="runs.cancel")] == ["c"]


async def test_a_person_is_named_nowhere_on_the_server(redis: Redis) -> None:
    audit = store(redis)
    await audit.record(an_entry(owner="anna.of.the.lighthouse"))
    keys = [key async for key in redis.client.scan_iter("*")]
    assert keys
    assert not [key for key in keys if b"anna" in key]
    assert b"anna" not in b"".join(await redis.execute("LRANGE", await lines_of(redis, audit), 0, -1))


async def test_of_an_entry_of_which_no_answer_came_it_is_found_out_whether_it_arrived() -> None:
    with redis_server() as server:
        async with connect(msgspec.structs.replace(server.config(), command_timeout=0.3)) as redis:
            audit = store(redis)
            await audit.record(an_entry(target="a"))
            server.pause()
            with pytest.raises(AuditError):
                await audit.record(an_entry(target="b"))
            server.resume()
            with anyio.fail_after(10):
                while True:
                    try:
                        await audit.record(an_entry(target="c"))
                    except AuditError:
                        continue
                    break
            assert (await verdict(audit)).status == "whole"
            targets = [each.target for each in await audit.read(what="runs.cancel")]
            assert targets[0] == "c"
            assert targets[-1] == "a"
            assert targets.count("b") <= 1


async def test_chains_that_have_ended_by_themselves_are_missed_by_nobody(redis: Redis) -> None:
    now = 1e9
    first = RedisAudit(redis, keep=600.0, clock=lambda: now)
    await first.record(an_entry())
    lines = await lines_of(redis, first)
    second = RedisAudit(redis, keep=600.0, clock=lambda: now)
    await second.record(an_entry())
    now += 601
    await redis.execute("DEL", lines)
    third = RedisAudit(redis, keep=600.0, clock=lambda: now)
    await third.record(an_entry())
    assert {each.status for each in await third.verify()} == {"whole"}


async def test_records_that_replicas_have_are_there_when_one_of_them_takes_over() -> None:
    with sentinel() as several:
        async with connect(several.config(socket_timeout=1.0)) as redis:
            audit = RedisAudit(redis, keep=600.0, wait_replicas=1, wait_timeout=2.0)
            targets = [f"run-{number}" for number in range(20)]
            for target in targets:
                await audit.record(an_entry(target=target, owner="anna"))
            assert audit.unconfirmed == ""
            several.master().kill()
            assert [each.target for each in reversed(await audit.read(owner="anna"))] == targets
            await store(redis).record(an_entry(target="another"))
            await audit.record(an_entry(target="after"))
            assert (await audit.read(limit=1))[0].target == "after"
            assert {each.status for each in await audit.verify()} == {"whole"}


async def test_a_record_that_too_few_replicas_have_counts_and_is_told(caplog: pytest.LogCaptureFixture) -> None:
    with sentinel(replicas=1, sentinels=1) as several:
        async with connect(several.config()) as redis:
            assert await redis.wait(1, 10.0, key="warm") == 1
            audit = RedisAudit(redis, keep=600.0, wait_replicas=1, wait_timeout=0.2)
            (replica,) = several.replicas()
            replica.pause()
            try:
                await audit.record(an_entry(target="a", owner="anna"))
                assert audit.unconfirmed == "0 of 1 replicas confirmed the last commit in time"
                assert [each.target for each in await audit.read(what="runs.cancel")] == ["a"]
                for _ in range(2):
                    with pytest.raises(AuditError, match=r"0 of 1 replicas have confirmed it.*forget once more"):
                        await audit.forget("anna")
                assert await audit.read(owner="anna") == []
            finally:
                replica.resume()
            with anyio.fail_after(10):
                while True:
                    try:
                        assert await audit.forget("anna") == 0
                        break
                    except AuditError:
                        continue
            assert [each for each in caplog.messages if "would be lost if their master were" in each]
            assert (await verdict(audit)).status == "whole"


async def test_where_a_failover_took_its_last_records_a_process_says_so_and_goes_on() -> None:
    with sentinel() as several:
        async with connect(several.config(socket_timeout=1.0)) as redis:
            audit = RedisAudit(redis, keep=600.0)
            await audit.record(an_entry(target="replicated"))
            assert await redis.wait(1, 10.0, key=await lines_of(redis, audit)) == 1
            (replica,) = several.replicas()
            replica.pause()
            several.master().command("CLIENT", "KILL", "TYPE", "replica")  # It would read on what waits for it.
            await audit.record(an_entry(target="lost"))
            several.master().kill()
            replica.resume()
            with pytest.raises(AuditError, match="it begins another"):
                await audit.record(an_entry(target="refused"))
            await audit.record(an_entry(target="after"))
            targets = [each.target for each in await audit.read(what="runs.cancel")]
            assert targets == ["after", "replicated"]
            assert {each.status for each in await audit.verify()} == {"whole"}
