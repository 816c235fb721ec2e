"""The table of what is packed, how the scripts use it, and what becomes of a queue that a newer release has written."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import pytest

from tta_messages import MessagesError, QueueSettings
from tta_messages.testing import note
from tta_messages_redis import RedisMessages, layout
from tta_redis import Redis, connect
from tta_redis.testing import RedisServer

OpenRedis = Callable[..., AbstractAsyncContextManager[RedisMessages]]
STORAGE = Path(__file__).resolve().parents[1] / "STORAGE.md"
LUA = Path(layout.__file__).parent / "lua"
SCRIPTS = [path.stem for path in sorted(LUA.glob("*.lua"))]
BY_NAME = {packed.name.upper(): packed for packed in layout.PACKED}
NEWER = (layout.MARK + 1).to_bytes(4)
MAGIC = re.compile(
    r"'[<>]"  # a format of struct
    r"|string\.byte\(\w+, \d"  # a position in a packed string
    r"|string\.sub\(\w+, [2-9]"
    r"|string\.byte\([^\n]*\) [=~]= \d"  # a kind
    r"|#\w+ [=~<>]=? [2-9]\d*\b"  # a size
)


@pytest.fixture
async def both(shared_redis: RedisServer, open_on: OpenRedis) -> AsyncIterator[tuple[Redis, RedisMessages]]:
    where = shared_redis.config()
    async with connect(where) as redis, open_on(where) as messages:
        yield redis, messages


@pytest.mark.parametrize("name", SCRIPTS)
def test_no_script_has_positions_formats_or_sizes_of_its_own(name: str) -> None:
    code = "\n".join(line.partition("--")[0] for line in layout.text(name).splitlines())
    assert MAGIC.findall(code) == []


@pytest.mark.parametrize(
    "line",
    [
        "struct.unpack('>d', value)", "string.byte(value, 9)", "string.sub(value, 9)", "#state ~= 61",
        "string.byte(info) == 33",
    ],
)  # fmt: skip
def test_a_magic_position_is_seen(line: str) -> None:
    assert MAGIC.search(line)


@pytest.mark.parametrize("name", SCRIPTS)
def test_scripts_name_all_fields_in_the_order_of_the_table(name: str) -> None:
    text = re.sub(r"\s+", " ", layout.text(name))
    for names, packed in re.findall(r"((?:\w+, )+\w+) = struct\.unpack\((STATE|SETTINGS)\b", text):
        assert names.split(", ")[1:] == [field.name for field in BY_NAME[packed].fields][1:]
    for names in re.findall(r"pack\(STATE, (mark, [\w, ]+)\)", text):
        assert names.split(", ") == [field.name for field in layout.STATE.fields]


@pytest.mark.parametrize("packed", layout.PACKED, ids=lambda packed: packed.name)
def test_each_field_says_what_it_means_and_who_writes_it(packed: layout.Packed) -> None:
    assert all(field.name and field.meaning and field.writer for field in packed.fields)


async def everything(redis: Redis) -> dict[bytes, bytes]:
    """Return all that is kept."""
    names = [name async for name in redis.client.scan_iter(f"{redis.prefix}:messages:{{q}}:*")]
    return {name: await redis.execute("DUMP", name) for name in names}


@pytest.mark.parametrize("field", ["state", "settings"])
@pytest.mark.parametrize("size", ["as ours", "longer"])
async def test_a_queue_of_a_newer_release_is_left_alone_and_named(
    both: tuple[Redis, RedisMessages], field: str, size: str
) -> None:
    redis, m = both
    await m.configure("q", QueueSettings())
    await m.send(note("a"), note("b"))
    (held,) = await m.receive("q")
    await m.ack(*await m.receive("q"))
    queue = redis.key("messages", "queue", tag="q")
    ours = await redis.execute("HGET", queue, field)
    await redis.execute("HSET", queue, field, NEWER + ours[4:] + (b"" if size == "as ours" else b"new"))
    before = await everything(redis)
    calls: list[Callable[[], object]] = [
        lambda: m.send(note("b")),
        lambda: m.receive("q"),
        lambda: m.ack(held),
        lambda: m.nack(held),
        lambda: m.extend(held, 60.0),
        lambda: m.stats("q"),
        lambda: m.purge("q"),
        lambda: m.drop("q"),
        lambda: m.configure("q", QueueSettings()),
    ]
    for call in calls:
        with pytest.raises(MessagesError, match="storage version 2, and this release knows versions up to 1"):
            await call()  # type: ignore[misc]
    assert await everything(redis) == before
    await redis.execute("HSET", queue, field, ours)
    assert await m.ack(held) == [True]


async def test_what_is_foreign_only_to_an_older_release_is_not_put_into_quarantine(
    both: tuple[Redis, RedisMessages],
) -> None:
    redis, m = both
    await m.send(note("a"))
    queue, lease = redis.key("messages", "queue", tag="q"), redis.key("messages", "lease", tag="q")
    state = await redis.execute("HGET", queue, "state")
    await redis.execute("HSET", queue, "state", NEWER + state[4:])
    await redis.execute("DEL", lease)
    await redis.execute("RPUSH", lease, "a list, since version 2")
    with pytest.raises(MessagesError, match="storage version 2"):
        await m.receive("q")
    assert await redis.execute("LRANGE", lease, 0, -1) == [b"a list, since version 2"]


def keys_in_the_code() -> set[str]:
    """Return what Python and the scripts call keys, channels, and fields of the key `queue`."""
    python = "\n".join(path.read_text() for path in LUA.parent.glob("*.py"))
    scripts = "\n".join(map(layout.text, SCRIPTS))
    found = {*layout.KEYS, *layout.SUBSCRIPTION_KEYS}
    found |= set(re.findall(r'\.key\("messages", "([\w-]+)"', python))
    found |= set(re.findall(r":(quarantine):", python))
    found |= set(re.findall(r"\bcount\('([\w-]+)'", scripts))
    for arguments in re.findall(r"'(?:HSET|HMGET|HDEL|HGET)', QUEUE,([^)]*)\)", scripts):
        found |= set(re.findall(r"'([a-z][\w-]+)'", arguments))
    return {name for name in found if not name.endswith("-")}  # The script adds the priority.


def test_every_key_and_field_that_the_code_names_is_described() -> None:
    found = keys_in_the_code()
    assert {"idle", "queues", "wake", "revision", "state", "passed-over", "stale", "quarantine"} <= found
    described = set(re.findall(r"[\w-]+", " ".join(re.findall(r"`([^`]+)`", STORAGE.read_text()))))
    assert found - described == set()
