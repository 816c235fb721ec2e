"""Requests that are none: whatever comes, it costs the sender its answer, and nobody else anything.

A seeded tenth of ten thousand runs each time; ``TTA_FUZZ=10000`` runs them all.
"""

from __future__ import annotations

import os
import random
from collections.abc import Callable

import anyio
import pytest

from .deployment import Serve, rest_of, route

TRIES = int(os.environ.get("TTA_FUZZ", "1000"))
TOGETHER = 25
MARK = b"SECRET"
GOOD = b"GET /things/7 HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
BODY = (
    b"POST /things/7 HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nConnection: close\r\n"
    b'Content-Length: 11\r\n\r\n{"many": 3}'
)
Mutation = Callable[[random.Random, bytes], bytes]


def flipped(dice: random.Random, data: bytes) -> bytes:
    """Change some bytes."""
    found = bytearray(data)
    for _ in range(dice.randint(1, 8)):
        found[dice.randrange(len(found))] = dice.randrange(256)
    return bytes(found)


def inserted(dice: random.Random, data: bytes) -> bytes:
    """Put in what doesn't belong there."""
    at = dice.randrange(len(data))
    odd = dice.choice([b"\x00", b"\r", b"\n", b"\r\n\r\n", b"\xff" * 9, MARK, b": ", b"%", b"\x16\x03\x01", b"{" * 99])
    return data[:at] + odd + data[at:]


def cut(dice: random.Random, data: bytes) -> bytes:
    """Break off."""
    return data[: dice.randrange(len(data))]


def repeated(dice: random.Random, data: bytes) -> bytes:
    """Say a line again and again."""
    lines = data.split(b"\r\n")
    at = dice.randrange(len(lines))
    return b"\r\n".join([*lines[:at], *[lines[at]] * dice.randint(2, 400), *lines[at:]])


def grown(dice: random.Random, data: bytes) -> bytes:
    """Make a header, or the target, very long."""
    filler = MARK * dice.choice([10, 500, 5000])
    if dice.random() < 0.5:
        return data.replace(b"/things/7", b"/things/" + filler, 1)
    return data.replace(b"Host:", b"X-" + filler + b": a\r\nHost:", 1)


def confused(dice: random.Random, data: bytes) -> bytes:
    """Say two things about the body at once."""
    odd = dice.choice(
        [
            b"Transfer-Encoding: chunked", b"Transfer-Encoding: identity", b"Content-Length: -1",
            b"Content-Length: 9, 9", b"Content-Length: 99999999999999999999", b"Transfer-Encoding: gzip, chunked",
            b"Expect: 100-continue",
            b"Upgrade: websocket\r\nConnection: Upgrade", b"Content-Encoding: br", b"Host: evil.example",
            b"Accept: " + MARK,
            b"Authorization: Bearer " + MARK, b"Content-Type: " + MARK, b"Connection: " + MARK,
        ]
    )  # fmt: skip
    return data.replace(b"\r\n\r\n", b"\r\n" + odd + b"\r\n\r\n", 1)


def noise(dice: random.Random, data: bytes) -> bytes:
    """Send anything at all."""
    return dice.randbytes(dice.randint(1, 600))


def targeted(dice: random.Random, data: bytes) -> bytes:
    """Ask for what is no path."""
    odd = dice.choice(
        [
            b"*", b"//", b"/../../etc/passwd", b"/things/%00", b"/things/%ff", b"/%2e%2e/", b"http://evil.example/",
            b"/?%", b"/#a", b"/things/7?many=" + MARK, b"/things/7?" + MARK + b"=1", b"/things/7?" + b"a&" * 500,
            b"evil.example:80",
        ]
    )  # fmt: skip
    method = dice.choice([b"GET", b"HEAD", b"OPTIONS", b"TRACE", b"CONNECT", b"PRI", MARK, b"get", b"DELETE", b"POST"])
    return method + b" " + odd + b" HTTP/1.1\r\n" + data.partition(b"\r\n")[2]


MUTATIONS: list[Mutation] = [flipped, inserted, cut, repeated, grown, confused, noise, targeted]


def made(number: int) -> list[bytes]:
    """Return the pieces of one malformed request."""
    dice = random.Random(number)
    data = dice.choice([GOOD, BODY])
    for _ in range(dice.choice([1, 1, 1, 2, 3])):
        data = dice.choice(MUTATIONS)(dice, data) or b"\x00"
    if dice.random() < 0.3:
        at = dice.randrange(len(data))
        return [data[:at], data[at:]]
    return [data]


@pytest.mark.slow
@pytest.mark.parametrize("part", range(4))
async def test_no_request_is_too_odd(serve: Serve, part: int, caplog: pytest.LogCaptureFixture) -> None:
    wrong: list[tuple[int, bytes]] = []
    limiter = anyio.CapacityLimiter(TOGETHER)
    rates = {kind: {"per_second": 1_000_000, "burst": 1_000_000} for kind in ("probe", "read", "write")}

    async def one(number: int, port: int) -> None:
        dice = random.Random(number)
        async with limiter, await anyio.connect_tcp("127.0.0.1", port) as stream:
            try:
                for piece in made(number):
                    await stream.send(piece)
                if dice.random() < 0.4:
                    await stream.send_eof()
                elif dice.random() < 0.2:
                    return  # It goes without waiting for an answer.
                answer = await rest_of(stream)
            except (anyio.BrokenResourceError, OSError):
                return
            status = answer[9:12]
            # Where it is a request after all, the handler says its own path again.
            quoted = MARK in answer and status != b"200"
            if (answer and not answer.startswith(b"HTTP/")) or status in (b"500", b"501") or quoted:
                wrong.append((number, answer[:500]))

    async with serve(
        route(), route(method="POST"), header_timeout=0.2, body_timeout=0.2, idle_timeout=0.5, rates=rates
    ) as deployment:
        async with anyio.create_task_group() as tasks:
            for number in range(part * TRIES // 4, (part + 1) * TRIES // 4):
                tasks.start_soon(one, number, deployment.port)
        assert (await deployment.get("/things/7")).status == 200

    assert wrong == []
    assert [record.getMessage() for record in caplog.records if record.levelname in ("ERROR", "CRITICAL")] == []
