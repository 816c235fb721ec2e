"""Redis goes away, comes back with or without what it knew, and fails over: nothing fails, and no breaker wedges."""

from __future__ import annotations

import itertools
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import anyio
import msgspec

from tta_breakers import Breakers, BreakerSettings, BreakerStore, Permit, Refused
from tta_breakers.testing import breakers_on, eventually, fail, given, until_given
from tta_breakers_redis import RedisBreakerStore
from tta_kernel.testing import Shared
from tta_kernel.testing.shared import Tell
from tta_redis import connect
from tta_redis.config import Config
from tta_redis.testing import RedisServer, redis_server, sentinel

LOG = logging.getLogger("tta.breakers-redis")
FOR_LONG = BreakerSettings(failures=2, rate=None, open=600, jitter=0)
BRIEFLY = BreakerSettings(failures=1, rate=None, open=0.02, growth=1, probe=0.5)
KEPT = ("--appendonly", "yes", "--appendfsync", "always")


@asynccontextmanager
async def on_redis(config: str) -> AsyncIterator[BreakerStore]:
    async with connect(msgspec.json.decode(config, type=Config)) as redis, anyio.create_task_group() as tasks:
        store = RedisBreakerStore(redis, LOG)
        tasks.start_soon(store.listen)
        yield store
        tasks.cancel_scope.cancel()


def shared_on(server: RedisServer, **changes: Any) -> Shared[BreakerStore]:
    config = server.config(command_timeout=0.3, **changes)
    return Shared(on_redis, (msgspec.json.encode(config).decode(),))


@asynccontextmanager
async def breakers_of(
    shared: Shared[BreakerStore], settings: BreakerSettings = FOR_LONG, refresh: float = 0.2
) -> AsyncIterator[Breakers]:
    async with shared.again() as store, breakers_on(store, settings, refresh=refresh).running() as breakers:
        yield breakers


async def test_it_is_open_after_a_restart_of_redis_and_of_the_process() -> None:
    with redis_server(*KEPT, own=True) as server:
        shared = shared_on(server)
        async with breakers_of(shared) as breakers:
            await fail(breakers.breaker("x"), 2)
            await fail(breakers.breaker("y"))
        server.kill()
        server.start()
        async with breakers_of(shared) as breakers:
            assert isinstance(breakers.breaker("x").allow(), Refused)
            await fail(breakers.breaker("y"))
            assert isinstance(breakers.breaker("y").allow(), Refused)


async def test_what_opens_while_redis_is_away_others_hear_when_it_is_back() -> None:
    with redis_server(own=True) as server:
        shared = shared_on(server)
        async with breakers_of(shared) as here, breakers_of(shared) as there:
            await fail(here.breaker("x"))
            await eventually(lambda: there.breaker("x").record.failures == 1)
            server.kill()
            with anyio.fail_after(2):
                await fail(here.breaker("x"))
                assert isinstance(await here.breaker("x").admit(), Refused)
                assert isinstance(await there.breaker("x").admit(), Permit)
            await eventually(lambda: here.trouble != "" and there.trouble != "")
            server.start()
            await eventually(lambda: there.breaker("x").record.status == "open")
            await eventually(lambda: here.trouble == "" and there.trouble == "")


async def test_what_redis_has_lost_is_told_to_it_again_by_whoever_knows() -> None:
    with redis_server(own=True) as server:
        shared = shared_on(server)
        async with breakers_of(shared) as here:
            await fail(here.breaker("x"), 2)
            await eventually(lambda: not here.breaker("x").sending and not here.breaker("x").waiting)
            server.kill()
            server.start()
            async with breakers_of(shared) as there:
                await eventually(lambda: there.breaker("x").record.status == "open")


async def test_redis_that_stands_still_holds_up_no_call_for_long() -> None:
    with redis_server(own=True) as server:
        async with breakers_of(shared_on(server), BRIEFLY) as breakers:
            breaker = breakers.breaker("x")
            (await given(breaker)).succeeded()
            server.pause()
            try:
                await fail(breaker)
                assert isinstance(breaker.allow(), Refused)
                with anyio.fail_after(5):  # A probe asks the store first, for as long as its patience.
                    (await until_given(breaker)).succeeded()
                assert isinstance(breaker.allow(), Permit)
            finally:
                server.resume()
            await eventually(lambda: not breaker.sending and not breaker.waiting)
            assert isinstance(breaker.allow(), Permit)


async def probe_for_ever(store: BreakerStore, tell: Tell) -> None:
    """Make each probe that is to be had, tell when it began and ended and whether the store was there, and fail."""
    async with breakers_on(store, BRIEFLY, refresh=0.2).running() as breakers:
        breaker = breakers.breaker("x")
        tell("ready")
        while True:
            permit = await until_given(breaker)
            began, alone = breakers.now(), breakers.trouble != ""
            if permit.probe:
                await anyio.sleep(0.002)  # It takes its time.
                tell([began, breakers.now(), alone or breakers.trouble != ""])
            permit.failed()


async def test_while_redis_is_restarted_again_and_again_probes_go_on_and_it_closes_in_the_end() -> None:
    with redis_server(*KEPT, own=True) as server:
        shared = shared_on(server)
        async with shared.elsewhere(probe_for_ever) as one, shared.elsewhere(probe_for_ever) as other:
            for _ in range(4):
                count = len(one.told) + len(other.told)
                await until(lambda count=count: len(one.told) + len(other.told) > count + 5)
                server.kill()
                server.start()
            with one.paused():  # Whatever it was about; and then it never comes back.
                count = len(other.told)
                await until(lambda: len(other.told) > count + 5)
                one.kill()
            probes = sorted([*one.told[1:], *other.told[1:]])
        # Whoever could not reach the store has decided alone; all others never made two at once.
        together = [each for each in probes if not each[2]]
        overlaps = [(first, second) for first, second in itertools.pairwise(together) if second[0] < first[1]]
        assert overlaps == []
        async with breakers_of(shared, BRIEFLY) as breakers:
            breaker = breakers.breaker("x")
            while breaker.record.status != "closed":
                (await until_given(breaker)).succeeded()


async def test_a_failover_in_the_middle_of_tripping_leaves_all_with_the_same() -> None:
    with sentinel() as servers:
        config = servers.config(command_timeout=0.5)
        shared = Shared[BreakerStore](on_redis, (msgspec.json.encode(config).decode(),))
        async with breakers_of(shared) as here, breakers_of(shared) as there:
            names = [f"x{number}" for number in range(20)]
            for number, name in enumerate(names):
                if number == 10:
                    servers.master().kill()
                await fail(here.breaker(name), 2)
                assert isinstance(here.breaker(name).allow(), Refused)
            await until(lambda: all(there.breaker(name).record.status == "open" for name in names))
            assert [each.status for each in await here.list()] == ["open"] * 20


async def until(is_so: Any) -> None:
    """Wait for other processes and servers, without keeping a processor from them."""
    with anyio.fail_after(40):
        while not is_so():  # noqa: ASYNC110 - nobody tells
            await anyio.sleep(0.01)
