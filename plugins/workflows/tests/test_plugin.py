from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

import anyio
import msgspec
import pytest

from tta_agents import AGENT_REPLIES, AGENTS, AgentError, AgentsMemory, AgentSpec, AgentsPlugin, StepContext
from tta_kernel import (
    ConfigError,
    Context,
    Kernel,
    KernelSettings,
    NoConfig,
    Plugin,
    PluginSettings,
    Service,
    hookimpl,
)
from tta_kernel.testing import Outcome, Stranger, logged, strangers
from tta_messages import MESSAGES
from tta_program import LayeredSettings
from tta_workflows import JOURNAL, WORKFLOWS, WorkflowsLocal, WorkflowsMemory, WorkflowsPlugin, WorkflowUse


class Ask(msgspec.Struct, frozen=True):
    text: str
    more: str = ""


class Answer(msgspec.Struct, frozen=True):
    text: str
    length: int = 0
    tail: str | None = None


class Join:
    """Joins its inputs; raises, sleeps or streams where the text says so."""

    spec = AgentSpec("join", "joins", Ask, Answer)

    async def process(self, request: Ask, ctx: StepContext, /) -> Answer:
        if request.text == "fail":
            raise AgentError("tired")
        if request.text == "sleep":
            await anyio.sleep_forever()
        answer = Answer(request.text + request.more)
        await ctx.emit(answer.text)
        return answer


class Joins(Plugin[NoConfig]):
    requires = (AGENTS,)

    @hookimpl
    def agents(self) -> list[AgentSpec]:
        return [Join.spec]

    @asynccontextmanager
    async def lifespan(self, ctx: Context) -> AsyncIterator[None]:
        async with ctx.get(AGENTS).serve(Join()):
            yield


PLUGINS: dict[str, type[Plugin[Any]]] = {
    "agents": AgentsPlugin,
    "agents-memory": AgentsMemory,
    "joins": Joins,
    "workflows": WorkflowsPlugin,
    "workflows-local": WorkflowsLocal,
    "workflows-memory": WorkflowsMemory,
}


def step(id: str = "a", agent: str = "join", **values: Any) -> dict[str, Any]:
    return {"id": id, "agent": agent, "input": {"text": "input.text"}, **values}


TWICE = {
    "steps": [step("a"), step("b", input={"text": "steps.a.text", "more": "input.tail.end"}, stream=True)],
    "output": {"said": "steps.b.text", "heard": "input.text"},
}


def running(**workflows: Any) -> Kernel:
    config = {"workflows": workflows}
    return Kernel(LayeredSettings(plugins={"workflows": PluginSettings(config=config)}), plugins=PLUGINS)


async def run(kernel: Kernel, input: Mapping[str, Any], key: str = "r", name: str = "w", **more: Any) -> Any:
    return await kernel.get(WORKFLOWS).run(name, input, key=key, **more)


async def test_steps_get_what_their_paths_point_at() -> None:
    async with running(w=TWICE) as kernel:
        done = await run(kernel, {"text": "hi", "tail": {"end": "!"}})
    assert (done.status, done.error) == ("done", "")
    assert done.output == {"said": "hi!", "heard": "hi"}
    assert [(s.id, s.agent, s.status) for s in done.steps] == [("a", "join", "done"), ("b", "join", "done")]


async def test_a_step_says_why_it_failed_and_not_what_was_said() -> None:
    async with running(w=TWICE) as kernel:
        failed, _ = (await run(kernel, {"text": ["my secret"]})).steps
    assert failed.error == "bad_request"
    assert "text" in failed.detail
    assert failed.result == f"bad_request: {failed.detail}"
    assert "secret" not in failed.detail


async def test_a_fallback_without_fields_is_one() -> None:
    async with running(w={"steps": [step(fallback={})]}) as kernel:
        done = await run(kernel, {"text": "fail"})
    assert (done.status, done.degraded) == ("done", ("a",))


