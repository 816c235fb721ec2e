"""What happens to plugins from start to stop, and when they fail at any point between."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import anyio
import anyio.lowlevel
import pytest

from tta_kernel import (
    Context,
    Event,
    Kernel,
    KernelError,
    KernelSettings,
    NoConfig,
    NotReady,
    Plugin,
    PluginError,
    PluginSettings,
    Restart,
    Service,
)

Log = list[str]
A, B, C = Service[str]("a"), Service[str]("b"), Service[str]("c")
NEVER = Restart(times=0)


class Ping(Event, frozen=True, tag="test.ping"):
    pass


def make(
    log: Log,
    name: str,
    *,
    provides: tuple[Service[Any], ...] = (),
    requires: tuple[Service[Any], ...] = (),
    start: Callable[[Context], Any] | None = None,
    stop: Callable[[], Any] | None = None,
    **more: Any,
) -> type[Plugin[Any]]:
    async def lifespan(self: Plugin[Any], ctx: Context) -> AsyncIterator[None]:
        log.append(f"{name} starts")
        if start is not None:
            await start(ctx)
        for key in provides:
            ctx.provide(key, name)
        try:
            yield
        finally:
            if stop is not None:
                await stop()
            log.append(f"{name} stopped")

    body = {"provides": provides, "requires": requires, "lifespan": asynccontextmanager(lifespan), **more}
    return type(name, (Plugin,), body)


def settings(*optional: str, start: float = 5.0, stop: float = 5.0) -> KernelSettings:
    plugins = {name: PluginSettings(required=False) for name in optional}
    return KernelSettings(start_timeout=start, stop_timeout=stop, plugins=plugins)


def kernel(wanted: KernelSettings | None = None, /, **plugins: Any) -> Kernel:
    return Kernel(wanted, plugins=plugins)


def states(it: Kernel) -> dict[str, str]:
    return {name: str(record.state) for name, record in it.records.items()}


async def until(condition: Callable[[], bool]) -> None:
    with anyio.fail_after(5):
        while not condition():  # noqa: ASYNC110 - the kernel has no event for it
            await anyio.sleep(0.005)


async def boom(*_: object) -> None:
    raise ValueError("boom")


async def forever(*_: object) -> None:
    await anyio.sleep_forever()


async def never_ready(*_: object) -> None:
    raise NotReady("no network")


def chain(log: Log, **of_b: Any) -> dict[str, Any]:
    return {
        "x": make(log, "x", provides=(A,)),
        "y": make(log, "y", provides=(B,), requires=(A,), **of_b),
        "z": make(log, "z", requires=(B,)),
    }


async def test_plugins_start_in_order_and_stop_in_reverse() -> None:
    log: Log = []
    it = kernel(**chain(log))
    async with it:
        assert states(it) == {"x": "running", "y": "running", "z": "running"}
        assert it.get(B) == "y"
    assert log == ["x starts", "y starts", "z starts", "z stopped", "y stopped", "x stopped"]
    assert set(states(it).values()) == {"stopped"}


async def test_a_surface_starts_last_and_stops_first() -> None:
    log: Log = []
    async with kernel(a=make(log, "a", surface=True), b=make(log, "b")):
        pass
    assert log == ["b starts", "a starts", "a stopped", "b stopped"]


async def test_a_start_that_takes_too_long_is_a_failure() -> None:
    log: Log = []
    with pytest.raises(PluginError, match=r"'y': failed while starting: TimeoutError: took longer than 0.05 s at "):
        async with kernel(settings(start=0.05), **chain(log, start=forever)):
            pytest.fail("it must not run")
    assert log == ["x starts", "y starts", "x stopped"]


async def test_a_plugin_s_own_start_time_counts() -> None:
    with pytest.raises(PluginError, match=r"took longer than 0.02 s"):
        async with kernel(a=make([], "a", start=forever, start_timeout=0.02)):
            pytest.fail("it must not run")


async def test_an_error_at_the_start_stops_those_that_are_half_started() -> None:
    log: Log = []
    a_starts, c_starts = anyio.Event(), anyio.Event()

    async def begin(ctx: Context) -> None:
        a_starts.set()
        await anyio.sleep_forever()

    async def start(ctx: Context) -> None:
        c_starts.set()

    async def later(ctx: Context) -> None:
        await a_starts.wait()
        await c_starts.wait()
        raise ValueError("boom")

    it = kernel(a=make(log, "a", start=begin), b=make(log, "b", start=later), c=make(log, "c", start=start))
    with pytest.raises(PluginError, match=r"plugin 'b': failed while starting: ValueError\('boom'\)") as caught:
        async with it:
            pytest.fail("it must not run")
    assert isinstance(caught.value.__cause__, ValueError)
    assert states(it) == {"a": "stopped", "b": "failed", "c": "stopped"}
    assert it.records["a"].reason == "its start was cancelled"
    assert "c stopped" in log


async def test_a_plugin_that_provides_less_than_it_says_fails() -> None:
    class Poor(Plugin[NoConfig]):
        provides = (A,)

    with pytest.raises(PluginError, match=r"started without providing Service\('a'\)"):
        async with kernel(poor=Poor):
            pytest.fail("it must not run")


async def test_an_optional_plugin_that_fails_takes_its_optional_dependents_along() -> None:
    log: Log = []
    it = kernel(settings("y", "z"), **chain(log, start=boom))
    async with it:
        assert states(it) == {"x": "running", "y": "failed", "z": "failed"}
        assert it.records["z"].reason == "not started, because 'y' failed"
        found = await it.health()
        assert (found["x"].status, found["y"].status) == ("ok", "degraded")
        with pytest.raises(KernelError, match="'y', which provides it, is failed"):
            it.get(B)


async def test_a_required_dependent_of_an_optional_failure_ends_the_kernel() -> None:
    with pytest.raises(PluginError, match=r"'y': failed while starting: ValueError\('boom'\)"):
        async with kernel(settings("y"), **chain([], start=boom)):
            pytest.fail("it must not run")


async def test_a_task_that_crashes_is_restarted() -> None:
    runs: list[int] = []

    async def task() -> None:
        runs.append(1)
        if len(runs) < 2:
            raise ValueError("boom")

    async def start(ctx: Context) -> None:
        ctx.start_soon(task)

    it = kernel(a=make([], "a", start=start))
    async with it:
        await until(lambda: len(runs) == 2)
        assert states(it) == {"a": "running"}


async def test_spent_restarts_stop_dependents_first_and_the_plugin_fails() -> None:
    log: Log = []

    async def start(ctx: Context) -> None:
        ctx.start_soon(boom, restart=NEVER)

    it = kernel(settings("y", "z"), **chain(log, start=start))
    async with it:
        await until(lambda: states(it)["y"] == "failed")
        assert log[-2:] == ["z stopped", "y stopped"]
        assert "task 'boom' crashed 1 times" in it.records["y"].reason
        assert states(it)["x"] == "running"


async def test_a_required_plugin_that_fails_while_running_ends_the_body() -> None:
    log: Log = []

    async def start(ctx: Context) -> None:
        ctx.start_soon(boom, restart=NEVER)

    with pytest.raises(PluginError, match=r"'y': failed while (starting|running): ValueError\('boom'\)"):
        async with kernel(**chain(log, start=start)):
            await anyio.sleep_forever()
    assert log[-3:] == ["z stopped", "y stopped", "x stopped"]


async def test_an_error_in_a_plugin_s_own_task_group_is_its_failure() -> None:
    running = anyio.Event()

    class Own(Plugin[NoConfig]):
        @asynccontextmanager
        async def lifespan(self, ctx: Context) -> AsyncIterator[None]:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self.later)
                yield

        async def later(self) -> None:
            await running.wait()
            raise ValueError("boom")

    it = kernel(own=Own)

    async def run() -> None:
        async with it:
            running.set()
            await anyio.sleep_forever()

    with pytest.raises(PluginError, match=r"'own': failed while running: ValueError\('boom'\)"):
        await run()
    assert states(it) == {"own": "failed"}


async def test_a_lifespan_that_ends_by_itself_is_a_failure() -> None:
    class Ends(Plugin[NoConfig]):
        @asynccontextmanager
        async def lifespan(self, ctx: Context) -> AsyncIterator[None]:
            with anyio.move_on_after(0.02):
                yield

    with pytest.raises(PluginError, match="its lifespan ended by itself"):
        async with kernel(ends=Ends):
            await anyio.sleep_forever()


async def test_an_error_while_stopping_leaves_the_order_and_is_kept() -> None:
    log: Log = []
    it = kernel(**chain(log, stop=boom))
    async with it:
        pass
    assert states(it) == {"x": "stopped", "y": "failed", "z": "stopped"}
    assert it.records["y"].reason.startswith(f"failed while stopping: ValueError('boom') at {__file__}:")
    assert log[-2:] == ["z stopped", "x stopped"]


async def test_a_stop_that_takes_too_long_is_cancelled_and_failed() -> None:
    log: Log = []
    it = kernel(settings(stop=0.1), **chain(log, stop=forever))
    async with it:
        pass
    assert states(it) == {"x": "stopped", "y": "failed", "z": "stopped"}
    assert "its time to stop was over" in it.records["y"].reason


async def test_a_plugin_that_ignores_cancellation_is_named_with_its_stack() -> None:
    told: list[tuple[str, str]] = []
    release = anyio.Event()

    async def stubborn_stop() -> None:
        with anyio.CancelScope(shield=True):
            await release.wait()

    def abandoned(name: str, stack: str) -> None:
        told.append((name, stack))
        release.set()

    plugins = chain([], stop=stubborn_stop)
    it = Kernel(settings(stop=0.05), plugins=plugins, abandoned=abandoned)
    async with it:
        pass
    ((name, stack),) = told
    assert name == "y"
    assert "in stubborn_stop" in stack
    assert states(it)["y"] == "failed"


async def test_a_cancelled_start_stops_the_others_in_order() -> None:
    log: Log = []

    async def start(ctx: Context) -> None:
        scope.cancel()
        await anyio.sleep_forever()

    it = kernel(**chain(log, start=start))
    with anyio.CancelScope() as scope:
        async with it:
            pytest.fail("it must not run")
    assert scope.cancelled_caught
    assert log == ["x starts", "y starts", "x stopped"]
    assert states(it)["y"] == "stopped"
    assert it.records["y"].reason == "its start was cancelled"


async def test_outer_cancellation_still_stops_in_order() -> None:
    log: Log = []

    async def slow() -> None:
        for _ in range(10):
            await anyio.lowlevel.checkpoint()
        log.append("slow")

    with anyio.CancelScope() as scope:
        async with kernel(**chain(log, stop=slow)):
            scope.cancel()
            await anyio.sleep_forever()
    assert log[-4:] == ["z stopped", "slow", "y stopped", "x stopped"]


async def test_an_error_in_the_body_arrives_as_itself() -> None:
    log: Log = []
    with pytest.raises(KeyError, match="mine"):
        async with kernel(**chain(log)):
            raise KeyError("mine")
    assert log[-3:] == ["z stopped", "y stopped", "x stopped"]


async def test_a_group_from_the_body_keeps_its_siblings() -> None:
    with pytest.raises(ExceptionGroup) as caught:
        async with kernel():
            raise ExceptionGroup("two", [ValueError(), KeyError()])
    assert len(caught.value.exceptions) in (1, 2)


async def test_what_is_not_ready_is_tried_again_and_dependents_wait() -> None:
    log: Log = []
    tries: list[int] = []
    go = anyio.Event()

    async def start(ctx: Context) -> None:
        async def handler(event: Ping) -> None: ...

        tries.append(1)
        ctx.on(Ping, handler)
        if not go.is_set():
            raise NotReady("no network")

    it = kernel(settings("y", "z"), **chain(log, start=start))
    async with it:
        assert states(it) == {"x": "running", "y": "waiting", "z": "waiting"}
        assert it.records["y"].reason == "not ready: no network"
        assert it.records["z"].reason == "waits for 'y'"
        go.set()
        await until(lambda: states(it)["z"] == "running")
        assert len(tries) > 1
        assert len(it.events.subscriptions) == 1, "a failed try leaves none behind"


async def test_services_of_a_try_that_was_not_ready_are_withdrawn() -> None:
    tries: list[int] = []

    class Eager(Plugin[NoConfig]):
        provides = (A,)

        @asynccontextmanager
        async def lifespan(self, ctx: Context) -> AsyncIterator[None]:
            ctx.provide(A, "a")
            tries.append(1)
            if len(tries) == 1:
                raise NotReady("not yet")
            yield

    it = kernel(settings("eager"), eager=Eager)
    async with it:
        with pytest.raises(KernelError, match="waiting"):
            it.get(A)
        await until(lambda: states(it)["eager"] == "running")


async def test_who_waits_for_a_plugin_that_fails_in_the_end_fails_all_the_way_up() -> None:
    tries: list[int] = []

    async def start(ctx: Context) -> None:
        tries.append(1)
        raise NotReady("not yet") if len(tries) == 1 else ValueError("boom")

    plugins = {
        "w": make([], "w", provides=(A,), start=start),
        "x": make([], "x", provides=(B,), requires=(A,)),
        "y": make([], "y", provides=(C,), requires=(B,)),
        "z": make([], "z", requires=(C,)),
    }
    it = kernel(settings(*plugins), **plugins)
    async with it:
        await until(lambda: states(it)["w"] == "failed")
        assert set(states(it).values()) == {"failed"}


async def test_what_is_not_ready_may_not_keep_a_required_dependent_waiting() -> None:
    it = kernel(settings("y"), **chain([], start=never_ready))
    with pytest.raises(PluginError, match="'y': failed while starting: no network "):
        async with it:
            pytest.fail("it must not run")
    assert ": no network (it may not wait, because it is required, or something" in it.records["y"].reason


async def test_a_required_plugin_may_not_be_unready() -> None:
    with pytest.raises(PluginError, match="no network"):
        async with kernel(a=make([], "a", start=never_ready)):
            pytest.fail("it must not run")


async def test_a_stop_does_not_wait_for_what_is_not_ready() -> None:
    it = kernel(settings("a"), a=make([], "a", start=never_ready))
    with anyio.fail_after(2):
        async with it:
            assert states(it) == {"a": "waiting"}
    assert states(it) == {"a": "stopped"}


async def test_what_waits_for_another_plugin_is_stopped_when_the_kernel_is() -> None:
    it = kernel(settings("y", "z"), **chain([], start=never_ready))
    async with it:
        assert states(it)["z"] == "waiting"
    assert states(it) == {"x": "stopped", "y": "stopped", "z": "stopped"}
    assert it.records["z"].reason == "never started"


async def test_a_kernel_runs_once() -> None:
    it = kernel()
    async with it:
        pass
    with pytest.raises(KernelError, match="runs once"):
        async with it:
            pass


async def test_two_kernels_run_side_by_side() -> None:
    log: Log = []
    async with kernel(**chain(log)) as one, kernel(**chain(log)) as two:
        assert one.services is not two.services


async def test_serve_runs_until_stop() -> None:
    log: Log = []
    it = kernel(**chain(log))
    async with anyio.create_task_group() as tasks:
        await tasks.start(it.serve)
        assert log[-1] == "z starts"
        it.stop()
    assert log[-1] == "x stopped"


async def test_the_context_gives_only_what_a_plugin_declares() -> None:
    found: list[PluginError] = []

    async def start(ctx: Context) -> None:
        asks: list[Callable[[], object]] = [lambda: ctx.get(A), lambda: ctx.find(A), lambda: ctx.provide(A, "a")]
        for ask in asks:
            with pytest.raises(PluginError) as caught:
                ask()
            found.append(caught.value)

    async with kernel(a=make([], "a", start=start)):
        assert ["`requires`" in str(found[0]), "`after`" in str(found[1]), "`provides`" in str(found[2])] == [True] * 3


def test_the_default_restart_is_what_the_manual_says() -> None:
    assert (Restart().times, Restart().within) == (3, 60.0)


async def test_a_level_may_take_its_time_to_stop_while_those_after_it_keep_a_second_each() -> None:
    keys = [Service[int](f"key-{number}") for number in range(4)]
    took: list[float] = []

    def link(number: int) -> type[Plugin[NoConfig]]:
        class Link(Plugin[NoConfig]):
            requires = (keys[number - 1],) if number else ()
            provides = (keys[number],)

            @asynccontextmanager
            async def lifespan(self, ctx: Context) -> AsyncIterator[None]:
                ctx.provide(keys[number], number)
                yield
                if number == 3:
                    began = anyio.current_time()
                    try:
                        await anyio.sleep(1.4)  # an equal share would be 1.2 s
                    finally:
                        took.append(anyio.current_time() - began)

        return Link

    plugins = {f"link-{number}": link(number) for number in range(4)}
    async with Kernel(KernelSettings(stop_timeout=4.8), plugins=plugins) as kernel:
        pass
    assert [record.state for record in kernel.records.values()] == ["stopped"] * 4
    assert took[0] >= 1.4
