"""Tools that a model wants called: under the policy, in the name of who asks, and bounded."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

import msgspec
import pytest

from tta_kernel import Plugin
from tta_llm import LLM, MODELS, ChatRequest, Config, LlmError, LlmMemory, LlmPlugin, Message, ToolCall
from tta_llm.testing import Says, ScriptedModels, scripted
from tta_tool_policy import Decision
from tta_tool_policy import ToolCall as PolicyCall
from tta_tools import Tool, ToolError, ToolParameter, ToolResult, Tools, ToolSpec
from tta_tools.testing import FakePolicy, deployment

SPEC = ToolSpec(
    name="kg.query", version="1.0.0", description="Asks.", parameters=(ToolParameter(name="who"),)
)  # fmt: skip


class FakeTools:
    """Answers calls of one tool, and denies them for one person."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, Mapping[str, Any], Mapping[str, Any]]] = []

    async def get(self, name: str, version: str = "") -> ToolSpec:
        if name != SPEC.name:
            raise ToolError("not_found", "MARK")
        return SPEC

    async def run(self, name: str, arguments: Mapping[str, Any], **how: Any) -> ToolResult:
        self.calls.append((name, arguments, how))
        if how["owner"] == "denied":
            raise ToolError("denied", "no rule allows it")
        return ToolResult(tool=name, version="1.0.0", value={"is": "a lighthouse"}, seconds=0.0)


def wants(name: str = "kg-query", arguments: str = '{"who": "keeper"}', times: int = 1) -> Says:
    return Says(tool_calls=tuple(ToolCall(f"c{n}", name, arguments) for n in range(times)))


def ask(**how: Any) -> ChatRequest:
    given = {"tools": ("kg.query",), "session": "s", "owner": "ann", "agent": "wba", **how}
    return ChatRequest(messages=(Message("user", "who is it?"),), **given)


def llm_of(models: ScriptedModels, tools: FakeTools, config: Config | None = None) -> Any:
    return scripted(models=models, tools=cast(Tools, tools), config=config)


async def test_what_a_model_wants_called_is_called_for_who_asks_and_told_to_it() -> None:
    models, tools = ScriptedModels(wants(), "It is the keeper."), FakeTools()
    reply = await llm_of(models, tools).chat(ask(key="turn-1"))
    assert (reply.text, reply.attempts) == ("It is the keeper.", 2)
    [(name, arguments, how)] = tools.calls
    assert (name, arguments) == ("kg.query", {"who": "keeper"})
    assert (how["session"], how["owner"], how["agent"]) == ("s", "ann", "wba")
    assert models.calls[0].tools[0].name == "kg-query"
    asked, told = models.calls[1].messages[-2:]
    assert asked.tool_calls[0].id == told.answers == "c0"
    assert msgspec.json.decode(told.text) == {"is": "a lighthouse"}
    # The same turn again makes the same call, and another turn another one.
    for key in ("turn-1", "turn-2", ""):
        await llm_of(ScriptedModels(wants(), "yes"), tools).chat(ask(key=key))
    keys = [how["key"] for _, _, how in tools.calls]
    assert keys[0] == keys[1] != keys[2]
    assert keys[3] == ""


@pytest.mark.parametrize(
    ("says", "owner", "code"),
    [
        (wants(), "denied", "denied"), (wants("dice"), "ann", "not_found"), (wants(arguments="{"), "ann", "invalid"),
        (wants(arguments="[]"), "ann", "invalid"), (wants(times=9), "ann", "too_many"),
    ],
)  # fmt: skip
async def test_what_comes_to_nothing_is_told_to_the_model_and_not_to_the_asker(
    says: Says, owner: str, code: str
) -> None:  # fmt: skip
    models = ScriptedModels(says, "I don't know.")
    assert (await llm_of(models, FakeTools()).chat(ask(owner=owner))).text == "I don't know."
    assert code in models.calls[1].messages[-1].text


async def test_a_model_that_only_wants_tools_is_stopped() -> None:
    models, tools = ScriptedModels(wants()), FakeTools()
    with pytest.raises(LlmError, match="invalid_output"):
        await llm_of(models, tools, Config(rounds=2)).chat(ask())
    assert (len(models.calls), len(tools.calls)) == (3, 2)


async def test_a_tool_that_isnt_there_cant_be_offered() -> None:
    with pytest.raises(LlmError, match=r"invalid_request: tool 'kg.path': not_found") as caught:
        await llm_of(ScriptedModels("yes"), FakeTools()).chat(ask(tools=("kg.path",)))
    assert "MARK" not in str(caught.value)


async def test_the_policy_of_the_deployment_decides_about_what_a_model_wants() -> None:
    asked: list[str] = []

    async def light(place: str) -> str:
        """Light a lamp."""
        asked.append(place)
        return f"the {place} is lit"

    def decide(call: PolicyCall) -> Decision:
        allowed = call.agent == "wba" and call.owner == "ann"
        return Decision(effect="allow" if allowed else "deny", rule="lamps", reason="a test", policy="0f")

    lamp = wants("lamp-light", '{"place": "tower"}')
    models = ScriptedModels(lamp, "It is done.", lamp, "It isn't.")
    tool = Tool.of(light, name="lamp.light", version="1.0.0")
    more: dict[str, type[Plugin[Any]]] = {"llm": LlmPlugin, "llm-memory": LlmMemory}
    async with deployment(tool, policy=FakePolicy(decide), more=more, services={MODELS: models}) as kernel:
        llm = kernel.get(LLM)
        await llm.chat(ask(tools=("lamp.light",)))
        assert "the tower is lit" in models.calls[1].messages[-1].text
        await llm.chat(ask(tools=("lamp.light",), owner="bob"))
    assert "denied" in models.calls[3].messages[-1].text
    assert asked == ["tower"]
