"""The contract of a TTA component: bools, and never an exception, from start and stop; its status is true."""

from __future__ import annotations

import logging
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from enum import Enum

import anyio
import anyio.to_thread
import pytest

from tta_kernel import Context, Kernel, KernelSettings, NoConfig, Plugin
from tta_kernel.testing import LIMIT, Outcome, Stranger, strangers
from tta_orchestration import Component, NotRunning
from tta_orchestration.testing import telling


class HostStatus(Enum):
    """As TTA's orchestrator has it."""

    STOPPED = "stopped"
    RUNNING = "running"
    ERROR = "error"


@pytest.fixture
def unlogged(caplog: pytest.LogCaptureFixture) -> None:
    """Keep what strangers say out of the report: pytest-xdist can't carry a lone surrogate."""
    caplog.set_level(logging.CRITICAL, "tta")


def empty() -> Kernel:
    return Kernel(plugins={})


def lasting(*, start: Callable[[], object] = bool, stop: Callable[[], object] = bool) -> type[Plugin[NoConfig]]:
    """Make a plugin whose start and stop last as long as these do."""

    class Lasting(Plugin[NoConfig]):
        @asynccontextmanager
        async def lifespan(self, ctx: Context) -> AsyncIterator[None]:
            await anyio.to_thread.run_sync(start)
            yield
            with anyio.CancelScope(shield=True):
                await anyio.to_thread.run_sync(stop)

    return Lasting


def test_a_component_starts_and_stops_and_says_so() -> None:
    component = Component(empty)
    assert [component.start(), component.start(), component.status] == [True, True, "running"]
    assert [component.stop(), component.stop(), component.status] == [True, True, "stopped"]


def test_its_status_is_that_of_the_hosts_enum() -> None:
    component = Component(empty)
    assert component.status == HostStatus.STOPPED
    host: object = HostStatus.STOPPED
    assert host == component.get_status()
    assert component.start()
    assert component.status == HostStatus.RUNNING
    assert component.status != HostStatus.STOPPED
    running: object = HostStatus.RUNNING
    assert not component.status != running  # noqa: SIM202 - a str has an inequality of its own
    assert not running != component.status  # noqa: SIM202
    assert component.stop()


@pytest.mark.usefixtures("unlogged")
@pytest.mark.boundary("tta_orchestration.Component.__init__.make")
@pytest.mark.parametrize("stranger", [s for s in strangers("plain") if s.outcome is Outcome.FAILURE], ids=str)
def test_whatever_a_start_raises_it_says_no_and_can_be_started_again(stranger: Stranger) -> None:
    makers: list[Callable[[], Kernel]] = [stranger, empty]
    component = Component(lambda: makers.pop(0)())
    assert [component.start(), component.status] == [False, HostStatus.ERROR]
    assert [component.start(), component.status] == [True, HostStatus.RUNNING]
    assert component.stop()


@pytest.mark.usefixtures("unlogged")
@pytest.mark.parametrize("stranger", [s for s in strangers("plain") if s.outcome is Outcome.FAILURE], ids=str)
def test_whatever_a_plugin_does_at_its_stop_it_says_so_and_can_be_started_again(stranger: Stranger) -> None:
    class Odd(Plugin[NoConfig]):
        @asynccontextmanager
        async def lifespan(self, ctx: Context) -> AsyncIterator[None]:
            yield
            stranger()

    component = Component(lambda: Kernel(plugins={"odd": Odd}))
    assert component.start()
    stopped = component.stop()
    assert component.status == (HostStatus.STOPPED if stopped else HostStatus.ERROR)
    assert component.start()
    component.stop()


def test_a_kernel_that_died_is_an_error_and_the_next_start_makes_a_new_one() -> None:
    crash, ended = threading.Event(), threading.Event()

    class Crashes(Plugin[NoConfig]):
        @asynccontextmanager
        async def lifespan(self, ctx: Context) -> AsyncIterator[None]:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self.crash)
                yield

        async def crash(self) -> None:
            await anyio.to_thread.run_sync(crash.wait)
            raise OSError("lost")

    makers: list[Callable[[], Kernel]] = [
        lambda: Kernel(plugins={"c": Crashes}, on_end=lambda _: ended.set()),
        empty,
    ]
    component = Component(lambda: makers.pop(0)())
    assert component.start()
    crash.set()
    assert ended.wait(5)
    assert component.start()
    assert [component.status, makers] == [HostStatus.RUNNING, []]
    assert component.stop()


