"""Agents in many processes on a real Redis: in kernels side by side, and in processes that are killed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import msgspec
import pytest

from tta_agents import (
    AGENT_REGISTRY,
    AGENTS,
    AgentCard,
    AgentDeregistered,
    AgentError,
    AgentId,
    AgentsPlugin,
    Reply,
    Undo,
)
from tta_agents.testing import AgentsContract, Deployment, Echo
from tta_agents_redis import AgentsRedis
from tta_kernel import Kernel, KernelSettings, Plugin, PluginSettings
from tta_messages import MESSAGES, MessagesPlugin
from tta_messages_redis import RedisMessagesPlugin
from tta_redis import Config, RedisPlugin
from tta_redis.testing import RedisServer, redis_server
from tta_sessions import SessionsPlugin
from tta_sessions.hookspecs import forget
from tta_workflows import WORKFLOWS, WorkflowsLocal, WorkflowsMemory, WorkflowsPlugin

PLUGINS: Mapping[str, type[Plugin[Any]]] = {
    "agents": AgentsPlugin,
    "agents-redis": AgentsRedis,
    "messages": MessagesPlugin,
    "messages-redis": RedisMessagesPlugin,
    "redis": RedisPlugin,
    "sessions": SessionsPlugin,
}
RUNNING: Mapping[str, type[Plugin[Any]]] = {
    "workflows": WorkflowsPlugin, "workflows-local": WorkflowsLocal, "workflows-memory": WorkflowsMemory,
}  # fmt: skip
TTL = 2.0
PATIENCE = 40.0

# An agent whose work goes on until a file says so, and whose state counts its calls.
PLUGIN = """
import os
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import msgspec
from tta_agents import AGENTS, AgentId, AgentSpec
from tta_kernel import NoConfig, Plugin

FOLDER = Path(os.environ["SLOW_FOLDER"])


class Ask(msgspec.Struct, frozen=True):
    text: str


class Answer(msgspec.Struct, frozen=True):
    text: str
    pid: int
    before: int


class Slow:
    spec = AgentSpec("slow", "takes its time", Ask, Answer, timeout=60.0, version="7")

    def __init__(self):
        self.calls = 0

    def export_state(self):
        return self.calls

    def import_state(self, state):
        self.calls = state

    async def process(self, request, ctx, /):
        before, self.calls = self.calls, self.calls + 1
        await ctx.emit("one ")
        await ctx.on_rollback(AgentId("slow"), {"text": "take it back"})
        await ctx.on_rollback(AgentId("slow"), {"text": "take it back", "pid": os.getpid()})
        (FOLDER / f"began-{request.text}-{os.getpid()}").touch()
        while not (FOLDER / f"go-{request.text}").exists():
            ctx.heartbeat()
            await anyio.sleep(0.01)
        await ctx.emit("two")
        return Answer("one two", os.getpid(), before)


class SlowPlugin(Plugin[NoConfig]):
    requires = (AGENTS,)

    @asynccontextmanager
    async def lifespan(self, ctx):
        async with ctx.get(AGENTS).serve(Slow()):
            yield
