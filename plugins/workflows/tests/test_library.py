"""Definitions from files, from plugins and from the config itself, and what a reload makes of them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tta_agents import AgentPlugin, AgentsMemory, AgentSpec, AgentsPlugin, StepContext
from tta_kernel import ConfigError, Kernel, NoConfig, Plugin, hookimpl
from tta_kernel.testing import Outcome, Stranger, logged, name_of, strangers
from tta_program import load, reload
from tta_workflows import (
    DEFINITIONS,
    WORKFLOWS,
    Step,
    Workflow,
    WorkflowsLocal,
    WorkflowsMemory,
    WorkflowsPlugin,
)  # fmt: skip
from tta_workflows.testing import workflow

SAY = """
version: 1
steps:
  - {id: say, agent: echo, input: {text: input.text}}
output: {said: steps.say.text}
"""


class Ask(msgspec.Struct, frozen=True):
    text: str


class Echo(AgentPlugin[NoConfig]):
    spec = AgentSpec("echo", "says it again", Ask, Ask)

    async def process(self, request: Ask, ctx: StepContext, /) -> Ask:
        return request


def defining(name: str, definitions: Mapping[str, Any]) -> type[Plugin[NoConfig]]:
    class Defining(Plugin[NoConfig]):
        @hookimpl(optionalhook=True)
        def workflow_definitions(self) -> Mapping[str, Workflow]:
            return definitions

    Defining.__name__ = name
    return Defining


class Deployment:
    """A config folder with files of workflows."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.files = folder / "workflows"
        self.files.mkdir()
        (folder / "base.yaml").write_text("plugins: {}\n")
        (folder / "development.yaml").write_text("{}\n")

    def write(self, name: str, text: str) -> Path:
        path = self.files / name
        path.write_text(text)
        return path

    def kernel(
        self, *more: type[Plugin[Any]], inline: Mapping[str, Any] | None = None, optional: str = "echo"
    ) -> Kernel:  # fmt: skip
        classes = (WorkflowsPlugin, WorkflowsLocal, WorkflowsMemory, AgentsPlugin, AgentsMemory, Echo, *more)
        overrides = {"plugins": {"workflows": {"config": {"workflows": inline or {}}}, optional: {"required": False}}}
        settings = load(self.folder, "development", {}, overrides=overrides)
        return Kernel(settings, plugins={name_of(each): each for each in classes})

    def objections(self, *more: type[Plugin[Any]]) -> list[str]:
        with pytest.raises(ConfigError) as caught:
            self.kernel(*more).check()
        return [str(each).replace(f"{self.files}/", "") for each in caught.value.problems]


@pytest.fixture
def deployment(tmp_path: Path) -> Deployment:
    return Deployment(tmp_path)


async def test_a_file_beside_the_config_is_a_workflow_of_its_name(deployment: Deployment) -> None:
    deployment.write("say.yaml", SAY)
    async with deployment.kernel() as kernel:
        done = await kernel.get(WORKFLOWS).run("say", {"text": "hi"})
    assert done.output == {"said": "hi"}


async def test_the_config_goes_before_a_file_and_a_file_before_a_plugin(deployment: Deployment) -> None:
    deployment.write("two.yaml", SAY + "description: file\n")
    deployment.write("one.yaml", SAY + "description: file\n")
    step = {"id": "say", "agent": "echo", "input": {"text": "input.text"}}
    given = {name: workflow(step, description="plugin") for name in ("one", "two", "three")}
    inline = {"one": {"steps": [step], "description": "config"}}
    async with deployment.kernel(defining("Mine", given), inline=inline) as kernel:
        found = kernel.get(DEFINITIONS)
    assert {name: each.description for name, each in found.items()} == {
        "one": "config", "two": "file", "three": "plugin",
    }  # fmt: skip


def test_two_plugins_that_define_one_name_are_both_named(deployment: Deployment) -> None:
    given = {"say": workflow({"id": "say", "agent": "echo", "input": {"text": "input.text"}})}
    found = deployment.objections(defining("Mine", given), defining("Yours", given))
    assert found[0] == "plugin 'yours': defines the workflow 'say', and so does 'mine'; call one of them otherwise"


def test_what_code_has_built_is_checked_as_a_file_is(deployment: Deployment) -> None:
    given = {"say": Workflow((Step("say", agent="echo", timeout=-1.0),))}
    found = deployment.objections(defining("Mine", given))
    assert found[0].startswith("plugin 'mine': workflow 'say'.steps.0.timeout: expected")


def test_a_problem_of_a_plugins_definition_names_the_plugin(deployment: Deployment) -> None:
    found = deployment.objections(defining("Mine", {"say": workflow({"id": "say", "agent": "ecko"})}))
    assert found[0].startswith("plugin 'mine', workflow 'say': steps.say.agent: no enabled plugin declares the agent")


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("version: 1\nsteps: [{id: say, agent: echo, tmeout: 3}]", "say.yaml: steps.say.tmeout: unknown key; did you"),
        ("version: 1\nsteps: [{id: say, agent: echo, timeout: 0s}]", "say.yaml: steps.say.timeout: "),
        ("version: 1\nsteps: [{id: say, agent: echo}]\ntimeout: -1", "say.yaml: timeout: expected a duration"),
        ("version: 2\nsteps: [{id: say, agent: echo}]", "say.yaml: version: "),
        ("steps: [{id: say, agent: echo}]", "say.yaml: version: is missing; add `version: 1`"),
        ("version: 1", "say.yaml: steps: is missing"),
        ("version: 1\nsteps: []", "say.yaml: "),
        ("version: 1\nsteps: [{agent: echo}]", "say.yaml: steps.0.id: is missing"),
        ("version: 1\nsteps: [3]", "say.yaml: steps.0: expected"),
        ("- 1", "say.yaml: expected a mapping with the keys of a workflow"),
        ("a: [\n", "say.yaml:2:1: cannot be read as YAML"),
        ("steps: &a [*a]", "say.yaml:1:12: cannot be read as YAML: aliases are refused"),
        ("steps: !!python/object:x {}", "say.yaml:1:8: cannot be read as YAML: tags are refused"),
        ("a: 1\na: 2", "say.yaml:2:1: cannot be read as YAML: the key 'a' is there twice"),
        ("", "say.yaml: expected a mapping"),
        ("[" * 100, "say.yaml:1:51: cannot be read as YAML: more than 50"),
    ],
)
def test_a_broken_file_says_where(deployment: Deployment, text: str, problem: str) -> None:
    deployment.write("say.yaml", text)
    assert deployment.objections()[0].startswith(problem)


