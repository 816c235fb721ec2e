from __future__ import annotations

import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from types import SimpleNamespace
from typing import Any

import anyio
import msgspec
import pytest

from tta_agents import (
    AGENT_REGISTRY,
    AGENT_REPLIES,
    AGENTS,
    AgentCard,
    AgentError,
    AgentId,
    Agents,
    AgentsMemory,
    AgentSpec,
    AgentsPlugin,
    AgentStatusChanged,
    RegistryError,
    Reply,
    StepContext,
)
from tta_agents.memory import MemoryRegistry, MemoryReplies
from tta_agents.pending import PendingCall
from tta_agents.testing import Answer, Ask, Echo
from tta_agents.wire import SIGNALS, Accepted, Answered, Call, Failed, Pieces, Released
from tta_kernel import (
    ConfigError,
    Event,
    Kernel,
    KernelSettings,
    NoConfig,
    Plugin,
    PluginSettings,
    Service,
    hookimpl,
    hookspec,
)
from tta_messages import FAILED, MESSAGES, Failure, Message, MessagesConfig, MessagesError, QueueSettings, QueueStats
from tta_messages.memory import MemoryMessages
from tta_program import LayeredSettings

ECHO, ASK = AgentId("echo"), Ask("x")
TYPES: dict[str, type[msgspec.Struct]] = {Call.TYPE: Call, FAILED: Failure, **SIGNALS}


class Line:
    """What one process has of the shared messages; once it is cut, it hears and says nothing more."""

    def __init__(self, messages: MemoryMessages) -> None:
        self._messages, self.is_cut, self.down, self.deaf = messages, False, False, False
        self.refused = 0

    def __getattr__(self, name: str) -> Any:
        async def call(*args: Any, **kwargs: Any) -> Any:
            if self.deaf and name == "cancel":
                return False
            if self.down:
                self.refused += 1
                raise MessagesError("connection refused")
            result = None if self.is_cut else await getattr(self._messages, name)(*args, **kwargs)
            if self.is_cut:
                await anyio.sleep_forever()
            return result

        return call


@hookspec(timeout=10.0)
async def forget(user: str) -> int:
    """Ask as the sessions do, which may be absent."""
    raise AssertionError


class Forgetting(Plugin[NoConfig]):
    hookspecs = SimpleNamespace(__name__="sessions", forget=forget)  # type: ignore[assignment]  # as good as a module


class World:
    """Processes that share messages, a registry and replies, all in memory."""

    def __init__(self, stack: AsyncExitStack) -> None:
        self._stack = stack
        self.messages = MemoryMessages(MessagesConfig(), TYPES, publish=self._tell)
        self.kernels: list[Kernel] = []
        self.registry, self.replies = MemoryRegistry(), MemoryReplies(100)

    async def process(self, *, messages: Any = None, replies: Any = None, **config: Any) -> Kernel:
        config = {"auto_register": True, "poll_interval": "50ms", **config}
        services: dict[Any, object] = {
            MESSAGES: messages or self.messages,
            AGENT_REGISTRY: self.registry,
            AGENT_REPLIES: replies or self.replies,
        }
        settings = KernelSettings(plugins={"agents": PluginSettings(config=config)})
        kernel = Kernel(settings, plugins={"agents": AgentsPlugin, "sessions": Forgetting}, services=services)
        self.kernels.append(kernel)
        return await self._stack.enter_async_context(kernel)

    def _tell(self, event: Event) -> None:
        self.kernels[-1].events.publish(event)  # One process tells: whoever caused it.

    async def agents(self, **config: Any) -> Agents:
        return (await self.process(**config)).get(AGENTS)

    async def ghost(self, id: AgentId) -> None:
        """Announce an agent of which nobody takes calls."""
        await self.registry.register(AgentCard(id, process="ghost", shared=True))


@pytest.fixture
async def world() -> AsyncIterator[World]:
    with anyio.fail_after(20):
        async with AsyncExitStack() as stack:
            yield World(stack)


def blocking() -> tuple[Callable[[Ask, StepContext], Awaitable[Answer]], anyio.Event]:
    free = anyio.Event()

    async def work(request: Ask, ctx: StepContext) -> Answer:
        await free.wait()
        return Answer(request.text)

    return work, free


async def error_of(agents: Agents, request: Any = ASK, to: AgentId = ECHO, key: str = "k") -> AgentError:
    with pytest.raises(AgentError) as caught:
        await agents.call(to, request, key=key)
    return caught.value


@asynccontextmanager
async def calling(agents: Agents, *texts: str) -> AsyncIterator[list[Reply]]:
    replies: list[Reply] = []

    async def one(text: str) -> None:
        replies.append(await agents.call(ECHO, Ask(text), key=text))

    async with anyio.create_task_group() as tasks:
        for text in texts:
            tasks.start_soon(one, text)
        yield replies