"""


def sections(redis: Config, **agents: Any) -> dict[str, dict[str, Any]]:
    """Return what each plugin is configured to in every process."""
    return {
        "redis": msgspec.to_builtins(redis),
        "agents": {"auto_register": True, "visibility": f"{TTL}s", **agents},
        "agents-redis": {"ttl": f"{TTL}s", "interval": "500ms"},
        "messages": {},
        "messages-redis": {},
    }


@asynccontextmanager
async def process(redis: Config, **agents: Any) -> AsyncIterator[Kernel]:
    plugins = {name: PluginSettings(config=section) for name, section in sections(redis, **agents).items()}
    async with Kernel(KernelSettings(plugins=plugins), plugins=PLUGINS) as kernel:
        yield kernel


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="module")
def shared_server() -> Iterator[RedisServer]:
    with redis_server(own=True) as server:
        yield server


class TestOnRedis(AgentsContract):
    @pytest.fixture
    async def deployment(self, shared_server: RedisServer) -> AsyncIterator[Deployment]:
        redis = shared_server.config()
        async with AsyncExitStack() as stack:
            kernels = [await stack.enter_async_context(process(redis)) for _ in range(3)]
            calling, *serving = [kernel.get(AGENTS) for kernel in kernels]
            yield Deployment(calling, serving)


async def test_a_workflow_runs_over_an_agent_whose_plugin_is_only_in_another_deployment(
    shared_server: RedisServer,
) -> None:
    redis = shared_server.config()
    steps = [{"id": "say", "agent": "echo", "input": {"text": "input.text"}}]
    config = sections(redis, remote={"echo": {"description": "says it again", "timeout": "5s"}})
    config["workflows"] = {"workflows": {"say": {"steps": steps, "output": {"said": "steps.say.text"}}}}
    settings = KernelSettings(plugins={name: PluginSettings(config=section) for name, section in config.items()})
    calling = Kernel(settings, plugins={**PLUGINS, **RUNNING})
    calling.check()
    async with calling, process(redis) as serving:
        absent = await calling.get(WORKFLOWS).run("say", {"text": "hi"}, key="1")
        async with serving.get(AGENTS).serve(Echo()):
            done = await calling.get(WORKFLOWS).run("say", {"text": "hi"}, key="2", owner="ann")
            assert (await serving.ask(forget, "ann"))["agents-redis"] == 1
    assert (absent.status, absent.error) == ("failed", "not_served")
    assert done.output == {"said": "hi"}


async def test_the_caller_of_a_call_that_nobody_survives_is_told(shared_server: RedisServer) -> None:
    redis = shared_server.config()
    errors: list[AgentError] = []
    async with process(redis) as calling, process(redis) as breaking:

        async def call() -> None:
            try:
                await calling.get(AGENTS).call(AgentId("echo"), {"text": "x"}, key="k")
            except AgentError as exc:
                errors.append(exc)

        card = AgentCard(AgentId("echo", "one"), process="nobody", shared=True)
        await breaking.get(AGENT_REGISTRY).register(card)
        with anyio.fail_after(PATIENCE):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(call)
                messages, attempts = breaking.get(MESSAGES), 0
                while not errors:
                    for delivery in await messages.receive("agents.echo", wait=0.2):
                        await messages.nack(delivery, delay=0)
                        attempts += 1
    assert (errors[0].code, attempts) == ("given_up", 4)


class Running:
    """A ``tta run`` that serves the slow agent under one name."""

    def __init__(self, folder: Path, redis: Config, name: str) -> None:
        self.name, self.folder = name, folder / name
        self._environ = {
            **{key: value for key, value in os.environ.items() if not key.startswith("TTA_")},
            "PYTHONPATH": str(site(folder)),
            "SLOW_FOLDER": str(folder),
        }
        agents = {"drain": "200ms", "agents": {"slow": {"instances": [{"name": name, "resources": {"gpu": 1}}]}}}
        plugins = {key: {"config": section} for key, section in sections(redis, **agents).items()} | {"slow": {}}
        self.folder.mkdir(exist_ok=True)
        (self.folder / "base.yaml").write_text(json.dumps({"kernel": {"autoload": False}, "plugins": plugins}))
        (self.folder / "testing.yaml").write_text("{}")
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(self.command("run"), env=self._environ, stderr=log, stdout=log)

    def command(self, *arguments: str) -> Sequence[str]:
        return [sys.executable, "-m", "tta_program", *arguments, "--config", str(self.folder), "--env", "testing"]

    def tta(self, *arguments: str) -> str:
        done = subprocess.run(
            self.command(*arguments), env=self._environ, capture_output=True, text=True, timeout=PATIENCE, check=True
        )
        return done.stdout

    def end(self, number: int) -> int:
        self.process.send_signal(number)
        return self.process.wait(PATIENCE)


def site(folder: Path) -> Path:
    """Install the slow agent's plugin where only these processes look."""
    found = folder / "site"
    info = found / "tta_slow-0.1.dist-info"
    info.mkdir(parents=True, exist_ok=True)
    (found / "tta_slow.py").write_text(PLUGIN)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: tta-slow\nVersion: 0.1\n")
    (info / "entry_points.txt").write_text("[tta.plugins]\nslow = tta_slow:SlowPlugin\n")
    return found


class Caller:
    """The third process, which serves nothing: the test's own."""

    def __init__(self, kernel: Kernel, folder: Path) -> None:
        self.kernel, self.folder = kernel, folder
        self.agents, self.registry = kernel.get(AGENTS), kernel.get(AGENT_REGISTRY)
        self.replies: list[Reply] = []
        self.errors: list[AgentError] = []
        self.undos: list[Undo] = []
        self.heard = ""
        self.beaten = anyio.Event()

    async def call(self, text: str, instance: str | None = None) -> None:
        async def on_piece(piece: str) -> None:
            self.heard += piece

        async def on_undo(undo: Undo) -> None:
            self.undos.append(undo)

        try:
            agent = AgentId("slow", instance)
            reply = await self.agents.call(
                agent, {"text": text}, key=text, on_piece=on_piece, on_undo=on_undo, on_beat=self.on_beat
            )
            self.replies.append(reply)
        except AgentError as exc:
            self.errors.append(exc)

    def on_beat(self) -> None:
        self.beaten.set()

    async def served(self, *names: str) -> None:
        while {card.id.instance for card in await self.registry.list("slow")} != set(names):  # noqa: ASYNC110
            await anyio.sleep(0.02)

    async def state(self, name: str, wanted: int) -> None:
        while await self.registry.state(AgentId("slow", name)) != msgspec.msgpack.encode(wanted):  # noqa: ASYNC110
            await anyio.sleep(0.02)

    async def began(self, text: str) -> int:
        """Wait until some process works on a call, and return its id."""
        while not (found := list(self.folder.glob(f"began-{text}-*"))):  # noqa: ASYNC110 - another process's file
            await anyio.sleep(0.01)
        return int(found[-1].name.rpartition("-")[2])

    def go(self, text: str) -> None:
        (self.folder / f"go-{text}").touch()


