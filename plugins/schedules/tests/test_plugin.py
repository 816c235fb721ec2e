"""The plugins as a deployment has them, and the README's example."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tta_kernel import ConfigError, Context, Kernel, NoConfig, Plugin
from tta_kernel.hookspecs import snapshot
from tta_kernel.testing import problems, running
from tta_schedules import (
    SCHEDULES,
    Config,
    Schedule,
    ScheduleFired,
    SchedulesLocal,
    SchedulesMemory,
    SchedulesPlugin,
)  # fmt: skip
from tta_schedules.testing import FakeWorkflows, until
from tta_sessions import SessionsPlugin
from tta_sessions.hookspecs import forget
from tta_workflows import WORKFLOWS, WorkflowsPlugin

README = Path(__file__).resolve().parents[1] / "README.md"
PLUGINS: dict[str, type[Plugin[Any]]] = {
    "schedules": SchedulesPlugin, "schedules-local": SchedulesLocal, "schedules-memory": SchedulesMemory,
}  # fmt: skip


def listening(heard: list[ScheduleFired]) -> type[Plugin[NoConfig]]:
    async def hear(event: ScheduleFired) -> None:
        heard.append(event)

    class Listener(Plugin[NoConfig]):
        @asynccontextmanager
        async def lifespan(self, ctx: Context) -> AsyncIterator[None]:
            ctx.on(ScheduleFired, hear)
            yield

    return Listener


async def told(heard: list[ScheduleFired]) -> bool:
    return bool(heard)


def deployment(workflows: FakeWorkflows, heard: list[ScheduleFired], **schedules: Any) -> Kernel:
    return running(
        {**PLUGINS, "listener": listening(heard)}, services={WORKFLOWS: workflows}, config={"schedules": schedules}
    )  # fmt: skip


async def test_a_schedule_of_the_config_is_fired_and_told() -> None:
    workflows, heard = FakeWorkflows(lambda: 0.0), list[ScheduleFired]()
    async with deployment(workflows, heard, often={"workflow": "greet", "every": 1}) as kernel:
        await until(partial(told, heard))
        entry = await kernel.get(SCHEDULES).get("often")
        figures = (await kernel.ask(snapshot))["schedules-local"]
    assert entry is not None
    assert entry.origin == "config"
    assert heard[0].run in workflows.begun
    assert isinstance(figures, dict)
    assert figures["schedules.fired"] >= 1
    assert figures["schedules.held"] == 1


async def test_what_is_in_memory_can_be_forgotten() -> None:

    kernel = running({**PLUGINS, "sessions": SessionsPlugin}, services={WORKFLOWS: FakeWorkflows(lambda: 0.0)})
    async with kernel:
        await kernel.get(SCHEDULES).add("a", Schedule("greet", owner="u", every=60.0))
        assert await kernel.ask(forget, "u") == {"schedules-memory": 1}
        assert await kernel.get(SCHEDULES).get("a") is None


@pytest.mark.parametrize(
    ("schedule", "where"),
    [
        ({"workflow": "a", "every": 60, "colour": "blue"}, r"schedules\.a\.colour: unknown key"),
        ({"workflow": "a"}, r"schedules\.a: needs either"),
        ({"workflow": "a", "cron": "61 * * * *"}, r"schedules\.a: `cron`: bad minute"),
        ({"workflow": "a", "cron": "@daily", "zone": "Mars/Olympus"}, r"schedules\.a: `zone`: no time zone"),
        ({"workflow": "", "every": 60}, r"schedules\.a: needs a `workflow`"),
        ({"workflow": "a", "every": 60, "owner": "u"}, r"schedules\.a: a schedule of the config is nobody's"),
        ({"workflow": "a", "every": 60, "start": "2026-01-01T00:00:00"}, r"schedules\.a\.start: "),
        ({"workflow": "a", "every": 60, "overlap": "often"}, r"schedules\.a\.overlap: "),
    ],
)
def test_what_is_wrong_with_a_schedule_is_told_before_anything_starts(schedule: dict[str, Any], where: str) -> None:
    [problem] = problems(SchedulesPlugin, config={"schedules": {"a": schedule}})
    assert re.search(where, problem)


@pytest.mark.parametrize(
    ("schedule", "what"),
    [
        ({"workflow": "greet", "every": 60, "input": {"text": "hi"}}, ""),
        (
            {"workflow": "great", "every": 60},
            "schedules.a.workflow: no workflow is called 'great'; did you mean 'greet'?",
        ),
        ({"workflow": "greet", "every": 60, "input": {"test": "hi"}}, "'schedules' gives no 'text'"),
    ],
)
def test_a_workflow_that_is_not_there_or_takes_another_input_is_told(schedule: dict[str, Any], what: str) -> None:
    steps = [{"id": "say", "wait": 1}, {"id": "tell", "signal": "person", "when": "input.text == 'hi'"}]
    configs = {"workflows": {"workflows": {"greet": {"steps": steps}}}, "schedules": {"schedules": {"a": schedule}}}
    plugins: dict[str, type[Plugin[Any]]] = {"workflows": WorkflowsPlugin, **PLUGINS}
    kernel = running(plugins, configs=configs, services={WORKFLOWS: FakeWorkflows(lambda: 0.0)})
    try:
        kernel.check()
        found = ""
    except ConfigError as error:
        found = "\n".join(map(str, error.problems))
    assert what in found
    assert bool(found) == bool(what)


def test_a_name_that_none_can_have_is_told() -> None:
    [problem] = problems(SchedulesPlugin, config={"schedules": {"a b": {"workflow": "a", "every": 60}}})
    assert "no schedule can be called that" in problem


async def test_a_reload_takes_schedules_in_and_out_unless_one_is_wrong() -> None:
    workflows = FakeWorkflows(lambda: 0.0)
    async with deployment(workflows, [], a={"workflow": "greet", "every": 3600}) as kernel:
        schedules = kernel.get(SCHEDULES)
        await until(partial(schedules.get, "a"))
        plugin = kernel.records["schedules"].plugin
        assert isinstance(plugin, SchedulesPlugin)
        wrong = msgspec.convert({"schedules": {"b": {"workflow": "greet"}}}, Config)
        with pytest.raises(ConfigError, match="needs either"):
            await plugin.prepare(wrong)
        right = msgspec.convert({"schedules": {"b": {"workflow": "greet", "every": 60.0}}}, Config)
        (await plugin.prepare(right))()
        entry = await until(partial(schedules.get, "b"))

        async def has_ended() -> bool:
            before = await schedules.get("a")
            return before is not None and before.ended == "removed"

        await until(has_ended)
    assert entry.origin == "config"


async def test_the_example_of_the_readme_runs() -> None:
    (example,) = re.findall(r"```yaml\n(.*?)```", README.read_text(), re.DOTALL)
    config = msgspec.yaml.decode(example)["plugins"]["schedules"]["config"]
    async with running(PLUGINS, config=config, services={WORKFLOWS: FakeWorkflows(lambda: 0.0)}) as kernel:
        found = await until(partial(kernel.get(SCHEDULES).get, "tidy"))
    assert (found.schedule.every, found.schedule.jitter) == (6 * 3600.0, 600.0)
