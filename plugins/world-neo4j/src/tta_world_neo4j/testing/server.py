"""A private Neo4j for tests, and one that all processes of a test run share."""

from __future__ import annotations

import fcntl
import os
import signal
import socket
import subprocess
import tempfile
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn
from urllib.parse import unquote, urlsplit

import msgspec
import pytest
from neo4j import GraphDatabase
from neo4j.exceptions import DriverError, Neo4jError

from tta_world_neo4j.config import Config

from .install import is_installed, jars

NAMED = "NEO4J_URI"
"""The variable that names a server which runs already, with a user and a password in its address."""
PASSWORD = "a-password-of-a-test"  # noqa: S105 - of servers that nobody else reaches
PATIENCE = 300.0
"""How long, in seconds, a server may take to start beside whatever else a machine does."""
PATIENT: dict[str, Any] = {
    "connect_timeout": 60.0, "query_timeout": 60.0, "retry_for": 60.0, "call_timeout": 120.0, "poll": 0.2,
}  # fmt: skip
"""Limits of clients whose server may be starved by what runs beside it; a test that is about limits sets its own."""
_CONF = """\
server.default_listen_address=127.0.0.1
server.bolt.listen_address=127.0.0.1:{port}
server.http.enabled=false
server.https.enabled=false
server.memory.heap.initial_size=256m
server.memory.heap.max_size=384m
server.memory.pagecache.size=32m
db.tx_log.rotation.retention_policy=1 files
db.tx_log.preallocate=false
dbms.usage_report.enabled=false
dbms.security.auth_enabled=true
server.jvm.additional=-Dlog4j2.disable.jmx=true
"""
_LOGGING = """\
<Configuration status="ERROR" packages="org.neo4j.logging.log4j">
  <Appenders><Console name="out" target="SYSTEM_OUT"><PatternLayout pattern="%m%n"/></Console></Appenders>
  <Loggers><Root level="INFO"><AppenderRef ref="out"/></Root></Loggers>
</Configuration>
"""
# A second compiler pays for servers that live long; without it a test's is ready sooner.
_JVM = ("-Xms256m", "-Xmx384m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-XX:+DisableExplicitGC",
        "-Dio.netty.tryReflectionSetAccessible=true", "-Dlog4j2.disable.jmx=true", "-Dfile.encoding=UTF-8",
        "--add-opens=java.base/java.nio=ALL-UNNAMED", "--add-opens=java.base/java.io=ALL-UNNAMED",
        "--add-opens=java.base/sun.nio.ch=ALL-UNNAMED")  # fmt: skip
_UNTIL_IT_ENDS = """\
run=$1 folder=$2
shift 2
(
  "$@" &
  server=$!
  while kill -0 "$run" 2>/dev/null && kill -0 "$server" 2>/dev/null; do sleep 1; done
  kill -9 "$server" 2>/dev/null
  rm -rf "$folder"
) &
"""
"""What a shell does that starts a server and leaves it: it ends with the process of a number, be that killed."""


