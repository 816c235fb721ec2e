"""Budgets on Redis keep the contract, on one server and on a Cluster, and what was killed stays charged."""

from __future__ import annotations

import logging
import re
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import msgspec
import pytest
import yaml

from tta_kernel.testing import Shared, running
from tta_llm import LLM, MODELS, Account, Amount, Budgets, BudgetsError, ChatRequest, LlmPlugin, Message
from tta_llm.testing import Says, ScriptedModels, SharedBudgetsContract
from tta_llm_redis import Config as BudgetsConfig
from tta_llm_redis import LlmRedis, RedisBudgets
from tta_program import LayeredSettings
from tta_redis import Redis, RedisPlugin, connect
from tta_redis.config import Config
from tta_redis.testing import OnACluster

LOG = logging.getLogger("tta.llm-redis")
README = Path(__file__).resolve().parents[1] / "README.md"


@asynccontextmanager
async def on_redis(config: str) -> AsyncIterator[Budgets]:
    async with connect(msgspec.json.decode(config, type=Config)) as redis:
        yield RedisBudgets(redis, LOG)


class TestOnOneServer(SharedBudgetsContract):
    @pytest.fixture
    def shared(self, redis: Redis) -> Shared[Budgets]:
        return Shared(on_redis, (msgspec.json.encode(redis.config).decode(),))

    @pytest.fixture
    async def budgets(self, shared: Shared[Budgets]) -> AsyncIterator[Budgets]:
        async with shared.again() as budgets:
            yield budgets


class TestOnACluster(OnACluster, TestOnOneServer):
    """The same on a Cluster."""


KILLED = """
import anyio, logging, msgspec, os, signal, sys, time
from tta_llm import Account, Amount
from tta_llm_redis import RedisBudgets
from tta_redis import connect
from tta_redis.config import Config

async def main():
    async with connect(msgspec.json.decode(sys.argv[1], type=Config)) as redis:
        budgets = RedisBudgets(redis, logging.getLogger("test"))
        account = Account(name="day:all:1", tokens=100, ends=time.time() + 600)
        await budgets.reserve("turn-1", [account], Amount(80), hold=600)
        os.kill(os.getpid(), signal.SIGKILL)

anyio.run(main)
"""


async def test_what_a_killed_process_had_reserved_stays_charged_and_its_key_isnt_charged_again(redis: Redis) -> None:
    config = msgspec.json.encode(redis.config).decode()
    killed = await anyio.run_process([sys.executable, "-c", KILLED, config], check=False)
    assert killed.returncode == -9
    budgets = RedisBudgets(redis, LOG)
    account = Account(name="day:all:1", tokens=100, ends=time.time() + 600)
    assert list(await budgets.read([account.name])) == [Amount(80)]
    assert (await budgets.reserve("turn-2", [account], Amount(30), hold=600)).over == account.name
    # Whoever takes the turn over makes the call again, under its key.
    assert (await budgets.reserve("turn-1", [account], Amount(80), hold=600)).repeated
    assert await budgets.settle("turn-1", Amount(50), keep=600)
    assert list(await budgets.read([account.name])) == [Amount(50)]


async def test_what_is_no_account_is_an_error_and_spends_nothing(redis: Redis) -> None:
    budgets = RedisBudgets(redis, LOG)
    good, odd = (Account(name=name, tokens=100, ends=time.time() + 600) for name in ("good:all:1", "odd:all:1"))
    await redis.execute("SET", redis.key("llm", "account", odd.name, tag="budgets"), "odd")
    with pytest.raises(BudgetsError, match="the store of budgets"):
        await budgets.reserve("a", [good, odd], Amount(5), hold=600)
    assert list(await budgets.read([good.name])) == [Amount()]


async def test_a_person_is_forgotten_and_nothing_names_them(redis: Redis) -> None:
    configs = {
        "redis": msgspec.to_builtins(redis.config), "llm": {"budgets": {"user": {"per": "user", "most_tokens": 999}}},
    }  # fmt: skip
    models = ScriptedModels(Says(("yes",)))
    plugins = (RedisPlugin, LlmPlugin, LlmRedis)
    async with running(*plugins, config=configs["redis"], configs=configs, services={MODELS: models}) as kernel:
        llm = kernel.get(LLM)
        request = ChatRequest(messages=(Message("user", "hello"),), max_tokens=9, owner="ann-the-owner", key="turn")
        await llm.chat(request)
        keys = str(await redis.execute("KEYS", f"{redis.prefix}:llm*"))
        assert "account" in keys
        assert "subject" in keys
        assert "ann-the-owner" not in keys
        assert [each.tokens > 0 for each in await llm.spent(owner="ann-the-owner")] == [True]
        assert await kernel.records["llm"].plugin.forget("ann-the-owner") == 1  # type: ignore[union-attr]
        assert [each.tokens for each in await llm.spent(owner="ann-the-owner")] == [0]


def test_the_example_in_the_readme_is_a_config() -> None:
    (example,) = re.findall(r"```yaml\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)
    settings = msgspec.convert(yaml.safe_load(example), LayeredSettings)
    assert settings.decode("llm-redis", BudgetsConfig).wait_timeout == 1.0
