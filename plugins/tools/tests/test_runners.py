"""Where tools run in this process: in the loop and in threads; whatever one does, it is called once and told."""

from __future__ import annotations

import contextvars
import threading
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import anyio
import anyio.from_thread
import pytest

from tta_kernel.testing import Outcome, Stranger, strangers
from tta_tools import OnProgress, Progress, ToolError
from tta_tools.runners import InThread, Job, in_loop

LIMIT = 0.05
VARIABLE = contextvars.ContextVar("VARIABLE", default="")


@pytest.fixture
def release() -> Iterator[threading.Event]:
    """Let the threads go that a test has left behind."""
    event = threading.Event()
    yield event
    event.set()


def job(call: Callable[[Mapping[str, Any], OnProgress], Any], timeout: float = 5.0, tool: str = "x:1.0.0") -> Job:
    return Job(tool=tool, call=call, timeout=timeout)


def ignore(_: Progress) -> None:
    pass


@pytest.mark.parametrize("stranger", strangers("async", limit=LIMIT), ids=str)
async def test_whatever_an_async_tool_does_is_told_and_not_quoted(stranger: Stranger) -> None:
    if stranger.outcome is Outcome.STOP:
        with pytest.raises((KeyboardInterrupt, BaseExceptionGroup)):
            await in_loop(job(stranger, LIMIT), ignore)
        return
    if stranger.outcome is Outcome.HARMLESS:
        await in_loop(job(stranger, LIMIT), ignore)
        return
    with pytest.raises(ToolError) as caught:
        await in_loop(job(stranger, LIMIT), ignore)
    late = stranger.outcome in (Outcome.TIME_LIMIT, Outcome.NAMED)
    assert caught.value.code == ("timed_out" if late else "failed")
    assert "odd" not in str(caught.value)


@pytest.mark.parametrize("stranger", strangers("plain", limit=LIMIT), ids=str)
async def test_whatever_a_sync_tool_does_is_told_and_not_quoted(stranger: Stranger) -> None:
    in_thread = InThread()
    if stranger.outcome is Outcome.STOP:
        with pytest.raises((KeyboardInterrupt, BaseExceptionGroup)):
            await in_thread(job(stranger, LIMIT), ignore)
        return
    if stranger.outcome is Outcome.HARMLESS:
        await in_thread(job(stranger, LIMIT), ignore)
        return
    with pytest.raises(ToolError) as caught:
        await in_thread(job(stranger, LIMIT), ignore)
    assert caught.value.code == ("timed_out" if stranger.outcome is Outcome.NAMED else "failed")
    assert "odd" not in str(caught.value)


async def test_what_was_raised_is_told_by_class_and_place_also_where_it_is_no_exception() -> None:
    def leaves(arguments: Mapping[str, Any], report: OnProgress) -> None:
        raise SystemExit("secret")

    with pytest.raises(ToolError, match=r"raised SystemExit at .*test_runners\.py:\d+$"):
        await InThread()(job(leaves), ignore)


async def test_a_sync_tool_with_a_limit_is_called_once_and_the_loop_goes_on() -> None:
    calls = []
    here = threading.get_ident()

    def tool(arguments: Mapping[str, Any], report: OnProgress) -> str:
        calls.append(arguments)
        # Only a loop that goes on answers this.
        anyio.from_thread.run_sync(lambda: None, token=loop)
        assert threading.get_ident() != here
        assert threading.current_thread().daemon
        report(Progress("half", 0.5))
        return VARIABLE.get()

    told: list[Progress] = []
    loop = anyio.lowlevel.current_token()
    VARIABLE.set("of the caller")
    assert await InThread()(job(tool), told.append) == "of the caller"
    assert calls == [{}]
    assert told == [Progress("half", 0.5)]


async def test_a_thread_that_outlives_its_limit_is_counted_and_after_three_its_tool_is_refused(
    release: threading.Event,
) -> None:
    def stuck(arguments: Mapping[str, Any], report: OnProgress) -> None:
        release.wait()
        report(Progress("nobody hears this"))

    def quick(arguments: Mapping[str, Any], report: OnProgress) -> int:
        return 3

    told: list[Progress] = []
    in_thread = InThread(places=4, patience=3)
    for _ in range(3):
        with pytest.raises(ToolError, match=r"longer than 0\.01 s"):
            await in_thread(job(stuck, 0.01), told.append)
    assert in_thread.late == {"x:1.0.0": 3}
    with pytest.raises(ToolError, match="3 calls of it don't end") as caught:
        await in_thread(job(stuck, 0.01), ignore)
    assert (caught.value.code, caught.value.retryable) == ("unavailable", True)
    # Others have what is left, and no more.
    assert await in_thread(job(quick, tool="y:1.0.0"), ignore) == 3
    with pytest.raises(ToolError, match="longer"):
        await in_thread(job(stuck, 0.01, tool="z:1.0.0"), ignore)
    with pytest.raises(ToolError, match="all 4 threads"):
        await in_thread(job(quick, tool="y:1.0.0"), ignore)
    release.set()
    with anyio.fail_after(20):
        while in_thread.running:
            await anyio.lowlevel.checkpoint()
    assert await in_thread(job(quick), ignore) == 3
    assert not +in_thread.late
    assert told == []


async def test_whoever_cancels_a_call_leaves_a_thread_that_is_counted(release: threading.Event) -> None:
    in_thread = InThread()
    with anyio.move_on_after(0.01):
        await in_thread(job(lambda *_: release.wait()), ignore)
    assert (in_thread.running, in_thread.late) == (1, {"x:1.0.0": 1})


async def test_what_a_tool_tells_its_caller_is_told_as_it_is() -> None:
    def refuses(arguments: Mapping[str, Any], report: OnProgress) -> None:
        raise ToolError("not_found", "there is no such star")

    async def refuses_too(arguments: Mapping[str, Any], report: OnProgress) -> None:
        refuses(arguments, report)

    for runner, call in ((InThread(), refuses), (in_loop, refuses_too)):
        with pytest.raises(ToolError, match="not_found: there is no such star"):
            await runner(job(call), ignore)
