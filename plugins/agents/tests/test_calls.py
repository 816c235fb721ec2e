from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import anyio
import msgspec
import pytest

from tta_agents import (
    AGENT_REGISTRY,
    AGENTS,
    AgentCalled,
    AgentDeregistered,
    AgentError,
    AgentId,
    AgentRegistered,
    Agents,
    AgentsMemory,
    AgentSpec,
    AgentsPlugin,
    Capability,
    StepContext,
)
from tta_kernel import Context, Kernel, KernelSettings, NoConfig, Plugin, PluginSettings, hookimpl


class Ask(msgspec.Struct, frozen=True):
    text: str
    times: int = 1


class Answer(msgspec.Struct, frozen=True):
    text: str
    parts: tuple[str, ...] = ()


Work = Callable[[Ask, StepContext], Awaitable[Any]]


class Echo:
    """An agent that does what a test says, and counts."""

    def __init__(self, work: Work | None = None, timeout: float = 10.0) -> None:
        self.spec = AgentSpec("echo", "says it again", Ask, Answer, (Capability("echo"),), timeout)
        self.work, self.requests = work, list[Ask]()

    async def process(self, request: Ask, ctx: StepContext, /) -> Any:
        self.requests.append(request)
        await anyio.lowlevel.checkpoint()
        return await self.work(request, ctx) if self.work else Answer(request.text * request.times, (request.text,))


@asynccontextmanager
async def running(**config: Any) -> AsyncIterator[Kernel]:
    settings = KernelSettings(plugins={"agents": PluginSettings(config=config)})
    async with Kernel(settings, plugins={"agents": AgentsPlugin, "agents-memory": AgentsMemory}) as kernel:
        yield kernel


@pytest.fixture
async def kernel() -> AsyncIterator[Kernel]:
    async with running() as kernel:
        yield kernel


@pytest.fixture
def agents(kernel: Kernel) -> Agents:
    return kernel.get(AGENTS)


ECHO = AgentId("echo")


async def code_of(agents: Agents, request: Any, to: AgentId = ECHO) -> AgentError:
    with pytest.raises(AgentError) as caught:
        await agents.call(to, request, key="k")
    return caught.value


async def test_an_answer_comes_as_builtins_and_decodes_to_its_struct(agents: Agents) -> None:
    async with agents.serve(Echo()) as id:
        reply = await agents.call(ECHO, Ask("hi", 2), key="k")
    assert reply.agent == id
    assert reply.output == {"text": "hihi", "parts": ["hi"]}
    assert reply.decode(Answer) == Answer("hihi", ("hi",))


async def test_a_mapping_is_a_request_and_the_agent_sees_its_struct(agents: Agents) -> None:
    echo = Echo()
    async with agents.serve(echo):
        await agents.call(ECHO, {"text": "hi"}, key="k")
    assert echo.requests == [Ask("hi")]


async def test_an_instance_in_the_address_picks_that_agent(agents: Agents) -> None:
    one, two = Echo(), Echo()
    async with agents.serve(one, instance="one"), agents.serve(two, instance="two"):
        for key in "abc":
            await agents.call(AgentId("echo", "two"), Ask("x"), key=key)
    assert (len(one.requests), len(two.requests)) == (0, 3)


async def test_calls_without_an_instance_are_spread(agents: Agents) -> None:
    one, two = Echo(), Echo()
    async with agents.serve(one), agents.serve(two):
        for key in "abcd":
            await agents.call(ECHO, Ask("x"), key=key)
    assert (len(one.requests), len(two.requests)) == (2, 2)


async def test_one_instance_name_is_served_once(agents: Agents) -> None:
    async with agents.serve(Echo(), instance="one"):
        with pytest.raises(ValueError, match="served already"):
            async with agents.serve(Echo(), instance="one"):
                pass


@pytest.mark.parametrize("to", [ECHO, AgentId("echo", "other"), AgentId("nobody")])
async def test_an_address_that_nobody_serves_is_not_served(agents: Agents, to: AgentId) -> None:
    async with agents.serve(Echo(), instance="one"):
        if to == ECHO:
            to = AgentId("echos")
        error = await code_of(agents, Ask("x"), to)
    assert (error.code, error.retryable) == ("not_served", True)