# When a process dies


def telling(pieces: str, then: anyio.Event | None = None) -> Callable[[Ask, StepContext], Awaitable[Answer]]:
    async def work(request: Ask, ctx: StepContext) -> Answer:
        for piece in pieces:
            await ctx.emit(piece)
        if then is not None:
            await then.wait()
        return Answer(pieces)

    return work


async def taken_over(world: World, second: Echo) -> tuple[list[str], Reply | AgentError]:
    """Let the first process die after it told 'ab', and the second go on."""
    line = Line(world.messages)
    caller = await world.agents()
    first = await world.agents(messages=line, visibility="100ms", drain="0s")
    heir = await world.agents()
    heard: list[str] = []
    result: list[Reply | AgentError] = []
    half = anyio.Event()

    async def hear(piece: str) -> None:
        heard.append(piece)
        if "".join(heard) == "ab":
            half.set()

    async def call() -> None:
        try:
            result.append(await caller.call(ECHO, Ask("x"), key="k", on_piece=hear))
        except AgentError as exc:
            result.append(exc)

    async with first.serve(Echo(telling("ab", anyio.Event()))) as dead, anyio.create_task_group() as tasks:
        tasks.start_soon(call)
        await half.wait()
        line.is_cut = True
        await world.registry.deregister(dead)
        async with heir.serve(second):
            while not result:  # noqa: ASYNC110 - the other task's
                await anyio.sleep(0.01)
        line.is_cut, line.down = False, True  # What is dead needs no time to say goodbye.
    return heard, result[0]


async def test_who_takes_over_goes_on_where_the_text_was(world: World) -> None:
    heard, result = await taken_over(world, Echo(telling("abcd")))
    assert heard == ["a", "b", "c", "d"]
    assert isinstance(result, Reply)
    assert result.output["text"] == "abcd"


async def test_who_takes_over_in_other_pieces_is_understood(world: World) -> None:
    async def work(request: Ask, ctx: StepContext) -> Answer:
        await ctx.emit("abc")
        await ctx.emit("d")
        return Answer("abcd")

    heard, _ = await taken_over(world, Echo(work))
    assert heard == ["a", "b", "c", "d"]


async def test_who_takes_over_without_pieces_gives_the_rest(world: World) -> None:
    heard, _ = await taken_over(world, Echo(lambda request, ctx: telling("")(request, ctx)))
    assert heard == ["a", "b"]

    async def work(request: Ask, ctx: StepContext) -> Answer:
        return Answer("abcd")

    async with AsyncExitStack() as stack:
        heard, result = await taken_over(World(stack), Echo(work))
    assert heard == ["a", "b", "cd"]
    assert isinstance(result, Reply)


async def test_who_takes_over_and_tells_something_else_breaks_the_stream_and_is_stopped(world: World) -> None:
    ended = anyio.Event()

    async def work(request: Ask, ctx: StepContext) -> Answer:
        try:
            await ctx.emit("xy")
            await anyio.sleep_forever()
        finally:
            ended.set()
        return Answer("xy")

    heard, result = await taken_over(world, Echo(work))
    await ended.wait()
    assert heard == ["a", "b"]
    assert isinstance(result, AgentError)
    assert (result.code, result.retryable) == ("stream_broken", False)


async def test_an_agent_whose_hold_is_lost_stops(world: World, caplog: pytest.LogCaptureFixture) -> None:
    class Forgetful(Line):
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

    caller = await world.agents()
    server = await world.agents(messages=Forgetful(world.messages), visibility="150ms")
    async with server.serve(Echo(work)):
        reply = await caller.call(ECHO, Ask("x"), key="k")
    assert reply.output["text"] == "at last"
    assert "no longer held here" in caplog.text


async def test_a_long_call_is_held_for_as_long_as_it_takes(world: World) -> None:
    async def work(request: Ask, ctx: StepContext) -> Answer:
        await anyio.sleep(0.4)
        return Answer("done")

    caller, server = await world.agents(), await world.agents(visibility="100ms")
    async with server.serve(echo := Echo(work)), (await world.agents()).serve(other := Echo(work)):
        await caller.call(ECHO, Ask("x"), key="k")
    assert len(echo.requests) + len(other.requests) == 1


async def test_a_process_that_stops_gives_back_what_it_cannot_end(world: World) -> None:
    never = anyio.Event()
    caller, leaving = await world.agents(), await world.agents(drain="10ms")
    async with (await world.agents()).serve(other := Echo()), AsyncExitStack() as stack:
        await stack.enter_async_context(leaving.serve(echo := Echo(telling("", never)), instance="leaving"))
        async with calling(caller, *map(str, range(4))) as replies:
            await echo.begun.wait()
            await stack.aclose()
    assert len(replies) == 4
    assert len(other.requests) == 4


