"""A deployment may give a hook more time, or less, than its specification."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import anyio
import anyio.lowlevel
import pytest

from tta_kernel import ConfigError, Kernel, KernelSettings, NoConfig, Plugin, PluginSettings, hookimpl, hookspec
from tta_program import load, reload
from tta_program.effective import Entry, entries

specs = ModuleType("specs")


@hookspec(timeout=60)
async def taste() -> str:
    """Say what it tastes of."""
    raise AssertionError


@hookspec(timeout=1e-6)
async def smell() -> str:
    """Say what it smells of."""
    raise AssertionError


@hookspec()
def colour() -> str:
    """Say which colour it has."""
    raise AssertionError


for spec in (taste, smell, colour):
    setattr(specs, spec.__name__, spec)


class Tea(Plugin[NoConfig]):
    hookspecs = specs


class Taster(Plugin[NoConfig]):
    @hookimpl
    async def taste(self) -> str:
        await anyio.sleep_forever()
        raise AssertionError

    @hookimpl
    async def smell(self) -> str:
        # Longer than the specification lets it.
        await anyio.sleep(0.001)
        return "smoke"


PLUGINS: dict[str, type[Plugin[Any]]] = {"tea": Tea, "taster": Taster}


def kernel(**timeouts: float) -> Kernel:
    return Kernel(KernelSettings(hook_timeouts=timeouts), plugins=PLUGINS)


def problem(folder: Path, text: str, **environ: str) -> str:
    (folder / "base.yaml").write_text(f"kernel: {{hook_timeouts: {text}}}")
    (folder / "development.yaml").write_text("")
    with pytest.raises(ConfigError) as caught:
        Kernel(load(folder, environ=environ), plugins=PLUGINS)
    [found] = caught.value.problems
    return str(found)


async def test_a_limit_in_the_settings_stands_in_place_of_the_specification_s() -> None:
    async with kernel(taste=0.01, smell=30) as running:
        [answer] = (await running.ask(taste)).values()
        assert isinstance(answer, TimeoutError)
        assert str(answer) == "no answer within 0.01 s"
        assert await running.ask(smell) == {"taster": "smoke"}


async def test_without_one_the_specification_s_limit_holds() -> None:
    async with kernel() as running:
        [answer] = (await running.ask(smell)).values()
        assert isinstance(answer, TimeoutError)


async def test_a_reload_takes_new_limits_over() -> None:
    async with kernel() as running:
        done = await reload(running, KernelSettings(hook_timeouts={"smell": 30.0}))
        assert (done.changed, done.restart_needed) == (["kernel.hook_timeouts"], [])
        assert await running.ask(smell) == {"taster": "smoke"}
        assert (await reload(running, KernelSettings())).changed == ["kernel.hook_timeouts"]
        [answer] = (await running.ask(smell)).values()
        assert isinstance(answer, TimeoutError)


async def test_a_reload_with_limits_of_unknown_hooks_changes_nothing() -> None:
    async with kernel(smell=30) as running:
        with pytest.raises(ConfigError, match="'smell'"):
            await reload(running, KernelSettings(hook_timeouts={"smel": 1.0}))
        assert await running.ask(smell) == {"taster": "smoke"}


def test_an_unknown_hook_is_a_problem_with_a_suggestion(tmp_path: Path) -> None:
    assert problem(tmp_path, "{smel: 1s}") == (
        f"{tmp_path}/base.yaml: kernel.hook_timeouts.smel: no enabled plugin specifies an async hook of that name; "
        "did you mean 'smell'?"
    )
    assert problem(tmp_path, "{}", TTA__KERNEL__HOOK_TIMEOUTS__HEALHT="1s") == (
        "TTA__KERNEL__HOOK_TIMEOUTS__HEALHT: kernel.hook_timeouts.healht: "
        "no enabled plugin specifies an async hook of that name; did you mean 'health'?"
    )


def test_a_plain_hook_has_no_limit_to_set(tmp_path: Path) -> None:
    told = "kernel.hook_timeouts.colour: no enabled plugin specifies an async hook of that name; known: "
    assert told in problem(tmp_path, "{colour: 1s}")


@pytest.mark.parametrize("limit", ["0", "0s", "-1", ".inf", ".nan", "61m", "soon", "null", "true"])
def test_a_limit_that_is_none_is_a_problem(tmp_path: Path, limit: str) -> None:
    assert problem(tmp_path, f"{{smell: {limit}}}").startswith(
        f"{tmp_path}/base.yaml: kernel.hook_timeouts.smell: expected "
    )


def test_the_hook_of_a_disabled_plugin_is_unknown_whoever_has_imported_it() -> None:
    off = KernelSettings(hook_timeouts={"smell": 1.0}, plugins={"tea": PluginSettings(enabled=False)})
    with pytest.raises(ConfigError, match=r"kernel\.hook_timeouts\.smell: no enabled plugin specifies"):
        Kernel(off, plugins={"tea": Tea})


@pytest.mark.usefixtures("nothing_installed")
def test_an_optional_plugin_that_cannot_be_imported_takes_no_kernel_with_it_for_its_hooks(
    ship: Callable[..., Path],
) -> None:
    ship("broken-tea", "tea = broken_tea:Tea", "raise OSError('no libfoo')")
    settings = KernelSettings(hook_timeouts={"smell": 1.0}, plugins={"tea": PluginSettings(required=False)})
    assert Kernel(settings).records["tea"].state == "failed"


def test_the_config_in_force_shows_the_limits(tmp_path: Path) -> None:
    (tmp_path / "base.yaml").write_text("kernel: {hook_timeouts: {smell: 300ms}}")
    (tmp_path / "development.yaml").write_text("")
    shown = entries(load(tmp_path, environ={"TTA__KERNEL__HOOK_TIMEOUTS__HEALTH": "1m"}), {})
    assert Entry("kernel.hook_timeouts.smell", "300ms", f"{tmp_path}/base.yaml") in shown
    assert Entry("kernel.hook_timeouts.health", "1m", "TTA__KERNEL__HOOK_TIMEOUTS__HEALTH") in shown
