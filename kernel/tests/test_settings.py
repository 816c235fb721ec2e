"""Settings that a host gives by code, without the program and its files."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import msgspec
import pytest

from tta_kernel import ConfigError, Duration, Kernel, KernelSettings, NoConfig, Plugin, PluginSettings, Size
from tta_program import reload


class Limits(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    pause: Duration = 1.0
    space: Size | None = None


class Store(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    limits: Limits = Limits()
    several: list[Limits] = []
    by_name: dict[str, Duration] = {}
    steps: tuple[Duration, ...] = ()
    pair: tuple[str, Duration] = ("", 0.0)


def decoded(**config: Any) -> Store:
    return KernelSettings(plugins={"store": PluginSettings(config=config)}).decode("store", Store)


def problems(**config: Any) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        decoded(**config)
    return [str(problem) for problem in caught.value.problems]


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ({"limits": {"pause": "2m", "space": "4kB"}}, Store(limits=Limits(120.0, 4000))),
        ({"limits": {"space": None}}, Store(limits=Limits(space=None))),
        ({"several": [{"pause": 3}, {"pause": "500ms"}]}, Store(several=[Limits(3.0), Limits(0.5)])),
        ({"by_name": {"a": "1h"}}, Store(by_name={"a": 3600.0})),
        ({"steps": ["1s", "2s", "3s"]}, Store(steps=(1.0, 2.0, 3.0))),
        ({"pair": ["1s", "1s"]}, Store(pair=("1s", 1.0))),
    ],
)
def test_durations_and_sizes_are_read_wherever_they_stand(config: dict[str, Any], expected: Store) -> None:
    assert decoded(**config) == expected


@pytest.mark.parametrize(
    ("config", "told"),
    [
        ({"limits": {"pause": "soon"}}, "plugins.store.config.limits.pause: expected a duration such as '30s'"),
        ({"several": [{"space": "-1"}]}, "plugins.store.config.several.0.space: expected a size such as '4GB'"),
        ({"limits": {"paws": 1}}, "plugins.store.config.limits: object contains unknown field paws"),
        ({"limits": 1}, "plugins.store.config.limits: expected object, got int"),
    ],
)
def test_a_value_that_cannot_be_used_is_named_with_its_place(config: dict[str, Any], told: str) -> None:
    [problem] = problems(**config)
    assert problem.startswith(told)


def test_code_is_no_layer_and_keeps_no_secret() -> None:
    assert KernelSettings().where("kernel.autoload") == ""
    assert KernelSettings().secrets == frozenset()


class Nothing(Plugin[NoConfig]):
    pass


async def test_settings_that_came_from_code_are_not_read_again() -> None:
    async with Kernel(plugins={"nothing": Nothing}) as kernel:
        with pytest.raises(ConfigError, match="reload: these settings came from no files; give new settings"):
            await reload(kernel)


class Elsewhere(KernelSettings, frozen=True):
    """Settings of a host that keeps them in a place of its own."""

    def read(self) -> KernelSettings:
        return KernelSettings(start_timeout=7)


async def test_a_reload_reads_the_settings_where_a_host_keeps_them() -> None:
    async with Kernel(Elsewhere(), plugins={"nothing": Nothing}) as kernel:
        assert (await reload(kernel)).restart_needed == ["kernel.start_timeout"]


def test_a_kernel_runs_without_its_program() -> None:
    program = (
        "import anyio, sys; from tta_kernel import *\n"
        "async def main():\n"
        "    async with Kernel(plugins={}) as kernel: print(*kernel.records)\n"
        "anyio.run(main); print([name for name in sys.modules if name.startswith(('tta_program', 'yaml'))])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "\n[]\n"