@pytest.mark.parametrize(("permanent", "taken"), [(False, 4), (True, 1)])
async def test_a_call_that_nobody_survives_is_given_up_at_once(
    world: World, caplog: pytest.LogCaptureFixture, *, permanent: bool, taken: int
) -> None:
    await world.ghost(AgentId("echo", "one"))
    caller, _ = await world.agents(poll_interval="10s"), await world.process()
    attempts: list[int] = []

    async def break_down() -> None:
        while True:
            for delivery in await world.messages.receive("agents.echo", wait=5):
                attempts.append(delivery.attempt)
                await world.messages.nack(delivery, permanent=permanent, delay=0)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(break_down)
        error = await error_of(caller)
        tasks.cancel_scope.cancel()
    assert (error.code, error.retryable) == ("given_up", False)
    assert len(attempts) == taken
    assert caplog.messages == [], "an answer that can't be read would be told"


# Waiting


async def test_no_more_calls_run_at_once_than_configured(world: World) -> None:
    work, free = blocking()
    caller, server = await world.agents(), await world.agents(concurrency=1)
    async with server.serve(echo := Echo(work)), calling(caller, "a", "b", "c") as replies:
        await echo.begun.wait()
        await anyio.sleep(0.05)
        assert len(echo.requests) == 1
        free.set()
    assert len(replies) == 3


async def test_a_call_that_is_cancelled_before_anybody_took_it_is_withdrawn(world: World) -> None:
    work, free = blocking()
    caller, server = await world.agents(), await world.agents(concurrency=1)
    async with server.serve(echo := Echo(work)), calling(caller, "first") as replies:
        await echo.begun.wait()
        with anyio.move_on_after(0.1):
            await caller.call(ECHO, Ask("second"), key="second")
        stats = (await world.messages.stats("agents.echo"))["agents.echo"]
        assert sum(stats.waiting.values()) == 0
        free.set()
    assert [request.text for request in echo.requests] == ["first"]
    assert len(replies) == 1


async def test_a_call_past_its_time_in_the_queue_is_never_executed(world: World) -> None:
    work, free = blocking()
    line = Line(world.messages)
    caller, server = await world.agents(messages=line), await world.agents(concurrency=1)
    async with server.serve(echo := Echo(work)), calling(await world.agents(), "first"):
        await echo.begun.wait()
        with anyio.move_on_after(0.05):
            line.deaf = True  # So that it can't withdraw.
            await caller.call(ECHO, Ask("second"), key="second")
        await anyio.sleep(0.1)
        free.set()
    assert [request.text for request in echo.requests] == ["first"]


async def test_a_call_that_nobody_took_in_its_time_is_no_dead_letter(world: World) -> None:
    work, free = blocking()
    caller, server = await world.agents(), await world.agents(concurrency=1)
    async with server.serve(echo := Echo(work)), calling(caller, "first"):
        await echo.begun.wait()
        with anyio.move_on_after(0.1) as patience:
            await caller.call(ECHO, Ask("second"), key="second")
        stats = (await world.messages.stats("agents.echo"))["agents.echo"]
        free.set()
    assert patience.cancelled_caught
    assert stats.dead == sum(stats.waiting.values()) == 0


async def test_a_call_is_taken_by_a_process_whose_clock_is_an_hour_ahead(world: World) -> None:
    world.messages = MemoryMessages(MessagesConfig(), TYPES, clock=lambda: time.time() - 3600)
    caller, server = await world.agents(), await world.agents()
    async with server.serve(Echo()):
        with anyio.fail_after(5):
            reply = await caller.call(ECHO, ASK, key="k")
    assert reply.decode(Answer).text == "x"


async def test_who_stops_leaves_the_queue_of_a_name_to_the_other_process_that_has_it_by_now(world: World) -> None:
    older, newer = await world.agents(queue={"retries": 7}), await world.agents(queue={"retries": 7})
    async with AsyncExitStack() as stack:
        async with older.serve(Echo(), instance="one"):
            await stack.enter_async_context(newer.serve(Echo(), instance="one"))
            await anyio.wait_all_tasks_blocked()
        assert (await world.messages.settings("agents.echo/one")).retries == 7
    assert (await world.messages.settings("agents.echo/one")).retries != 7


async def test_many_instances_leave_a_registry_that_is_away_as_soon_as_one(world: World) -> None:
    class Away(MemoryRegistry):
        async def deregister(self, id: AgentId, process: str = "") -> bool:
            await anyio.sleep_forever()
            raise AssertionError

    world.registry = Away()
    agents = await world.agents(agents={"echo": {"instances": [{"name": f"{number}"} for number in range(20)]}})
    with anyio.fail_after(10):
        async with agents.serve(Echo()):
            pass


