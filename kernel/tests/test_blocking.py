"""The kernel for programs that are not async."""

from __future__ import annotations

import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio
import pytest

from tta_kernel import BlockingKernel, Context, Kernel, KernelError, KernelSettings, NoConfig, Plugin, Service

KEY = Service[str]("key")


class Provides(Plugin[NoConfig]):
    provides = (KEY,)

    @asynccontextmanager
    async def lifespan(self, ctx: Context) -> AsyncIterator[None]:
        ctx.provide(KEY, "value")
        yield


class Fails(Plugin[NoConfig]):
    @asynccontextmanager
    async def lifespan(self, ctx: Context) -> AsyncIterator[None]:
        raise OSError("no server")
        yield


async def get(kernel: Kernel) -> str:
    return kernel.get(KEY)


@pytest.fixture(params=["asyncio", "trio"])
def blocking(request: pytest.FixtureRequest) -> BlockingKernel:
    return BlockingKernel(Kernel(plugins={"x": Provides}), backend=request.param)


def test_it_starts_calls_and_stops(blocking: BlockingKernel) -> None:
    with blocking:
        assert blocking.call(get, blocking.kernel) == "value"
    assert blocking.kernel.records["x"].state == "stopped"
    with pytest.raises(KernelError, match="not running"):
        blocking.call(get, blocking.kernel)


def test_a_call_that_waits_when_it_stops_is_told_so(blocking: BlockingKernel) -> None:
    waits, raised = threading.Event(), list[BaseException]()

    async def wait() -> None:
        waits.set()
        await anyio.sleep_forever()

    def call() -> None:
        try:
            blocking.call(wait)
        except KernelError as exc:
            raised.append(exc)

    blocking.start()
    caller = threading.Thread(target=call)
    caller.start()
    assert waits.wait(5)
    blocking.stop()
    caller.join(5)
    assert [str(exc) for exc in raised] == ["the kernel stopped before the call was done"]


def test_what_a_call_raises_is_raised(blocking: BlockingKernel) -> None:
    async def fail() -> None:
        raise LookupError("mine")

    with blocking, pytest.raises(LookupError, match="mine"):
        blocking.call(fail)


def test_to_stop_what_was_never_started_does_nothing(blocking: BlockingKernel) -> None:
    blocking.stop()
    with blocking:
        assert blocking.call(get, blocking.kernel) == "value"
    blocking.stop()


def test_it_runs_once(blocking: BlockingKernel) -> None:
    with blocking:
        pass
    with pytest.raises(KernelError, match="runs once"):
        blocking.start()


def test_what_a_start_raises_is_raised() -> None:
    blocking = BlockingKernel(Kernel(plugins={"x": Fails}))
    with pytest.raises(KernelError, match="OSError\\('no server'\\)"):
        blocking.start()
    with pytest.raises(KernelError, match="not running"):
        blocking.call(get, blocking.kernel)


def test_a_plugin_that_ignores_cancellation_is_named_and_may_be_waited_for_again() -> None:
    release = threading.Event()

    class Stubborn(Plugin[NoConfig]):
        @asynccontextmanager
        async def lifespan(self, ctx: Context) -> AsyncIterator[None]:
            yield
            with anyio.CancelScope(shield=True):
                await anyio.to_thread.run_sync(release.wait)

    blocking = BlockingKernel(Kernel(KernelSettings(stop_timeout=0.05), plugins={"stubborn": Stubborn}))
    blocking.start()
    with pytest.raises(KernelError, match=r"still stopping after .*: stubborn ignores cancellation"):
        blocking.stop()
    release.set()
    blocking.stop()
    assert blocking.kernel.records["stubborn"].state == "failed"


async def test_a_kernel_that_is_stopped_before_it_serves_starts_and_stops() -> None:
    kernel = Kernel(plugins={"x": Provides})
    kernel.stop()
    with anyio.fail_after(5):
        await kernel.serve()
    assert kernel.records["x"].state == "stopped"
