"""A registry, and a store of replies, that misbehave, whoever wrote them: agents are served and called all the same."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast, get_type_hints

import anyio
import pytest

from tta_agents import (
    AgentCard,
    AgentError,
    AgentId,
    AgentRegistry,
    RegistryError,
    Replies,
    Reply,
    Undo,
    guard_registry,
    guard_replies,
)
from tta_agents.memory import MemoryRegistry, MemoryReplies
from tta_agents.testing import Ask, Echo
from tta_agents.testing.echo import ASK, ECHO
from tta_agents.testing.processes import Processes
from tta_kernel.testing.strangers import LIMIT, Outcome, Stranger, strangers

LONG = 10.0
FAILED = (Outcome.FAILURE, Outcome.TIME_LIMIT)
ID = AgentId("a", "1")
CALLS: Mapping[str, tuple[Any, ...]] = {
    "deregister": (ID, "p"), "get": (ID,), "list": ("a",), "discover": (), "snapshot": (), "state": (ID,),
}  # fmt: skip


def going_on(all: Sequence[Stranger]) -> Sequence[Stranger]:
    """Leave out what ends the program in order."""
    return [each for each in all if each.outcome is not Outcome.STOP]


class Odd:
    """A store whose methods of these names do what a stranger does, each the first ``times`` times."""

    def __init__(self, store: object, stranger: Stranger, *names: str, times: int = 1) -> None:
        self._store, self._stranger = store, stranger
        self._left = dict.fromkeys(names, times)

    def __getattr__(self, name: str) -> Any:
        def call(*args: Any, **how: Any) -> Any:
            if self._left.get(name, 0):
                self._left[name] -= 1
                return self._stranger()
            return getattr(self._store, name)(*args, **how)

        return call


def odd_registry(stranger: Stranger, *names: str, times: int = 1) -> AgentRegistry:
    """Return one with a limit that a test can wait for."""
    odd = Odd(MemoryRegistry(), stranger, *names, times=times)
    return guard_registry(cast(AgentRegistry, odd), limit=LIMIT)


def odd_replies(stranger: Stranger, *names: str) -> Replies:
    return guard_replies(cast(Replies, Odd(MemoryReplies(100), stranger, *names)), limit=LIMIT)


@pytest.mark.boundary("tta_agents.AgentRegistry", "tta_agents.guard_registry.registry")
@pytest.mark.parametrize("stranger", going_on(strangers("async", returns=Sequence[AgentCard])), ids=str)
async def test_whatever_a_registry_does_who_calls_again_is_answered(processes: Processes, stranger: Stranger) -> None:
    processes.registry = odd_registry(stranger, "list", "discover", "deregister", times=2)
    caller, server = await processes.agents(), await processes.agents()
    said: list[AgentError] = []
    with anyio.fail_after(LONG):
        async with server.serve(Echo()):
            for _ in range(4):
                try:
                    reply = await caller.call(ECHO, Ask("well"), key="k")
                    break
                except AgentError as error:
                    said.append(error)
            else:
                pytest.fail("nobody answers")
    assert reply.output["text"] == "well"
    # Who is late, and heeds no cancellation, has the answer after all.
    if stranger.outcome is Outcome.FAILURE or stranger.name == "never returns":
        assert [error.code for error in said] == ["unavailable"] * 2
        assert all("Odd.list" in str(error) for error in said)


@pytest.mark.parametrize(
    "stranger",
    [each for each in strangers("async") if each.name in ("raises an error", "never returns", "raises SystemExit")],
    ids=str,
)
async def test_whatever_a_registry_does_an_agent_is_served_or_it_is_told_whose_fault_it_is(
    processes: Processes, stranger: Stranger
) -> None:
    processes.registry = odd_registry(stranger, "register")
    agents = await processes.agents()
    with anyio.fail_after(LONG):
        with pytest.raises(RegistryError, match=r"Odd\.register"):
            async with agents.serve(Echo()):
                pytest.fail("it is served, and nobody knows of it")
        async with agents.serve(Echo()):
            assert (await agents.call(ECHO, ASK, key="k")).output
    assert not await processes.registry.list()


@pytest.mark.parametrize("name", CALLS)
async def test_what_a_registry_answers_wrongly_is_its_error(name: str) -> None:
    wanted = get_type_hints(getattr(AgentRegistry, name))["return"]
    kit = [each for each in strangers("async", returns=wanted) if each.name.startswith("returns")]
    wrong = [each for each in kit if each.outcome is Outcome.FAILURE]
    assert wrong
    for stranger in wrong:
        with pytest.raises(RegistryError, match=rf"Odd\.{name} answered with \w+ that is wrong"):
            await getattr(odd_registry(stranger, name), name)(*CALLS[name])


@pytest.mark.parametrize(
    "fields",
    [{"id": AgentId("b", "1")}, {"running": 10**400}, {"running": -1}, {"status": "odd"}, {"capabilities": (None,)}],
    ids=str,
)
async def test_a_card_that_nobody_can_count_on_is_the_registry_s_error(fields: dict[str, Any]) -> None:
    async def cards() -> Any:
        return [AgentCard(**{"id": ID, **fields})]

    registry = odd_registry(Stranger("odd cards", Outcome.FAILURE, cards), "list")
    with pytest.raises(RegistryError, match="wrong"):
        await registry.list("a")


@pytest.mark.boundary("tta_agents.Replies", "tta_agents.guard_replies.replies")
@pytest.mark.parametrize("stranger", going_on(strangers("async", returns=Reply)), ids=str)
async def test_whatever_a_store_of_replies_does_the_call_is_answered(
    processes: Processes, stranger: Stranger, caplog: pytest.LogCaptureFixture
) -> None:
    processes.replies = odd_replies(stranger, "get", "put")
    agents = await processes.agents()
    with anyio.fail_after(LONG):
        async with agents.serve(Echo()):
            reply = await agents.call(ECHO, Ask("well"), key="k")
    assert reply.output["text"] == "well" or stranger.outcome is Outcome.HARMLESS
    if stranger.outcome in FAILED:
        # None is an answer to `get`: nothing is kept.
        assert f"Odd.{'put' if stranger.name == 'returns None' else 'get'}" in caplog.text
    assert "odd, after a while" not in caplog.text


@pytest.mark.parametrize(
    "reply",
    [
        Reply(AgentId("b", "1"), "x", 0.0),
        Reply(ID, "x", 0.0, (Undo(ID, {}, -1),)),
        Reply(ID, "x", cast(float, "long")),
    ],
    ids=["another's", "an undo of no number", "no time"],
)
async def test_a_reply_that_is_none_is_the_store_s_error(reply: Reply) -> None:
    async def answer() -> Reply:
        return reply

    odd = Stranger("odd reply", Outcome.FAILURE, answer)
    for name, more in (("get", ()), ("put", (Reply(ID, "x", 0.0), 1.0))):
        with pytest.raises(RegistryError, match="wrong"):
            await getattr(odd_replies(odd, name), name)("a", "k", *more)


async def test_a_count_of_what_was_forgotten_is_a_number() -> None:
    async def answer() -> Any:
        return "all"

    with pytest.raises(RegistryError, match="wrong"):
        await odd_replies(Stranger("no number", Outcome.FAILURE, answer), "forget").forget("ann")


async def test_an_interrupt_in_a_store_is_none_of_its_failures() -> None:
    def interrupted() -> Any:
        raise KeyboardInterrupt

    stranger = Stranger("interrupted", Outcome.STOP, interrupted)
    with pytest.raises(KeyboardInterrupt):
        await odd_registry(stranger, "list").list()
    with pytest.raises(KeyboardInterrupt):
        await odd_replies(stranger, "get").get("a", "k")


async def test_the_error_names_the_line_and_quotes_nothing_and_a_guarded_store_is_guarded_once() -> None:
    def raises() -> Any:
        raise ValueError("what a person wrote")

    registry = odd_registry(Stranger("raises", Outcome.FAILURE, raises), "list")
    assert guard_registry(registry) is registry
    with pytest.raises(RegistryError, match=rf"Odd\.list raised ValueError at {__file__}:\d+$"):
        await registry.list()
