"""The strategies and pools that a definition may name: those of plugins, too, and whatever these do."""

from __future__ import annotations

import argparse
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import anyio
import msgspec
import pytest

from tta_agents import AgentPlugin, AgentsMemory, AgentSpec, AgentsPlugin, StepContext
from tta_kernel import ConfigError, Kernel, NoConfig, Plugin, PluginSettings, hookimpl
from tta_kernel.hookspecs import snapshot
from tta_kernel.testing import Outcome, Stranger, logged, name_of, strangers
from tta_program import LayeredSettings, Subcommands
from tta_workflows import (
    WORKFLOWS,
    Strategy,
    Waiting,
    WorkflowsLocal,
    WorkflowsMemory,
    WorkflowsPlugin,
    commands,
)  # fmt: skip

STEP = {"id": "a", "agent": "slow", "input": {"text": "input.text"}}


class Ask(msgspec.Struct, frozen=True):
    text: str


class Slow(AgentPlugin[NoConfig]):
    """Works on one text after the other, which it remembers; the text ``wait`` takes until it is told to go on."""

    spec = AgentSpec("slow", "takes its time", Ask, Ask)

    def __init__(self, config: NoConfig) -> None:
        super().__init__(config)
        self.texts: list[str] = []
        self.go_on = anyio.Event()

    async def process(self, request: Ask, ctx: StepContext, /) -> Ask:
        self.texts.append(request.text)
        if request.text == "wait":
            await self.go_on.wait()
        return request


def kernel(*more: type[Plugin[Any]], required: bool = True, pools: Any = None, **execution: Any) -> Kernel:
    classes = (WorkflowsPlugin, WorkflowsLocal, WorkflowsMemory, AgentsPlugin, AgentsMemory, Slow, *more)
    workflow = {"steps": [STEP], "execution": execution}
    settings = {
        "workflows": PluginSettings(config={"workflows": {"w": workflow}}),
        "workflows-local": PluginSettings(config={"pools": pools or {}}),
        "odd": PluginSettings(required=required),
    }
    plugins = {name_of(each): each for each in classes}
    return Kernel(
        LayeredSettings(plugins={name: each for name, each in settings.items() if name in plugins}), plugins=plugins
    )


def objections(*more: type[Plugin[Any]], **how: Any) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        kernel(*more, **how).check()
    said = [str(each).removeprefix("plugins.workflows.config.workflows.w.") for each in caught.value.problems]
    return [each for each in said if "can't be used" not in each]


def adding(name: str, strategies: Mapping[str, Any]) -> type[Plugin[NoConfig]]:
    class Adding(Plugin[NoConfig]):
        @hookimpl(optionalhook=True)
        def workflow_strategies(self) -> Mapping[str, Strategy]:
            return strategies

    Adding.__name__ = name
    return Adding


def newest_first(waiting: Waiting, now: float) -> float:
    return -waiting.arrived


async def test_a_plugin_adds_a_strategy_by_name() -> None:
    mine = adding("Mine", {"newest-first": newest_first})
    with anyio.fail_after(20):
        async with kernel(mine, pools={"slow": {"limit": 1}}, strategy="newest-first") as it:
            workflows, slow = it.get(WORKFLOWS), it.records["slow"].plugin
            assert isinstance(slow, Slow)
            handles = []
            for text in ("wait", "b", "c", "d"):
                handles.append(await workflows.start("w", {"text": text}))
                await anyio.wait_all_tasks_blocked()
            figures = (await it.hooks.ask(snapshot))["workflows-local"]
            assert figures == {"workflows.taken": {"slow": 1}, "workflows.waiting": {"slow": 3}}
            slow.go_on.set()
            assert {(await handle.result()).status for handle in handles} == {"done"}
    assert slow.texts == ["wait", "d", "c", "b"]


