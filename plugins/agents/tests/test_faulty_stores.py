"""Registries and stores of replies that look shared, and aren't: the contract refuses them, and says why."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from tta_agents import AgentRegistry, Replies
from tta_agents.memory import MemoryRegistry, MemoryReplies
from tta_agents.testing import SharedAgentRegistryContract, SharedRepliesContract
from tta_kernel.testing import Shared

REGISTRIES: dict[str, MemoryRegistry] = {}
REPLIES: dict[str, MemoryReplies] = {}


@asynccontextmanager
async def registry_of_the_object() -> AsyncIterator[AgentRegistry]:
    yield MemoryRegistry()


@asynccontextmanager
async def registry_of_the_process(name: str) -> AsyncIterator[AgentRegistry]:
    yield REGISTRIES.setdefault(name, MemoryRegistry())


@asynccontextmanager
async def replies_of_the_object() -> AsyncIterator[Replies]:
    yield MemoryReplies(1000)


@asynccontextmanager
async def replies_of_the_process(name: str) -> AsyncIterator[Replies]:
    yield REPLIES.setdefault(name, MemoryReplies(1000))


async def test_a_registry_of_an_object_is_not_shared() -> None:
    contract = SharedAgentRegistryContract()
    with pytest.raises(AssertionError, match="agents of its own"):
        await contract.test_what_one_registry_knows_another_on_the_same_place_sees(Shared(registry_of_the_object))


async def test_a_registry_of_a_process_is_not_shared(request: pytest.FixtureRequest) -> None:
    shared = Shared[AgentRegistry](registry_of_the_process, (request.node.name,))
    with pytest.raises(AssertionError, match="the others don't see"):
        await SharedAgentRegistryContract().test_an_agent_of_another_process_is_seen(shared)


async def test_replies_of_an_object_are_not_shared() -> None:
    contract = SharedRepliesContract()
    with pytest.raises(AssertionError, match="replies of its own"):
        await contract.test_what_one_store_keeps_another_on_the_same_place_has(Shared(replies_of_the_object))


async def test_replies_of_a_process_are_not_shared(request: pytest.FixtureRequest) -> None:
    shared = Shared[Replies](replies_of_the_process, (request.node.name,))
    await SharedRepliesContract().test_what_one_store_keeps_another_on_the_same_place_has(shared)
    with pytest.raises(AssertionError, match="calls of 200 have two answers"):
        await SharedRepliesContract().test_of_two_processes_that_answer_at_once_one_has_answered(shared)
