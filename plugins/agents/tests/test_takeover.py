"""What becomes of a call when a process dies, stops, or loses its hold."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from contextlib import AsyncExitStack
from functools import partial
from typing import Any

import anyio
import msgspec
import pytest

from tta_agents import AgentError, AgentId, Reply, StepContext
from tta_agents.testing import Answer, Ask, Echo
from tta_agents.testing.echo import ASK, ECHO, PATIENCE, blocking, calling, error_of, eventually, telling
from tta_agents.testing.processes import Connection, Processes
from tta_kernel.testing import until
from tta_messages import Delivery, QueueStats
from tta_messages.memory import MemoryMessages


async def taken_over(processes: Processes, second: Echo) -> tuple[list[str], Reply | AgentError]:
    """Let the first process die after it told 'ab', and the second go on."""
    connection = Connection(processes.messages)
    caller = await processes.agents()
    first = await processes.agents(messages=connection, visibility="100ms", drain="0s")
    heir = await processes.agents()
    heard: list[str] = []
    result: list[Reply | AgentError] = []
    half, ended = anyio.Event(), anyio.Event()

    async def on_piece(piece: str) -> None:
        heard.append(piece)
        if "".join(heard) == "ab":
            half.set()

    async def call() -> None:
        try:
            result.append(await caller.call(ECHO, ASK, key="k", on_piece=on_piece))
        except AgentError as exc:
            result.append(exc)
        ended.set()

    async with first.serve(Echo(telling("ab", anyio.Event()))) as dead, anyio.create_task_group() as tasks:
        tasks.start_soon(call)
        await half.wait()
        connection.cut = True
        await processes.registry.deregister(dead)
        async with heir.serve(second):
            await ended.wait()
        connection.cut, connection.down = False, True  # What is dead needs no time to say goodbye.
    return heard, result[0]


async def test_who_takes_over_goes_on_where_the_text_was(processes: Processes) -> None:
    heard, result = await taken_over(processes, Echo(telling("abcd")))
    assert heard == ["a", "b", "c", "d"]
    assert isinstance(result, Reply)
    assert result.output["text"] == "abcd"


async def test_who_takes_over_in_other_pieces_is_understood(processes: Processes) -> None:
    async def work(request: Ask, ctx: StepContext) -> Answer:
        await ctx.emit("abc")
        await ctx.emit("d")
        return Answer("abcd")

    heard, _ = await taken_over(processes, Echo(work))
    assert heard == ["a", "b", "c", "d"]


async def test_who_takes_over_without_pieces_gives_the_rest(processes: Processes) -> None:
    async def work(request: Ask, ctx: StepContext) -> Answer:
        return Answer("abcd")

    heard, result = await taken_over(processes, Echo(work))
    assert heard == ["a", "b", "cd"]
    assert isinstance(result, Reply)


async def test_who_takes_over_and_tells_nothing_breaks_the_stream(processes: Processes) -> None:
    heard, result = await taken_over(processes, Echo(telling("")))
    assert heard == ["a", "b"]
    assert isinstance(result, AgentError)
    assert result.code == "stream_broken"


async def test_who_takes_over_and_tells_something_else_breaks_the_stream_and_is_stopped(processes: Processes) -> None:
    ended = anyio.Event()

    async def work(request: Ask, ctx: StepContext) -> Answer:
        try:
            await ctx.emit("xy")
            await anyio.sleep_forever()
        finally:
            ended.set()
        return Answer("xy")

    heard, result = await taken_over(processes, Echo(work))
    await ended.wait()
    assert heard == ["a", "b"]
    assert isinstance(result, AgentError)
    assert (result.code, result.retryable) == ("stream_broken", False)


async def test_an_agent_whose_hold_is_lost_stops(processes: Processes, caplog: pytest.LogCaptureFixture) -> None:
    class Forgetful(Connection):
        async def extend(self, *args: Any) -> bool:
            return False

    ended = anyio.Event()

    async def work(request: Ask, ctx: StepContext) -> Answer:
        if not ended.is_set():
            try:
                await anyio.sleep_forever()
            finally:
                ended.set()
        return Answer("at last")

    caller = await processes.agents()
    server = await processes.agents(messages=Forgetful(processes.messages), visibility="150ms")
    async with server.serve(Echo(work)):
        reply = await caller.call(ECHO, Ask("x"), key="k")
    assert reply.output["text"] == "at last"
    assert "no longer held here" in caplog.text


async def test_an_agent_stops_whose_call_was_forgotten_with_its_person(processes: Processes) -> None:
    begun, ended = anyio.Event(), anyio.Event()

    async def work(request: Ask, ctx: StepContext) -> Answer:
        begun.set()
        try:
            await anyio.sleep_forever()
        finally:
            ended.set()
        return Answer("never")

    async def call() -> None:
        with pytest.raises(AgentError) as caught:
            await caller.call(ECHO, ASK, key="k", owner="ann")
        errors.append(caught.value)

    errors: list[AgentError] = []
    caller, server = await processes.agents(), await processes.agents(visibility="100ms")
    with anyio.fail_after(PATIENCE):
        async with server.serve(Echo(work)):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(call)
                await begun.wait()
                assert await processes.messages.forget("ann") == 1
            assert [(error.code, error.retryable) for error in errors] == [("forgotten", False)]
            await ended.wait()
    assert await processes.replies.get("echo", "k", "ann") is None


async def test_a_long_call_is_held_for_as_long_as_it_takes(processes: Processes) -> None:
    class Counting(Connection):
        extensions = 0

        async def extend(self, delivery: Delivery, seconds: float) -> bool:
            self.extensions += 1
            return await processes.messages.extend(delivery, seconds)

    async def work(request: Ask, ctx: StepContext) -> Answer:
        await until(lambda: connection.extensions == 8)  # twice as long as one hold
        return Answer("done")

    connection = Counting(processes.messages)
    caller, server = await processes.agents(), await processes.agents(messages=connection, visibility="500ms")
    async with server.serve(echo := Echo(work)):
        await caller.call(ECHO, ASK, key="k")
    assert len(echo.requests) == 1


async def test_calls_taken_at_once_under_one_token_are_each_held(processes: Processes) -> None:
    class AsOnRedis(Connection):
        """What one receive has found shares a token there."""

        def __init__(self, messages: MemoryMessages) -> None:
            super().__init__(messages)
            self.tokens: dict[str, str] = {}
            self.extended: Counter[str] = Counter()

        async def receive(self, queue: str, *, done: Sequence[Delivery] = (), **options: Any) -> Sequence[Delivery]:
            found = await processes.messages.receive(queue, done=[self._own(each) for each in done], **options)
            self.tokens |= {each.message.id: each.token for each in found}
            return [msgspec.structs.replace(each, token="shared") for each in found]

        async def ack(self, *deliveries: Delivery) -> Sequence[bool]:
            return await processes.messages.ack(*map(self._own, deliveries))

        async def extend(self, delivery: Delivery, seconds: float) -> bool:
            self.extended[delivery.message.id] += 1
            return await processes.messages.extend(self._own(delivery), seconds)

        def _own(self, delivery: Delivery) -> Delivery:
            return msgspec.structs.replace(delivery, token=self.tokens[delivery.message.id])

    async def work(request: Ask, ctx: StepContext) -> Answer:
        # Twice as long as a hold.
        await until(lambda: min(connection.extended.values(), default=0) >= 8 and len(connection.extended) == 3)
        return Answer(request.text)

    connection = AsOnRedis(processes.messages)
    caller, server = await processes.agents(), await processes.agents(messages=connection, visibility="500ms")
    async with server.serve(echo := Echo(work)), calling(caller, "a", "b", "c") as replies:
        pass
    assert len(replies) == len(echo.requests) == 3


async def test_a_process_that_stops_gives_back_what_it_cannot_end(processes: Processes) -> None:
    never = anyio.Event()
    caller, leaving = await processes.agents(), await processes.agents(drain="10ms")
    third = await processes.agents()
    replies: list[Reply] = []

    async def all_are_answered() -> bool:
        return len(replies) == 4

    async with AsyncExitStack() as stack:
        await stack.enter_async_context(leaving.serve(echo := Echo(telling("", never)), instance="leaving"))
        async with calling(caller, *map(str, range(4))) as replies:
            await echo.begun.wait()
            # Not sooner: it would be quick enough to take all four itself.
            async with third.serve(other := Echo()):
                await stack.aclose()
                await eventually(all_are_answered)
    assert len(other.requests) == 4


@pytest.mark.parametrize(("permanent", "taken"), [(False, 4), (True, 1)])
async def test_a_call_that_nobody_survives_is_given_up_at_once(
    processes: Processes, caplog: pytest.LogCaptureFixture, *, permanent: bool, taken: int
) -> None:
    await processes.announce(AgentId("echo", "one"))
    caller, _ = await processes.agents(poll_interval="10s"), await processes.start()
    attempts: list[int] = []

    async def break_down() -> None:
        while True:
            for delivery in await processes.messages.receive("agents.echo", wait=5):
                attempts.append(delivery.attempt)
                await processes.messages.nack(delivery, permanent=permanent, delay=0)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(break_down)
        error = await error_of(caller)
        tasks.cancel_scope.cancel()
    assert (error.code, error.retryable) == ("given_up", False)
    assert len(attempts) == taken
    assert caplog.messages == [], "an answer that can't be read would be told"


async def test_what_a_caller_that_vanished_would_have_heard_is_gone_with_its_time(processes: Processes) -> None:
    work, free = blocking()
    connection = Connection(processes.messages)
    caller = await processes.agents(messages=connection)

    async def inbox() -> QueueStats:
        found = await processes.messages.stats()
        return max((each for name, each in found.items() if name.startswith("agents.inbox/")), key=lambda it: it.sent)

    async def has_taken_its_last() -> bool:
        return (await inbox()).held == 1

    async def is_gone() -> bool:
        return (await inbox()).expired == 1

    async with (await processes.agents()).serve(echo := Echo(work)):
        try:
            with anyio.move_on_after(0.5):
                async with anyio.create_task_group() as tasks:
                    tasks.start_soon(partial(caller.call, ECHO, ASK, key="k"))
                    await echo.begun.wait()
                    connection.cut = True
                    await eventually(has_taken_its_last)  # that the agent has begun
                    free.set()
            await eventually(is_gone)
            assert (await inbox()).dead == 0
        finally:
            connection.cut, connection.down = False, True  # What is dead needs no time to say goodbye.
