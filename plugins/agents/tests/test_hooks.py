"""What plugins declare as their agents, whatever that is: the others are served, and each is to blame for its own."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import pytest

from tta_agents import AGENTS, AgentId, AgentPlugin, AgentsMemory, AgentSpec, AgentsPlugin
from tta_agents.testing.echo import Answer, Ask
from tta_kernel import ConfigError, NoConfig, Plugin, hookimpl
from tta_kernel.testing import Outcome, Stranger, logged, running, strangers


class Echo(AgentPlugin[NoConfig]):
    """Stands beside a stranger, and answers."""

    spec = AgentSpec("echo", "says it again", Ask, Answer)

    async def process(self, request: Ask, ctx: Any, /) -> Answer:
        return Answer(request.text)


def declaring(answer: Any) -> type[Plugin[NoConfig]]:
    class Odd(Plugin[NoConfig]):
        @hookimpl
        def agents(self) -> Sequence[AgentSpec]:
            return answer()  # type: ignore[no-any-return]

    return Odd


@pytest.fixture(autouse=True)
def lines() -> Iterator[list[str]]:
    """What is logged: some of it has no encoding, which only this list can carry."""
    with logged() as found:
        yield found


@pytest.mark.boundary("tta_agents.agents")
@pytest.mark.parametrize("stranger", strangers("plain", returns=Sequence[AgentSpec]), ids=str)
async def test_whatever_a_plugin_declares_others_are_served_and_it_alone_is_ruled_out(stranger: Stranger) -> None:
    plugins = (AgentsPlugin, AgentsMemory, Echo, declaring(stranger))
    if stranger.outcome is Outcome.STOP:
        with pytest.raises((KeyboardInterrupt, BaseExceptionGroup)):
            running(*plugins, optional=["odd"]).check()
        return
    if stranger.outcome is Outcome.FAILURE:
        with pytest.raises(ConfigError, match=r"plugin 'odd': its hook agents (raised|let out|answered with) "):
            running(*plugins).check()
    async with running(*plugins, optional=["odd"]) as kernel:
        reply = await kernel.get(AGENTS).call(AgentId("echo"), Ask("x"), key="k")
        state = kernel.records["odd"].state
    assert reply.output["text"] == "x"
    assert (state == "failed") is (stranger.outcome is Outcome.FAILURE)


async def test_a_second_plugin_that_declares_an_agent_is_ruled_out_where_it_may_be() -> None:
    plugins = (AgentsPlugin, AgentsMemory, Echo, {"also": declaring(lambda: [Echo.spec])})
    with pytest.raises(ConfigError, match="plugin 'also': declares the agent 'echo', and so does 'echo'"):
        running(*plugins).check()
    async with running(*plugins, optional=["also"]) as kernel:
        reply = await kernel.get(AGENTS).call(AgentId("echo"), Ask("x"), key="k")
        assert kernel.records["also"].state == "failed"
    assert reply.output["text"] == "x"


def counting(answer: Any) -> type[Plugin[NoConfig]]:
    class Odd(Plugin[NoConfig]):
        @hookimpl
        def counts_on_replies(self) -> float:
            return answer()  # type: ignore[no-any-return]

    return Odd


@pytest.mark.boundary("tta_agents.counts_on_replies")
@pytest.mark.parametrize("stranger", strangers("plain", returns=float), ids=str)
def test_whatever_a_plugin_says_of_replies_it_alone_is_to_blame(stranger: Stranger) -> None:
    plugins = (AgentsPlugin, AgentsMemory, Echo, counting(stranger))
    if stranger.outcome is Outcome.STOP:
        with pytest.raises((KeyboardInterrupt, BaseExceptionGroup)):
            running(*plugins).check()
    elif stranger.outcome is Outcome.FAILURE or not 0 <= stranger() < 1000:
        with pytest.raises(ConfigError, match=r"plugin 'odd': its hook counts_on_replies (raised|let out|answered) "):
            running(*plugins).check()
    else:
        running(*plugins).check()


def test_who_counts_on_replies_for_longer_than_they_are_kept_is_told_so() -> None:
    with pytest.raises(ConfigError, match="replies are kept for 600 s, and odd counts on them for 600 s"):
        running(AgentsPlugin, AgentsMemory, counting(lambda: 600.0)).check()
    running(AgentsPlugin, AgentsMemory, counting(lambda: 599.0)).check()
