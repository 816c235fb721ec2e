"""A queue of which every key is in use, and how its keys are called."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager

from tta_messages import Filter, Priority
from tta_messages.testing import Note, note
from tta_messages_redis import RedisMessages, layout
from tta_redis import Redis

OpenRedis = Callable[..., AbstractAsyncContextManager[RedisMessages]]

PARTS = tuple(layout.KEYS)


def key(redis: Redis, part: str, queue: str = "q") -> str:
    return f"{redis.prefix}:messages:{{{queue}}}:{part}"


async def fill(m: RedisMessages) -> None:
    """Use every key of a queue."""
    await m.send(*(note(p.name, priority=p) for p in Priority), note("dead"), note("held"), note("again"))
    got = {d.message.decode(Note).text: d for d in await m.receive("q", limit=9)}
    await m.release(got["HIGH"], got["NORMAL"], got["LOW"])
    await m.nack(got["dead"], permanent=True)
    await m.nack(got["again"], delay=0.0)
    await m.send(note("delayed", delay=60.0), note("short", ttl=60.0))


async def texts(m: RedisMessages, queue: str = "q", limit: int = 20) -> list[str]:
    return [d.message.decode(Note).text for d in await m.receive(queue, limit=limit)]


def note_filter() -> Filter:
    return Filter(types=("test.note",))
