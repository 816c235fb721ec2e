"""Private servers for tests: real ones, which can be killed, paused and started again."""

from __future__ import annotations

import itertools
import os
import signal
import socket
import subprocess
import tempfile
import threading
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest
import redis as redis_py
from redis.backoff import NoBackoff
from redis.retry import Retry

from tta_redis.client import Redis, connect
from tta_redis.config import Config, Tls

from .programs import program, without_tls

PATIENCE = 15.0
"""How long, in seconds, a server may take to do what a test waits for."""
PATIENT = {"connect_timeout": 10.0, "socket_timeout": 10.0, "slow": 10.0}
"""Limits of clients whose server may be starved by what runs beside it; a test that is about limits sets its own."""
_UNTIL_WE_END = "read -r _; kill -9 $0 2>/dev/null"
"""What a shell does beside a server: its input ends with this process, be that killed."""
_turns = itertools.count(os.getpid() * 200)


class RedisServer:
    """A server of its own on a free loopback port, with its files in ``folder``."""

    def __init__(
        self, folder: Path, *options: str, password: str = "", sentinel: bool = False, tls: Tls | None = None
    ) -> None:
        self.folder = folder
        self.password = password
        self.tls = tls
        self.port = free_port()
        self._options = options
        self._sentinel = sentinel
        self._process: subprocess.Popen[bytes] | None = None
        self._guard: subprocess.Popen[bytes] | None = None
        self._name = ""

    @property
    def url(self) -> str:
        secret = f":{self.password}@" if self.password else ""
        return f"{'rediss' if self.tls else 'redis'}://{secret}127.0.0.1:{self.port}/0"

    @property
    def pid(self) -> int:
        assert self._process is not None, "it isn't running"
        return self._process.pid

    @property
    def log(self) -> str:
        """What the server has written to its log, or before it had one."""
        files = (self.folder / name for name in ("output", "log"))
        return "".join(file.read_text(errors="replace") for file in files if file.exists())

    def config(self, **changes: Any) -> Config:
        """Return the config of a client, with a prefix of its own."""
        prefix = f"t{uuid.uuid4().hex[:12]}"
        config = Config(url=self.url, prefix=prefix, tls=self.tls)
        return msgspec.structs.replace(config, **{**PATIENT, **changes})

    def section(self, **changes: Any) -> dict[str, Any]:
        """Return what a configuration says of the plugin ``redis``: this server, under the common prefix."""
        return {"url": self.url, **PATIENT, **changes}

    def start(self) -> None:
        """Start, and wait until commands are answered."""
        self._let_go()
        self._name = Path(path := program()).name
        command = [path]
        own = self.folder / "redis.conf"
        if self._sentinel:
            command += [str(own), "--sentinel"]
        else:
            command += ["--save", ""]
        if self.tls:
            command += ["--port", "0", "--tls-port", str(self.port), "--tls-ca-cert-file", str(self.tls.ca)]
            command += ["--tls-cert-file", str(self.tls.cert), "--tls-key-file", str(self.tls.key)]
        else:
            command += ["--port", str(self.port)]
        command += ["--bind", "127.0.0.1", "--dir", str(self.folder), "--logfile", "log"]
        if self.password:
            command += ["--requirepass", self.password]
        # The last of two equal options counts.
        with (self.folder / "output").open("ab") as output:
            self._process = subprocess.Popen([*command, *self._options], stdout=output, stderr=subprocess.STDOUT)
        # A worker of pytest-xdist that is killed, or ends because it is stuck, runs no fixture's end.
        guard = ["/bin/sh", "-c", _UNTIL_WE_END, str(self._process.pid)]
        self._guard = subprocess.Popen(guard, stdin=subprocess.PIPE, start_new_session=True)
        wait_until(self._answers, f"{self._name} on port {self.port} answers")

    def _answers(self) -> bool:
        assert self._process is not None
        if (code := self._process.poll()) is not None:
            raise AssertionError(f"the server {self._name} ended with {code}: {self.log[-2000:]}")
        try:
            # Another process may have taken the port a moment before.
            with self._client() as client:
                ours = client.execute_command("INFO", "server")["process_id"] == self._process.pid
                return ours and bool(client.execute_command("PING"))
        except (redis_py.exceptions.ConnectionError, redis_py.exceptions.TimeoutError):
            return False
        except redis_py.exceptions.ResponseError:  # LOADING
            return False

    def command(self, *command: Any) -> Any:
        """Send one command, on a connection of its own, and return what redis-py makes of the answer."""
        with self._client() as client:
            return client.execute_command(*command)

    def raw(self, *command: Any) -> Any:
        """Send one command, and return the answer as it is."""
        with self._client() as client:
            client.response_callbacks.clear()
            return client.execute_command(*command)

    def _client(self) -> redis_py.Redis:
        files: dict[str, Any] = {}
        if self.tls:
            files = {"ssl_ca_certs": self.tls.ca, "ssl_certfile": self.tls.cert, "ssl_keyfile": self.tls.key}
        limits: dict[str, Any] = {"socket_timeout": 10, "socket_connect_timeout": 10, "retry": Retry(NoBackoff(), 0)}
        return redis_py.Redis.from_url(self.url, protocol=2, **limits, **files)

    def stop(self) -> None:
        """Stop in order, if it runs; a paused one, too."""
        if self._process is None:
            return
        self._let_go()
        self._process.send_signal(signal.SIGCONT)
        self._process.terminate()
        try:
            self._process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(PATIENCE)
        self._process = None

    def kill(self) -> None:
        """End it with SIGKILL: what it hasn't written is lost."""
        assert self._process is not None
        self._let_go()
        self._process.kill()
        self._process.wait(PATIENCE)
        self._process = None

    def _let_go(self) -> None:
        """End the guard before the server, whose number may be another process's afterwards."""
        if self._guard is None:
            return
        self._guard.kill()
        self._guard.communicate()
        self._guard = None

    def pause(self) -> None:
        """Stop it with SIGSTOP: it accepts connections and says nothing."""
        os.kill(self.pid, signal.SIGSTOP)

    def resume(self) -> None:
        """Let a paused server go on."""
        os.kill(self.pid, signal.SIGCONT)

    def restart(self) -> None:
        """Stop it, in order if it still runs, and start it on the same port and files."""
        self.stop()
        self.start()


