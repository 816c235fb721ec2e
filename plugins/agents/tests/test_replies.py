"""Kept replies, and the persons whose they are."""

from __future__ import annotations

from tta_agents import AGENTS, RegistryError, Reply
from tta_agents.memory import MemoryReplies
from tta_agents.testing import Ask, Echo
from tta_agents.testing.echo import ECHO
from tta_agents.testing.processes import Processes, forget


async def test_a_reply_is_kept_for_its_person_and_only_where_it_can_be_forgotten(processes: Processes) -> None:
    caller, server = await processes.agents(), await processes.start()
    async with server.get(AGENTS).serve(echo := Echo()):
        for owner in ("ann", "bob", "ann"):
            await caller.call(ECHO, Ask("x"), key="k", owner=owner)
        assert len(echo.requests) == 2
        assert await processes.replies.forget("ann") == 1
        assert (await server.ask(forget, "ann"))["agents"] == 0
        await caller.call(ECHO, Ask("x"), key="k", owner="ann")
    assert len(echo.requests) == 3


async def test_a_reply_that_only_its_process_has_is_forgotten_there(processes: Processes) -> None:
    class Away(MemoryReplies):
        async def put(self, type: str, key: str, reply: Reply, ttl: float, owner: str = "") -> Reply:
            raise RegistryError("it is too large")

    caller, server = await processes.agents(), await processes.start(replies=Away(1))
    async with server.get(AGENTS).serve(echo := Echo()):
        for _ in range(2):
            await caller.call(ECHO, Ask("x"), key="k", owner="ann")
        assert (await server.ask(forget, "ann"))["agents"] == 1
        await caller.call(ECHO, Ask("x"), key="k", owner="ann")
    assert len(echo.requests) == 2
