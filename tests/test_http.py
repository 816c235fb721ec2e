"""The routes of all plugins, served: what the OpenAPI document promises is kept, and a stop resets nobody."""

from __future__ import annotations

import json
import re
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from importlib.metadata import entry_points
from pathlib import Path
from urllib.request import Request, urlopen

import anyio
import anyio.abc
import pytest

from tta_diagnostics import ADDRESSES
from tta_kernel import Kernel, KernelSettings, PluginSettings
from tta_program import BlockingKernel

KEYS = {role: f"ttak_{secrets.token_urlsafe(32)}" for role in ("viewer", "operator", "admin")}
ELSEWHERE = ("redis", "neo4j", "file", "play", "orchestration")
"""Parts of names of plugins that need a server, write into somebody's home, or have nothing to serve."""


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def address(root: Path) -> Iterator[str]:
    """Serve what is installed, from memory, and let everybody ask as often as they like."""
    ours = {f"tta-{path.parent.name}" for path in root.glob("plugins/*/pyproject.toml")}
    names = {each.name for each in entry_points(group="tta.plugins") if each.dist and each.dist.name in ours}
    rate = {"per_second": 1_000_000, "burst": 1_000_000}
    plugins = {name: PluginSettings(enabled=not any(part in name for part in ELSEWHERE)) for name in names}
    plugins["access"] = PluginSettings(
        config={"keys": {role: {"key": key, "roles": [role]} for role, key in KEYS.items()}, "failures": 10_000}
    )
    rates = dict.fromkeys(("probe", "read", "write", "costly"), rate)
    plugins["diagnostics"] = PluginSettings(config={"listeners": [{"port": 0}], "drain": 0, "rates": rates})
    with BlockingKernel(Kernel(KernelSettings(plugins=plugins))) as blocking:
        yield blocking.kernel.get(ADDRESSES)[0]


# An event that nobody publishes would be waited for each time.
SETTINGS = """\
[[operations]]
include-path = "/events"
parameters = { "query.wait" = 0.01 }
"""


def document(address: str) -> bytes:
    request = Request(f"{address}/openapi.json", headers={"Authorization": f"Bearer {KEYS['viewer']}"})
    with urlopen(request) as answer:
        found: bytes = answer.read()
    return found


@pytest.mark.slow
@pytest.mark.timeout(400)
@pytest.mark.parametrize("role", ["", *KEYS])
def test_what_the_document_promises_is_kept(address: str, role: str, tmp_path: Path) -> None:
    """Let schemathesis try each route with each of its checks, as each role."""
    file = tmp_path / "openapi.json"
    file.write_bytes(document(address))
    (tmp_path / "schemathesis.toml").write_text(SETTINGS)
    command = [str(Path(sys.executable).with_name("st")), "run", str(file), "--url", address, "--checks", "all"]
    command += ["--max-examples", "3", "--seed", "1", "--no-color"]
    if role:
        command += ["-H", f"Authorization: Bearer {KEYS[role]}"]

    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path, timeout=390)

    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    assert " passed" in done.stdout


# A stop under load, of the program as it runs.

CONFIG = """\
kernel: {autoload: false, stop_timeout: 10s}
plugins:
  http: {enabled: true}
  diagnostics: {enabled: true, config: {listeners: [{port: 0}], drain: 1s, rates: RATES}}
"""


@pytest.fixture
def program(tmp_path: Path) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """Run ``tta run`` until it serves, and return its port."""
    rates = json.dumps({"probe": {"per_second": 1_000_000, "burst": 1_000_000}})
    (tmp_path / "base.yaml").write_text("plugins: {}\n")
    (tmp_path / "testing.yaml").write_text(CONFIG.replace("RATES", rates))
    command = [sys.executable, "-m", "tta_program", "run", "--config", str(tmp_path), "--env", "testing"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stderr is not None
            log = ""
            # Where the machine is busy there are lines before, of whoever takes long to import.
            while '"event":"running' not in log:
                line = process.stderr.readline()
                assert line, log
                log += line
            [port] = re.findall(r"diagnostics at http://127\.0\.0\.1:(\d+)", log)
            yield process, int(port)
        finally:
            process.kill()
            process.communicate()


class Load:
    """Clients that ask on and on: half on one connection each, half on a new one every time."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.statuses: list[tuple[float, int]] = []
        self.broken: list[str] = []
        self.refused_at = 0.0
        self.under_way = anyio.Event()

    async def ask(self, keep: bool) -> None:
        while not self.refused_at:
            try:
                stream = await anyio.connect_tcp("127.0.0.1", self.port)
            except OSError:
                self.refused_at = self.refused_at or time.monotonic()
                return
            async with stream:
                while await self._one(stream) and keep:
                    pass

    async def _one(self, stream: anyio.abc.SocketStream) -> bool:
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
        if len(self.statuses) == 200:
            self.under_way.set()
        return b"Connection: close" not in answer


async def test_a_stop_under_load_takes_readiness_first_and_resets_nobody(
    program: tuple[subprocess.Popen[str], int],
) -> None:
    process, port = program
    load = Load(port)
    with anyio.fail_after(60):
        async with anyio.create_task_group() as tasks:
            for number in range(20):
                tasks.start_soon(load.ask, bool(number % 2))
            await load.under_way.wait()
            process.send_signal(signal.SIGTERM)

    ready = [at for at, status in load.statuses if status == 200]
    unready = [at for at, status in load.statuses if status == 503]
    assert load.broken == []
    assert max(ready) < min(unready) < load.refused_at
    assert await anyio.to_thread.run_sync(process.wait) == 0
