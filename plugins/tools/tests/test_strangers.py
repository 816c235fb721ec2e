"""Whatever a tool, a store, or whoever hears of progress does instead of what is due, the call ends, rightly or not."""

from __future__ import annotations

import threading
import time
from typing import Any, cast

import pytest

from tta_kernel.testing.strangers import LIMIT, Outcome, Stranger, strangers
from tta_tools import TOOL_STORE, TOOLS, MemoryToolStore, Reporter, Tool, ToolError, ToolPage, ToolStoreError, guard
from tta_tools.testing import deployment


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


class Odd:
    """A store of which one call is a stranger's."""

    durable = True

    def __init__(self, stranger: Stranger) -> None:
        self._stranger = stranger

    def page(self, prefix: str = "", cursor: str = "", limit: int = 50) -> Any:
        return self._stranger()


@pytest.mark.boundary("tta_tools.ToolStore", "tta_tools.guard.store")
@pytest.mark.parametrize("stranger", strangers("async", returns=ToolPage), ids=str)
async def test_a_store_behind_a_guard_answers_in_time_or_with_an_error(stranger: Stranger) -> None:
    found = guard(cast(Any, Odd(stranger)), limit=LIMIT)
    if stranger.outcome is Outcome.STOP:
        with pytest.raises(BaseException) as caught:  # noqa: PT011 - whichever it is, it is an interrupt
            await found.page()
        assert not isinstance(caught.value, ToolStoreError)
        return
    answer: object = None
    try:
        answer = await found.page()
    except ToolStoreError as exc:
        answer = str(exc)
    assert isinstance(answer, str if stranger.outcome is Outcome.FAILURE else str | ToolPage)


async def ended(function: Any, **declared: Any) -> str:
    """Call a tool, and return the code of what it comes to; then call another one."""

    async def right() -> int:
        return 7

    odd = Tool.of(
        function, name="odd", version="1.0.0", description="Odd.", returns_schema={"type": "string"}, **declared
    )
    async with deployment(odd, Tool.of(right, name="right", version="1.0.0", description="Right.")) as kernel:
        code = ""
        try:
            done = await kernel.get(TOOLS).run("odd", {})
            assert isinstance(done.value, str)
        except ToolError as exc:
            code = exc.code
        assert (await kernel.get(TOOLS).run("right", {})).value == 7
    return code


@pytest.mark.boundary("tta_tools.Tool.__init__.function")
@pytest.mark.parametrize("stranger", strangers("async", returns=str), ids=str)
async def test_whatever_an_async_tool_does_others_are_called(stranger: Stranger) -> None:
    async def odd() -> Any:
        return await stranger()

    if stranger.outcome is Outcome.STOP:
        with pytest.raises(BaseException) as caught:  # noqa: PT011 - whichever it is, it is an interrupt
            await ended(odd, timeout=LIMIT)
        assert not isinstance(caught.value, ToolError)
        return
    code = await ended(odd, timeout=LIMIT)
    if stranger.outcome is Outcome.FAILURE:
        assert code in ("failed", "invalid_result")
    elif stranger.outcome is Outcome.TIME_LIMIT:
        assert code in ("timed_out", "failed")


@pytest.mark.boundary("tta_tools.Tool.__init__.function")
@pytest.mark.parametrize("stranger", strangers("plain", returns=str), ids=str)
async def test_whatever_a_sync_tool_does_it_does_it_elsewhere(stranger: Stranger) -> None:
    def odd() -> Any:
        assert threading.current_thread() is not threading.main_thread()
        return stranger()

    if stranger.outcome is Outcome.STOP:
        with pytest.raises(BaseException) as caught:  # noqa: PT011 - whichever it is, it is an interrupt
            await ended(odd, timeout=5)
        assert not isinstance(caught.value, ToolError)
        return
    code = await ended(odd, timeout=5)
    if stranger.outcome is Outcome.FAILURE:
        assert code in ("failed", "invalid_result")


@pytest.mark.boundary("tta_tools.Tools.run.on_progress", "tta_tools.Tool.call.on_progress")
@pytest.mark.parametrize("stranger", strangers("plain"), ids=str)
async def test_whatever_hears_of_progress_does_the_call_goes_on(stranger: Stranger) -> None:
    async def work(progress: Reporter) -> int:
        progress("half", 0.5)
        return 7

    tool = Tool.of(work, name="work", version="1.0.0", description="Work.")
    async with deployment(tool) as kernel:
        if stranger.outcome is Outcome.STOP:
            with pytest.raises(BaseException) as caught:  # noqa: PT011 - whichever it is, it is an interrupt
                await kernel.get(TOOLS).run("work", {}, on_progress=stranger)
            assert not isinstance(caught.value, ToolError)
        else:
            assert (await kernel.get(TOOLS).run("work", {}, on_progress=stranger)).value == 7


async def test_a_store_that_is_broken_calls_nothing_under_a_key_and_shows_nothing() -> None:
    class Broken(MemoryToolStore):
        async def claim(self, *args: Any, **kwargs: Any) -> Any:
            raise RuntimeError("a secret")

    calls = []

    async def work() -> None:
        calls.append(1)

    tool = Tool.of(work, name="work", version="1.0.0", description="Work.")
    kernel = deployment(tool, without=("tools-memory",), services={TOOL_STORE: Broken(time.time)})
    async with kernel:
        with pytest.raises(ToolError) as caught:
            await kernel.get(TOOLS).run("work", {}, key="k")
        await kernel.get(TOOLS).run("work", {})
    assert (caught.value.code, calls) == ("unavailable", [1])
    assert "secret" not in str(caught.value)