def test_a_strategy_or_a_pool_that_nobody_has_is_told_with_the_nearest() -> None:
    assert objections(strategy="dedline", pool="crises", pools={"crisis": {"limit": 1}}) == [
        "execution.strategy: no strategy is called 'dedline'; did you mean 'deadline'?",
        "execution.pool: no pool is called 'crises'; did you mean 'crisis'?",
    ]
    assert objections(pool="crisis") == [
        "execution.pool: no pool is called 'crisis'; plugins.workflows-local.config.pools has them"
    ]


def test_two_strategies_of_one_name_are_told_with_their_plugins() -> None:
    mine, yours = (adding(name, {"newest": newest_first}) for name in ("Mine", "Yours"))
    assert objections(mine, yours) == [
        "plugin 'yours': adds the strategy 'newest', and so does 'mine'; call it otherwise"
    ]
    assert objections(adding("Mine", {"fifo": newest_first})) == [
        "plugin 'mine': adds the strategy 'fifo', and so does 'workflows'; call it otherwise"
    ]
    assert objections(adding("Mine", {"newest": "first"})) == [
        "plugin 'mine': its strategy 'newest' is no function; give a function of a Waiting and the time"
    ]


@pytest.mark.parametrize("kind", ["concurrency", "rate", "debounce", "singleton"])
def test_a_key_that_is_none_is_told(kind: str) -> None:
    more: dict[str, Any] = {"rate": {"limit": 1, "every": "1s"}, "debounce": {"wait": "1s"}}
    assert objections(**{kind: {**more.get(kind, {}), "key": "inputs.x"}}) == [
        f"execution.{kind}.key: 'inputs.x' is no key: write input.<field>, owner or session"
    ]


@pytest.mark.boundary("tta_workflows.workflow_strategies")
@pytest.mark.parametrize("stranger", strangers("plain", returns=Mapping[str, Strategy]), ids=str)
async def test_whatever_a_plugin_says_of_strategies_runs_go_on_without_it(stranger: Stranger) -> None:
    class Odd(Plugin[NoConfig]):
        @hookimpl(optionalhook=True)
        def workflow_strategies(self) -> Any:
            return stranger()

    await goes_on_without(Odd, stranger, "workflow_strategies")


async def test_a_file_that_is_not_installed_is_held_against_them_too(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text("version: 1\nexecution: {strategy: dedline, pool: crises}\nsteps: [{id: a, agent: slow}]\n")
    parser = argparse.ArgumentParser(prog="tta")
    commands.add(Subcommands(parser))
    options = parser.parse_args(["workflows", "check", str(file)])
    with anyio.fail_after(20):
        async with kernel(pools={"crisis": {"limit": 1}}) as it:
            assert await options.command.run(it, options) == 1
    assert capsys.readouterr().out.splitlines()[-2:] == [
        f"{file}: execution.strategy: no strategy is called 'dedline'; did you mean 'deadline'?",
        f"{file}: execution.pool: no pool is called 'crises'; did you mean 'crisis'?",
    ]


@pytest.mark.boundary("tta_workflows.workflow_pools")
@pytest.mark.parametrize("stranger", strangers("plain", returns=Collection[str]), ids=str)
async def test_whatever_a_plugin_says_of_pools_runs_go_on_without_it(stranger: Stranger) -> None:
    class Odd(Plugin[NoConfig]):
        @hookimpl(optionalhook=True)
        def workflow_pools(self) -> Any:
            return stranger()

    await goes_on_without(Odd, stranger, "workflow_pools")


async def goes_on_without(odd: type[Plugin[Any]], stranger: Stranger, hook: str) -> None:
    with logged():
        if stranger.outcome is Outcome.STOP:
            with pytest.raises((KeyboardInterrupt, BaseExceptionGroup)):
                kernel(odd).check()
            return
        if stranger.outcome is Outcome.FAILURE:
            with pytest.raises(ConfigError, match=f"plugin 'odd': its hook {hook}"):
                kernel(odd).check()
        async with kernel(odd, required=False, pools={"slow": {"limit": 1}}) as it:
            assert (await it.get(WORKFLOWS).run("w", {"text": "hi"})).status == "done"
