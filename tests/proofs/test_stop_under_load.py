"""A stop under load, of the program as it runs: readiness goes first, and whoever was accepted is answered."""

from __future__ import annotations

import json
import os
import re
import signal
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import anyio
import anyio.abc
import anyio.to_thread
import pytest
from anyio.streams.tls import TLSStream
from cryptography import x509

from .certificates import Authority

CONFIG = """\
kernel: {autoload: false, stop_timeout: 10s}
plugins:
  http: {enabled: true}
  ticks: {enabled: true}
  diagnostics: {enabled: true, config: {listeners: LISTENERS, drain: 1s, rates: RATES}}
"""

# A plugin of another distribution, as the program finds it.
TICKS = """\
from collections.abc import AsyncIterator, Sequence

import anyio

from tta_http import PUBLIC, Nothing, Route, Stream, routes
from tta_kernel import NoConfig, Plugin, hookimpl


class Ticks(Plugin[NoConfig]):
    @hookimpl(optionalhook=True)
    def routes(self) -> Sequence[Route]:
        return [
            Route(
                method="GET", path="/ticks", permission=PUBLIC, response=Stream(), handler=self.tick,
                summary="ticks without end", limit="probe",
            )
        ]

    async def tick(self, request, principal) -> AsyncIterator[bytes]:
        while True:
            yield b"tick,"
            await anyio.sleep(0.01)
"""


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


class Program:
    """``tta run``, and how it is reached."""

    def __init__(self, process: subprocess.Popen[str], port: int, context: ssl.SSLContext | None) -> None:
        self.process = process
        self.port = port
        self._context = context

    async def connect(self) -> anyio.abc.ByteStream:
        """Connect; raises `OSError` where nobody listens any more."""
        plain = await anyio.connect_tcp("127.0.0.1", self.port)
        if self._context is None:
            return plain
        # One that TCP has accepted is to be served: its handshake must not fail.
        return await TLSStream.wrap(plain, hostname="localhost", ssl_context=self._context)


@pytest.fixture(params=["plain", "tls"])
def program(request: pytest.FixtureRequest, tmp_path: Path, authority: Authority) -> Iterator[Program]:
    """Run it until it serves."""
    listener: dict[str, object] = {"port": 0}
    context = None
    if request.param == "tls":
        server = str(authority.issue("server", x509.DNSName("localhost")))
        listener["tls"] = {"certificate": server, "key": server}
        context = ssl.create_default_context(cafile=authority.file)
    rates = {"probe": {"per_second": 1_000_000, "burst": 1_000_000}}
    config = CONFIG.replace("RATES", json.dumps(rates)).replace("LISTENERS", json.dumps([listener]))
    (tmp_path / "base.yaml").write_text("plugins: {}\n")
    (tmp_path / "testing.yaml").write_text(config)
    installed = tmp_path / "installed"
    (installed / "ticks-1.dist-info").mkdir(parents=True)
    (installed / "ticks.py").write_text(TICKS)
    (installed / "ticks-1.dist-info" / "METADATA").write_text("Metadata-Version: 2.1\nName: ticks\nVersion: 1\n")
    (installed / "ticks-1.dist-info" / "entry_points.txt").write_text("[tta.plugins]\nticks = ticks:Ticks\n")
    command = [sys.executable, "-m", "tta_program", "run", "--config", str(tmp_path), "--env", "testing"]
    environment = {**os.environ, "PYTHONPATH": str(installed)}
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment) as process:
        try:
            assert process.stderr is not None
            log = ""
            # Where the machine is busy there are lines before, of whoever takes long to import.
            while '"event":"running' not in log:
                line = process.stderr.readline()
                assert line, log
                log += line
            [port] = re.findall(r"diagnostics at https?://127\.0\.0\.1:(\d+)", log)
            yield Program(process, int(port), context)
        finally:
            process.kill()
            process.communicate()


class Load:
    """Clients that ask on and on: half on one connection each, half on a new one every time; and some that listen."""

    def __init__(self, program: Program) -> None:
        self.program = program
        self.statuses: list[tuple[float, int]] = []
        self.broken: list[str] = []
        self.streams: list[bytes] = []
        self.refused_at = 0.0
        self.under_way = anyio.Event()

    async def ask(self, keep: bool) -> None:
        while not self.refused_at:
            try:
                stream = await self.program.connect()
            except OSError:
                self.refused_at = self.refused_at or time.monotonic()
                return
            except (anyio.EndOfStream, anyio.BrokenResourceError, ssl.SSLError) as exc:
                self.broken.append(f"{type(exc).__name__} in a handshake")
                return
            try:
                while await self._one(stream) and keep:
                    pass
            finally:
                # To say goodbye to a server that has closed already fails, and loses nothing.
                with suppress(anyio.BrokenResourceError, OSError):
                    await stream.aclose()

    async def _one(self, stream: anyio.abc.ByteStream) -> bool:
        """Ask once; False where the server said that it closes the connection."""
        answer = b""
        try:
            await stream.send(b"GET /readyz HTTP/1.1\r\nHost: localhost\r\n\r\n")
            while b"\r\n\r\n" not in answer or not answer.endswith((b"ok\n", b"ready\n")):
                answer += await stream.receive()
        except (anyio.EndOfStream, anyio.BrokenResourceError, OSError) as exc:
            self.broken.append(f"{type(exc).__name__} after {answer!r}")
            return False
        self.statuses.append((time.monotonic(), int(answer.split()[1])))
        if len(self.statuses) >= 200 and self.streams_begun == LISTENERS:
            self.under_way.set()
        return b"Connection: close" not in answer

    streams_begun = 0

    async def listen(self) -> None:
        """Read a stream to its end."""
        answer = b""
        async with await self.program.connect() as stream:
            await stream.send(b"GET /ticks HTTP/1.1\r\nHost: localhost\r\n\r\n")
            try:
                while True:
                    piece = await stream.receive()
                    self.streams_begun += not answer
                    answer += piece
            except anyio.EndOfStream:
                self.streams.append(answer)
            except (anyio.BrokenResourceError, OSError) as exc:
                self.broken.append(f"{type(exc).__name__} in a stream")


LISTENERS = 5


async def test_a_stop_under_load_takes_readiness_first_and_resets_nobody(program: Program) -> None:
    load = Load(program)
    with anyio.fail_after(90):
        async with anyio.create_task_group() as tasks:
            for _ in range(LISTENERS):
                tasks.start_soon(load.listen)
            for number in range(20):
                tasks.start_soon(load.ask, bool(number % 2))
            await load.under_way.wait()
            program.process.send_signal(signal.SIGTERM)

    ready = [at for at, status in load.statuses if status == 200]
    unready = [at for at, status in load.statuses if status == 503]
    assert load.broken == []
    assert max(ready) < min(unready) < load.refused_at
    assert [answer.endswith(b"tick,\r\n0\r\n\r\n") for answer in load.streams] == [True] * LISTENERS
    assert await anyio.to_thread.run_sync(program.process.wait) == 0


async def test_whoever_says_nothing_holds_up_no_stop(program: Program) -> None:
    """Connected before, they are in the midst of a handshake, or of nothing."""
    silent = [await anyio.connect_tcp("127.0.0.1", program.port) for _ in range(5)]
    since = time.monotonic()
    program.process.send_signal(signal.SIGTERM)
    assert await anyio.to_thread.run_sync(program.process.wait) == 0
    # As long as the first of them may take to say what it wants, and not each in turn, nor all that a stop may take.
    assert time.monotonic() - since < 8.5
    for each in silent:
        await each.aclose()
