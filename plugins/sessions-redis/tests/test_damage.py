"""What lies in Redis as a session, damaged bit by bit: it is read, or told as corrupt, and never anything else."""

from __future__ import annotations

from random import Random

import msgspec
import pytest

from tta_redis import Redis
from tta_sessions import Session, SessionCorrupt
from tta_sessions_redis import RedisSessions
from tta_sessions_redis.keys import session_keys


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


CONTEXT = msgspec.msgpack.encode({"turn": 7, "said": "Ä ok", "deep": [{"a": [1, 2.5, None, True]}]})
DEEP = b"\x81\xa1a" + b"\x91" * 100_000 + b"\xc0"
HUGE = [b"\x81\xa1a\xdb\xff\xff\xff\xff", b"\xdf\xff\xff\xff\xff", b"\x81\xa1a\xdd\xff\xff\xff\xff", DEEP]


def flipped(data: bytes, bit: int) -> bytes:
    return bytes(byte ^ (1 << bit % 8) if n == bit // 8 else byte for n, byte in enumerate(data))


DAMAGED = [
    *(flipped(CONTEXT, bit) for bit in Random(7).sample(range(8 * len(CONTEXT)), 60)),
    *(CONTEXT[:length] for length in range(len(CONTEXT))),
    *HUGE,
]


async def test_a_damaged_session_is_read_or_quarantined_and_the_others_go_on(redis: Redis) -> None:
    sessions = RedisSessions(redis, ttl=60.0, max_size=200_000, quarantine=60.0)
    other = await sessions.commit(Session("other", "u", context={"turn": 1}))
    for number, context in enumerate(DAMAGED):
        id = f"s{number}"
        await sessions.commit(Session(id, "v"))
        await redis.execute("HSET", session_keys(redis, id).value, "context", context)
        try:
            found = await sessions.get(id)
        except SessionCorrupt:
            found = await sessions.get(id)
            assert found is None
        else:
            assert found is not None
            assert isinstance(found.context, dict)
        assert (await sessions.commit(Session(id, "v", found.version if found else 0))).user == "v"
    assert await sessions.get("other") == other
    assert await sessions.forget("v") == len(DAMAGED)
