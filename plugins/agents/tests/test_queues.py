"""The queues that calls go through: their settings, what is acknowledged, and what is left of them."""

from __future__ import annotations

from contextlib import AsyncExitStack
from typing import Any

import anyio
import msgspec

from tta_agents.testing import Ask, Echo
from tta_agents.testing.echo import ASK, ECHO, eventually
from tta_agents.testing.processes import TYPES, Connection, Processes
from tta_agents.wire import SIGNALS, Call, Failed
from tta_messages import Message, MessagesConfig, QueueSettings
from tta_messages.memory import MemoryMessages


async def test_who_stops_leaves_the_queue_of_a_name_to_the_other_process_that_has_it_by_now(
    processes: Processes,
) -> None:
    older, newer = await processes.agents(queue={"retries": 7}), await processes.agents(queue={"retries": 7})
    async with AsyncExitStack() as stack:
        async with older.serve(Echo(), instance="one"):
            await stack.enter_async_context(newer.serve(Echo(), instance="one"))
            await anyio.wait_all_tasks_blocked()
        assert (await processes.messages.settings("agents.echo/one")).retries == 7
    assert (await processes.messages.settings("agents.echo/one")).retries != 7


async def test_what_is_done_is_acknowledged_soon_though_nobody_calls_again(processes: Processes) -> None:
    caller = await processes.agents()

    async def acknowledged() -> bool:
        stats = (await processes.messages.stats("agents.echo"))["agents.echo"]
        return (stats.held, stats.acknowledged) == (0, 3)

    async with (await processes.agents()).serve(Echo()):
        for key in "abc":
            await caller.call(ECHO, Ask("x"), key=key)
        await eventually(acknowledged)


async def test_what_is_done_is_acknowledged_before_its_process_has_stopped(processes: Processes) -> None:
    caller = await processes.agents()
    async with (await processes.agents()).serve(Echo()):
        await caller.call(ECHO, Ask("x"), key="k")
    assert (await processes.messages.stats("agents.echo"))["agents.echo"].acknowledged == 1


async def test_processes_that_have_stopped_leave_the_queue_that_all_share_and_settings_for_what_comes_late() -> None:
    with anyio.fail_after(20):
        async with AsyncExitStack() as stack:
            processes = Processes(stack)
            serving, calling = await processes.agents(), await processes.agents()
            async with serving.serve(Echo()):
                await calling.call(ECHO, ASK, key="k")
                assert len(await processes.messages.stats()) == 4
        left = await processes.messages.stats()
        assert [name for name, each in left.items() if each.sent] == ["agents.echo"]
        inboxes = [name for name in left if name != "agents.echo"]
        assert len(inboxes) == 2
        for name in inboxes:
            settings = await processes.messages.settings(name)
            assert (settings.ttl, settings.dead_limit) == (600.0, 0)


async def test_queues_that_ended_because_nothing_happened_are_configured_again(processes: Processes) -> None:
    wanted = QueueSettings(ttl=0.02, dead_ttl=3600.0)
    async with (await processes.agents(queue={"ttl": "20ms"})).serve(Echo(), instance="one"):

        async def as_wanted() -> bool:
            await processes.messages.send(
                Message.to("agents.echo", Call.TYPE, Call("k", msgspec.Raw(b"\xc0"), 0))
            )  # wake it
            return await processes.messages.settings("agents.echo") == wanted

        await eventually(as_wanted)
        await processes.messages.configure("agents.echo", QueueSettings())
        await eventually(as_wanted)


async def test_queues_of_calls_keep_what_died_for_an_hour_unless_they_are_told_otherwise(processes: Processes) -> None:
    connection = Connection(processes.messages)
    server = await processes.agents(messages=connection, agents={"b": {"queue": {"dead_ttl": "5s", "max_length": 7}}})
    wanted = {"agents.a": 3600.0, "agents.a/1": 300.0, "agents.b": 5.0, "agents.b/1": 5.0}

    async def as_wanted() -> bool:
        return {name: (await processes.messages.settings(name)).dead_ttl for name in wanted} == wanted

    async with server.serve(Echo(type="a"), instance="1"), server.serve(Echo(type="b"), instance="1"):
        await eventually(as_wanted)
        assert await processes.messages.settings("agents.a") == QueueSettings(dead_ttl=3600.0)
        assert await processes.messages.settings("agents.b") == QueueSettings(dead_ttl=5.0, max_length=7)

        await processes.messages.configure("agents.a", QueueSettings())  # as if a store had lost everything
        connection.down = True
        await processes.messages.send(
            Message.to("agents.a", Call.TYPE, Call("k", msgspec.Raw(b"\xc0"), 0))
        )  # to wake it
        await connection.refused.wait()
        connection.down = False
        await eventually(as_wanted)


class Anything(msgspec.Struct):
    """What a message of another release may hold."""


async def test_what_is_no_call_is_answered_or_dead_and_does_no_harm(processes: Processes) -> None:
    processes.messages = MemoryMessages(MessagesConfig(), {**TYPES, Call.TYPE: Anything, "other": Anything})
    caller = await processes.agents()
    async with (await processes.agents()).serve(Echo()):
        await processes.messages.send(
            Message.to("agents.echo", Call.TYPE, {"no": "call"}, id="1"),
            Message.to("agents.echo", "other", {}, id="2"),
            Message.to("agents.echo", Call.TYPE, {"key": 5}, id="3", reply_to="agents.inbox/me"),
        )
        await caller.call(ECHO, Ask("x"), key="k")
        signals: list[Any] = []
        while not any(isinstance(signal, Failed) for signal in signals):
            for delivery in await processes.messages.receive("agents.inbox/me", limit=10, wait=5):
                signals.append(delivery.message.decode(SIGNALS[delivery.message.type]))  # noqa: PERF401
    assert [type(signal) for signal in signals] == [Failed]
    assert [letter.id for letter in await processes.messages.dead("agents.echo")] == ["1", "2"]
