"""A turn that is read: from whichever task, at whatever pace, and for how long."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Any, TypeVar

import anyio
import anyio.lowlevel
import anyio.to_thread
import pytest

from tta_agents import StepContext
from tta_kernel import Kernel
from tta_kernel.testing import published, until
from tta_orchestration import ORCHESTRATION, Orchestration, ReadTimeout
from tta_orchestration.testing import Scene, Teller, telling
from tta_program import BlockingKernel
from tta_safety import About, Channel, Verdict
from tta_sessions import SESSIONS
from tta_workflows import RunFinished

TOLD = ["You said hello. ", "The sea answers."]
R = TypeVar("R")


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def safe(text: str, channel: Channel, about: About) -> Verdict:
    return Verdict("checked", "safe")


async def in_a_task(func: Callable[[], Awaitable[R]]) -> R:
    """Await it in a task of its own."""
    answers: list[R] = []

    async def run() -> None:
        answers.append(await func())

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(run)
    return answers[0]


async def pieces(orchestration: Orchestration, text: str = "hello") -> AsyncIterator[str]:
    """Hand a turn on, as a host's generator does."""
    async with orchestration.stream_user_input(text, "s") as stream:
        async for piece in stream:
            yield piece


async def plays_on(k: Kernel, turn: int) -> None:
    """See that the session is free, and which turn comes next in it."""
    with anyio.fail_after(5):
        response = await k.get(ORCHESTRATION).process_user_input("hello", "s")
    assert response.turn == turn


async def test_a_generator_may_be_advanced_in_other_tasks_than_the_one_that_opened_it() -> None:
    async with telling(safe) as k:
        told = pieces(k.get(ORCHESTRATION))
        assert [await in_a_task(told.__anext__) for _ in TOLD] == TOLD
        with pytest.raises(StopAsyncIteration):
            await anext(told)
        await plays_on(k, 2)


async def test_a_stream_may_be_opened_in_one_task_and_left_in_another() -> None:
    async with telling(safe) as k:
        stack = AsyncExitStack()
        opened = k.get(ORCHESTRATION).stream_user_input("hello", "s")
        stream = await in_a_task(lambda: stack.enter_async_context(opened))
        assert [piece async for piece in stream] == TOLD
        assert stream.response.text == "".join(TOLD)
        await in_a_task(stack.aclose)
        await plays_on(k, 2)


async def kept(k: Kernel) -> str:
    """Wait until a turn is kept, and return what was told in it."""
    sessions = k.get(SESSIONS)
    with anyio.fail_after(5):
        while (session := await sessions.get("s")) is None:
            await anyio.lowlevel.checkpoint()
    return str(session.context["history"][-1]["told"])


async def test_a_half_read_stream_that_another_task_closes_is_a_turn_that_is_kept_whole() -> None:
    async with telling(safe) as k:
        told: Any = pieces(k.get(ORCHESTRATION))
        assert await in_a_task(told.__anext__) == TOLD[0]
        with anyio.fail_after(5):
            await in_a_task(told.aclose)
        assert await kept(k) == "".join(TOLD)
        await plays_on(k, 2)


async def test_a_reader_in_another_task_ends_where_the_stream_is_closed() -> None:
    began, ended = anyio.Event(), anyio.Event()

    class Waits(Teller):
        async def process(self, request: Scene, ctx: StepContext, /) -> Any:
            began.set()
            await anyio.sleep_forever()

    async def read(stream: Any) -> None:
        async for _ in stream:
            pass
        ended.set()

    async with telling(safe, teller=Waits) as k, anyio.create_task_group() as tasks:
        async with k.get(ORCHESTRATION).stream_user_input("hello", "s") as stream:
            tasks.start_soon(read, stream)
            await began.wait()
        with anyio.fail_after(5):
            await ended.wait()


async def test_the_scopes_around_its_opening_do_not_end_the_turn() -> None:
    async with telling(safe) as k, AsyncExitStack() as stack:
        with anyio.CancelScope() as scope:
            stream = await stack.enter_async_context(k.get(ORCHESTRATION).stream_user_input("hello", "s"))
            scope.cancel()
        assert [piece async for piece in stream] == TOLD


