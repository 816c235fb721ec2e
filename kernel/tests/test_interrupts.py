"""Ctrl-C in a plugin, or in what the host is told by: all stops in order, and then the host hears of it."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, cast

import anyio
import anyio.lowlevel
import pytest
from trio.testing import MockClock

from tta_kernel import Context, Kernel, KernelError, KernelSettings, NoConfig, Plugin, PluginError, Restart, Service
from tta_kernel.testing import LIMIT, Outcome, Stranger, strangers
from tta_program import BlockingKernel

FIRST = Service[object]("first")
BACKENDS = ("asyncio", "trio")
PLACES = ("task", "start", "stop")


def interrupted(*_: object) -> None:
    raise KeyboardInterrupt


class First(Plugin[NoConfig]):
    """What the other one needs, so that it stops last."""

    provides = (FIRST,)

    @asynccontextmanager
    async def lifespan(self, ctx: Context) -> AsyncIterator[None]:
        ctx.provide(FIRST, self)
        yield
        await anyio.lowlevel.checkpoint()


def hit(place: str, when: anyio.Event) -> type[Plugin[NoConfig]]:
    """Make a plugin in which Ctrl-C arrives at a place: where it is a task, as soon as that is wanted."""

    class Hit(Plugin[NoConfig]):
        requires = (FIRST,)

        @asynccontextmanager
        async def lifespan(self, ctx: Context) -> AsyncIterator[None]:
            if place == "start":
                raise KeyboardInterrupt
            if place == "task":
                ctx.start_soon(self.wait)
            yield
            if place == "stop":
                raise KeyboardInterrupt

        async def wait(self) -> None:
            await when.wait()
            raise KeyboardInterrupt

    return Hit


class Host:
    """Starts a kernel, and stops it; writes down what happens to it."""

    def __init__(self, place: str) -> None:
        self.place = place
        self.told: list[str] = []
        self.kernel = cast("Kernel", None)

    def make(self) -> anyio.Event:
        when = anyio.Event()
        told: dict[str, Any] = {"on_end": lambda failure: self.told.append(f"ended: {failure}")}
        if self.place in ("stopping", "on_end"):
            told[self.place] = interrupted
        settings = KernelSettings(stop_timeout=1.0)
        self.kernel = Kernel(settings, plugins={"first": First, "hit": hit(self.place, when)}, **told)
        return when

    async def held(self) -> None:
        """Run it in a task of its own."""
        when = self.make()
        await self.kernel.start()
        await self.waits(when, self.kernel.aclose)

    async def block(self) -> None:
        """Run it in a block."""
        when = self.make()
        async with self.kernel:
            await self.waits(when, anyio.lowlevel.checkpoint)

    async def waits(self, when: anyio.Event, stop: Callable[[], Any]) -> None:
        when.set()
        try:
            await (anyio.sleep_forever() if self.place == "task" else stop())
            await anyio.lowlevel.checkpoint()
        except (anyio.get_cancelled_exc_class(), KeyboardInterrupt):
            self.told.append("the host")
            raise

    def states(self) -> list[str]:
        return [record.state for record in self.kernel.records.values()]


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("door", ["held", "block"])
@pytest.mark.parametrize("place", [*PLACES, "stopping", "on_end"])
def test_all_stops_in_order_and_then_the_host_is_interrupted(place: str, door: str, backend: str) -> None:
    host = Host(place)
    with pytest.raises(KeyboardInterrupt):
        anyio.run(getattr(host, door), backend=backend)
    assert host.states() == ["stopped", "stopped" if place in ("stopping", "on_end") else "failed"]
    if place == "task":
        [ended, last] = host.told if door == "held" else reversed(host.told)
        assert "'hit': failed while running: let out KeyboardInterrupt" in ended
        assert last == "the host"


@pytest.mark.parametrize("backend", BACKENDS)
def test_an_optional_plugin_that_is_interrupted_stops_all_as_well(backend: str) -> None:
    host = Host("task")

    async def main() -> None:
        when = host.make()
        host.kernel.records["hit"].required = host.kernel.records["hit"].vital = False
        async with host.kernel:
            await host.waits(when, anyio.lowlevel.checkpoint)

    with pytest.raises(KeyboardInterrupt) as caught:
        anyio.run(main, backend=backend)
    assert isinstance(caught.value.__cause__, PluginError)
    assert host.states() == ["stopped", "failed"]


@pytest.mark.parametrize("backend", BACKENDS)
def test_what_the_block_raises_meanwhile_does_not_hide_it(backend: str) -> None:
    host = Host("task")

    async def main() -> None:
        when = host.make()
        async with host.kernel:
            try:
                await host.waits(when, anyio.lowlevel.checkpoint)
            finally:
                raise LookupError("mine")

    with pytest.raises(KeyboardInterrupt) as caught:
        anyio.run(main, backend=backend)
    assert isinstance(caught.value.__context__, LookupError)


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_host_that_obeys_signals_itself_is_told_by_its_own_handler(backend: str) -> None:
    host = Host("task")
    asked = list[int]()

    async def main() -> None:
        when = host.make()
        await host.kernel.start()
        when.set()
        failure = await host.kernel.wait_stopped()
        await anyio.wait_all_tasks_blocked()
        host.told.append(f"goes on after {type(failure).__name__}")

    before = signal.signal(signal.SIGINT, lambda number, frame: asked.append(number))
    try:
        anyio.run(main, backend=backend)
    finally:
        signal.signal(signal.SIGINT, before)
    assert asked == [signal.SIGINT]
    assert host.told[-1] == "goes on after PluginError"


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("kind", [SystemExit, GeneratorExit, asyncio.CancelledError])  # noqa: TID251 - what strangers let out
def test_an_exit_in_a_task_is_the_failure_of_its_plugin_alone(kind: type[BaseException], backend: str) -> None:
    class Exits(Plugin[NoConfig]):
        @asynccontextmanager
        async def lifespan(self, ctx: Context) -> AsyncIterator[None]:
            ctx.start_soon(self.leave, restart=Restart(times=0))
            yield

        async def leave(self) -> None:
            await wanted.wait()
            raise kind

    wanted = anyio.Event()

    async def main() -> Exception | None:
        kernel = Kernel(plugins={"x": Exits})
        await kernel.start()
        wanted.set()
        return await kernel.wait_stopped()

    failure = anyio.run(main, backend=backend)
    assert "nobody here asked for" in str(failure)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("place", PLACES)
def test_in_a_thread_it_is_the_kernels_failure_and_interrupts_nobody(place: str, backend: str) -> None:
    host = Host(place)
    host.make().set()
    blocking = BlockingKernel(host.kernel, backend=backend)

    def run() -> None:
        blocking.start()
        blocking.stop()

    if place == "stop":
        run()
    else:
        with pytest.raises(KernelError, match="KeyboardInterrupt"):
            run()
    assert host.states() == ["stopped", "failed"]


@pytest.mark.boundary("tta_kernel.Kernel.__init__.stopping")
@pytest.mark.parametrize("stranger", [s for s in strangers("plain") if s.outcome is not Outcome.STOP], ids=str)
async def test_whatever_stopping_does_all_stops(stranger: Stranger) -> None:
    kernel = Kernel(plugins={"first": First}, stopping=stranger)
    async with kernel:
        pass
    assert kernel.records["first"].state == "stopped"


@pytest.mark.boundary("tta_kernel.Kernel.__init__.abandoned")
@pytest.mark.parametrize("stranger", [s for s in strangers("plain") if s.outcome is not Outcome.STOP], ids=str)
def test_whatever_abandoned_does_the_others_stop(stranger: Stranger) -> None:
    ended = anyio.Event()

    class Stubborn(Plugin[NoConfig]):
        @asynccontextmanager
        async def lifespan(self, ctx: Context) -> AsyncIterator[None]:
            yield
            with anyio.CancelScope(shield=True):
                await ended.wait()

    def abandoned(name: str, stack: str) -> None:
        ended.set()
        stranger(name, stack)

    kernel = Kernel(KernelSettings(stop_timeout=LIMIT), plugins={"x": Stubborn, "first": First}, abandoned=abandoned)

    async def main() -> None:
        async with kernel:
            pass

    # In virtual time: the kernel waits for a second before it calls.
    anyio.run(main, backend="trio", backend_options={"clock": MockClock(autojump_threshold=0)})
    assert [record.state for record in kernel.records.values()] == ["stopped", "failed"]