def test_all_files_are_read_and_all_problems_told_at_once(deployment: Deployment) -> None:
    deployment.write("a.yaml", "version: 1\nsteps: [{id: say, agent: ecko}]")
    deployment.write("b.yaml", "a: [")
    deployment.write("c.yml", SAY)
    (deployment.files / "d.yaml").mkdir()
    deployment.write("e.yaml", "x").write_bytes(b"\xff")
    where = [each.split(": ")[0] for each in deployment.objections()]
    assert where[:5] == ["b.yaml:2:1", "c.yml", "d.yaml", "e.yaml", "a.yaml"]


def test_without_the_folder_there_are_no_files_unless_it_is_named(deployment: Deployment) -> None:
    deployment.files.rmdir()
    deployment.kernel().check()
    section = "plugins: {workflows: {config: {folder: flows}}}\n"
    (deployment.folder / "development.yaml").write_text(section)
    assert deployment.objections()[0].endswith(
        "/flows: there is no such folder; plugins.workflows.config.folder names it"
    )


async def test_a_reload_gives_new_runs_the_new_definition(deployment: Deployment) -> None:
    deployment.write("say.yaml", SAY)
    async with deployment.kernel() as kernel:
        workflows = kernel.get(WORKFLOWS)
        before = await workflows.run("say", {"text": "hi"}, key="1")
        deployment.write("say.yaml", SAY.replace("said:", "told:"))
        deployment.write("other.yaml", SAY)
        assert (await reload(kernel)).changed == ["workflows"]
        after = await workflows.run("say", {"text": "hi"}, key="2")
        again = await workflows.run("say", {"text": "hi"}, key="1")
        other = await workflows.run("other", {"text": "hi"})
        assert (await reload(kernel)).changed == []
    assert (before.output, after.output, other.output) == ({"said": "hi"}, {"told": "hi"}, {"said": "hi"})
    assert again.output == before.output
    assert before.definition == again.definition != after.definition


async def test_a_reload_of_a_broken_file_leaves_all_as_it_was(deployment: Deployment) -> None:
    deployment.write("say.yaml", SAY)
    async with deployment.kernel() as kernel:
        for broken in ("steps: [", SAY.replace("agent: echo", "agent: ecko")):
            deployment.write("say.yaml", broken)
            with pytest.raises(ConfigError, match=r"say\.yaml"):
                await reload(kernel)
        done = await kernel.get(WORKFLOWS).run("say", {"text": "hi"})
    assert done.output == {"said": "hi"}


async def test_a_workflow_that_a_reload_takes_away_begins_no_run(deployment: Deployment) -> None:
    path = deployment.write("say.yaml", SAY)
    async with deployment.kernel() as kernel:
        path.unlink()
        await reload(kernel)
        refused = await kernel.get(WORKFLOWS).run("say", {"text": "hi"})
    assert (refused.status, refused.error) == ("refused", "unknown_workflow")


async def test_a_changed_inner_workflow_changes_those_that_run_it(deployment: Deployment) -> None:
    deployment.write("say.yaml", SAY)
    outer = "version: 1\nsteps: [{id: a, workflow: say, input: {text: input.text}}]\noutput: {all: steps.a}\n"
    deployment.write("outer.yaml", outer)
    async with deployment.kernel() as kernel:
        before = await kernel.get(WORKFLOWS).run("outer", {"text": "hi"})
        deployment.write("say.yaml", SAY.replace("said:", "told:"))
        await reload(kernel)
        after = await kernel.get(WORKFLOWS).run("outer", {"text": "hi"})
    assert (before.output, after.output) == ({"all": {"said": "hi"}}, {"all": {"told": "hi"}})


@pytest.mark.boundary("tta_workflows.workflow_definitions")
@pytest.mark.parametrize("stranger", strangers("plain", returns=Mapping[str, Workflow]), ids=str)
def test_whatever_a_plugin_defines_its_deployment_is_judged(deployment: Deployment, stranger: Stranger) -> None:
    class Odd(Plugin[NoConfig]):
        @hookimpl(optionalhook=True)
        def workflow_definitions(self) -> Any:
            return stranger()

    deployment.write("say.yaml", SAY)
    with logged():
        if stranger.outcome is Outcome.STOP:
            with pytest.raises((KeyboardInterrupt, BaseExceptionGroup)):
                deployment.kernel(Odd).check()
            return
        if stranger.outcome is Outcome.FAILURE:
            assert deployment.objections(Odd)[0].startswith("plugin 'odd': its hook workflow_definitions ")
            return
        # Whatever it is, who can do without that plugin does.
        deployment.kernel(Odd, optional="odd").check()
