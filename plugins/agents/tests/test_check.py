"""What `tta check` finds wrong about agents before anything starts."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from tta_agents import AgentsMemory, AgentSpec, AgentsPlugin
from tta_kernel import ConfigError, Kernel, KernelSettings, NoConfig, Plugin, PluginSettings, Service, hookimpl
from tta_messages import MESSAGES
from tta_program import LayeredSettings, load


def problems(**config: Any) -> str:
    settings = LayeredSettings(plugins={"agents": PluginSettings(config=config)})
    with pytest.raises(ConfigError) as caught:
        Kernel(settings, plugins={"agents": AgentsPlugin, "agents-memory": AgentsMemory}).check()
    return str(caught.value)


def test_a_type_that_no_queue_can_be_named_after_is_no_remote_agent() -> None:
    settings = KernelSettings(plugins={"agents": PluginSettings(config={"remote": {"a/b": {}}})})
    with pytest.raises(ConfigError, match=r"plugins.agents.config.remote.a/b: nobody can serve it"):
        Kernel(settings, plugins={"agents": AgentsPlugin, "agents-memory": AgentsMemory}).check()


def test_a_plugin_that_cannot_say_which_agents_it_serves_is_a_problem_of_its_own() -> None:
    class Torn(Plugin[NoConfig]):
        @hookimpl
        def agents(self) -> Sequence[AgentSpec]:
            raise OSError("a person's secret")

    class Away(Plugin[NoConfig]):
        requires = (Service("nobody's"),)

        @hookimpl
        def agents(self) -> Sequence[AgentSpec]:
            return []

    plugins = {"agents": AgentsPlugin, "agents-memory": AgentsMemory, "torn": Torn, "away": Away}
    settings = KernelSettings(plugins={"away": PluginSettings(required=False)})
    with pytest.raises(ConfigError) as caught:
        Kernel(settings, plugins=plugins).check()
    assert re.fullmatch(rf"plugin 'torn': its hook agents raised OSError at {__file__}:\d+", str(caught.value))


def test_names_of_instances_that_could_not_be_served_are_found_before_anything_starts() -> None:
    odd = {"echo": {"instances": [{"name": "b\u00f6 se"}]}}
    assert "no queue can be named after echo:b\u00f6 se" in problems(auto_register=True, agents=odd)
    assert "two instances have one name: a" in problems(agents={"echo": {"instances": [{"name": "a"}, {"name": "a"}]}})
    assert "instances.0.name" in problems(agents={"echo": {"instances": [{"name": ""}]}})


@pytest.mark.parametrize("time", [0, float("inf"), 1e18])
@pytest.mark.parametrize("key", ["visibility", "call_limit", "poll_interval"])
def test_times_that_would_never_end_or_never_pause_are_refused(key: str, time: float) -> None:
    assert key in problems(**{key: time})


@pytest.mark.parametrize("key", ["auto_register", "remote"])
def test_settings_that_mean_other_processes_need_messages(tmp_path: Path, key: str) -> None:
    (tmp_path / "base.yaml").write_text(
        f"plugins: {{agents: {{config: {{{key}: {'{a: {}}' if key == 'remote' else 'true'}}}}}}}"
    )
    (tmp_path / "development.yaml").write_text("")
    plugins: dict[str, type[Plugin[Any]]] = {"agents": AgentsPlugin, "agents-memory": AgentsMemory}
    settings = load(tmp_path, environ={})
    with pytest.raises(ConfigError) as caught:
        Kernel(settings, plugins=plugins).check()
    assert str(caught.value) == (
        f"{tmp_path}/base.yaml: plugins.agents.config.{key}: "
        "needs Service('messages'), which no enabled plugin provides; install one, or leave this out"
    )
    Kernel(settings, plugins=plugins, services={MESSAGES: object()}).check()