@pytest.mark.parametrize(
    ("workflow", "problem"),
    [
        ({"steps": [step(agent="joyn")]}, "no enabled plugin declares the agent 'joyn'; did you mean 'join'?"),
        ({"steps": [step(input={"text": "input.t", "mor": "input.t"})]}, "takes no 'mor'; did you mean 'more'?"),
        ({"steps": [step(input={})]}, "'join' needs 'text'"),
        ({"steps": [step(input={"text": "text"})]}, "'text' is no path"),
        ({"steps": [step(input={"text": "steps.b.text"}), step("b")]}, "no earlier step is called 'b'"),
        ({"steps": [step(), step("b", input={"text": "steps.a.txt"})]}, "answers no 'txt'; did you mean 'text'?"),
        ({"steps": [step(), step()]}, "another step has the same id"),
        ({"steps": [step()], "output": {"x": "steps.aa.text"}}, "no earlier step is called 'aa'; did you mean 'a'?"),
        ({"steps": [step(), step("b", input={"text": "steps.a.length"})]},
         "steps.a.length is int, and 'join' takes str; what would fit: steps.a.text"),
        ({"steps": [step(), step("b", input={"text": "steps.a"})]}, "steps.a is Answer, and 'join' takes str"),
        ({"steps": [step(), step("b", input={"text": "steps.a.tail"})]},
         "steps.a.tail may be None, and is left out then, but 'join' always needs 'text'"),
        ({"steps": [step(), step("b", input={"text": "steps.a.text.end"})]},
         "'steps.a.text.end': there is no 'end' in 'text'"),
        ({"steps": []}, "length >= 1"),
        ({"steps": [step(needs=["b"]), step("b", needs=["a"])]}, "they need each other: a → b → a"),
        ({"steps": [step(needs=["bb"]), step("b")]}, "no step is called 'bb'; did you mean 'b'?"),
        ({"steps": [step(when="input.text ==")]}, "is no expression"),
        ({"steps": [step(workflow="v")]}, "it has agent and workflow; give it exactly one of"),
        ({"steps": [{"id": "a", "workflow": "w"}]}, "it runs within itself: w → w"),
        ({"steps": [{"id": "a", "workflow": "ww"}]}, "no workflow is called 'ww'; did you mean 'w'?"),
        ({"steps": [step()], "on_failure": "b", "savepoints": ["a"]}, "'b' is neither 'undo' nor 'keep'"),
    ],
)  # fmt: skip
async def test_a_wrong_definition_is_a_problem_before_anything_runs(workflow: Any, problem: str) -> None:
    with pytest.raises(ConfigError) as caught:
        async with running(w=workflow):
            pass
    assert problem in str(caught.value)
    assert "plugins.workflows.config.workflows.w" in str(caught.value)


class Given(msgspec.Struct, frozen=True):
    text: str


def elsewhere(workflow: Any, *uses: WorkflowUse, served: bool = False) -> Kernel:
    """Return a deployment whose config says that another one serves ``join``."""
    settings = KernelSettings(
        plugins={
            "agents": PluginSettings(config={"remote": {"join": {"description": "joins", "timeout": "5s"}}}),
            "workflows": PluginSettings(config={"workflows": {"w": workflow}}),
        }
    )
    plugins = {name: plugin for name, plugin in PLUGINS.items() if served or name != "joins"}
    services: dict[Service[Any], object] = {MESSAGES: object()}  # Nothing is sent: it is checked, and does not run.
    return Kernel(settings, plugins=plugins | user(*uses), services=services)


def test_an_agent_of_another_deployment_takes_and_gives_whatever_a_workflow_says() -> None:
    workflow = {"steps": [step(input={"what": "input.text"}), step("b")], "output": {"text": "steps.a.any.thing"}}

    elsewhere(workflow, WorkflowUse("w", Given, Given)).check()


def test_what_surrounds_an_agent_of_another_deployment_is_checked_still() -> None:
    with pytest.raises(ConfigError, match="'user' gives no 'txt'"):
        elsewhere({"steps": [step(input={"text": "input.txt"})]}, WorkflowUse("w", Given, Given)).check()
    with pytest.raises(ConfigError, match="no enabled plugin declares the agent 'joyn'; did you mean 'join'"):
        elsewhere({"steps": [step(agent="joyn")]}).check()


def test_an_agent_whose_plugin_is_installed_and_not_in_use_is_said_to_be() -> None:
    class Broken(Plugin[Given]):
        """Can't be used: its config lacks a field."""

    workflows = PluginSettings(config={"workflows": {"w": {"steps": [step(agent="joiner")]}}})
    for settings, trouble in (
        (PluginSettings(enabled=False), "is disabled"),
        (PluginSettings(required=False), "can't be used"),
    ):
        kernel = Kernel(
            KernelSettings(plugins={"workflows": workflows, "joiner": settings}), plugins=PLUGINS | {"joiner": Broken}
        )
        with pytest.raises(ConfigError) as caught:
            kernel.check()
        assert f"no enabled plugin declares the agent 'joiner': the plugin 'joiner' {trouble};" in str(caught.value)