async def test_a_full_queue_is_overloaded(world: World) -> None:
    work, free = blocking()
    caller, server = await world.agents(), await world.agents(concurrency=1, queue={"max_length": 1})
    async with server.serve(echo := Echo(work)), calling(caller, "first"):
        await echo.begun.wait()
        error = await error_of(caller)
        free.set()
    assert (error.code, error.retryable) == ("overloaded", True)


async def test_a_call_without_a_deadline_ends_at_the_limit(world: World) -> None:
    await world.ghost(AgentId("echo", "one"))
    caller = await world.agents(call_limit="50ms")
    with anyio.CancelScope(shield=True):  # from the deadline of the fixture
        error = await error_of(caller)
    assert (error.code, error.retryable) == ("timeout", True)


async def test_a_call_of_another_deployment_s_agent_ends_at_its_declared_time(world: World) -> None:
    await world.ghost(AgentId("echo", "one"))
    caller = await world.agents(remote={"echo": {"timeout": "50ms"}})
    error = await error_of(caller)
    assert (error.code, error.retryable) == ("timeout", True)
    with anyio.move_on_after(0.01) as scope:  # The caller's deadline is its own still.
        await caller.call(ECHO, ASK, key="k")
    assert scope.cancelled_caught


def test_a_type_that_no_queue_can_be_named_after_is_no_remote_agent() -> None:
    settings = KernelSettings(plugins={"agents": PluginSettings(config={"remote": {"a/b": {}}})})
    with pytest.raises(ConfigError, match=r"plugins.agents.config.remote.a/b: nobody can serve it"):
        Kernel(settings, plugins={"agents": AgentsPlugin, "agents-memory": AgentsMemory}).check()


def problems(**config: Any) -> str:
    settings = LayeredSettings(plugins={"agents": PluginSettings(config=config)})
    with pytest.raises(ConfigError) as caught:
        Kernel(settings, plugins={"agents": AgentsPlugin, "agents-memory": AgentsMemory}).check()
    return str(caught.value)


def test_a_plugin_that_cannot_say_which_agents_it_serves_is_a_problem_of_its_own() -> None:
    class Torn(Plugin[NoConfig]):
        @hookimpl
        def agents(self) -> Sequence[AgentSpec]:
            raise OSError("a person's secret")

    class Away(Plugin[NoConfig]):
        requires = (Service("nobody's"),)

        @hookimpl
        def agents(self) -> Sequence[AgentSpec]:
            return []

    plugins = {"agents": AgentsPlugin, "agents-memory": AgentsMemory, "torn": Torn, "away": Away}
    settings = KernelSettings(plugins={"away": PluginSettings(required=False)})
    with pytest.raises(ConfigError) as caught:
        Kernel(settings, plugins=plugins).check()
    assert str(caught.value) == "plugin 'torn': its hook agents raised OSError"


def test_names_of_instances_that_could_not_be_served_are_found_before_anything_starts() -> None:
    odd = {"echo": {"instances": [{"name": "b\u00f6 se"}]}}
    assert "no queue can be named after echo:b\u00f6 se" in problems(auto_register=True, agents=odd)
    assert "two instances have one name: a" in problems(agents={"echo": {"instances": [{"name": "a"}, {"name": "a"}]}})
    assert "instances.0.name" in problems(agents={"echo": {"instances": [{"name": ""}]}})


@pytest.mark.parametrize("time", [0, float("inf"), 1e18])
@pytest.mark.parametrize("key", ["visibility", "call_limit", "poll_interval"])
def test_times_that_would_never_end_or_never_pause_are_refused(key: str, time: float) -> None:
    assert key in problems(**{key: time})


async def test_a_call_for_an_agent_that_vanishes_is_not_served_and_withdrawn(world: World) -> None:
    one = AgentId("echo", "one")
    await world.ghost(one)
    caller = await world.agents()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(world.registry.deregister, one)
        error = await error_of(caller, to=one)
    assert (error.code, error.retryable) == ("not_served", True)
    stats = await world.messages.stats("agents.echo/one")
    assert sum(stats["agents.echo/one"].waiting.values()) == 0


async def test_what_is_done_is_acknowledged_soon_though_nobody_calls_again(world: World) -> None:
    caller = await world.agents()

    async def acknowledged() -> bool:
        stats = (await world.messages.stats("agents.echo"))["agents.echo"]
        return (stats.held, stats.acknowledged) == (0, 3)

    async with (await world.agents()).serve(Echo()):
        for key in "abc":
            await caller.call(ECHO, Ask("x"), key=key)
        await until(acknowledged)


