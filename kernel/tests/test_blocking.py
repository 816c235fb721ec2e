"""The kernel for programs that are not async."""

from __future__ import annotations

import asyncio
import pickle
import signal
import subprocess
import sys
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from traceback import walk_tb
from typing import Any

import anyio
import anyio.lowlevel
import pytest

from tta_kernel import (
    ConfigError,
    Context,
    Kernel,
    KernelError,
    KernelSettings,
    NoConfig,
    NotReady,
    Plugin,
    PluginError,
    Problem,
    Service,
    correlation_id,
)
from tta_kernel.testing import LIMIT, Outcome, Stranger, strangers
from tta_program import BlockingKernel

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


@pytest.mark.parametrize("how", ["call", "submit", "stream"])
def test_what_a_function_has_returned_is_refused_with_the_way_out(blocking: BlockingKernel, how: str) -> None:
    made = get(blocking.kernel)
    calls = {"call": blocking.call, "submit": blocking.submit, "stream": lambda it: next(blocking.stream(it))}
    with blocking, pytest.raises(TypeError, match=r"not a coroutine: write `call\(f, x\)`, and not `call\(f\(x\)\)`"):
        calls[how](made)  # type: ignore[operator]
    made.close()


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
    with pytest.raises(KernelError, match="OSError: no server"):
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


def test_a_call_takes_keywords(blocking: BlockingKernel) -> None:
    async def join(*parts: str, end: str) -> str:
        return "".join(parts) + end

    with blocking:
        assert blocking.call(join, "a", "b", end="!") == "ab!"


def test_a_call_that_takes_too_long_is_cancelled_and_says_so(blocking: BlockingKernel) -> None:
    cancelled = threading.Event()

    async def wait() -> None:
        try:
            await anyio.sleep_forever()
        finally:
            cancelled.set()

    with blocking:
        with pytest.raises(TimeoutError, match=r"longer than 0\.01 s"):
            blocking.call(wait, timeout=0.01)
        assert cancelled.wait(5)


def test_a_call_ends_in_time_even_where_the_event_loop_is_blocked(blocking: BlockingKernel) -> None:
    blocks, release = threading.Event(), threading.Event()

    async def block() -> None:
        blocks.set()
        release.wait(30)

    with blocking:
        blocking.submit(block)
        assert blocks.wait(5)
        with pytest.raises(TimeoutError):
            blocking.call(get, blocking.kernel, timeout=0.01)
        release.set()
        assert blocking.call(get, blocking.kernel) == "value"


def test_a_time_out_of_what_is_called_is_its_own(blocking: BlockingKernel) -> None:
    async def fail() -> None:
        raise TimeoutError("mine")

    with blocking, pytest.raises(TimeoutError, match="mine"):
        blocking.call(fail, timeout=5)


@pytest.mark.parametrize("timeout", [0, -1, float("nan"), float("inf")])
def test_a_timeout_that_makes_no_sense_is_refused(timeout: float) -> None:
    with BlockingKernel(Kernel(plugins={"x": Provides})) as blocking, pytest.raises(ValueError, match="more than 0"):
        blocking.call(get, blocking.kernel, timeout=timeout)


def test_submit_gives_a_future_and_cancelling_it_cancels_the_call(blocking: BlockingKernel) -> None:
    began, cancelled = threading.Event(), threading.Event()

    async def wait() -> None:
        began.set()
        try:
            await anyio.sleep_forever()
        finally:
            cancelled.set()

    with blocking:
        assert blocking.submit(get, blocking.kernel).result(5) == "value"
        future = blocking.submit(wait)
        assert began.wait(5)
        assert future.cancel()
        assert cancelled.wait(5)


async def count(to: int) -> AsyncIterator[int]:
    for number in range(to):
        await anyio.lowlevel.checkpoint()
        yield number


@asynccontextmanager
async def counting(to: int) -> AsyncIterator[AsyncIterator[int]]:
    # A task group is left in the task that entered it, or not at all.
    async with anyio.create_task_group():
        yield count(to)


@pytest.mark.parametrize("stream", [count, counting])
def test_a_stream_is_iterated(blocking: BlockingKernel, stream: Any) -> None:
    with blocking:
        assert [*blocking.stream(stream, 3)] == [0, 1, 2]


def test_a_reader_that_leaves_ends_the_stream(blocking: BlockingKernel) -> None:
    ended = threading.Event()

    async def endless() -> AsyncIterator[int]:
        try:
            while True:
                yield 1
        finally:
            ended.set()

    with blocking:
        for _ in blocking.stream(endless):
            break
        assert ended.wait(5)


def test_what_a_stream_raises_is_raised_after_its_pieces(blocking: BlockingKernel) -> None:
    async def fails() -> AsyncIterator[int]:
        yield 1
        raise LookupError("mine")

    with blocking:
        stream = blocking.stream(fails)
        assert next(stream) == 1
        with pytest.raises(LookupError, match="mine"):
            next(stream)


