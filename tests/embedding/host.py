"""A folder in which a host's program lies, and the processes that run there."""

from __future__ import annotations

import http.client
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

import msgspec
import pytest

from tta_redis.testing.server import free_port, wait_until

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs/embedding.md").read_text(encoding="utf-8")
PATIENCE = 30.0
"""Seconds that a framework may take for what a test waits for."""
_METADATA = """\
Metadata-Version: 2.1
Name: tta-test-gate
Version: 1.0
Requires-Dist: tta-kernel
"""


def program(section: str) -> str:
    """Return the program that stands in a section of the page."""
    text = PAGE.partition(f"\n## {section}\n")[2].partition("\n## ")[0]
    [code] = re.findall(r"^```python\n(.*?)^```$", text, flags=re.MULTILINE | re.DOTALL)
    return str(code)


class Host:
    """Processes in ``folder``, where a turn needs no server, and a `Gate` can hold it."""

    def __init__(self, folder: Path, gate: Gate) -> None:
        self.folder, self.gate = folder, gate
        self._processes: list[Process] = []
        # Where gunicorn, IPython and others keep files of their own; short, since a socket's path must be.
        self._home = tempfile.TemporaryDirectory(prefix="tta-", ignore_cleanup_errors=True)
        self._lay_out()

    def _lay_out(self) -> None:
        config = self.folder / "config"
        config.mkdir()
        (config / "base.yaml").write_bytes((ROOT / "config/base.yaml").read_bytes())
        shutil.copytree(ROOT / "config/workflows", config / "workflows")
        layer = {
            "kernel": {"hook_timeouts": {"check_text": PATIENCE}},
            "plugins": {"crisis": {"config": {"need_durable": False}}, "notify": {"config": {"need_humans": False}}},
        }
        (config / "development.yaml").write_bytes(msgspec.yaml.encode(layer))
        shutil.copy(Path(__file__).with_name("gate.py"), self.folder / "tta_test_gate.py")
        installed = self.folder / "tta_test_gate-1.0.dist-info"
        installed.mkdir()
        (installed / "METADATA").write_text(_METADATA, encoding="utf-8")
        (installed / "entry_points.txt").write_text("[tta.plugins]\ngate = tta_test_gate:Gate\n", encoding="utf-8")

    def write(self, name: str, code: str) -> None:
        (self.folder / name).write_text(code, encoding="utf-8")

    @property
    def environment(self) -> dict[str, str]:
        inherited = {key: value for key, value in os.environ.items() if not key.startswith(("TTA_", "PYTEST"))}
        # A process under test imports what lies in its folder, and none of the tests.
        return {
            **inherited,
            "HOME": self._home.name,
            "PYTHONPATH": str(self.folder),
            "PYTHONUNBUFFERED": "1",
            "GATE_PORT": str(self.gate.port),
        }

    def move_in(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Make this process one that runs there."""
        for name in ("TTA_ENV", "TTA_CONFIG"):
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setenv("GATE_PORT", str(self.gate.port))
        monkeypatch.chdir(self.folder)
        monkeypatch.syspath_prepend(self.folder)

    def start(self, module: str, *arguments: str, environment: Mapping[str, str] | None = None) -> Process:
        """Start ``python -m module``; it ends with the test."""
        command = [sys.executable, "-m", module, *arguments]
        process = Process(command, self.folder, {**self.environment, **(environment or {})})
        self._processes.append(process)
        return process

    def run(self, module: str, *arguments: str) -> str:
        """Run ``python -m module`` to its end, which must be a good one, and return what it wrote."""
        process = self.start(module, *arguments)
        assert process.wait() == 0, process.output
        return process.output

    @property
    def running(self) -> list[int]:
        """The processes in which a kernel runs, or was left running."""
        return sorted(int(file.name.removeprefix("running-")) for file in self.folder.glob("running-*"))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, exc: BaseException | None, at: TracebackType | None) -> None:
        for process in self._processes:
            if kind is not None:
                print(process.output)
            process.kill()
        self._home.cleanup()


class Process:
    """A process that a test has started, in a group of its own, with all that it starts itself."""

    def __init__(self, command: list[str], folder: Path, environment: Mapping[str, str]) -> None:
        self._log = folder / f"output-{free_port()}"
        with self._log.open("wb") as output:
            self._process = subprocess.Popen(
                command, cwd=folder, env=dict(environment), stdin=subprocess.DEVNULL, stdout=output,
                stderr=subprocess.STDOUT, start_new_session=True,
            )  # fmt: skip

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def output(self) -> str:
        return self._log.read_text(encoding="utf-8", errors="replace")

    @property
    def alive(self) -> bool:
        """Whether it runs; one that has failed is the test's failure."""
        code = self._process.poll()
        assert not code, self.output
        return code is None

    @property
    def children(self) -> list[int]:
        children = Path(f"/proc/{self.pid}/task/{self.pid}/children")
        return [int(child) for child in children.read_text(encoding="ascii").split()]

    def until_it_says(self, text: str, *, times: int = 1) -> None:
        def said() -> bool:
            assert self._process.poll() is None or self.output.count(text) >= times, self.output
            return self.output.count(text) >= times

        try:
            wait_until(said, text, limit=PATIENCE)
        except AssertionError as exc:
            exc.add_note(self.output)
            raise

    def signal(self, number: signal.Signals) -> None:
        self._process.send_signal(number)

    def wait(self, limit: float = PATIENCE) -> int:
        """Wait for its end, and return its exit code."""
        try:
            return self._process.wait(limit)
        except subprocess.TimeoutExpired as exc:
            exc.add_note(self.output)
            raise

    def kill(self) -> None:
        """End it with all that it has started, if it still runs."""
        if self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait(PATIENCE)


class Gate:
    """Where the plugin of this name asks whether a turn may go on."""

    def __init__(self) -> None:
        self._socket = socket.create_server(("127.0.0.1", 0))
        self._socket.settimeout(PATIENCE)

    @property
    def port(self) -> int:
        return int(self._socket.getsockname()[1])

    def arrival(self) -> Held:
        """Wait until a turn is held."""
        return Held(self._socket.accept()[0])

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, exc: BaseException | None, at: TracebackType | None) -> None:
        self._socket.close()


class Held:
    """A turn that is held, until `go`."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        connection.settimeout(PATIENCE)
        self.session = connection.makefile("rb").readline().decode().strip()

    def go(self) -> None:
        with self._connection:
            self._connection.sendall(b"go")

    def until_it_ends(self) -> None:
        """Wait until the turn has ended unheld: it was cancelled, or its process has gone."""
        with self._connection:
            assert self._connection.recv(1) == b""


class Client:
    """Speaks HTTP with a host, a connection for each request."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._open: list[http.client.HTTPConnection | http.client.HTTPResponse] = []

    def post(self, path: str, text: str) -> http.client.HTTPResponse:
        """Send a text, and return the answer, of which only the head was read."""
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=PATIENCE)
        self._open.append(connection)
        connection.request("POST", path, text.encode(), {"Content-Type": "text/plain"})
        answer = connection.getresponse()
        self._open.append(answer)
        return answer

    def answers(self) -> bool:
        """Whether somebody listens."""
        try:
            socket.create_connection(("127.0.0.1", self._port), PATIENCE).close()
        except ConnectionRefusedError:
            return False
        return True

    def close(self) -> None:
        """Leave, whatever was read."""
        while self._open:
            self._open.pop().close()
