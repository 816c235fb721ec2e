from __future__ import annotations

import shlex
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tta_redis import Tls
from tta_redis.testing import free_port, program, redis_server, wait_until


def without_servers(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    """Let nothing be found outside ``folder``, and nothing be demanded."""
    monkeypatch.setenv("PATH", str(folder))
    monkeypatch.setattr(sys, "executable", str(folder / "bin" / "python"))
    for variable in ("CI", "TTA_TESTS_REQUIRE_SERVERS", "TTA_TEST_REDIS_SERVER", "TTA_TEST_REDIS_URL"):
        monkeypatch.delenv(variable, raising=False)


@contextmanager
def ending(outcome: str, match: str) -> Iterator[None]:
    """Expect a test to be ended as ``skip`` or ``fail`` do: the wrong one of them would end this test, too."""
    with pytest.raises((pytest.skip.Exception, pytest.fail.Exception), match=match) as caught:
        yield
    assert caught.type is {"skip": pytest.skip.Exception, "fail": pytest.fail.Exception}[outcome]


@pytest.mark.parametrize(("variable", "value"), [("CI", "true"), ("TTA_TESTS_REQUIRE_SERVERS", "1")])
def test_a_missing_server_fails_where_servers_must_be(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, variable: str, value: str
) -> None:
    without_servers(monkeypatch, tmp_path)
    monkeypatch.setenv(variable, value)
    with ending("fail", "redis-server is not installed"), redis_server(own=True):
        pass


def test_a_missing_server_skips_elsewhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    without_servers(monkeypatch, tmp_path)
    with ending("skip", "redis-server is not installed"), redis_server(own=True):
        pass


def test_a_server_that_is_named_is_run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    other = tmp_path / "other-server"
    other.symlink_to(program())
    monkeypatch.setenv("TTA_TEST_REDIS_SERVER", str(other))
    with redis_server(own=True) as server:
        assert server.command("INFO", "server")["executable"] == str(other)


def test_a_server_that_is_named_but_missing_fails_everywhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    without_servers(monkeypatch, tmp_path)
    monkeypatch.setenv("TTA_TEST_REDIS_SERVER", str(tmp_path / "gone"))
    with ending("fail", "names .*gone, which is no program"), redis_server(own=True):
        pass


def test_valkey_is_found_where_there_is_no_redis(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    found = program()
    without_servers(monkeypatch, tmp_path)
    monkeypatch.setenv("CI", "true")
    (tmp_path / "valkey-server").symlink_to(found)
    with redis_server(own=True) as server:
        assert server.command("INFO", "server")["executable"] == str(tmp_path / "valkey-server")


def test_a_server_beside_python_is_found(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    found = program()
    without_servers(monkeypatch, tmp_path)
    monkeypatch.setenv("CI", "true")
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "redis-server").symlink_to(found)
    monkeypatch.setattr(sys, "executable", str(tmp_path / "bin" / "python"))
    assert program() == str(tmp_path / "bin" / "redis-server")


@pytest.mark.parametrize("named", [True, False])
@pytest.mark.parametrize("says", [">>> 'tls-port \"1\"'\nBad directive or wrong", "# Failed finding TLS support."])
def test_a_server_without_tls_is_skipped_only_if_it_is_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, named: bool, says: str
) -> None:
    without_servers(monkeypatch, tmp_path)
    server = tmp_path / "redis-server"
    server.write_text(f"#!/bin/sh\necho {shlex.quote(says)}\nexit 1\n")
    server.chmod(0o755)
    monkeypatch.setenv("CI", "true")
    if named:
        monkeypatch.setenv("TTA_TEST_REDIS_SERVER", str(server))
    tls = Tls(ca=Path("a"), cert=Path("b"), key=Path("c"))
    with ending("skip" if named else "fail", "was built without TLS"), redis_server(tls=tls):
        pass


def test_servers_that_start_together_get_ports_of_their_own() -> None:
    assert len({free_port() for _ in range(300)}) == 300


KILLED = """
import os, signal
from tta_redis.testing import redis_server
with redis_server(own=True) as server:
    print(server.port, flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_server_ends_with_the_process_that_runs_it_though_that_is_killed() -> None:
    done = subprocess.run([sys.executable, "-c", KILLED], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == -signal.SIGKILL
    port = int(done.stdout)
    wait_until(lambda: not_answering(port), f"nobody listens on {port}")


def not_answering(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) != 0


def test_a_server_that_does_not_start_says_why() -> None:
    with pytest.raises(AssertionError, match=r"the server \S+ ended with 1"), redis_server("--no-such-option", "x"):
        pass


def test_a_server_of_the_environment_is_used_and_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    with redis_server(own=True) as server:
        monkeypatch.setenv("TTA_TEST_REDIS_URL", server.url)
        with redis_server() as foreign:
            assert foreign.url == server.url
            with pytest.raises(pytest.skip.Exception):
                foreign.kill()
        assert server.command("PING")