def test_a_stream_of_a_kernel_that_does_not_run_says_so() -> None:
    with pytest.raises(KernelError, match="start it first"):
        next(BlockingKernel(Kernel(plugins={})).stream(count, 1))


class Crash(Plugin[NoConfig]):
    """Crashes when it is told to."""

    told: threading.Event

    @asynccontextmanager
    async def lifespan(self, ctx: Context) -> AsyncIterator[None]:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self.crash)
            yield

    async def crash(self) -> None:
        await anyio.to_thread.run_sync(self.told.wait)
        raise OSError("lost")


def test_each_call_after_a_crash_raises_an_exception_of_its_own_and_keeps_nothing() -> None:
    ended = threading.Event()
    told = threading.Event()
    kernel = Kernel(plugins={"x": type("Crash", (Crash,), {"told": told})}, on_end=lambda _: ended.set())
    blocking = BlockingKernel(kernel)
    blocking.start()
    told.set()
    assert ended.wait(5)
    raised = []
    for _ in range(3):
        with pytest.raises(KernelError, match="lost") as caught:
            blocking.call(get, kernel)
        raised.append(caught.value)
    for _ in range(2):
        with pytest.raises(PluginError, match="lost") as stopped:
            blocking.stop()
        raised.append(stopped.value)
    assert len({id(exc) for exc in raised}) == 5
    assert kernel.failure is not None
    assert kernel.failure not in raised
    assert not [frame for frame, _ in walk_tb(kernel.failure.__traceback__) if frame.f_code.co_name == "call"]


def outcomes_of_a_call(blocking: BlockingKernel, stranger: Stranger) -> tuple[Outcome, ...]:
    """Call a stranger, and return what it may have been said to do, given what came of it."""
    try:
        blocking.call(stranger, timeout=LIMIT)
    except TimeoutError:
        return Outcome.TIME_LIMIT, Outcome.NAMED, Outcome.FAILURE
    except Exception:  # noqa: BLE001 - of every kind
        return (Outcome.FAILURE,)
    except (KeyboardInterrupt, BaseExceptionGroup):
        return (Outcome.STOP,)
    # A call has no type that its result must be of.
    return Outcome.HARMLESS, Outcome.NAMED, Outcome.FAILURE


@pytest.mark.parametrize("stranger", strangers(), ids=str)
def test_whatever_is_called_the_next_call_is_answered(stranger: Stranger) -> None:
    with BlockingKernel(Kernel(plugins={"x": Provides})) as blocking:
        assert stranger.outcome in outcomes_of_a_call(blocking, stranger)
        assert blocking.call(get, blocking.kernel, timeout=5) == "value"


def test_the_kernels_own_thread_is_told_that_it_would_wait_for_itself(blocking: BlockingKernel) -> None:
    async def inner() -> None:
        blocking.call(get, blocking.kernel)

    with blocking, pytest.raises(KernelError, match="own thread"):
        blocking.call(inner)


