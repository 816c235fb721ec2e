from __future__ import annotations

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tta_agents import (
    AGENTS,
    AgentError,
    AgentId,
    AgentPlugin,
    AgentsMemory,
    AgentSpec,
    AgentsPlugin,
    StepContext,
)  # fmt: skip
from tta_agents.hookspecs import declared
from tta_kernel import ConfigError, Context, KernelSettings, PluginSettings
from tta_kernel.testing import problems, running
from tta_program import reload

PAGE = Path(__file__).resolve().parents[3] / "docs" / "writing-a-plugin.md"


class Words(msgspec.Struct, frozen=True):
    text: str


class Config(msgspec.Struct, frozen=True):
    end: str = "!"


class Shout(AgentPlugin[Config]):
    spec = AgentSpec("shout", "says it louder", Words, Words, timeout=2.0)

    async def process(self, request: Words, ctx: StepContext, /) -> Words:
        return Words(request.text.upper() + self.config.end)


async def ask(kernel: Any, key: str) -> str:
    reply = await kernel.get(AGENTS).call(AgentId("shout"), Words("sea"), key=key)
    return str(reply.decode(Words).text)


async def test_it_is_declared_and_served_and_takes_over_a_new_config() -> None:
    kernel = running(Shout, AgentsPlugin, AgentsMemory)
    assert declared(kernel.hooks) == {"shout": Shout.spec}
    async with kernel:
        assert await ask(kernel, "1") == "SEA!"
        plugins = dict(kernel.settings.plugins) | {"shout": PluginSettings(config={"end": "?"})}
        assert (await reload(kernel, KernelSettings(plugins=plugins))).changed == ["shout"]
        assert await ask(kernel, "2") == "SEA?"
        agents = kernel.get(AGENTS)
    with pytest.raises(AgentError, match="not_served"):
        await agents.call(AgentId("shout"), Words("sea"), key="3")


def test_settings_of_an_agent_that_nobody_declares_are_a_problem_where_another_may_be_meant() -> None:
    def checked(**agents: Any) -> list[str]:
        kernel = running(Shout, AgentsPlugin, AgentsMemory, configs={"agents": {"agents": agents}})
        kernel.check()
        return [str(note) for note in kernel.wiring.notes]

    assert checked(shout={"auto_register": False}) == []
    where = "plugins.agents.config.agents"
    assert checked(whisper={}) == [f"note: {where}.whisper: no enabled plugin declares this agent"]
    with pytest.raises(ConfigError, match=rf"{where}.shuot: .*; did you mean 'shout'"):
        checked(shuot={"auto_register": False})


async def test_it_is_served_within_a_lifespan_of_its_own() -> None:
    steps: list[str] = []

    class Careful(Shout):
        @asynccontextmanager
        async def lifespan(self, ctx: Context) -> AsyncIterator[None]:
            steps.append("opened")
            async with super().lifespan(ctx):
                steps.append(await ask(kernel, "early"))
                yield
            with pytest.raises(AgentError, match="not_served"):
                await ctx.get(AGENTS).call(AgentId("shout"), Words("sea"), key="late")
            steps.append("closed")

    kernel = running({"shout": Careful}, AgentsPlugin, AgentsMemory)
    async with kernel:
        assert await ask(kernel, "1") == "SEA!"
    assert steps == ["opened", "SEA!", "closed"]


async def _without_context(self: object, request: Words) -> Words:
    return request


def _not_async(self: object, request: Words, ctx: StepContext, /) -> Words:
    return request


UNFINISHED = {
    "without a process": (
        {"spec": Shout.spec},
        "an agent needs a method `process`, and this has none; write `async def process(self, request, ctx)`",
    ),
    "without a spec": (
        {"process": Shout.process},
        "an agent needs a `spec`, and this has none; write `spec = AgentSpec(…)` in the class",
    ),
    "with another spec": (
        {"process": Shout.process, "spec": {"type": "shout"}},
        "an agent needs a `spec`, and this has a dict; write `spec = AgentSpec(…)` in the class",
    ),
    "with a process that isn't async": (
        {"spec": Shout.spec, "process": _not_async},
        "its `process` is no `async def`; write `async def process(self, request, ctx)`",
    ),
    "with a process that takes too little": (
        {"spec": Shout.spec, "process": _without_context},
        (
            "its `process` can't be called with a request and a context: too many positional arguments; "
            "write `async def process(self, request, ctx)`"
        ),
    ),
}


@pytest.mark.parametrize(("attributes", "problem"), UNFINISHED.values(), ids=UNFINISHED)
def test_one_that_could_answer_no_call_is_refused_before_anything_starts(
    attributes: dict[str, Any], problem: str
) -> None:
    unfinished = type("Unfinished", (AgentPlugin,), {"__module__": "mine", **attributes})
    assert problems(unfinished, AgentsPlugin, AgentsMemory, config={}) == [f"mine.Unfinished: {problem}"]


async def test_the_page_opens_what_the_agent_needs_around_it() -> None:
    blocks = re.findall(r"^```python\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    (example,) = (block for block in blocks if "open_model" in block)
    steps: list[str] = []

    @asynccontextmanager
    async def open_model(config: Config) -> AsyncIterator[str]:
        steps.append("opened")
        yield "model"
        steps.append("closed")

    shown: dict[str, Any] = {"Config": Config, "open_model": open_model}
    exec(compile(example, "writing-a-plugin.md", "exec"), shown)

    class Kind(shown["KindWords"]):  # type: ignore[misc, name-defined, valid-type]
        spec = Shout.spec

        async def process(self, request: Words, ctx: StepContext, /) -> Words:
            return Words(self._model)

    async with running({"kind": Kind}, AgentsPlugin, AgentsMemory) as kernel:
        assert await ask(kernel, "1") == "model"
        assert steps == ["opened"]
    assert steps == ["opened", "closed"]
