"""A story on Redis outlives the process that told it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml

from tta_redis.testing import RedisServer, redis_server

PATIENCE = 30.0
PLUGINS = [
    "agents", "agents-memory", "workflows", "sessions", "sessions-redis", "redis", "safety", "orchestration", "play",
    "input-processor", "world-builder", "narrative-generator",
]  # fmt: skip


@pytest.fixture(scope="module")
def server() -> Iterator[RedisServer]:
    with redis_server("--appendonly", "yes", "--appendfsync", "always") as found:
        yield found


@pytest.fixture
def folder(root: Path, tmp_path: Path, server: RedisServer) -> Path:
    """Write the config of a deployment: the turn of this tree, sessions on Redis."""
    config = tmp_path / "config"
    config.mkdir()
    shutil.copy(root / "config" / "base.yaml", config)
    settings: dict[str, dict[str, Any]] = {name: {"enabled": True} for name in PLUGINS}
    settings["orchestration"]["config"] = {"allow_unchecked": True}
    settings["redis"]["config"] = {"url": server.url, "prefix": tmp_path.name[-20:], "connect_timeout": "1s"}
    text = yaml.safe_dump({"kernel": {"autoload": False}, "plugins": settings})
    (config / "lasting.yaml").write_text(text, encoding="utf-8")
    return config


class Player:
    """A ``tta play --json`` of its own process, turn by turn."""

    def __init__(self, folder: Path, session: str) -> None:
        command = [sys.executable, "-m", "tta_kernel", "--config", str(folder), "--env", "lasting"]
        command += ["play", "--json", "--session", session, "--seed", "7"]
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment()
        )  # fmt: skip

    def turn(self, text: str) -> Mapping[str, Any]:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(text + "\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        assert line, self.process.stderr.read() if self.process.stderr else ""
        response: Mapping[str, Any] = json.loads(line)
        return response

    def kill(self) -> None:
        self.process.kill()
        self.process.communicate(timeout=PATIENCE)

    def leave(self) -> int:
        self.process.communicate(timeout=PATIENCE)
        return self.process.returncode


def world(server: RedisServer) -> dict[str, Any]:
    """Return the world of the session ``lasting``, as it is stored."""
    (key,) = [it for it in server.command("KEYS", "*:session") if b"lasting" in it]
    context = msgspec.msgpack.decode(server.command("HGET", key, "context"), type=dict[str, Any])
    found: dict[str, Any] = context["world"]
    return found


def environment() -> dict[str, str]:
    return {key: value for key, value in os.environ.items() if not key.startswith("TTA_")}


def test_a_story_goes_on_where_its_process_was_killed(folder: Path, server: RedisServer) -> None:
    first = Player(folder, "lasting")
    try:
        assert first.turn("I look around")["turn"] == 1
        there = first.turn("I walk to the lighthouse")
        assert (there["turn"], there["outcome"]) == (2, "story")
        before = world(server)
        first.kill()
        assert world(server) == before
        second = Player(folder, "lasting")
        here = second.turn("I look around")
        assert here["turn"] == 3
        assert "lighthouse" in here["text"].lower()
        after = world(server)
        assert [after["seed"], after["player"]["visits"]] == [before["seed"], before["player"]["visits"]]
        assert after["turn"] == before["turn"] + 1
        assert second.leave() == 0
        (key,) = [it for it in server.command("KEYS", "*:session") if b"lasting" in it]
        assert server.command("HGET", key, "version") == b"3"
        assert server.command("PTTL", key) > 0
    finally:
        first.kill()


def test_the_world_survives_redis_being_killed_too(folder: Path, server: RedisServer) -> None:
    player = Player(folder, "crash")
    try:
        assert player.turn("I take the lantern")["turn"] == 1
        server.kill()
        server.start()
        assert player.turn("I look around")["turn"] == 2
        assert player.leave() == 0
    finally:
        player.kill()


def test_two_processes_play_one_story_in_turns(folder: Path) -> None:
    one, two = Player(folder, "shared"), Player(folder, "shared")
    try:
        turns = [player.turn("I look around")["turn"] for player in (one, two, one, two)]
        assert turns == [1, 2, 3, 4]
        assert (one.leave(), two.leave()) == (0, 0)
    finally:
        one.kill()
        two.kill()


def test_without_redis_the_player_is_told_where_it_was_looked_for(folder: Path, tmp_path: Path) -> None:
    path = folder / "lasting.yaml"
    settings = yaml.safe_load(path.read_text(encoding="utf-8"))
    settings["plugins"]["redis"]["config"]["url"] = "redis://:hunter2@127.0.0.1:1"
    path.write_text(yaml.safe_dump(settings), encoding="utf-8")
    player = Player(folder, "none")
    _, errors = player.process.communicate(timeout=PATIENCE)
    assert player.process.returncode == 3
    assert "127.0.0.1:1: connection refused" in errors
    assert "hunter2" not in errors