def test_threads_that_stop_it_at_once_all_return(blocking: BlockingKernel) -> None:
    blocking.start()
    threads = [threading.Thread(target=blocking.stop) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(5)
    assert not any(thread.is_alive() for thread in threads)
    assert blocking.kernel.records["x"].state == "stopped"


def test_another_thread_may_stop_a_start() -> None:
    starting = threading.Event()

    class Slow(Plugin[NoConfig]):
        @asynccontextmanager
        async def lifespan(self, ctx: Context) -> AsyncIterator[None]:
            starting.set()
            await anyio.sleep_forever()
            yield

    slow = BlockingKernel(Kernel(plugins={"slow": Slow}))

    def stop() -> None:
        assert starting.wait(5)
        slow.stop()

    stopper = threading.Thread(target=stop)
    stopper.start()
    with pytest.raises(KernelError, match="stopped while it started"):
        slow.start()
    stopper.join(5)
    assert slow.kernel.records["slow"].state == "stopped"


def test_options_reach_the_event_loop() -> None:
    blocking = BlockingKernel(Kernel(plugins={"x": Provides}), backend_options={"debug": True})

    async def debug() -> bool:
        return asyncio.get_running_loop().get_debug()  # noqa: TID251 - what the option sets

    with blocking:
        assert blocking.call(debug)


def test_an_unknown_backend_is_told_by_the_start() -> None:
    with pytest.raises(LookupError, match="nonesuch"):
        BlockingKernel(Kernel(plugins={}), backend="nonesuch").start()


@pytest.mark.parametrize(
    "error",
    [PluginError("x", "is ill", hint="heal it"), ConfigError(Problem("a", "b")), KernelError("odd"), NotReady("yet")],
    ids=lambda error: type(error).__name__,
)
def test_errors_travel_to_other_processes(error: KernelError) -> None:
    copied = pickle.loads(pickle.dumps(error))
    assert type(copied) is type(error)
    assert (str(copied), vars(copied), copied.problems) == (str(error), vars(error), error.problems)


def test_a_call_works_for_what_its_caller_works_for(blocking: BlockingKernel) -> None:
    async def read() -> str:
        return correlation_id.get()

    token = correlation_id.set("turn-7")
    try:
        with blocking:
            assert blocking.call(read) == "turn-7"
    finally:
        correlation_id.reset(token)


PROGRAM = """
import os, signal, sys, threading
from contextlib import asynccontextmanager
import anyio
from tta_kernel import Kernel, KernelError, NoConfig, Plugin
from tta_program import BlockingKernel

def interrupt():
    os.kill(os.getpid(), signal.SIGINT)

class Told(Plugin[NoConfig]):
    @asynccontextmanager
    async def lifespan(self, ctx):
        if WHEN == "start":
            interrupt()
            await anyio.sleep_forever()
        try:
            yield
        finally:
            if WHEN == "stop":
                interrupt()
                await anyio.sleep(0.05)
            print("stopped", flush=True)

async def wait():
    interrupt()
    try:
        await anyio.sleep_forever()
    finally:
        print("cancelled", flush=True)

signal.signal(signal.SIGINT, signal.default_int_handler)
WHEN = sys.argv[1]
blocking = BlockingKernel(Kernel(plugins={"a": Told, **({"b": Told} if WHEN == "start" else {})}), backend=sys.argv[2])
blocking.start()
if WHEN == "call":
    blocking.call(wait)
elif WHEN == "stop":
    blocking.stop()
elif WHEN == "fork":
    child = os.fork()
    if not child:
        for func in (lambda: blocking.call(wait), blocking.stop):
            try:
                func()
            except KernelError as exc:
                print(exc, flush=True)
        sys.exit()
    os.waitpid(child, 0)
"""


def program(*args: str) -> tuple[str, str, int]:
    """Run a program that never leaves the kernel's block."""
    done = subprocess.run([sys.executable, "-c", PROGRAM, *args], capture_output=True, text=True, timeout=30)
    return done.stdout, done.stderr, done.returncode


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
@pytest.mark.parametrize(
    ("when", "told"), [("start", ""), ("call", "cancelled stopped"), ("stop", "stopped")], ids=lambda it: it[:5]
)
def test_an_interrupt_is_raised_and_the_kernel_stops(when: str, told: str, backend: str) -> None:
    out, err, code = program(when, backend)
    assert (" ".join(sorted(out.split())), err.strip().splitlines()[-1]) == (told, "KeyboardInterrupt")
    assert code == -signal.SIGINT


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_a_program_that_ends_stops_the_kernel(backend: str) -> None:
    assert program("end", backend) == ("stopped\n", "", 0)


HAMMER = """
import os, signal, sys, threading
import anyio
from tta_kernel import Kernel
from tta_program import BlockingKernel

async def wait(ended):
    try:
        while True:
            os.kill(os.getpid(), signal.SIGINT)
            await anyio.sleep(1)  # Python loses one that comes while it lets an object go
    finally:
        ended.set()

# So that the call's thread is often anywhere between having begun it and waiting for it.
sys.setswitchinterval(1e-6)
signal.signal(signal.SIGINT, signal.default_int_handler)
with BlockingKernel(Kernel(plugins={}), backend=sys.argv[1]) as blocking:
    for _ in range(150):
        ended = threading.Event()
        try:
            blocking.call(wait, ended)
        except KeyboardInterrupt:
            print(ended.wait(10))
"""


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_an_interrupt_cancels_a_call_wherever_its_thread_is(backend: str) -> None:
    command = [sys.executable, "-c", HAMMER, backend]
    done = subprocess.run(command, capture_output=True, text=True, timeout=50, check=True)
    assert set(done.stdout.split()) == {"True"}


def test_a_forked_child_is_told_so_and_ends() -> None:
    out, err, code = program("fork", "asyncio")
    lines = out.splitlines()
    assert [line.partition(",")[0] for line in lines] == ["this process was forked"] * 2 + ["stopped"]
    assert (err, code) == ("", 0)


def test_whoever_needs_no_thread_does_not_wait_for_asyncio() -> None:
    code = "import sys, tta_program; print('asyncio' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30, check=True)
    assert done.stdout == "False\n"


def test_a_program_that_ends_waits_for_a_plugin_only_as_long_as_a_stop_may_take() -> None:
    code = """
import threading
from contextlib import asynccontextmanager
import anyio, anyio.to_thread
from tta_kernel import Kernel, KernelSettings, NoConfig, Plugin
from tta_program import BlockingKernel

class Stubborn(Plugin[NoConfig]):
    @asynccontextmanager
    async def lifespan(self, ctx):
        yield
        with anyio.CancelScope(shield=True):
            await anyio.sleep_forever()

BlockingKernel(Kernel(KernelSettings(stop_timeout=0.05), plugins={"x": Stubborn})).start()
print("ends", flush=True)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30, check=False)
    assert (done.stdout, done.returncode) == ("ends\n", 0)