@pytest.mark.parametrize("request_", [{"text": 5}, {"words": "my secret"}, {"text": "x", "times": "my secret"}])
async def test_a_request_that_does_not_fit_is_bad_and_not_repeated(agents: Agents, request_: dict[str, Any]) -> None:
    async with agents.serve(echo := Echo()):
        error = await code_of(agents, request_)
    assert error.code == "bad_request"
    assert "secret" not in str(error)
    assert echo.requests == []


async def test_an_answer_of_another_type_is_bad_output(agents: Agents) -> None:
    async def work(request: Ask, ctx: StepContext) -> Any:
        return {"text": request.text}

    async with agents.serve(Echo(work)):
        error = await code_of(agents, Ask("my secret"))
    assert error.code == "bad_output"
    assert "secret" not in str(error)


async def test_an_answer_with_a_field_of_the_wrong_type_is_bad_output(agents: Agents) -> None:
    async def work(request: Ask, ctx: StepContext) -> Any:
        return msgspec.structs.replace(Answer("x"), text=5)

    async with agents.serve(Echo(work)):
        assert (await code_of(agents, Ask("x"))).code == "bad_output"


async def test_pieces_reach_the_caller_as_they_come(agents: Agents) -> None:
    async def work(request: Ask, ctx: StepContext) -> Answer:
        await ctx.emit("a")
        await ctx.emit("b")
        return Answer("ab")

    heard: list[str] = []

    async def hear(piece: str) -> None:
        heard.append(piece)

    async with agents.serve(Echo(work)):
        await agents.call(ECHO, Ask("x"), key="k", on_piece=hear)
        await agents.call(ECHO, Ask("x"), key="k", on_piece=hear)
    assert heard == ["a", "b", "ab"]  # A kept answer comes in one piece.


async def test_pieces_that_do_not_join_to_the_text_are_bad_output(agents: Agents) -> None:
    async def work(request: Ask, ctx: StepContext) -> Answer:
        await ctx.emit("a")
        return Answer("ab")

    async with agents.serve(Echo(work)):
        assert (await code_of(agents, Ask("x"))).code == "bad_output"


async def test_an_agent_past_its_time_is_a_timeout_that_may_be_tried_again(agents: Agents) -> None:
    async def work(request: Ask, ctx: StepContext) -> Any:
        await anyio.sleep_forever()

    async with agents.serve(Echo(work, timeout=0.01)) as id:
        error = await code_of(agents, Ask("x"))
        assert agents.statistics()[str(id)].timeouts == 1
    assert (error.code, error.retryable) == ("timeout", True)


async def test_an_agent_that_raises_has_failed_without_the_person_s_text(
    agents: Agents, caplog: pytest.LogCaptureFixture
) -> None:
    async def work(request: Ask, ctx: StepContext) -> Any:
        raise ValueError(f"cannot do {request.text}")

    with caplog.at_level(logging.DEBUG):
        async with agents.serve(Echo(work)):
            error = await code_of(agents, Ask("my secret"))
    assert error.code == "failed"
    assert "ValueError" in str(error)
    assert error.__cause__ is None
    assert "secret" not in str(error) + caplog.text


async def test_an_agent_s_own_error_keeps_its_code(agents: Agents) -> None:
    async def work(request: Ask, ctx: StepContext) -> Any:
        raise AgentError("tired", retryable=True)

    async with agents.serve(Echo(work)):
        error = await code_of(agents, Ask("x"))
    assert (error.code, error.retryable) == ("tired", True)


async def test_undo_comes_with_the_reply(agents: Agents) -> None:
    async def work(request: Ask, ctx: StepContext) -> Answer:
        ctx.on_rollback(ECHO, {"text": "undo"})
        return Answer("x")

    async with agents.serve(Echo(work)):
        [undo] = (await agents.call(ECHO, Ask("x"), key="k")).undo
    assert (undo.agent, undo.arguments) == (ECHO, {"text": "undo"})


async def test_a_repeated_key_runs_once_and_another_key_again(agents: Agents) -> None:
    async with agents.serve(echo := Echo()):
        first = await agents.call(ECHO, Ask("x"), key="k")
        second = await agents.call(ECHO, Ask("x"), key="k", attempt=2)
        await agents.call(ECHO, Ask("x"), key="other")
    assert first == second
    assert len(echo.requests) == 2


async def test_callers_at_once_with_one_key_share_one_run(agents: Agents) -> None:
    replies = []

    async def call() -> None:
        replies.append(await agents.call(ECHO, Ask("x"), key="k"))

    async with agents.serve(echo := Echo()), anyio.create_task_group() as tasks:
        for _ in range(5):
            tasks.start_soon(call)
    assert len(echo.requests) == 1
    assert replies == [replies[0]] * 5


