from __future__ import annotations

from pathlib import Path

import pytest

from tta_redis.testing import redis_server


@pytest.mark.parametrize(("variable", "value"), [("CI", "true"), ("TTA_TESTS_REQUIRE_SERVERS", "1")])
def test_a_missing_server_fails_where_servers_must_be(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, variable: str, value: str
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv(variable, value)
    with pytest.raises(pytest.fail.Exception, match="redis-server is not installed"), redis_server(own=True):
        pass


def test_a_missing_server_skips_elsewhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    for variable in ("CI", "TTA_TESTS_REQUIRE_SERVERS"):
        monkeypatch.delenv(variable, raising=False)
    with pytest.raises(pytest.skip.Exception), redis_server(own=True):
        pass


def test_a_server_that_does_not_start_says_why() -> None:
    with pytest.raises(AssertionError, match="redis-server ended with 1"), redis_server("--no-such-option", "x"):
        pass


def test_a_server_of_the_environment_is_used_and_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    with redis_server(own=True) as server:
        monkeypatch.setenv("TTA_TEST_REDIS_URL", server.url)
        with redis_server() as foreign:
            assert foreign.url == server.url
            with pytest.raises(pytest.skip.Exception):
                foreign.kill()
        assert server.command("PING")
