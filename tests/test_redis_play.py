"""A story on Redis outlives the process that told it, and a Redis that dies, is silent or comes back."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import pexpect
import pytest
import yaml

from tta_redis.testing import RedisServer, redis_server
from tta_redis.testing.server import wait_until

PATIENCE = 30.0
SESSIONS = ("sessions", "sessions-redis", "redis")
STORY = ("safety", "orchestration", "play", "workflows", "input-processor", "world-builder", "narrative-generator")
ALONE = ("agents", "agents-memory", *SESSIONS, *STORY)
SHARED = ("agents", "agents-redis", "messages", "messages-redis", *SESSIONS, *STORY)
SECRET = "xylophone"

# An agent that, where it is asked to wait, does so until a file says go; it may be declared and served elsewhere.
PLUGIN = """
import os
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import anyio
import msgspec
from tta_agents import AGENTS, AgentSpec
from tta_kernel import Plugin, hookimpl

FOLDER = Path(os.environ["SLOW_FOLDER"])


class Config(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    serve: bool = True


class Ask(msgspec.Struct, frozen=True):
    text: str


class SlowPlugin(Plugin[Config]):
    requires = (AGENTS,)
    spec = AgentSpec("slow", "takes its time", Ask, Ask, timeout=20.0)

    @hookimpl
    def agents(self):
        return [self.spec]

    @asynccontextmanager
    async def lifespan(self, ctx):
        async with AsyncExitStack() as stack:
            if self.config.serve:
                await stack.enter_async_context(ctx.get(AGENTS).serve(self))
            yield

    async def process(self, request, ctx, /):
        if "wait" in request.text:
            (FOLDER / f"began-{os.getpid()}").touch()
            while not (FOLDER / "go").exists():
                await anyio.sleep(0.01)
        return request
"""


@pytest.fixture(scope="module")
def server() -> Iterator[RedisServer]:
    with redis_server("--appendonly", "yes", "--appendfsync", "always") as found:
        yield found


class Deployment:
    """A config on a Redis, and the processes that play by it."""

    def __init__(self, root: Path, folder: Path, server: RedisServer) -> None:
        self.folder, self.server = folder, server
        self._root, self._players = root, list[Player]()

    def config(self, names: Sequence[str] = ALONE, **configs: Mapping[str, Any]) -> Path:
        """Write the config of a process: the turn of this tree, on Redis."""
        config = self.folder / f"config-{len(list(self.folder.iterdir()))}"
        config.mkdir()
        shutil.copy(self._root / "config" / "base.yaml", config)
        plugins: dict[str, dict[str, Any]] = {name: {"enabled": True} for name in names}
        limits = {"connect_timeout": "1s", "socket_timeout": "1s", "command_timeout": "2s"}
        given: dict[str, Mapping[str, Any]] = {
            "orchestration": {"allow_unchecked": True},
            "redis": {"url": self.server.url, "prefix": self.folder.name[-20:], **limits},
            **{name.replace("_", "-"): section for name, section in configs.items()},
        }
        for name, section in given.items():
            plugins[name]["config"] = section
        settings = {"kernel": {"autoload": False}, "plugins": plugins}
        (config / "lasting.yaml").write_text(yaml.safe_dump(settings), encoding="utf-8")
        return config

    def slow(self, *, serve: bool = True, names: Sequence[str] = SHARED, **agents: Any) -> Path:
        """Write a config whose turn asks the slow agent first, in this process or in another."""
        turn = yaml.safe_load((self._root / "config" / "base.yaml").read_text(encoding="utf-8"))
        turn = turn["plugins"]["workflows"]["config"]["workflows"]["turn"]
        steps = [{"id": "slow", "agent": "slow", "input": {"text": "input.text"}}, *turn["steps"]]
        workflows = {"workflows": {"turn": {**turn, "steps": steps}}}
        agents = {"auto_register": True, "visibility": "2s", "drain": "200ms", **agents}
        return self.config((*names, "slow"), slow={"serve": serve}, workflows=workflows, agents=agents)

    def start_player(self, config: Path, session: str = "s") -> Player:
        self._players.append(Player(self, config, session))
        return self._players[-1]

    def environ(self) -> dict[str, str]:
        """Return an environment in which the slow agent's plugin is installed."""
        site = self.folder / "site"
        info = site / "tta_slow-0.1.dist-info"
        if not info.exists():
            info.mkdir(parents=True)
            (site / "tta_slow.py").write_text(PLUGIN)
            (info / "METADATA").write_text("Metadata-Version: 2.1\nName: tta-slow\nVersion: 0.1\n")
            (info / "entry_points.txt").write_text("[tta.plugins]\nslow = tta_slow:SlowPlugin\n")
        paths = os.pathsep.join(filter(None, (str(site), os.environ.get("PYTHONPATH"))))
        return environment() | {"PYTHONPATH": paths, "SLOW_FOLDER": str(self.folder)}

    def began(self, *others: int) -> int:
        """Wait until a process works on a slow call, other than these, and return its id."""
        found: list[int] = []

        def look() -> bool:
            pids = (int(path.name.removeprefix("began-")) for path in self.folder.glob("began-*"))
            found[:] = [pid for pid in pids if pid not in others]
            return bool(found)

        wait_until(look, "a slow call has begun", limit=PATIENCE)
        return found[0]

    def go(self) -> None:
        (self.folder / "go").touch()

    def close(self) -> None:
        for player in self._players:
            player.kill()


@pytest.fixture
def deployment(root: Path, tmp_path: Path, server: RedisServer) -> Iterator[Deployment]:
    found = Deployment(root, tmp_path, server)
    try:
        yield found
    finally:
        found.close()


class Player:
    """A ``tta play --json`` of its own process, turn by turn."""

    def __init__(self, deployment: Deployment, config: Path, session: str) -> None:
        command = command_of(config, "--json", "--world", "--session", session, "--seed", "7")
        self._errors = config.parent / f"{config.name}-{len(list(config.parent.glob('*.log')))}.log"
        with self._errors.open("wb") as errors:
            self.process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, text=True,
                env=deployment.environ(),
            )  # fmt: skip

    @property
    def errors(self) -> str:
        return self._errors.read_text(encoding="utf-8")

    def say(self, text: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(text + "\n")
        self.process.stdin.flush()

    def read_turn(self) -> Mapping[str, Any]:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line, self.errors
        response: Mapping[str, Any] = json.loads(line)
        return response

    def turn(self, text: str) -> Mapping[str, Any]:
        self.say(text)
        return self.read_turn()

    def kill(self) -> None:
        self.process.kill()
        with self.process:  # It closes the pipes, and waits.
            pass

    def quit(self) -> None:
        """End its input."""
        assert self.process.stdin is not None
        self.process.stdin.close()

    def leave(self) -> int:
        self.quit()
        code = self.process.wait(PATIENCE)
        assert "Traceback" not in self.errors
        return code


def command_of(config: Path, *arguments: str) -> list[str]:
    return [sys.executable, "-m", "tta_program", "--config", str(config), "--env", "lasting", "play", *arguments]


def environment() -> dict[str, str]:
    return {key: value for key, value in os.environ.items() if not key.startswith("TTA_")}


def key_of(server: RedisServer, session: str) -> bytes:
    (key,) = [it for it in server.command("KEYS", "*:session") if session.encode() in it]
    return bytes(key)


def world(server: RedisServer, session: str) -> dict[str, Any]:
    """Return the world of a session, as it is stored."""
    context = msgspec.msgpack.decode(server.command("HGET", key_of(server, session), "context"), type=dict[str, Any])
    found: dict[str, Any] = context["world"]
    return found


def is_fallback(response: Mapping[str, Any], part: str, *codes: str) -> None:
    assert (response["outcome"], response["kept"]) == ("fallback", False)
    assert response["failure"]["part"] == part
    assert response["failure"]["code"] in codes
    assert "support" in response["text"]


def test_a_story_goes_on_where_its_process_was_killed(deployment: Deployment, server: RedisServer) -> None:
    config = deployment.config()
    first = deployment.start_player(config, "lasting")
    assert first.turn("I look around")["turn"] == 1
    there = first.turn("I walk to the lighthouse")
    assert (there["turn"], there["outcome"]) == (2, "story")
    before = world(server, "lasting")
    first.kill()
    assert world(server, "lasting") == before
    second = deployment.start_player(config, "lasting")
    here = second.turn("I look around")
    assert here["turn"] == 3
    assert "lighthouse" in here["text"].lower()
    after = world(server, "lasting")
    assert [after["seed"], after["player"]["visits"]] == [before["seed"], before["player"]["visits"]]
    assert after["turn"] == before["turn"] + 1
    assert second.leave() == 0
    assert server.command("HGET", key_of(server, "lasting"), "version") == b"3"
    assert server.command("PTTL", key_of(server, "lasting")) > 0


def test_the_world_survives_redis_being_killed_too(deployment: Deployment, server: RedisServer) -> None:
    player = deployment.start_player(deployment.config())
    assert player.turn("I take the lantern")["turn"] == 1
    server.kill()
    server.start()
    assert player.turn("I look around")["turn"] == 2
    assert player.leave() == 0


def test_two_processes_play_one_story_in_turns(deployment: Deployment) -> None:
    config = deployment.config()
    one, two = deployment.start_player(config), deployment.start_player(config)
    turns = [player.turn("I look around")["turn"] for player in (one, two, one, two)]
    assert turns == [1, 2, 3, 4]
    assert (one.leave(), two.leave()) == (0, 0)


def test_without_redis_the_player_is_told_where_it_was_looked_for(deployment: Deployment) -> None:
    player = deployment.start_player(
        deployment.config(redis={"url": "redis://:hunter2@127.0.0.1:1", "connect_timeout": "1s"})
    )
    assert player.process.wait(PATIENCE) == 3
    assert "127.0.0.1:1: connection refused" in player.errors
    assert "hunter2" not in player.errors


@pytest.mark.parametrize("names", [ALONE, SHARED], ids=["sessions alone", "agents, messages and sessions"])
def test_while_redis_is_dead_each_turn_is_a_fallback_and_then_the_story_goes_on(
    deployment: Deployment, server: RedisServer, names: Sequence[str]
) -> None:
    agents = {"auto_register": names is SHARED}
    player = deployment.start_player(deployment.config(names, agents=agents))
    before = player.turn("I walk to the green")
    server.kill()
    try:
        for _ in range(2):
            response = player.turn(f"I look around for my {SECRET}")
            is_fallback(response, "sessions.get", "unavailable", "timeout")
    finally:
        server.start()
    after = player.turn("I look around")
    assert (after["outcome"], after["turn"], after["kept"], after["failure"]) == ("story", 2, True, None)
    visits = [each["updated_context"]["world"]["player"]["visits"] for each in (before, after)]
    assert visits[0] == visits[1]
    assert player.leave() == 0
    told = [json.loads(line) for line in player.errors.splitlines()]
    critical = [line["event"] for line in told if line["level"] == "critical"]
    assert len(critical) == 2
    assert all(line.startswith("a turn went without its session: sessions.get: ") for line in critical)
    assert SECRET not in player.errors


def test_while_redis_is_silent_a_turn_is_a_fallback_within_its_limits(
    deployment: Deployment, server: RedisServer
) -> None:
    player = deployment.start_player(deployment.config(SHARED, agents={"auto_register": True}))
    player.turn("I look around")
    server.pause()
    try:
        response = player.turn("I look around")
        is_fallback(response, "sessions.get", "unavailable", "timeout")
        assert response["performance"]["total"] < 10
    finally:
        server.resume()
    assert player.turn("I look around")["turn"] == 2
    assert player.leave() == 0


def test_a_turn_in_which_redis_dies_is_not_kept_and_is_not_told(deployment: Deployment, server: RedisServer) -> None:
    player = deployment.start_player(deployment.slow(names=(*ALONE, "messages", "messages-redis")))
    player.turn("I look around")
    player.say("I wait, and walk to the green")
    deployment.began()
    server.kill()
    try:
        deployment.go()
        response = player.read_turn()
        is_fallback(response, "sessions.commit", "unavailable", "timeout")
        assert "hasn't happened" in response["text"]
    finally:
        server.start()
    after = player.turn("I look around")
    assert (after["outcome"], after["turn"], after["notices"]) == ("story", 2, [])
    assert after["updated_context"]["world"]["player"]["at"] == "bus-stop"
    assert player.leave() == 0


def test_a_turn_in_which_redis_is_restarted_goes_on(deployment: Deployment, server: RedisServer) -> None:
    serving = deployment.start_player(deployment.slow(), "other")
    player = deployment.start_player(deployment.slow(serve=False))
    serving.turn("I look around")
    player.say("I wait, and walk to the green")
    assert deployment.began() == serving.process.pid
    server.kill()
    server.start()
    deployment.go()
    response = player.read_turn()
    assert (response["outcome"], response["kept"]) == ("story", True)
    assert (player.leave(), serving.leave()) == (0, 0)


def test_a_session_that_is_damaged_begins_anew_and_the_player_hears_it_once(
    deployment: Deployment, server: RedisServer
) -> None:
    player = deployment.start_player(deployment.config(), "damaged")
    player.turn("I walk to the green")
    server.command("HSET", key_of(server, "damaged"), "context", b"\xc1 no msgpack")
    first, second = player.turn("I look around"), player.turn("I look around")
    assert (first["outcome"], first["turn"], first["kept"]) == ("story", 1, True)
    [notice] = first["notices"]
    assert "begins anew" in notice
    assert (second["turn"], second["notices"]) == (2, [])
    assert player.leave() == 0


def test_two_turns_of_one_story_at_the_same_time_are_both_played(deployment: Deployment) -> None:
    config = deployment.slow(names=(*ALONE, "messages", "messages-redis"))
    one, two = deployment.start_player(config), deployment.start_player(config)
    one.say("I wait, and look around")
    two.say("I wait, and look around")
    deployment.began(deployment.began())
    deployment.go()
    responses = [one.read_turn(), two.read_turn()]
    assert [response["outcome"] for response in responses] == ["story", "story"]
    assert sorted(response["turn"] for response in responses) == [1, 2]
    assert (one.leave(), two.leave()) == (0, 0)


def test_a_pipe_gets_a_line_for_a_line_also_while_redis_is_dead(deployment: Deployment, server: RedisServer) -> None:
    with subprocess.Popen(
        command_of(deployment.config()), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        text=True, env=environment(),
    ) as process:  # fmt: skip
        assert process.stdin is not None
        assert process.stdout is not None

        def said(text: str) -> str:
            process.stdin.write(text + "\n")  # type: ignore[union-attr]
            process.stdin.flush()  # type: ignore[union-attr]
            return process.stdout.readline()  # type: ignore[union-attr]

        said("look around")
        server.kill()
        try:
            assert "I'm here to support you" in said("look around")
            assert "can't be looked up just now" in said(":world")
        finally:
            server.start()
        assert "support" not in said("look around")
        _, errors = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0
    assert "Traceback" not in errors


def test_a_person_at_a_terminal_is_supported_while_redis_is_dead(deployment: Deployment, server: RedisServer) -> None:
    program, *arguments = command_of(deployment.config(), "--seed", "3")
    terminal = pexpect.spawn(
        program, arguments, encoding="utf-8", timeout=30, dimensions=(40, 140), env=environment()
    )  # fmt: skip
    terminal.expect("0m>")
    terminal.send("look around\r")
    terminal.expect("timetable")
    server.kill()
    try:
        terminal.send("look around\r")
        terminal.expect("open the book of your")
        terminal.send(":trace\r")
        terminal.expect("sessions.get: unavailable")
    finally:
        server.start()
    terminal.send("go west\r")
    terminal.expect("lime")
    terminal.send(":quit\r")
    terminal.expect(pexpect.EOF)
    terminal.wait()
    assert terminal.exitstatus == 0


def test_a_person_is_forgotten_by_name_and_somebody_else_kept_out_of_their_story(
    deployment: Deployment, server: RedisServer
) -> None:
    config = deployment.config()

    def tta(command: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        line = [*command_of(config)[:-1], command, *arguments]
        return subprocess.run(line, capture_output=True, text=True, env=environment(), timeout=PATIENCE, check=False)

    assert tta("play", "--user", "anna", "--session", "hers", "--", "look").returncode == 0
    assert tta("play", "--user", "ben", "--session", "his", "--", "look").returncode == 0
    refused = tta("play", "--user", "ben", "--session", "hers", "--", "look")
    assert refused.returncode == 1
    assert refused.stdout.startswith("(this story belongs to somebody else")

    forgotten = tta("forget", "anna", "--json")
    assert forgotten.returncode == 0, forgotten.stderr
    assert json.loads(forgotten.stdout)["erased"]["sessions-redis"] == 1
    assert [it for it in server.command("KEYS", "*:session") if b"hers" in it] == []
    assert key_of(server, "his")
    again = tta("forget", "anna")
    assert again.returncode == 0
    assert re.search(r"sessions-redis +0$", again.stdout, re.MULTILINE)


def terminate(player: Player) -> None:
    player.process.send_signal(signal.SIGTERM)


@pytest.mark.parametrize("leave", [Player.quit, terminate])
def test_a_call_that_a_leaving_player_serves_goes_on_at_another(
    deployment: Deployment, leave: Callable[[Player], None]
) -> None:
    config = deployment.slow()
    serving = [deployment.start_player(config, "one"), deployment.start_player(config, "two")]
    for each in serving:
        each.turn("I look around")
    player = deployment.start_player(deployment.slow(serve=False), "three")
    player.say("I wait, and look around")
    pid = deployment.began()
    [leaving] = [each for each in serving if each.process.pid == pid]
    leave(leaving)
    assert leaving.process.wait(PATIENCE) in (0, 128 + signal.SIGTERM)
    assert "Traceback" not in leaving.errors
    assert deployment.began(pid) in {each.process.pid for each in serving}
    deployment.go()
    response = player.read_turn()
    assert (response["outcome"], response["turn"]) == ("story", 1)


def test_a_player_who_leaves_ends_first_what_others_wait_for(deployment: Deployment) -> None:
    config = deployment.slow(drain="8s")
    serving = [deployment.start_player(config, "one"), deployment.start_player(config, "two")]
    for each in serving:
        each.turn("I look around")
    player = deployment.start_player(deployment.slow(serve=False), "three")
    player.say("I wait, and look around")
    pid = deployment.began()
    [leaving] = [each for each in serving if each.process.pid == pid]
    leaving.quit()
    deployment.go()
    assert player.read_turn()["outcome"] == "story"
    assert leaving.process.wait(PATIENCE) == 0
    assert len(list(deployment.folder.glob("began-*"))) == 1


def test_the_last_words_of_a_server_that_leaves_are_heard(deployment: Deployment) -> None:
    serving = deployment.start_player(deployment.slow(drain="8s"), "one")
    serving.turn("I look around")
    player = deployment.start_player(deployment.slow(serve=False), "two")
    player.say("I wait, and look around")
    assert deployment.began() == serving.process.pid
    serving.quit()
    deployment.go()
    assert player.read_turn()["outcome"] == "story"