async def test_processes_that_have_stopped_leave_the_queue_that_all_share_and_settings_for_what_comes_late() -> None:
    with anyio.fail_after(20):
        async with AsyncExitStack() as stack:
            world = World(stack)
            serving, calling = await world.agents(), await world.agents()
            async with serving.serve(Echo()):
                await calling.call(ECHO, ASK, key="k")
                assert len(await world.messages.stats()) == 4
        left = await world.messages.stats()
        assert [name for name, each in left.items() if each.sent] == ["agents.echo"]
        inboxes = [name for name in left if name != "agents.echo"]
        assert len(inboxes) == 2
        for name in inboxes:
            settings = await world.messages.settings(name)
            assert (settings.ttl, settings.dead_limit) == (600.0, 0)


async def test_what_a_caller_that_has_vanished_would_have_heard_is_gone_with_the_time_it_had(world: World) -> None:
    work, free = blocking()
    line = Line(world.messages)
    caller = await world.agents(messages=line)

    async def inbox() -> QueueStats:
        found = await world.messages.stats()
        return max((each for name, each in found.items() if name.startswith("agents.replies/")), key=lambda it: it.sent)

    async def has_taken_its_last() -> bool:
        return (await inbox()).held == 1

    async def is_gone() -> bool:
        return (await inbox()).expired == 1

    async with (await world.agents()).serve(echo := Echo(work)):
        try:
            with anyio.move_on_after(0.5):
                async with anyio.create_task_group() as tasks:
                    tasks.start_soon(partial(caller.call, ECHO, ASK, key="k"))
                    await echo.begun.wait()
                    line.is_cut = True
                    await until(has_taken_its_last)  # that the agent has begun
                    free.set()
            await until(is_gone)
            assert (await inbox()).dead == 0
        finally:
            line.is_cut, line.down = False, True  # What is dead needs no time to say goodbye.


async def test_queues_that_ended_because_nothing_happened_are_configured_again(world: World) -> None:
    wanted = QueueSettings(ttl=0.02, dead_ttl=3600.0)
    async with (await world.agents(queue={"ttl": "20ms"})).serve(Echo(), instance="one"):

        async def as_wanted() -> bool:
            await world.messages.send(
                Message.to("agents.echo", Call.TYPE, Call("k", msgspec.Raw(b"\xc0"), 0))
            )  # wake it
            return await world.messages.settings("agents.echo") == wanted

        await until(as_wanted)
        await world.messages.configure("agents.echo", QueueSettings())
        await until(as_wanted)


async def test_what_is_done_is_acknowledged_before_its_process_has_stopped(world: World) -> None:
    caller = await world.agents()
    async with (await world.agents()).serve(Echo()):
        await caller.call(ECHO, Ask("x"), key="k")
    assert (await world.messages.stats("agents.echo"))["agents.echo"].acknowledged == 1


async def until(condition: Callable[[], Awaitable[bool]]) -> None:
    while not await condition():  # noqa: ASYNC110 - another task's
        await anyio.sleep(0.01)


async def test_queues_of_calls_keep_what_died_for_an_hour_unless_they_are_told_otherwise(world: World) -> None:
    line = Line(world.messages)
    server = await world.agents(messages=line, agents={"b": {"queue": {"dead_ttl": "5s", "max_length": 7}}})
    wanted = {"agents.a": 3600.0, "agents.a/1": 300.0, "agents.b": 5.0, "agents.b/1": 5.0}

    async def as_wanted() -> bool:
        return {name: (await world.messages.settings(name)).dead_ttl for name in wanted} == wanted

    async with server.serve(Echo(type="a"), instance="1"), server.serve(Echo(type="b"), instance="1"):
        await until(as_wanted)
        assert await world.messages.settings("agents.a") == QueueSettings(dead_ttl=3600.0)
        assert await world.messages.settings("agents.b") == QueueSettings(dead_ttl=5.0, max_length=7)

        await world.messages.configure("agents.a", QueueSettings())  # as if a store had lost everything
        line.down = True
        await world.messages.send(Message.to("agents.a", Call.TYPE, Call("k", msgspec.Raw(b"\xc0"), 0)))  # to wake it
        while not line.refused:  # noqa: ASYNC110 - another task's
            await anyio.sleep(0.01)
        line.down = False
        await until(as_wanted)


# What can't be