class Neo4jServer:
    """A server of its own on a free loopback port, with its files in ``folder``."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port: int = free.getsockname()[1]
        self._process: subprocess.Popen[bytes] | None = None
        for name in ("conf", "data", "logs", "run", "plugins", "import", "licenses"):
            (folder / name).mkdir(parents=True, exist_ok=True)
        (folder / "conf/neo4j.conf").write_text(_CONF.format(port=self.port), encoding="utf-8")
        for name in ("user-logs.xml", "server-logs.xml"):
            (folder / "conf" / name).write_text(_LOGGING, encoding="utf-8")

    @property
    def url(self) -> str:
        return f"bolt://127.0.0.1:{self.port}"

    @property
    def pid(self) -> int:
        assert self._process is not None, "it isn't running"
        return self._process.pid

    def config(self, **changes: Any) -> Config:
        """Return the config of a client, with a prefix of its own."""
        return config_for(self.url, **changes)

    def launch(self) -> None:
        """Start, without waiting."""
        with (self.folder / "output").open("ab") as output:
            self._process = subprocess.Popen(
                self._command(), stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True
            )

    def launch_until(self, run: int) -> None:
        """Start, without waiting, and let it end, with its files, when a process does."""
        command = ["/bin/sh", "-c", _UNTIL_IT_ENDS, "sh", str(run), str(self.folder), *self._command()]
        with (self.folder / "output").open("ab") as output:
            subprocess.run(
                command, check=True, stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True
            )

    def _command(self) -> list[str]:
        classes = f"{self.folder}/plugins/*:{self.folder}/conf/*:{jars()}/*"
        return [
            "java", "-cp", classes, *_JVM, "org.neo4j.server.CommunityEntryPoint", f"--home-dir={self.folder}",
            f"--config-dir={self.folder}/conf", "--console-mode",
        ]  # fmt: skip

    def start(self) -> None:
        """Start, and wait until statements are answered."""
        self.launch()
        self.wait()

    def wait(self) -> None:
        """Wait until statements are answered."""
        end = time.monotonic() + PATIENCE
        while (problem := self._ready()) is not None:
            ended = self._process is not None and self._process.poll() is not None
            if ended or time.monotonic() > end:
                self.kill()
                output = (self.folder / "output").read_text(errors="replace")[-4000:]
                pytest.fail(f"Neo4j {'ended' if ended else 'did not answer'} ({problem}):\n{output}")
            time.sleep(0.2)  # noqa: TID251 - a server that starts tells nobody

    def kill(self) -> None:
        """End it at once, as a machine that fails would."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        """End it in order."""
        self._end(signal.SIGTERM)

    def _end(self, how: signal.Signals) -> None:
        process, self._process = self._process, None
        if process is not None:
            process.send_signal(how)
            process.wait(PATIENCE)

    def _ready(self) -> str | None:
        """Return None once it answers to the password of a test, which is set the first time."""
        with socket.socket() as knocking:
            # Cheaper than a driver, which would be made in vain for most of the time.
            if knocking.connect_ex(("127.0.0.1", self.port)):
                return "nothing listens"
        try:
            with GraphDatabase.driver(self.url, auth=("neo4j", PASSWORD)) as driver:
                driver.execute_query("RETURN 1", database_="neo4j")
        except Neo4jError as exc:
            if "Unauthorized" in (exc.code or ""):
                return self._set_password()
            return str(exc.code)
        except (DriverError, OSError) as exc:
            return type(exc).__name__
        return None

    def _set_password(self) -> str:
        try:
            with GraphDatabase.driver(self.url, auth=("neo4j", "neo4j")) as driver:
                statement = "ALTER CURRENT USER SET PASSWORD FROM 'neo4j' TO $password"
                driver.execute_query(statement, {"password": PASSWORD}, database_="system")
        except (Neo4jError, DriverError, OSError) as exc:
            return type(exc).__name__
        return "its password was set just now"


def config_for(url: str, **changes: Any) -> Config:
    """Return the config of a client of a server that runs, with a prefix of its own."""
    parts = urlsplit(url)
    config = Config(
        url=f"{parts.scheme}://{parts.hostname}:{parts.port or 7687}", user=unquote(parts.username or "neo4j"),
        password=unquote(parts.password or PASSWORD), prefix=f"t{uuid.uuid4().hex[:12]}",
    )  # fmt: skip
    return msgspec.structs.replace(config, **{**PATIENT, **changes})


@contextmanager
def neo4j_server() -> Iterator[Neo4jServer]:
    """Start a server of one's own, and end it."""
    _must_be_there()
    with tempfile.TemporaryDirectory(prefix="tta-neo4j-", ignore_cleanup_errors=True) as folder:
        server = Neo4jServer(Path(folder))
        try:
            server.start()
            yield server
        finally:
            server.kill()


@contextmanager
def shared_neo4j(common: Path) -> Iterator[str]:
    """Return the address of one server for all processes of a test run, whose ``common`` folder is the same.

    The first of them starts it, and it ends with the run.
    """
    if named := os.environ.get(NAMED):
        yield named
        return
    _must_be_there()
    common.mkdir(parents=True, exist_ok=True)
    address = common / "neo4j-address"
    with (common / "neo4j-lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not address.exists():
            address.write_text(_start_shared(), encoding="utf-8")
    yield address.read_text(encoding="utf-8")


def _start_shared() -> str:
    folder = Path(tempfile.mkdtemp(prefix="tta-neo4j-"))
    server = Neo4jServer(folder)
    # Of several workers each may be done before the others: who started them all isn't.
    run = os.getppid() if os.environ.get("PYTEST_XDIST_WORKER") else os.getpid()
    server.launch_until(run)
    server.wait()
    return server.url


def _must_be_there() -> None:
    if not is_installed():
        _missing("Neo4j isn't there: `python -m tta_world_neo4j.testing.install` fetches it")


def _missing(what: str) -> NoReturn:
    """Skip, or fail where servers must be."""
    if os.environ.get("CI") or os.environ.get("TTA_TESTS_REQUIRE_SERVERS") == "1":
        pytest.fail(what)
    pytest.skip(what)