async def test_the_next_caller_runs_it_when_the_first_is_cancelled(agents: Agents) -> None:
    replies = []
    begun = anyio.Event()

    async def work(request: Ask, ctx: StepContext) -> Answer:
        if not begun.is_set():
            begun.set()
            await anyio.sleep_forever()
        return Answer("second")

    first = anyio.CancelScope()

    async def one() -> None:
        with first:
            await agents.call(ECHO, Ask("x"), key="k")

    async def two() -> None:
        replies.append((await agents.call(ECHO, Ask("x"), key="k")).output["text"])

    async with agents.serve(echo := Echo(work)), anyio.create_task_group() as tasks:
        tasks.start_soon(one)
        await begun.wait()
        tasks.start_soon(two)
        await anyio.wait_all_tasks_blocked()
        first.cancel()
    assert replies == ["second"]
    assert len(echo.requests) == 2


async def test_no_more_replies_are_kept_than_configured() -> None:
    async with running(replies_kept=2) as kernel:
        agents = kernel.get(AGENTS)
        async with agents.serve(echo := Echo()):
            for key in ("a", "b", "c", "c", "b", "a"):
                await agents.call(ECHO, Ask(key), key=key)
    assert [request.text for request in echo.requests] == ["a", "b", "c", "a"]


async def test_a_reply_past_its_window_is_forgotten() -> None:
    async with running(reply_window="10ms") as kernel:
        agents = kernel.get(AGENTS)
        async with agents.serve(echo := Echo()):
            await agents.call(ECHO, Ask("x"), key="k")
            await anyio.sleep(0.03)
            await agents.call(ECHO, Ask("x"), key="k")
    assert len(echo.requests) == 2


async def test_statistics_count_calls_and_errors_and_are_in_the_snapshot(agents: Agents, kernel: Kernel) -> None:
    from tta_kernel.hookspecs import snapshot

    async with agents.serve(Echo(), instance="one"):
        await agents.call(ECHO, Ask("x"), key="a")
        await code_of(agents, {})
        found = agents.statistics()["echo:one"]
        answer = (await kernel.ask(snapshot))["agents"]
    assert (found.calls, found.errors, found.timeouts, found.running) == (2, 1, 0, 0)
    assert found.mean > 0
    assert isinstance(answer, dict)
    assert answer["echo:one"]["calls"] == 2
    assert agents.statistics() == {}


async def test_an_agent_is_registered_for_as_long_as_it_is_served(agents: Agents, kernel: Kernel) -> None:
    registry = kernel.get(AGENT_REGISTRY)
    with kernel.events.subscribe(AgentRegistered, AgentDeregistered, AgentCalled) as events:
        async with agents.serve(Echo(), instance="one") as id:
            card = await registry.get(id)
            await agents.call(ECHO, Ask("x"), key="k")
        assert await registry.get(id) is None
    assert card is not None
    assert (card.id, card.capabilities) == (AgentId("echo", "one"), (Capability("echo"),))
    seen = [type(event) async for event in events]
    assert seen == [AgentRegistered, AgentCalled, AgentDeregistered]


class _Declares(Plugin[NoConfig]):
    @hookimpl
    def agents(self) -> list[AgentSpec]:
        return [Echo().spec]


class _AlsoDeclares(_Declares):
    pass


async def test_two_plugins_that_declare_one_agent_are_a_problem() -> None:
    plugins: dict[str, type[Plugin[Any]]] = {
        "agents": AgentsPlugin,
        "agents-memory": AgentsMemory,
        "one": _Declares,
        "two": _AlsoDeclares,
    }
    with pytest.raises(Exception, match=r"declares the agent 'echo', and so does"):
        async with Kernel(plugins=plugins):
            pass


async def test_a_plugin_may_serve_from_its_lifespan() -> None:
    class Serves(_Declares):
        requires = (AGENTS,)

        @asynccontextmanager
        async def lifespan(self, ctx: Context) -> AsyncIterator[None]:
            async with ctx.get(AGENTS).serve(Echo()):
                yield

    async with Kernel(plugins={"agents": AgentsPlugin, "agents-memory": AgentsMemory, "echo": Serves}) as kernel:
        reply = await kernel.get(AGENTS).call(ECHO, Ask("x"), key="k")
    assert reply.output["text"] == "x"