class ForeignServer(RedisServer):
    """The server of ``TTA_TEST_REDIS_URL``, which is not ours to kill."""

    def __init__(self, url: str) -> None:
        super().__init__(Path())
        self._url = url

    @property
    def url(self) -> str:
        return self._url

    def start(self) -> None:
        """Leave it running."""

    def stop(self) -> None:
        """Leave it running."""

    def kill(self) -> None:
        pytest.skip("TTA_TEST_REDIS_URL names a server that isn't ours to kill")

    pause = resume = restart = kill


@contextmanager
def redis_server(*options: str, password: str = "", tls: Tls | None = None, own: bool = False) -> Iterator[RedisServer]:
    """Run a server that keeps nothing on disk; ``--appendonly yes`` and the like change that.

    ``TTA_TEST_REDIS_URL`` names one to use instead, unless the test must have its ``own``.
    """
    if (url := os.environ.get("TTA_TEST_REDIS_URL")) and not (own or options or password or tls):
        yield ForeignServer(url)
        return
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="tta-redis-"))
        server = RedisServer(Path(folder), *options, password=password, tls=tls)
        stack.callback(server.stop)
        try:
            server.start()
        except AssertionError:
            if tls:
                without_tls(server.log)
            if "Address already in use" not in server.log:
                raise
            server.port = free_port()  # Another was quicker.
            server.start()
        yield server


@pytest.fixture(scope="module")
def shared_redis() -> Iterator[RedisServer]:
    """One server for the tests of a module; each uses a prefix of its own."""
    with redis_server() as server:
        yield server


@pytest.fixture
async def redis(shared_redis: RedisServer) -> AsyncIterator[Redis]:
    """Give a client with a prefix of its own."""
    async with connect(shared_redis.config()) as client:
        yield client


def free_port() -> int:
    """Return a loopback port that nobody listens on, and whose neighbour ten thousand up is free, too.

    That one is where the nodes of a Cluster talk. Both lie below the ports that a system gives to outgoing
    connections, of which one could take them until the server listens; so could another server that is about to start,
    and each process goes round from a place of its own.
    """
    while True:
        port = 12_000 + next(_turns) % 10_000
        with socket.socket() as probe, socket.socket() as bus:
            try:
                probe.bind(("127.0.0.1", port))
                bus.bind(("127.0.0.1", port + 10_000))
            except OSError:
                continue
            return port


def wait_until(holds: Callable[[], object], what: str, *, limit: float = PATIENCE) -> None:
    """Look again and again until something holds, less and less often; fail after ``limit`` seconds of waiting."""
    clock = threading.Event()
    waited, pause = 0.0, 0.02
    while not holds():
        if waited > limit:
            raise AssertionError(f"not within {limit:g} s: {what}")
        clock.wait(pause)
        waited += pause
        pause = min(1.1 * pause, 0.1)
