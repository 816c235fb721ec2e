"""Calls while messages, the registry or the store of replies are away."""

from __future__ import annotations

from typing import Any

import anyio
import pytest

from tta_agents import AgentId, RegistryError, Reply
from tta_agents.memory import MemoryRegistry
from tta_agents.testing import Ask, Echo
from tta_agents.testing.echo import ECHO, error_of
from tta_agents.testing.processes import Connection, Processes


async def test_messages_that_are_away_are_unavailable_and_back_again(processes: Processes) -> None:
    connection = Connection(processes.messages)
    caller = await processes.agents(messages=connection)
    served = Connection(processes.messages)
    async with (await processes.agents(messages=served)).serve(Echo()):
        await caller.call(ECHO, Ask("x"), key="before")
        connection.down = served.down = True
        error = await error_of(caller)
        connection.down = served.down = False
        await caller.call(ECHO, Ask("x"), key="after")
    assert (error.code, error.retryable) == ("unavailable", True)


async def test_a_registry_that_is_away_is_unavailable(processes: Processes) -> None:
    class Away(MemoryRegistry):
        async def list(self, type: str | None = None) -> Any:
            raise RegistryError("connection refused")

    processes.registry = Away()
    error = await error_of(await processes.agents())
    assert (error.code, error.retryable) == ("unavailable", True)


async def test_many_instances_leave_a_registry_that_is_away_as_soon_as_one(processes: Processes) -> None:
    class Away(MemoryRegistry):
        async def deregister(self, id: AgentId, process: str = "") -> bool:
            await anyio.sleep_forever()
            raise AssertionError

    processes.registry = Away()
    agents = await processes.agents(agents={"echo": {"instances": [{"name": f"{number}"} for number in range(20)]}})
    with anyio.fail_after(10):
        async with agents.serve(Echo()):
            pass


async def test_replies_that_are_away_do_not_keep_an_agent_from_answering(
    processes: Processes, caplog: pytest.LogCaptureFixture
) -> None:
    class Away:
        async def get(self, type: str, key: str, owner: str = "") -> Reply | None:
            raise RegistryError("connection refused")

        async def put(self, type: str, key: str, reply: Reply, ttl: float, owner: str = "") -> Reply:
            raise RegistryError("connection refused")

    caller = await processes.agents()
    async with (await processes.agents(replies=Away())).serve(echo := Echo()):
        for key in ("a", "b", "a"):
            await caller.call(ECHO, Ask("x"), key=key)
    assert len(echo.requests) == 2
    assert caplog.text.count("their store doesn't keep them") == 1


async def test_calls_are_taken_again_after_what_takes_them_has_crashed(processes: Processes) -> None:
    class Broken(Connection):
        crashed = False

        async def receive(self, queue: str, **options: Any) -> Any:
            if queue == "agents.echo" and not self.crashed:
                self.crashed = True
                raise RuntimeError("what nobody has thought of")
            return await processes.messages.receive(queue, **options)

    connection = Broken(processes.messages)
    caller, server = await processes.agents(), await processes.agents(messages=connection)
    async with server.serve(Echo()):
        await caller.call(ECHO, Ask("x"), key="k")
    assert connection.crashed
