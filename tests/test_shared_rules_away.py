"""Rules and reviews that many processes share, where their plugin isn't required and doesn't run: that is told."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from tta_crisis.testing import until
from tta_kernel import Health, Kernel, PluginError
from tta_kernel.hookspecs import health
from tta_kernel.testing import running
from tta_notify import NOTIFY, NotifyMemory, NotifyPlugin
from tta_redis import RedisPlugin
from tta_redis.testing import RedisServer, redis_server
from tta_safety import About, SafetyPlugin, check_text, judge
from tta_safety.rules import RULES
from tta_safety_redis import SafetyRedis
from tta_safety_rules import SafetyRules

PLUGINS = {
    "redis": RedisPlugin, "notify": NotifyPlugin, "notify-memory": NotifyMemory, "safety": SafetyPlugin,
    "safety-redis": SafetyRedis, "safety-rules": SafetyRules,
}  # fmt: skip
RULE = "rules: [{id: house.lantern, category: boundary, level: warning, patterns: [purple lantern]}]"
"""A rule that only the shared layer has."""


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def server() -> Iterator[RedisServer]:
    with redis_server("--appendonly", "yes", own=True) as found:
        yield found


def kernel(server: RedisServer, **rules: Any) -> Kernel:
    configs: Mapping[str, Mapping[str, Any]] = {
        "redis": server.section(), "notify": {"need_humans": False}, "safety-rules": rules,
    }  # fmt: skip
    return running(PLUGINS, configs=configs, optional=("redis", "safety-redis"))


async def how_it_is(kernel: Kernel, plugin: str) -> Health:
    found = (await kernel.ask(health))[plugin]
    assert isinstance(found, Health)
    return found


async def test_without_them_nothing_starts_unless_the_config_says_that_it_may(server: RedisServer) -> None:
    server.stop()
    with pytest.raises(PluginError, match="plugin 'safety-redis', which has them, doesn't run"):
        async with kernel(server):
            pass
    server.start()


async def test_their_absence_is_told_once_and_they_are_in_force_when_they_come(server: RedisServer) -> None:
    async with kernel(server) as first:
        await first.get(RULES).write(RULE, tag="")
    server.stop()
    async with kernel(server, alone=True) as found:
        rules, safety = await how_it_is(found, "safety-rules"), await how_it_is(found, "safety")
        assert rules.status == "degraded"
        assert "'safety-redis'" in rules.detail
        assert (safety.status, "texts kept from players are lost" in safety.detail) == ("degraded", True)

        async def alarms() -> list[str]:
            page = await found.get(NOTIFY).page()
            return [each.notification.body for each in page.entries if "rules" in each.notification.subject]

        [told] = await until(alarms, limit=60.0)
        assert "'safety-redis', which has them, doesn't run" in told
        server.start()

        async def matched() -> bool:
            verdict = judge(await found.ask(check_text, "a purple lantern", "player", "s", About()))
            return "house.lantern@1" in verdict.rules

        await until(matched, limit=120.0)
        assert (await how_it_is(found, "safety-rules")).status == "ok"
        assert (await how_it_is(found, "safety")).status == "ok"
        assert len(await alarms()) == 1
