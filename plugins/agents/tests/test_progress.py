"""What a caller hears while its call goes on in another process, beyond what each call promises."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import anyio
import msgspec
import pytest

from tta_agents import AgentCard, AgentError, AgentId, AgentSpec, OnUndo, Reply, StepContext, Undo
from tta_agents.beats import BEAT_INTERVAL
from tta_agents.pending import PendingCall
from tta_agents.testing import Answer, Ask, Echo
from tta_agents.testing.echo import ASK, ECHO, into, stream
from tta_agents.testing.processes import TYPES, Connection, Processes
from tta_agents.wire import WINDOW, Accepted, Beat, Call, Probe, UndoOffered, UndoTaken
from tta_kernel.testing import until
from tta_messages import Message, MessagesConfig, SendResult
from tta_messages.memory import MemoryMessages

TAKE_BACK = AgentId("take-back")


class Counting(Connection):
    """Remembers of what type the messages were that it has sent."""

    def __init__(self, messages: MemoryMessages) -> None:
        super().__init__(messages)
        self.sent: list[str] = []

    async def send(self, *messages: Message) -> Sequence[SendResult]:
        self.sent += [message.type for message in messages]
        return await self._messages.send(*messages)


class Repeating(Connection):
    """Sends twice what is said about undos."""

    async def send(self, *messages: Message) -> Sequence[SendResult]:
        results = await self._messages.send(*messages)
        again = [each for each in messages if each.type in (UndoOffered.TYPE, UndoTaken.TYPE)]
        if again:
            await self._messages.send(*(msgspec.structs.replace(each, id=f"{each.id}-again") for each in again))
        return results


def into_undos(taken: list[Undo]) -> OnUndo:
    async def on_undo(undo: Undo) -> None:
        taken.append(undo)

    return on_undo


async def test_many_heartbeats_are_few_messages_and_none_where_nobody_listens(processes: Processes) -> None:
    async def work(request: Ask, ctx: StepContext) -> Answer:
        for _ in range(2000):
            ctx.heartbeat()
            await anyio.lowlevel.checkpoint()
        return Answer("x")

    connection = Counting(processes.messages)
    caller, server = await processes.agents(), await processes.agents(messages=connection)
    async with server.serve(Echo(work)):
        began = anyio.current_time()
        await caller.call(ECHO, ASK, key="heard", on_beat=lambda: None)
        took = anyio.current_time() - began
        heard = connection.sent.count(Beat.TYPE)
        await caller.call(ECHO, ASK, key="unheard")
    assert heard <= took / BEAT_INTERVAL + 1
    assert connection.sent.count(Beat.TYPE) == heard


async def test_pieces_that_travel_need_no_other_sign_of_life(processes: Processes) -> None:
    heard: list[str] = []
    beats: list[int] = []
    connection = Counting(processes.messages)
    caller, server = await processes.agents(), await processes.agents(messages=connection)
    async with server.serve(Echo(lambda request, ctx: stream("a" * 200, ctx))):
        await caller.call(ECHO, ASK, key="k", on_piece=into(heard), on_beat=lambda: beats.append(1))
    assert len(heard) == len(beats) == 200
    assert Beat.TYPE not in connection.sent


async def test_what_is_said_twice_about_an_undo_counts_once(processes: Processes) -> None:
    async def work(request: Ask, ctx: StepContext) -> Answer:
        for number in range(3):
            await ctx.on_rollback(TAKE_BACK, {"number": number})
        return Answer("x")

    taken: list[Undo] = []
    caller = await processes.agents(messages=Repeating(processes.messages))
    server = await processes.agents(messages=Repeating(processes.messages))
    async with server.serve(Echo(work)):
        reply = await caller.call(ECHO, ASK, key="k", on_undo=into_undos(taken))
    assert [undo.number for undo in taken] == [0, 1, 2]
    assert reply.undo == tuple(taken)


@pytest.mark.parametrize("same", [True, False])
async def test_who_takes_a_call_over_tells_no_undo_twice_and_none_is_lost(processes: Processes, *, same: bool) -> None:
    connection = Connection(processes.messages)
    caller = await processes.agents()
    first = await processes.agents(messages=connection, visibility="100ms", drain="0s")
    heir = await processes.agents()
    taken: list[Undo] = []
    replies: list[Reply] = []
    acted, ended = anyio.Event(), anyio.Event()

    async def act_and_die(request: Ask, ctx: StepContext) -> Any:
        await ctx.on_rollback(TAKE_BACK, {"by": "first"})
        acted.set()
        await anyio.sleep_forever()

    async def act(request: Ask, ctx: StepContext) -> Answer:
        await ctx.on_rollback(TAKE_BACK, {"by": "first" if same else "heir"})
        return Answer("x")

    async def call() -> None:
        replies.append(await caller.call(ECHO, ASK, key="k", on_undo=into_undos(taken)))
        ended.set()

    async with first.serve(Echo(act_and_die)) as dead, anyio.create_task_group() as tasks:
        tasks.start_soon(call)
        await acted.wait()
        connection.cut = True
        await processes.registry.deregister(dead)
        async with heir.serve(Echo(act)):
            await ended.wait()
        connection.cut, connection.down = False, True  # What is dead needs no time to say goodbye.
    wanted = [Undo(TAKE_BACK, {"by": "first"})] + [Undo(TAKE_BACK, {"by": "heir"})] * (not same)
    assert taken == wanted
    assert replies[0].undo == tuple(wanted)


@pytest.mark.parametrize("what", ["undo", "pieces"])
async def test_an_agent_does_not_wait_for_a_caller_that_has_died_and_whoever_goes_on_for_that_is_answered(
    processes: Processes, what: str
) -> None:
    told, never = anyio.Event(), anyio.Event()
    connection = Connection(processes.messages)
    dead, heir = await processes.agents(messages=connection), await processes.agents()
    server = await processes.agents(visibility="200ms")
    effects: list[str] = []
    taken: list[Undo] = []
    heard: list[str] = []

    async def hold(_: object) -> None:
        told.set()
        await never.wait()

    async def work(request: Ask, ctx: StepContext) -> Answer:
        if what == "undo":
            await ctx.on_rollback(TAKE_BACK, {})
        answer = await stream("a" * 2 * WINDOW, ctx)
        effects.append("it")
        return answer

    async with server.serve(Echo(work)), anyio.create_task_group() as tasks:
        tasks.start_soon(partial(dead.call, ECHO, ASK, key="k", on_piece=hold, on_undo=hold))
        await told.wait()
        connection.cut = True
        with anyio.fail_after(5):
            await heir.call(ECHO, ASK, key="k", on_piece=into(heard), on_undo=into_undos(taken))
        connection.cut, connection.down = False, True  # What is dead needs no time to say goodbye.
        tasks.cancel_scope.cancel()
    assert taken == [Undo(TAKE_BACK, {})] * (what == "undo")
    assert "".join(heard) == "a" * 2 * WINDOW
    assert effects == ["it"]


async def test_an_agent_waits_for_a_caller_that_takes_its_time(processes: Processes) -> None:
    async def on_undo(undo: Undo) -> None:
        taken.append(undo)
        # Longer than anybody would wait for one that has died.
        await until(lambda: connection.sent.count(Probe.TYPE) >= 3)

    async def work(request: Ask, ctx: StepContext) -> Answer:
        await ctx.on_rollback(TAKE_BACK, {})
        return Answer("x")

    taken: list[Undo] = []
    connection = Counting(processes.messages)
    caller, server = await processes.agents(), await processes.agents(messages=connection, visibility="400ms")
    async with server.serve(Echo(work)):
        reply = await caller.call(ECHO, ASK, key="k", on_undo=on_undo)
    assert reply.undo == tuple(taken)
    assert len(taken) == 1


async def test_an_undo_is_told_before_the_pieces_that_wait_for_their_reader(processes: Processes) -> None:
    told: list[str] = []

    async def on_piece(piece: str) -> None:
        reading.set()
        await offered.wait()
        await anyio.wait_all_tasks_blocked()  # The offer has been read.
        told.append(piece)

    async def on_undo(undo: Undo) -> None:
        told.append("undo")

    class Watching(Counting):
        async def send(self, *messages: Message) -> Sequence[SendResult]:
            results = await super().send(*messages)
            if UndoOffered.TYPE in self.sent:
                offered.set()
            return results

    async def work(request: Ask, ctx: StepContext) -> Answer:
        answer = await stream("abcdef", ctx)
        await reading.wait()
        await ctx.on_rollback(TAKE_BACK, {})
        return answer

    reading, offered = anyio.Event(), anyio.Event()
    caller, server = await processes.agents(), await processes.agents(messages=Watching(processes.messages))
    async with server.serve(Echo(work)):
        await caller.call(ECHO, ASK, key="k", on_piece=on_piece, on_undo=on_undo)
    assert told == ["a", "undo", *"bcdef"]


async def test_an_undo_that_is_too_large_ends_the_call_before_there_is_an_effect(processes: Processes) -> None:
    async def work(request: Ask, ctx: StepContext) -> Answer:
        await ctx.on_rollback(TAKE_BACK, {"text": "x" * 3000})
        effects.append("went on")
        return Answer("x")

    effects: list[str] = []
    taken: list[Undo] = []
    processes.messages = MemoryMessages(MessagesConfig(max_size=2000), TYPES)
    caller = await processes.agents()
    async with (await processes.agents()).serve(Echo(work)):
        with pytest.raises(AgentError) as caught:
            await caller.call(ECHO, ASK, key="k", on_undo=into_undos(taken))
    assert caught.value.code == "too_large"
    assert (effects, taken) == ([], [])


def test_an_undo_may_come_before_its_acceptance_and_counts_for_its_execution_alone() -> None:
    def offered(execution: str, number: int, delivery: int) -> UndoOffered:
        return UndoOffered("c", execution, Undo(TAKE_BACK, {}, number), "p", delivery)

    found = PendingCall("c", ECHO, stream=False)
    found.on_signal(offered("2", 0, 2))
    found.on_signal(offered("1", 1, 1))
    assert (found.execution, found.process) == ("2", "p")
    assert [found.next(), found.next()] == [Undo(TAKE_BACK, {}, 0), None]
    found.on_signal(offered("2", 1, 2))
    found.on_signal(Accepted("c", "3", ECHO, "q", 3))
    assert found.next() is None, "its execution is told nothing, and goes on with nothing"


def test_what_an_older_release_says_lacks_nothing() -> None:
    old = {"key": "k", "request": {"text": "x"}, "left_ms": 1000}
    call = msgspec.msgpack.decode(msgspec.msgpack.encode(old), type=Call)
    assert (call.beats, call.undos, call.probed, call.released) == (False, False, False, "")
    answer = {
        "agent": {"type": "echo"},
        "output": {},
        "seconds": 0.0,
        "undo": [{"agent": {"type": "a"}, "arguments": {}}],
    }
    reply = msgspec.msgpack.decode(msgspec.msgpack.encode(answer), type=Reply)
    assert (reply.agent_version, reply.undo[0].number) == ("", 0)
    card = msgspec.msgpack.decode(msgspec.msgpack.encode({"id": {"type": "echo"}}), type=AgentCard)
    assert card.agent_version == ""


@pytest.mark.parametrize("version", ["1@2", "two words", "v" * 81, "1\n", 2])
def test_an_agent_is_not_declared_with_a_version_that_is_none(version: Any) -> None:
    with pytest.raises(ValueError, match="the version of agent 'echo' is a text of up to 80"):
        AgentSpec("echo", "says it again", Ask, Answer, version=version)
