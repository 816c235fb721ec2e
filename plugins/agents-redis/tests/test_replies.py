"""Replies on Redis: when they end, whose they are, and what lay there and was none."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import pytest

from tta_agents import AgentId, RegistryError, Replies, Reply
from tta_agents.testing import SharedRepliesContract
from tta_agents.testing.echo import eventually
from tta_agents_redis import RedisReplies
from tta_kernel.testing import Shared
from tta_redis import Config, Redis, connect

LOG = logging.getLogger("test")
ID = AgentId("a", "1")


class TestRedisReplies(SharedRepliesContract):
    @pytest.fixture
    def replies(self, redis: Redis) -> RedisReplies:
        return RedisReplies(redis, LOG, max_size=10_000, quarantine=60.0)

    @pytest.fixture
    def shared(self, redis: Redis) -> Shared[Replies]:
        return Shared(open_replies, (msgspec.to_builtins(redis.config),))


@asynccontextmanager
async def open_replies(config: dict[str, Any]) -> AsyncIterator[Replies]:
    async with connect(msgspec.convert(config, Config)) as redis:
        yield RedisReplies(redis, LOG, max_size=10_000, quarantine=60.0)


@pytest.mark.parametrize("command", [("SET", b"\xff no reply"), ("LPUSH", "x"), ("SET", b"\x80")])
async def test_what_is_no_reply_is_quarantined(redis: Redis, command: tuple[Any, ...]) -> None:
    replies = RedisReplies(redis, LOG, max_size=10_000, quarantine=60.0)
    key = redis.key("agents", "reply", "a", "k", tag="a/k")
    await redis.execute(command[0], key, *command[1:])
    assert await replies.get("a", "k") is None
    reply = Reply(ID, "x", 0.0)
    await redis.execute("DEL", key)
    await redis.execute(command[0], key, *command[1:])
    assert await replies.put("a", "k", reply, 60.0) == reply
    assert await replies.get("a", "k") == reply
    assert await redis.execute("PTTL", f"{key}:quarantined") > 0


@pytest.mark.parametrize("newer", [{"version": 2}, {"version": 3, "reply": "in another way"}], ids=str)
async def test_a_reply_of_a_newer_release_is_left_alone_and_said_to_be_one(redis: Redis, newer: dict[str, Any]) -> None:
    replies = RedisReplies(redis, LOG, max_size=10_000, quarantine=60.0)
    key = redis.key("agents", "reply", "a", "k", tag="a/k")
    stored = msgspec.msgpack.encode(newer)
    await redis.execute("SET", key, stored)
    for call in (replies.get("a", "k"), replies.put("a", "k", Reply(ID, "x", 0.0), 60.0)):
        with pytest.raises(RegistryError, match=f"in version {newer['version']}, and this one knows versions up to 1"):
            await call
    assert await redis.execute("GET", key) == stored


async def test_a_reply_ends_and_one_too_large_is_not_kept(redis: Redis) -> None:
    replies = RedisReplies(redis, LOG, max_size=100, quarantine=60.0)
    await replies.put("a", "k", Reply(ID, "x", 0.0), 0.05)
    with pytest.raises(RegistryError, match="bytes, and 100 are allowed"):
        await replies.put("a", "large", Reply(ID, "x" * 100, 0.0), 60.0)
    assert await replies.get("a", "large") is None

    async def gone() -> bool:
        return await replies.get("a", "k") is None

    await eventually(gone)


async def test_nothing_is_left_of_a_person_s_replies_after_their_time_nor_names_them_before(redis: Redis) -> None:
    replies = RedisReplies(redis, LOG, max_size=10_000, quarantine=60.0)
    await replies.put("a", "k", Reply(ID, "x", 0.0), 0.2, "ann")
    keys = await redis.execute("KEYS", redis.key("agents") + "*")
    assert len(keys) == 2
    assert not any(b"ann" in key for key in keys)
    assert all([0 < await redis.execute("PTTL", key) <= 200 for key in keys])

    async def gone() -> bool:
        return not await redis.execute("KEYS", redis.key("agents") + "*")

    await eventually(gone)


async def test_a_list_of_replies_ends_with_the_last_and_leaves_those_out_that_ended(redis: Redis) -> None:
    replies = RedisReplies(redis, LOG, max_size=10_000, quarantine=60.0)
    await replies.put("a", "short", Reply(ID, "x", 0.0), 0.01, "ann")

    async def ended() -> bool:
        return await replies.get("a", "short", "ann") is None

    await eventually(ended)
    for key, ttl in (("long", 50.0), ("middle", 5.0)):
        await replies.put("a", key, Reply(ID, "x", 0.0), ttl, "ann")
    index = replies._index("ann")
    assert await redis.execute("PTTL", index) > 40_000
    assert [name.rpartition(b":")[2] for name in await redis.execute("ZRANGE", index, 0, -1)] == [b"middle", b"long"]


async def test_what_was_quarantined_of_a_person_is_forgotten_too(redis: Redis) -> None:
    replies = RedisReplies(redis, LOG, max_size=10_000, quarantine=60.0)
    await redis.execute("SET", replies._keys("a", "k", "ann")[0], b"\xff what ann wrote")
    assert await replies.get("a", "k", "ann") is None
    assert await replies.forget("ann") == 1
    assert await redis.execute("KEYS", redis.key("agents") + "*") == []


async def test_a_list_that_is_none_is_an_error_for_who_forgets_and_moved_out_of_the_way_of_who_keeps(
    redis: Redis,
) -> None:
    replies = RedisReplies(redis, LOG, max_size=10_000, quarantine=60.0)
    await redis.execute("SET", replies._index("ann"), "x")
    with pytest.raises(RegistryError):
        await replies.forget("ann")
    await replies.put("a", "k", Reply(ID, "x", 0.0), 60.0, "ann")
    assert await replies.forget("ann") == 1
    assert await redis.execute("GET", replies._index("ann") + ":quarantined") == b"x"


async def test_a_list_never_leads_to_anybody_else_s_keys(redis: Redis) -> None:
    replies = RedisReplies(redis, LOG, max_size=10_000, quarantine=60.0)
    await redis.execute("SET", redis.key("other"), "x")
    await redis.execute("ZADD", replies._index("ann"), 1, redis.key("other"))
    assert await replies.forget("ann") == 0
    assert await redis.execute("GET", redis.key("other")) == b"x"
