"""TTA's own orchestrator as a host: ours is one of its components."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

import pytest

from tta_kernel import Kernel, KernelError
from tta_orchestration import Component as Ours
from tta_program import load
from tta_redis.testing import RedisServer, redis_server
from tta_redis.testing.server import wait_until

from . import orchestrator as of_host
from .host import Host, program
from .orchestrator import Component, ComponentStatus, TTAOrchestrator

CONFIG = {"tta.prototype.components.agent_orchestration": {"port": 8503}}
RUNNING, STOPPED, ERROR = ComponentStatus.RUNNING, ComponentStatus.STOPPED, ComponentStatus.ERROR


class Redis(Component):
    """A component of the host's, on which ours depends."""

    def __init__(self, server: RedisServer) -> None:
        super().__init__(CONFIG, name="redis")
        self.server = server
        self.fails = False

    def _start_impl(self) -> bool:
        return not self.fails and bool(self.server.command("PING"))

    def _stop_impl(self) -> bool:
        return True


@pytest.fixture(scope="module")
def server() -> Iterator[RedisServer]:
    with redis_server() as server:
        yield server


@pytest.fixture
def redis(server: RedisServer) -> Redis:
    return Redis(server)


def as_it_is(orchestrator: TTAOrchestrator) -> None:
    story = Ours(lambda: Kernel(load()), dependencies=["redis"], config=orchestrator.config)
    orchestrator.components[story.name] = story


def as_a_subclass(orchestrator: TTAOrchestrator) -> None:
    """Do what the page shows."""
    names: dict[str, Any] = {"__name__": "story"}
    exec(compile(program("In TTA's orchestrator"), "embedding.md", "exec"), names)
    names["register"](orchestrator)


@pytest.fixture(params=[as_it_is, as_a_subclass], ids=["as it is", "as a subclass"])
def orchestrator(
    request: pytest.FixtureRequest, host: Host, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> Iterator[TTAOrchestrator]:
    host.move_in(monkeypatch)
    monkeypatch.setitem(sys.modules, "src.orchestration", of_host)
    orchestrator = TTAOrchestrator(CONFIG)
    register: Callable[[TTAOrchestrator], None] = request.param
    register(orchestrator)
    orchestrator.components["redis"] = redis
    yield orchestrator
    orchestrator.components["agent_orchestration"].stop()


@pytest.fixture
def story(orchestrator: TTAOrchestrator) -> Any:
    return orchestrator.components["agent_orchestration"]


def play(story: Any, session: str = "me") -> str:
    component: Ours = getattr(story, "component", story)
    return component.process_user_input("look around", session).text


def test_it_starts_after_its_dependency_and_plays_and_stops(
    orchestrator: TTAOrchestrator, story: Any, host: Host
) -> None:
    assert orchestrator.get_all_statuses() == {"agent_orchestration": STOPPED, "redis": STOPPED}
    assert orchestrator.start_component("agent_orchestration")
    assert orchestrator.get_all_statuses() == {"agent_orchestration": RUNNING, "redis": RUNNING}
    assert len(play(story).split()) > 20
    assert story.get_config() == {"port": 8503}
    assert orchestrator.stop_all()
    assert orchestrator.get_all_statuses() == {"agent_orchestration": STOPPED, "redis": STOPPED}
    assert host.running == []


def test_it_stops_before_what_it_depends_on(orchestrator: TTAOrchestrator, story: Any, redis: Redis) -> None:
    assert orchestrator.start_all()
    assert orchestrator.stop_component("redis")
    assert orchestrator.get_all_statuses() == {"agent_orchestration": STOPPED, "redis": STOPPED}


def test_it_does_not_start_without_its_dependency(orchestrator: TTAOrchestrator, redis: Redis) -> None:
    redis.fails = True
    assert not orchestrator.start_all()
    assert orchestrator.get_all_statuses() == {"agent_orchestration": STOPPED, "redis": ERROR}


def test_it_starts_again(orchestrator: TTAOrchestrator, story: Any) -> None:
    assert orchestrator.start_all()
    assert story.restart()
    assert story.get_status() == RUNNING
    assert len(play(story).split()) > 20
    assert orchestrator.stop_all()
    assert orchestrator.start_all()
    assert len(play(story).split()) > 20


def test_a_crash_is_an_error_and_the_next_start_mends_it(orchestrator: TTAOrchestrator, story: Any, host: Host) -> None:
    assert orchestrator.start_all()
    with suppress(KernelError):  # the answer may come before the end
        play(story, "crash")
    wait_until(lambda: story.status == ERROR, "it is an error")
    assert orchestrator.start_all()
    assert len(play(story).split()) > 20


def test_a_config_that_is_wrong_is_an_error_and_never_raises(
    orchestrator: TTAOrchestrator, story: Any, host: Host
) -> None:
    layer = host.folder / "config/development.yaml"
    right = layer.read_bytes()
    layer.write_text("plugins: {orchestrations: {}}", encoding="utf-8")
    assert not orchestrator.start_all()
    assert orchestrator.get_all_statuses() == {"agent_orchestration": ERROR, "redis": RUNNING}
    layer.write_bytes(right)
    assert orchestrator.start_all()


def test_whoever_starts_at_once_starts_one(orchestrator: TTAOrchestrator, story: Any, host: Host) -> None:
    with ThreadPoolExecutor(8) as threads:
        started = [threads.submit(orchestrator.start_component, "agent_orchestration") for _ in range(8)]
        assert all(each.result() for each in started)
        played = [threads.submit(play, story, f"s{n}") for n in range(8)]
        assert all(len(each.result().split()) > 20 for each in played)
        stopped = [threads.submit(story.stop) for _ in range(8)]
        assert all(each.result() for each in stopped)
    assert orchestrator.get_all_statuses()["agent_orchestration"] == STOPPED
    assert host.running == []