async def test_a_reader_that_takes_its_time_takes_none_of_the_agents() -> None:
    async with telling(safe) as k:
        with published(k, RunFinished) as runs:
            async with k.get(ORCHESTRATION).stream_user_input("hello", "s") as stream:
                assert (await runs.next()).status == "done"
                assert await kept(k) == "".join(TOLD)
                assert [piece async for piece in stream] == TOLD
        assert stream.response.kept


async def test_a_reader_that_stops_reading_is_told_and_holds_the_session_no_longer(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with telling(safe, read_timeout=0.05) as k:
        async with k.get(ORCHESTRATION).stream_user_input("hello", "s") as stream:
            assert await anext(aiter(stream)) == TOLD[0]
            await plays_on(k, 2)
            await until(lambda: "stalled" in caplog.text)
            assert [await anext(aiter(stream))] == TOLD[1:]
            with pytest.raises(ReadTimeout, match=r"nothing was read for 0\.05 s"):
                await anext(aiter(stream))
        await plays_on(k, 3)
    assert caplog.text.count("the reader of a turn has stalled") == 1


async def test_a_reader_that_never_read_is_told_where_it_leaves(caplog: pytest.LogCaptureFixture) -> None:
    async with telling(safe, read_timeout=0.05) as k:

        async def never_read() -> None:
            with published(k, RunFinished) as runs:
                async with k.get(ORCHESTRATION).stream_user_input("hello", "s"):
                    await runs.next()
                    await plays_on(k, 2)
                    await until(lambda: "stalled" in caplog.text)

        with pytest.raises(ReadTimeout):
            await never_read()


async def test_a_reader_that_goes_on_in_time_may_take_longer_than_that_for_all() -> None:
    class Many(Teller):
        def pieces(self, scene: Scene) -> list[str]:
            return ["Waves come. "] * 10

    async with telling(safe, teller=Many, read_timeout=0.2) as k:
        async with k.get(ORCHESTRATION).stream_user_input("hello", "s") as stream:
            read = 0
            async for _ in stream:
                read += 1
                await anyio.sleep(0.05)  # what a reader does between pieces: ten of them take longer than its limit
        assert (read, stream.response.kept) == (10, True)


async def test_a_turn_that_ignores_cancellation_keeps_no_reader() -> None:
    release = anyio.Event()

    class Deaf(Teller):
        async def process(self, request: Scene, ctx: StepContext, /) -> Any:
            await ctx.emit("The sea answers. It ")
            with anyio.CancelScope(shield=True):
                await release.wait()

    async with telling(safe, teller=Deaf) as k:
        with anyio.fail_after(5):
            async with k.get(ORCHESTRATION).stream_user_input("hello", "s") as stream:
                await anext(aiter(stream))
        release.set()


async def test_a_stop_waits_for_what_is_told_and_not_for_its_reader() -> None:
    goes_on, began = anyio.Event(), anyio.Event()

    class Waits(Teller):
        async def process(self, request: Scene, ctx: StepContext, /) -> Any:
            began.set()
            await goes_on.wait()
            return await super().process(request, ctx)

    k = telling(safe, teller=Waits)
    await k.start()
    async with k.get(ORCHESTRATION).stream_user_input("hello", "s") as stream:
        await began.wait()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(k.aclose)
            await until(lambda: k.records["orchestration"].state == "stopping")
            goes_on.set()
            assert [piece async for piece in stream] == TOLD
        assert stream.response.kept


async def test_a_stop_leaves_a_reader_that_does_not_read_what_was_told() -> None:
    k = telling(safe)
    await k.start()
    with published(k, RunFinished) as runs:
        async with k.get(ORCHESTRATION).stream_user_input("hello", "s") as stream:
            await runs.next()
            with anyio.fail_after(4):
                await k.aclose()
            assert k.records["orchestration"].state == "stopped"
            assert [await anext(aiter(stream)) for _ in TOLD] == TOLD
            with pytest.raises(StopAsyncIteration):
                await anext(aiter(stream))
            assert stream.response.kept


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_a_thread_that_leaves_a_stream_half_read_can_stop(backend: str) -> None:
    kernel = telling(safe)
    with BlockingKernel(kernel, backend=backend) as blocking:
        told = blocking.stream(kernel.get(ORCHESTRATION).stream_user_input, "hello", "s")
        assert next(told) == TOLD[0]
    assert kernel.records["orchestration"].state == "stopped"