def test_where_an_agent_is_declared_by_its_plugin_that_counts() -> None:
    with pytest.raises(ConfigError, match="'join' takes no 'mor'"):
        elsewhere({"steps": [step(input={"text": "input.t", "mor": "input.t"})]}, served=True).check()


def user(*uses: WorkflowUse) -> dict[str, type[Plugin[Any]]]:
    class User(Plugin[NoConfig]):
        @hookimpl(optionalhook=True)
        def workflow_uses(self) -> tuple[WorkflowUse, ...]:
            return uses

    return {"user": User}


def objections(workflow: Any, *uses: WorkflowUse) -> list[str]:
    settings = KernelSettings(plugins={"workflows": PluginSettings(config={"workflows": {"w": workflow}})})
    with pytest.raises(ConfigError) as caught:
        Kernel(settings, plugins=PLUGINS | user(*uses)).check()
    return [str(problem) for problem in caught.value.problems if problem.where.startswith("plugins.")]


def test_what_a_plugin_gives_and_reads_is_held_against_its_workflow() -> None:
    workflow = {"steps": [step(input={"text": "input.txt"})], "output": {"txt": "steps.a.text"}}
    at = "plugins.workflows.config.workflows.w"

    assert objections(workflow, WorkflowUse("w", Given, Given)) == [
        f"{at}.steps.a.input.text: 'user' gives no 'txt'; did you mean 'text'?",
        f"{at}.output.txt: 'user' takes no 'txt'; did you mean 'text'?",
        f"{at}.output: 'user' needs 'text'; add `text: steps.a.text` or `text: input.text`",
    ]


def test_two_uses_of_one_workflow_find_the_same_problem_once() -> None:
    use = WorkflowUse("w", Given, Given)
    workflow = {"steps": [step(agent="joyn")], "output": {"text": "input.text"}}

    assert len(objections(workflow, use, use)) == 1


@pytest.mark.parametrize(("key", "where"), [("flow", "plugins.user.config.flow"), ("", "plugin 'user'")])
def test_a_plugin_that_runs_an_unknown_workflow_is_named(key: str, where: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Kernel(plugins=PLUGINS | user(WorkflowUse("x", Given, Given, key))).check()

    assert f"{where}: no workflow is called 'x'; known: none" in str(caught.value)


# What plugins declare


@pytest.mark.boundary("tta_workflows.workflow_uses")
@pytest.mark.parametrize("stranger", strangers("plain", returns=Sequence[WorkflowUse]), ids=str)
async def test_whatever_a_plugin_says_that_it_runs_workflows_run_and_it_alone_is_ruled_out(stranger: Stranger) -> None:
    class Odd(Plugin[NoConfig]):
        @hookimpl
        def workflow_uses(self) -> Sequence[WorkflowUse]:
            return stranger()  # type: ignore[no-any-return]

    def kernel(*, required: bool) -> Kernel:
        odd = PluginSettings(required=required)
        workflows = PluginSettings(config={"workflows": {"fine": TWICE}})
        settings = LayeredSettings(plugins={"workflows": workflows, "odd": odd})
        return Kernel(settings, plugins={**PLUGINS, "odd": Odd})

    with logged():
        if stranger.outcome is Outcome.STOP:
            with pytest.raises((KeyboardInterrupt, BaseExceptionGroup)):
                kernel(required=False).check()
            return
        if stranger.outcome is Outcome.FAILURE:
            with pytest.raises(ConfigError, match="plugin 'odd': its hook workflow_uses"):
                kernel(required=True).check()
        async with kernel(required=False) as it:
            done = await run(it, {"text": "hi"}, name="fine")
            state = it.records["odd"].state
    assert done.output["said"] == "hi"
    if stranger.outcome is Outcome.FAILURE:
        assert state == "failed"


async def test_a_journal_for_all_without_replies_for_all_is_refused_before_anything_starts() -> None:
    class Shared(Plugin[NoConfig]):
        provides = (JOURNAL,)

    class Replies(Plugin[NoConfig]):
        provides = (AGENT_REPLIES,)

    plugins = {**{name: each for name, each in PLUGINS.items() if name != "workflows-memory"}, "shared": Shared}
    assert "remembers runs for all processes" in "".join(objections_to(plugins))
    assert objections_to({**plugins, "replies": Replies}) == []
    assert objections_to(PLUGINS) == []


def objections_to(plugins: dict[str, type[Plugin[Any]]]) -> list[str]:
    kernel = Kernel(KernelSettings(), plugins=plugins)
    kernel.wiring.check()
    return list(map(str, kernel.wiring.problems))