@pytest.mark.parametrize("stream", [False, True])
async def test_an_answer_or_piece_that_cannot_be_sent_is_an_error(world: World, *, stream: bool) -> None:
    world.messages = MemoryMessages(MessagesConfig(max_size=2000), TYPES)

    async def hear(piece: str) -> None:
        pass

    async def work(request: Ask, ctx: StepContext) -> Answer:
        if stream:
            await ctx.emit("x" * 3000)
        return Answer("x" * 3000)

    caller = await world.agents()
    async with (await world.agents()).serve(Echo(work)):
        with pytest.raises(AgentError) as caught:
            await caller.call(ECHO, Ask("x"), key="k", on_piece=hear if stream else None)
    assert caught.value.code == "too_large"


async def test_a_request_that_is_too_large_is_refused(world: World) -> None:
    world.messages = MemoryMessages(MessagesConfig(max_size=2000), TYPES)
    caller = await world.agents()
    async with (await world.agents()).serve(echo := Echo()):
        error = await error_of(caller, Ask("secret" * 1000))
    assert (error.code, error.retryable) == ("too_large", False)
    assert "secret" not in str(error)
    assert echo.requests == []


class Anything(msgspec.Struct):
    """What a message of another release may hold."""


async def test_what_is_no_call_is_answered_or_dead_and_does_no_harm(world: World) -> None:
    world.messages = MemoryMessages(MessagesConfig(), {**TYPES, Call.TYPE: Anything, "other": Anything})
    caller = await world.agents()
    async with (await world.agents()).serve(Echo()):
        await world.messages.send(
            Message.to("agents.echo", Call.TYPE, {"no": "call"}, id="1"),
            Message.to("agents.echo", "other", {}, id="2"),
            Message.to("agents.echo", Call.TYPE, {"key": 5}, id="3", reply_to="agents.replies/me"),
        )
        await caller.call(ECHO, Ask("x"), key="k")
        signals: list[Any] = []
        while not any(isinstance(signal, Failed) for signal in signals):
            for delivery in await world.messages.receive("agents.replies/me", limit=10, wait=5):
                signals.append(delivery.message.decode(SIGNALS[delivery.message.type]))  # noqa: PERF401
    assert [type(signal) for signal in signals] == [Failed]
    assert [letter.id for letter in await world.messages.dead("agents.echo")] == ["1", "2"]


async def test_messages_that_are_away_are_unavailable_and_back_again(world: World) -> None:
    line = Line(world.messages)
    caller = await world.agents(messages=line)
    served = Line(world.messages)
    async with (await world.agents(messages=served)).serve(Echo()):
        await caller.call(ECHO, Ask("x"), key="before")
        line.down = served.down = True
        error = await error_of(caller)
        line.down = served.down = False
        await caller.call(ECHO, Ask("x"), key="after")
    assert (error.code, error.retryable) == ("unavailable", True)


async def test_a_registry_that_is_away_is_unavailable(world: World) -> None:
    class Away(MemoryRegistry):
        async def list(self, type: str | None = None) -> Any:
            raise RegistryError("connection refused")

    world.registry = Away()
    error = await error_of(await world.agents())
    assert (error.code, error.retryable) == ("unavailable", True)


