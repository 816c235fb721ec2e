"""The contract of a TTA component: bools, and never an exception, from start and stop; its status is true."""

from __future__ import annotations

import logging
import random
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from enum import Enum
from functools import partial

import anyio
import anyio.to_thread
import pytest

from tta_kernel import Context, Kernel, KernelSettings, NoConfig, Plugin, Restart
from tta_kernel.testing import LIMIT, Outcome, Stranger, logged, strangers
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
    component = Component(partial(telling, allow_unchecked=True))
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


def test_a_stop_ends_a_start_that_another_thread_waits_for() -> None:
    starting = threading.Event()

    class Waits(Plugin[NoConfig]):
        @asynccontextmanager
        async def lifespan(self, ctx: Context) -> AsyncIterator[None]:
            starting.set()
            await anyio.sleep_forever()
            yield

    component = Component(lambda: Kernel(plugins={"x": Waits}))
    answers: list[bool] = []
    starter = threading.Thread(target=lambda: answers.append(component.start()))
    starter.start()
    assert starting.wait(5)
    assert component.stop()
    starter.join(5)
    assert (answers, str(component.status)) == ([False], "stopped")


def test_what_is_no_kernel_is_no_start() -> None:
    component = Component(lambda: None)  # type: ignore[arg-type, return-value]  # as a host's function that forgot it
    assert [component.start(), component.status] == [False, HostStatus.ERROR]


class Alive:
    """Counts how many kernels run at once."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.now = self.most = 0

    def __enter__(self) -> None:
        with self._lock:
            self.now += 1
            self.most = max(self.most, self.now)

    def __exit__(self, *exc: object) -> None:
        with self._lock:
            self.now -= 1


def misbehaving(how: str, alive: Alive) -> Kernel:
    """Make a kernel whose plugin starts, runs or stops in an odd way."""

    class Odd(Plugin[NoConfig]):
        @asynccontextmanager
        async def lifespan(self, ctx: Context) -> AsyncIterator[None]:
            await self.act("start")
            with alive:
                ctx.start_soon(self.act, "run", restart=Restart(times=0))
                yield
                await self.act("stop")

        async def act(self, place: str) -> None:
            match how.removeprefix(f"{place}: "):
                case "raises":
                    raise ValueError(place)
                case "exits":
                    raise SystemExit
                case "is interrupted":
                    raise KeyboardInterrupt
                case "hangs":
                    await anyio.sleep_forever()
                case "is deaf":
                    with anyio.CancelScope(shield=True):
                        await anyio.sleep(0.2)

    if how == "made: raises":
        raise ValueError
    if how == "made: exits":
        raise SystemExit
    return Kernel(KernelSettings(start_timeout=0.05, stop_timeout=0.05), plugins={"odd": Odd})


ODDITIES = [f"{place}: {how}" for place in ("start", "run", "stop") for how in ("raises", "exits", "is interrupted")]
ODDITIES += ["start: hangs", "stop: hangs", "stop: is deaf", "made: raises", "made: exits", *["well"] * 8]


def test_eight_threads_that_do_what_they_like_run_one_kernel_at_a_time_and_hear_of_no_exception() -> None:
    alive = Alive()
    choice = random.Random(7)
    component = Component(lambda: misbehaving(choice.choice(ODDITIES), alive))
    wrong: list[object] = []

    def play(seed: int) -> None:
        chosen = random.Random(seed)
        for _ in range(12):
            name = chosen.choice(["start", "stop", "restart", "get_status", "get_service", "get_config"])
            try:
                answer = getattr(component, name)()
            except BaseException as exc:  # noqa: BLE001 - of every kind
                wrong.append((name, exc))
            else:
                if name in ("start", "stop", "restart") and not isinstance(answer, bool):
                    wrong.append((name, answer))

    threads = [threading.Thread(target=play, args=(seed,)) for seed in range(8)]
    with logged():
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(50)
        assert not any(thread.is_alive() for thread in threads)
        component.stop()
    assert wrong == []
    assert (alive.most, alive.now) == (1, 0)
