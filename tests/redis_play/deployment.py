"""Processes that play a story on one Redis, as an operator would configure them."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import yaml

from tta_redis.testing import RedisServer
from tta_redis.testing.server import wait_until

PATIENCE = 30.0
SESSIONS = ("sessions", "sessions-redis", "redis")
STORY = (
    "safety", "orchestration", "play", "workflows", "workflows-local", "input-processor", "world-builder",
    "narrative-generator",
)  # fmt: skip
ALONE = ("agents", "agents-memory", "workflows-memory", *SESSIONS, *STORY)
SHARED = ("agents", "agents-redis", "workflows-redis", "messages", "messages-redis", *SESSIONS, *STORY)
SECRET = "xylophone"

# An agent that, where it is asked to wait, does so until a file says go; it may be declared and served elsewhere.
PLUGIN = """
import os
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import anyio
import msgspec
from tta_agents import AGENTS, AgentSpec
from tta_kernel import NoConfig, Plugin, hookimpl
from tta_safety import Verdict

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


class PausingPlugin(Plugin[NoConfig]):
    # Takes its time over what is told after a first sentence, where the player wrote so.

    @hookimpl
    async def check_text(self, text, channel, session, about):
        if "pause" in about.before and about.told and not (FOLDER / "go").exists():
            (FOLDER / f"began-{os.getpid()}").touch()
            await anyio.sleep_forever()
        return Verdict("checked", "safe")
"""


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
        shutil.copytree(self._root / "config" / "workflows", config / "workflows")
        plugins: dict[str, dict[str, Any]] = {name: {"enabled": True} for name in names}
        limits = {"connect_timeout": "10s", "socket_timeout": "1s", "command_timeout": "2s"}
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

    def slow(
        self, *, serve: bool = True, names: Sequence[str] = SHARED, configs: Mapping[str, Mapping[str, Any]] = {},
        **agents: Any,
    ) -> Path:  # fmt: skip
        """Write a config whose turn asks the slow agent first, in this process or in another."""
        files = (self._root / "config" / "workflows").glob("*.yaml")
        definitions = {file.stem: yaml.safe_load(file.read_text(encoding="utf-8")) for file in files}
        turn = definitions["turn"]
        steps = [{"id": "slow", "agent": "slow", "input": {"text": "input.text"}}, *turn["steps"]]
        workflows = {"workflows": {**definitions, "turn": {**turn, "steps": steps}}}
        agents = {"auto_register": True, "visibility": "2s", "drain": "200ms", **agents}
        return self.config((*names, "slow"), slow={"serve": serve}, workflows=workflows, agents=agents, **configs)

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
            plugins = "slow = tta_slow:SlowPlugin\npausing = tta_slow:PausingPlugin\n"
            (info / "entry_points.txt").write_text(f"[tta.plugins]\n{plugins}")
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


def context(server: RedisServer, session: str) -> dict[str, Any]:
    """Return what a session remembers, as it is stored."""
    return msgspec.msgpack.decode(server.command("HGET", key_of(server, session), "context"), type=dict[str, Any])


def world(server: RedisServer, session: str) -> dict[str, Any]:
    """Return the world of a session, as it is stored."""
    found: dict[str, Any] = context(server, session)["world"]
    return found


def is_fallback(response: Mapping[str, Any], part: str, *codes: str) -> None:
    assert (response["outcome"], response["kept"]) == ("fallback", False)
    assert response["failure"]["part"] == part
    assert response["failure"]["code"] in codes
    assert "support" in response["text"]