@pytest.fixture
async def processes(shared_server: RedisServer, tmp_path: Path) -> AsyncIterator[tuple[Caller, Sequence[Running]]]:
    redis = shared_server.config()
    running = [Running(tmp_path, redis, name) for name in ("one", "two")]
    try:
        async with process(redis) as kernel:
            caller = Caller(kernel, tmp_path)
            with anyio.fail_after(PATIENCE):
                await caller.served("one", "two")
            yield caller, running
    finally:
        for each in running:
            each.process.kill()
            each.process.wait(PATIENCE)


async def test_what_a_killed_process_had_taken_goes_on_at_the_other(
    processes: tuple[Caller, Sequence[Running]], tmp_path: Path
) -> None:
    caller, running = processes
    with anyio.fail_after(PATIENCE), caller.kernel.events.subscribe(AgentDeregistered) as events:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(caller.call, "taken")
            pid = await caller.began("taken")
            victim, other = sorted(running, key=lambda each: each.process.pid != pid)
            await caller.state(victim.name, 1)  # A heartbeat has told it.
            before = list(caller.undos)  # It was told before the file was made.
            caller.beaten = anyio.Event()
            await caller.beaten.wait()
            victim.end(signal.SIGKILL)
            killed_at = anyio.current_time()
            tasks.start_soon(caller.call, "addressed", victim.name)  # It waits in a dead agent's own queue.
            gone = await anext(events)
            noticed = anyio.current_time() - killed_at
            caller.go("taken")
        [reply] = caller.replies
        [error] = caller.errors
        assert (gone.agent, gone.reason) == (AgentId("slow", victim.name), "expired")
        assert noticed <= TTL + 0.5
        assert reply.agent == AgentId("slow", other.name)
        assert reply.output == {"text": "one two", "pid": other.process.pid, "before": 0}
        assert caller.heard == "one two"
        assert reply.agent_version == "7"
        # What both said alike is one; what each did on its own is taken back on its own.
        back = [Undo(AgentId("slow"), {"text": "take it back"}, 0)] + [
            Undo(AgentId("slow"), {"text": "take it back", "pid": each.process.pid}, 1) for each in (victim, other)
        ]
        assert before == back[:2]
        assert reply.undo == tuple(caller.undos) == tuple(back)
        assert (error.code, error.retryable) == ("not_served", True)

        listed = json.loads(await anyio.to_thread.run_sync(other.tta, "agents", "list", "--json"))
        assert [card["id"]["instance"] for card in listed] == [other.name]
        assert listed[0]["resources"] == {"gpu": 1}

        # Started again under its name, it has its state back.
        redis = Config(**json.loads((victim.folder / "base.yaml").read_text())["plugins"]["redis"]["config"])
        again = Running(tmp_path, redis, victim.name)
        try:
            await caller.served("one", "two")
            caller.go("again")
            await caller.call("again", victim.name)
        finally:
            again.process.kill()
            again.process.wait(PATIENCE)
    assert caller.replies[-1].output["before"] == 1


async def test_a_process_that_is_stopped_leaves_no_entry_and_gives_back_what_it_had_taken(
    processes: tuple[Caller, Sequence[Running]],
) -> None:
    caller, running = processes
    with anyio.fail_after(PATIENCE), caller.kernel.events.subscribe(AgentDeregistered) as events:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(caller.call, "taken")
            pid = await caller.began("taken")
            leaving, other = sorted(running, key=lambda each: each.process.pid != pid)
            code = await anyio.to_thread.run_sync(leaving.end, signal.SIGTERM)
            left_at = anyio.current_time()
            assert [card.id.instance for card in await caller.registry.list("slow")] == [other.name]
            gone = await anext(events)
            caller.go("taken")
        took = anyio.current_time() - left_at
    assert code == 0
    assert (gone.agent, gone.reason) == (AgentId("slow", leaving.name), "left")
    assert caller.replies[0].agent == AgentId("slow", other.name)
    assert caller.heard == "one two"
    assert took < TTL  # Given back, not waited for.