def test_a_stop_that_lasts_too_long_says_so_and_keeps_the_kernel_until_it_is_gone() -> None:
    release = threading.Event()
    settings = KernelSettings(stop_timeout=0.05)
    plugin = lasting(stop=release.wait)
    made: list[Kernel] = []

    def make() -> Kernel:
        made.append(Kernel(settings, plugins={"x": plugin}))
        return made[-1]

    component = Component(make)
    assert component.start()
    assert [component.stop(), component.status] == [False, HostStatus.ERROR]
    assert made[0].records["x"].state == "stopping"
    release.set()
    component.stop()
    assert made[0].records["x"].state == "failed"
    assert [component.start(), component.status, len(made)] == [True, HostStatus.RUNNING, 2]
    component.stop()


def test_threads_that_start_at_once_start_one_kernel() -> None:
    made: list[Kernel] = []
    together = threading.Barrier(4)
    answers: list[bool] = []

    def make() -> Kernel:
        made.append(empty())
        return made[-1]

    component = Component(make)

    def start() -> None:
        together.wait(5)
        answers.append(component.start())

    threads = [threading.Thread(target=start) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert [answers, len(made)] == [[True] * 4, 1]
    assert component.stop()


def test_it_restarts_whatever_it_is_doing() -> None:
    component = Component(empty)
    assert [component.restart(), component.status] == [True, HostStatus.RUNNING]
    assert [component.restart(), component.status] == [True, HostStatus.RUNNING]
    assert component.stop()


def test_it_has_a_name_dependencies_and_a_section_of_the_hosts_config() -> None:
    section = {"enabled": True}
    nested = {"tta": {"prototype": {"components": {"agent_orchestration": section}}}}
    for config in (nested, {"tta.dev.components.agent_orchestration": section}):
        component = Component(empty, dependencies=["redis"], config=config)
        assert component.get_config() == section
        assert [component.name, component.dependencies, component.config] == ["agent_orchestration", ["redis"], config]
    assert Component(empty).get_config() == {}


def test_its_service_plays_turns_while_it_runs() -> None:
    component = Component(telling)
    assert component.get_service() is None
    assert component.start()
    service = component.get_service()
    assert service is not None
    assert component.call(service.process_user_input, "hi", "s", timeout=10).turn == 1
    assert component.process_user_input("hi", "s").turn == 2
    assert component.stop()
    assert component.get_service() is None


def test_a_component_that_is_not_running_plays_nothing() -> None:
    with pytest.raises(NotRunning, match="start it first"):
        Component(empty).process_user_input("hello", "s")


@pytest.mark.usefixtures("unlogged")
@pytest.mark.boundary("tta_orchestration.Component.call.func")
@pytest.mark.parametrize("stranger", strangers(), ids=str)
def test_whatever_is_called_the_component_goes_on(stranger: Stranger) -> None:
    async def answers() -> int:
        return 7

    component = Component(empty)
    assert component.start()
    raised: BaseException | None = None
    try:
        component.call(stranger, timeout=LIMIT)
    except BaseException as exc:  # noqa: BLE001 - of every kind
        raised = exc
    if stranger.outcome is Outcome.STOP:
        assert isinstance(raised, KeyboardInterrupt | BaseExceptionGroup)
    elif stranger.outcome is Outcome.TIME_LIMIT:
        assert isinstance(raised, TimeoutError)
    elif stranger.outcome is Outcome.FAILURE:
        assert isinstance(raised, Exception)
    else:
        assert raised is None or isinstance(raised, TimeoutError)
    assert component.status == HostStatus.RUNNING
    assert component.call(answers, timeout=5) == 7
    assert component.stop()
