"""A kernel in a task of its own: started here, stopped there, and a crash that cancels nobody of the host."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any

import anyio
import anyio.lowlevel
import pytest

from tta_kernel import (
    ConfigError,
    Context,
    Hooks,
    Kernel,
    KernelError,
    KernelSettings,
    NoConfig,
    Plugin,
    PluginError,
    Problem,
    hookimpl,
)
from tta_kernel.testing import Outcome, Stranger, strangers


class Quiet(Plugin[NoConfig]):
    pass


class Fails(Plugin[NoConfig]):
    @asynccontextmanager
    async def lifespan(self, ctx: Context) -> AsyncIterator[None]:
        raise OSError("no server")
        yield


class Slow(Plugin[NoConfig]):
    """Starts for ever, and says that it does."""

    starting: anyio.Event

    @asynccontextmanager
    async def lifespan(self, ctx: Context) -> AsyncIterator[None]:
        self.starting.set()
        await anyio.sleep_forever()
        yield


def crashing(when: anyio.Event) -> type[Plugin[NoConfig]]:
    class Crashes(Plugin[NoConfig]):
        @asynccontextmanager
        async def lifespan(self, ctx: Context) -> AsyncIterator[None]:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self.crash)
                yield

        async def crash(self) -> None:
            await when.wait()
            raise OSError("lost")

    return Crashes


def slow() -> tuple[Kernel, anyio.Event]:
    starting = anyio.Event()
    kind = type("Slow", (Slow,), {"starting": starting})
    return Kernel(plugins={"a": Quiet, "slow": kind}), starting


async def in_a_task(func: Callable[[], Coroutine[Any, Any, None]]) -> None:
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(func)


async def test_it_starts_in_one_task_and_stops_in_another() -> None:
    kernel = Kernel(plugins={"a": Quiet})
    await in_a_task(kernel.start)
    assert kernel.records["a"].state == "running"
    await in_a_task(kernel.aclose)
    assert kernel.records["a"].state == "stopped"
    assert await kernel.wait_stopped() is None


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 2, 0)], ids=str)
async def test_several_kernels_stop_in_any_order(order: tuple[int, ...]) -> None:
    kernels = [Kernel(plugins={"a": Quiet}) for _ in order]
    for kernel in kernels:
        await kernel.start()
    for number in order:
        await kernels[number].aclose()
        assert kernels[number].records["a"].state == "stopped"


async def test_a_scope_of_the_host_around_its_start_ends_before_the_kernel() -> None:
    kernel = Kernel(plugins={"a": Quiet})
    with anyio.CancelScope() as scope:
        await kernel.start()
        scope.cancel()
        await anyio.lowlevel.checkpoint()
    assert kernel.records["a"].state == "running"
    await kernel.aclose()


async def test_a_crash_cancels_nobody_of_the_host_and_is_told() -> None:
    crash, told = anyio.Event(), list[Exception | None]()
    kernel = Kernel(plugins={"c": crashing(crash)}, on_end=told.append)
    await kernel.start()
    crash.set()
    failure = await kernel.wait_stopped()
    await anyio.lowlevel.checkpoint()
    assert isinstance(failure, PluginError)
    assert "lost" in str(failure)
    assert told == [failure]
    assert kernel.failure is failure
    await kernel.aclose()


async def test_an_end_that_was_wanted_is_told_as_none() -> None:
    told = list[Exception | None]()
    kernel = Kernel(plugins={}, on_end=told.append)
    await kernel.start()
    await kernel.aclose()
    await kernel.aclose()
    assert told == [None]


async def test_async_with_cancels_its_body_raises_and_tells_as_well() -> None:
    crash, told = anyio.Event(), list[Exception | None]()
    kernel = Kernel(plugins={"c": crashing(crash)}, on_end=told.append)

    async def body() -> None:
        async with kernel:
            crash.set()
            await anyio.sleep_forever()

    with pytest.raises(PluginError, match="lost") as caught:
        await body()
    assert told == [caught.value]
    assert await kernel.wait_stopped() is caught.value


async def test_what_a_start_raises_is_raised_there() -> None:
    kernel = Kernel(plugins={"a": Quiet, "f": Fails})
    with pytest.raises(PluginError, match="no server") as caught:
        await kernel.start()
    assert kernel.failure is caught.value
    assert kernel.records["a"].state == "stopped"
    await kernel.aclose()


async def test_what_a_plugin_objects_to_is_raised_by_the_start() -> None:
    class Objects(Plugin[NoConfig]):
        @hookimpl
        def check(self, hooks: Hooks) -> list[Problem]:
            return [Problem("here", "no")]

    kernel = Kernel(plugins={"o": Objects})
    with pytest.raises(ConfigError, match="here: no"):
        await kernel.start()
    assert isinstance(await kernel.wait_stopped(), ConfigError)


async def test_a_cancelled_start_stops_what_had_started() -> None:
    kernel, starting = slow()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(kernel.start)
        await starting.wait()
        tasks.cancel_scope.cancel()
    assert [kernel.records[name].state for name in ("a", "slow")] == ["stopped", "stopped"]
    assert await kernel.wait_stopped() is None


async def test_aclose_ends_a_start_that_still_goes_on() -> None:
    kernel, starting = slow()
    refused = list[str]()

    async def start() -> None:
        try:
            await kernel.start()
        except KernelError as exc:
            refused.append(str(exc))

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(start)
        await starting.wait()
        await kernel.aclose()
    assert refused == ["the kernel was stopped while it started"]
    assert kernel.records["a"].state == "stopped"


async def test_aclose_before_the_start_does_nothing() -> None:
    kernel = Kernel(plugins={"a": Quiet})
    await kernel.aclose()
    await kernel.start()
    assert kernel.records["a"].state == "running"
    await kernel.aclose()


async def test_many_may_close_it_at_once() -> None:
    kernel = Kernel(plugins={"a": Quiet})
    await kernel.start()
    async with anyio.create_task_group() as tasks:
        for _ in range(3):
            tasks.start_soon(kernel.aclose)
    assert kernel.records["a"].state == "stopped"


@pytest.mark.parametrize("when", ["starting", "running", "stopped"])
async def test_it_starts_once(when: str) -> None:
    kernel, starting = slow()
    async with anyio.create_task_group() as tasks:
        if when == "starting":
            tasks.start_soon(kernel.start)
            await starting.wait()
        else:
            kernel = Kernel(plugins={})
            await kernel.start()
        if when == "stopped":
            await kernel.aclose()
        with pytest.raises(KernelError, match="runs once"):
            await kernel.start()
        tasks.cancel_scope.cancel()
    await kernel.aclose()


async def test_aclose_within_a_block_says_what_to_do_instead() -> None:
    async with Kernel(plugins={}) as kernel:
        with pytest.raises(KernelError, match="leave its block"):
            await kernel.aclose()
    await kernel.aclose()


async def test_a_cancelled_aclose_leaves_the_stop_going_on() -> None:
    stopping, release = anyio.Event(), anyio.Event()

    class Lingers(Plugin[NoConfig]):
        @asynccontextmanager
        async def lifespan(self, ctx: Context) -> AsyncIterator[None]:
            yield
            stopping.set()
            await release.wait()

    kernel = Kernel(plugins={"x": Lingers})
    await kernel.start()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(kernel.aclose)
        await stopping.wait()
        tasks.cancel_scope.cancel()
    assert kernel.records["x"].state == "stopping"
    release.set()
    await kernel.aclose()
    assert kernel.records["x"].state == "stopped"


async def test_a_cancelled_start_waits_no_longer_than_a_stop_may_take_for_one_that_ignores_it() -> None:
    starting, release = anyio.Event(), anyio.Event()

    class Stubborn(Plugin[NoConfig]):
        @asynccontextmanager
        async def lifespan(self, ctx: Context) -> AsyncIterator[None]:
            with anyio.CancelScope(shield=True):
                starting.set()
                await release.wait()
            yield

    kernel = Kernel(KernelSettings(stop_timeout=0.05), plugins={"x": Stubborn})
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(kernel.start)
        await starting.wait()
        tasks.cancel_scope.cancel()
    assert kernel.records["x"].state == "starting"
    release.set()
    await kernel.wait_stopped()


async def test_stop_ends_what_start_started() -> None:
    kernel = Kernel(plugins={"a": Quiet})
    await kernel.start()
    kernel.stop()
    await kernel.wait_stopped()
    assert kernel.records["a"].state == "stopped"


@pytest.mark.boundary("tta_kernel.Kernel.__init__.on_end")
@pytest.mark.parametrize("stranger", [s for s in strangers("plain") if s.outcome is not Outcome.STOP], ids=str)
async def test_whatever_on_end_does_the_end_is_told(stranger: Stranger) -> None:
    kernel = Kernel(plugins={"a": Quiet}, on_end=stranger)
    await kernel.start()
    await kernel.aclose()
    assert await kernel.wait_stopped() is None
    assert kernel.records["a"].state == "stopped"


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_an_event_loop_that_ends_first_takes_the_kernel_with_it(backend: str) -> None:
    kernel = Kernel(plugins={"a": Quiet})
    anyio.run(kernel.start, backend=backend)
    assert kernel.records["a"].state != "running"