async def test_replies_that_are_away_do_not_keep_an_agent_from_answering(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    class Away:
        async def get(self, type: str, key: str, owner: str = "") -> Reply | None:
            raise RegistryError("connection refused")

        async def put(self, type: str, key: str, reply: Reply, ttl: float, owner: str = "") -> Reply:
            raise RegistryError("connection refused")

    caller = await world.agents()
    async with (await world.agents(replies=Away())).serve(echo := Echo()):
        for key in ("a", "b", "a"):
            await caller.call(ECHO, Ask("x"), key=key)
    assert len(echo.requests) == 2
    assert caplog.text.count("their store doesn't keep them") == 1


async def test_a_reply_is_kept_for_its_person_and_only_where_it_can_be_forgotten(world: World) -> None:
    caller, server = await world.agents(), await world.process()
    async with server.get(AGENTS).serve(echo := Echo()):
        for owner in ("ann", "bob", "ann"):
            await caller.call(ECHO, Ask("x"), key="k", owner=owner)
        assert len(echo.requests) == 2
        assert await world.replies.forget("ann") == 1
        assert (await server.ask(forget, "ann"))["agents"] == 0
        await caller.call(ECHO, Ask("x"), key="k", owner="ann")
    assert len(echo.requests) == 3


async def test_a_reply_that_only_its_process_has_is_forgotten_there(world: World) -> None:
    class Away(MemoryReplies):
        async def put(self, type: str, key: str, reply: Reply, ttl: float, owner: str = "") -> Reply:
            raise RegistryError("it is too large")

    caller, server = await world.agents(), await world.process(replies=Away(0))
    async with server.get(AGENTS).serve(echo := Echo()):
        for _ in range(2):
            await caller.call(ECHO, Ask("x"), key="k", owner="ann")
        assert (await server.ask(forget, "ann"))["agents"] == 1
        await caller.call(ECHO, Ask("x"), key="k", owner="ann")
    assert len(echo.requests) == 2


# Who is announced


@pytest.mark.parametrize("config", [{"auto_register": False}, {"agents": {"echo": {"auto_register": False}}}])
async def test_an_agent_that_is_not_announced_serves_its_own_process_only(world: World, config: dict[str, Any]) -> None:
    caller, server = await world.agents(), await world.agents(**config)
    async with server.serve(Echo()) as id:
        card = await world.registry.get(id)
        await server.call(ECHO, Ask("x"), key="k")
        assert (await error_of(caller)).code == "not_served"
    assert card is not None
    assert not card.shared


async def test_an_agent_is_served_under_every_configured_name_with_its_wishes(world: World) -> None:
    instances = [{"name": "one", "resources": {"gpu": 1}}, {"name": "two"}]
    server = await world.agents(agents={"echo": {"instances": instances, "concurrency": 3}})
    caller = await world.agents()
    async with server.serve(Echo()) as first, server.serve(Echo()) as second:
        cards = {card.id.instance: card for card in await world.registry.list("echo")}
        for name in ("one", "two"):
            reply = await caller.call(AgentId("echo", name), Ask("x"), key=name)
            assert reply.agent.instance == name
    assert first.instance == "one"
    assert second.instance not in (None, "one", "two")
    assert cards["one"].resources == {"gpu": 1}
    assert cards["two"].limit == 3
    assert list(await world.registry.list()) == []


async def test_a_name_that_no_queue_can_have_is_refused_where_it_is_announced(world: World) -> None:
    with pytest.raises(ValueError, match="no queue can be named"):
        async with (await world.agents()).serve(Echo(), instance="a/b"):
            pass
    assert list(await world.registry.list()) == []
    async with (await world.agents(auto_register=False)).serve(Echo(), instance="a/b"):
        pass


async def test_without_messages_nobody_is_announced_and_that_is_said(caplog: pytest.LogCaptureFixture) -> None:
    settings = KernelSettings(plugins={"agents": PluginSettings(config={"auto_register": True})})
    registry = MemoryRegistry()
    kernel = Kernel(settings, plugins={"agents": AgentsPlugin}, services={AGENT_REGISTRY: registry})
    async with kernel, kernel.get(AGENTS).serve(Echo()) as id:
        card = await registry.get(id)
    assert card is not None
    assert not card.shared
    assert "nothing provides messages" in caplog.text


# How an agent does


async def test_an_agent_that_fails_again_and_again_is_degraded_until_it_succeeds(world: World) -> None:
    async def work(request: Ask, ctx: StepContext) -> Answer:
        if request.text == "bad":
            raise ValueError
        return Answer("good")

    kernel = await world.process(degraded_after=2)
    agents = kernel.get(AGENTS)
    with kernel.events.subscribe(AgentStatusChanged) as events:
        async with agents.serve(Echo(work)) as id:
            for n, text in enumerate(["bad", "good", "bad", "bad", "bad"]):
                if text == "bad":
                    await error_of(agents, Ask("bad"), key=str(n))
                else:
                    await agents.call(ECHO, Ask(text), key=str(n))
            assert [card.status for card in await world.registry.list()] == ["degraded"]
            assert list(await world.registry.discover("echo")) == []
            await agents.call(ECHO, Ask("good"), key="good")
            assert [card.id for card in await world.registry.discover("echo")] == [id]
    changes = [(event.before, event.after) async for event in events]
    assert changes[0][1] == "degraded"
    assert [change for change in changes if "degraded" in change] == [changes[0], changes[-1]]


class Counting(Echo):
    """An agent with a state."""

    count: Any = 0

    def export_state(self) -> Any:
        return {"count": self.count}

    def import_state(self, state: Any) -> None:
        self.count = state["count"]


async def test_an_agent_has_its_state_back_before_it_is_announced(world: World) -> None:
    agents = await world.agents()
    async with agents.serve(first := Counting(), instance="one"):
        first.count = 7
    async with agents.serve(second := Counting(), instance="one"):
        assert second.count == 7
        assert await world.registry.state(AgentId("echo", "one")) == msgspec.msgpack.encode({"count": 7})
    async with agents.serve(other := Counting(), instance="two"):
        assert other.count == 0


async def test_a_state_that_cannot_be_used_or_made_costs_no_more_than_a_warning(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    refused: dict[str, str] = {}

    class Noting(MemoryRegistry):
        async def refuse_state(self, id: AgentId, reason: str) -> None:
            refused[str(id)] = reason

    world.registry = Noting()
    agents = await world.agents()
    async with agents.serve(first := Counting(), instance="one"):
        first.count = object()
    assert "reports no state" in caplog.text

    class Stubborn(Counting):
        def import_state(self, state: Any) -> None:
            raise KeyError("count")

    async with agents.serve(Stubborn(), instance="one"):
        reply = await agents.call(ECHO, Ask("x"), key="k")
    assert reply.output["text"] == "x"
    assert "begins anew" in caplog.text
    assert refused == {"echo:one": "its agent raised KeyError"}


async def test_a_degraded_agent_leaves_calls_to_others_that_are_well_and_takes_them_when_there_are_none(
    world: World,
) -> None:
    async def fail(request: Ask, ctx: StepContext) -> Answer:
        raise ValueError

    caller, server = await world.agents(), await world.agents()
    weak = await world.agents(degraded_after=2)
    codes: list[str] = []
    async with weak.serve(ill := Echo(fail)):
        async with server.serve(well := Echo()):
            for number in range(20):
                try:
                    await caller.call(ECHO, ASK, key=str(number))
                except AgentError as exc:
                    codes.append(exc.code)
        assert len(ill.requests) == len(codes) <= 3  # One may have been asked for before.
        assert len(well.requests) == 20 - len(codes)
        with anyio.CancelScope(shield=True):
            assert (await error_of(caller, key="last")).code == "failed"


# What a caller makes of signals


def reply_of(text: str) -> Reply:
    return Reply(ECHO, {"text": text}, 0.0)


def heard(*signals: Any) -> PendingCall:
    found = PendingCall("c", ECHO, stream=True)
    for signal in signals:
        found.on_signal(signal)
    return found


def told(found: PendingCall) -> str:
    text = ""
    while (piece := found.next_piece()) is not None:
        text += piece
    return text


ONE, TWO = Accepted("c", "1", ECHO, "p", 1), Accepted("c", "2", ECHO, "q", 2)


def test_pieces_out_of_order_and_twice_come_once_and_in_order() -> None:
    found = heard(
        ONE,
        Pieces("c", "1", 2, ("c",)),
        Pieces("c", "1", 0, ("a", "b")),
        Answered("c", "1", reply_of("abcd"), 4),
        Pieces("c", "1", 1, ("b", "c", "d")),
    )
    assert told(found) == "abcd"
    assert found.reply == reply_of("abcd")


def test_an_answer_waits_for_its_pieces() -> None:
    found = heard(ONE, Answered("c", "1", reply_of("ab"), 2), Pieces("c", "1", 0, ("a",)))
    assert found.reply is None
    found.on_signal(Pieces("c", "1", 1, ("b",)))
    assert found.reply is not None


def test_an_earlier_serving_is_not_heard_any_more() -> None:
    found = heard(TWO, ONE, Pieces("c", "1", 0, ("x",)), Failed("c", "1", "failed"), Pieces("c", "2", 0, ("a",)))
    assert found.error is None
    assert found.execution == "2"
    assert told(found) == "a"


def test_an_answer_that_came_at_once_needs_no_acceptance() -> None:
    found = heard(Answered("c", "1", reply_of("ab"), delivery=1))
    assert found.reply == reply_of("ab")


def test_an_answer_of_an_earlier_serving_is_not_heard_once_a_later_one_has_begun() -> None:
    found = heard(TWO, Answered("c", "1", reply_of("ab"), delivery=1), Failed("c", "1", "failed", delivery=1))
    assert not found.over
    found.on_signal(Failed("c", "3", "tired", delivery=3))
    assert found.error is not None
    assert found.error.code == "tired"


def test_an_answer_at_once_after_half_a_text_goes_on_with_it_or_breaks_it() -> None:
    half = (ONE, Pieces("c", "1", 0, ("a",)))
    assert told(heard(*half, Answered("c", "2", reply_of("ab"), delivery=2))) == "ab"
    broken = heard(*half, Answered("c", "2", reply_of("xy"), delivery=2))
    assert broken.error is not None
    assert broken.error.code == "stream_broken"


def test_what_was_released_is_nobody_s_until_it_is_accepted_again() -> None:
    found = heard(ONE, Pieces("c", "1", 0, ("a",)), Released("c", "1"))
    assert found.process == ""
    again = Accepted("c", "3", ECHO, "q", 1)  # A release doesn't count as an attempt.
    for signal in (again, Pieces("c", "3", 0, ("ab",)), Answered("c", "3", reply_of("ab"), 1)):
        found.on_signal(signal)
    assert told(found) == "ab"
    assert found.reply == reply_of("ab")


def test_pieces_that_never_come_are_not_waited_for_without_bound() -> None:
    found = heard(ONE, *(Pieces("c", "1", n, ("a",)) for n in range(1, 1000)))
    assert found.error is not None
    assert found.error.code == "bad_output"
