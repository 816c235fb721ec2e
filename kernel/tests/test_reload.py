"""A new config for a kernel that runs: all agree, or nothing changes, and what is open stays told."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import anyio
import msgspec
import pytest

from tta_kernel import (
    ConfigError,
    Context,
    Kernel,
    KernelError,
    KernelSettings,
    NoConfig,
    Plugin,
    PluginSettings,
    Problem,
    Secret,
    Service,
    hookimpl,
)
from tta_program import LayeredSettings, Reloaded, reload


class Sized(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    size: int = 0


class Adjustable(Plugin[Sized]):
    """Takes any new config over that isn't negative."""

    taken = 0

    async def prepare(self, config: Sized) -> Callable[[], None]:
        if config.size < 0:
            raise ValueError("size is negative")

        def commit() -> None:
            self.taken = config.size

        return commit


class Fixed(Plugin[Sized]):
    """Needs a restart for a new config."""


class Nothing(Plugin[NoConfig]):
    pass


def settings(**config: Any) -> LayeredSettings:
    return LayeredSettings(plugins={name: PluginSettings(config=each) for name, each in config.items()})


async def test_a_reload_with_one_objector_changes_nothing() -> None:
    kernel = Kernel(settings(a={"size": 1}, b={"size": 1}), plugins={"a": Adjustable, "b": Adjustable})
    async with kernel:
        with pytest.raises(ConfigError, match="'b' objects: size is negative"):
            await reload(kernel, settings(a={"size": 2}, b={"size": -2}))
        assert [r.plugin.config.size for r in kernel.records.values() if r.plugin] == [1, 1]
        assert await reload(kernel, settings(a={"size": 2}, b={"size": 1})) == Reloaded(["a"], [])
        plugin = kernel.records["a"].plugin
        assert isinstance(plugin, Adjustable)
        assert plugin.taken == 2


async def test_a_plugin_that_is_turned_off_needs_a_restart() -> None:
    async with Kernel(plugins={"x": Nothing}) as kernel:
        off = KernelSettings(plugins={"x": PluginSettings(enabled=False)})
        assert (await reload(kernel, off)).restart_needed == ["x"]


KEY = Service[str]("key")


class Gives(Plugin[NoConfig]):
    provides = (KEY,)

    @asynccontextmanager
    async def lifespan(self, ctx: Context) -> AsyncIterator[None]:
        ctx.provide(KEY, "value")
        yield


class Takes(Plugin[Sized]):
    requires = (KEY,)

    @hookimpl
    def check(self) -> Sequence[Problem]:
        return [Problem("size", "is odd")] if self.config.size % 2 else []


async def test_a_preview_says_what_would_change_and_changes_nothing() -> None:
    async with Kernel(settings(a={"size": 1}, b={}), plugins={"a": Adjustable, "b": Fixed}) as kernel:
        fresh = settings(a={"size": 2}, b={"size": 3})
        done = await reload(kernel, fresh, preview=True)
        plugin = kernel.records["a"].plugin
        assert isinstance(plugin, Adjustable)

        assert done == Reloaded(["a"], ["b"])
        assert (plugin.taken, plugin.config) == (0, Sized(1))
        assert await reload(kernel, fresh) == done
        assert plugin.taken == 2


async def test_what_a_restart_would_refuse_is_refused_as_a_whole() -> None:
    plugins = {"free": Adjustable, "gives": Gives, "takes": Takes}
    async with Kernel(plugins=plugins) as kernel:
        off = PluginSettings(enabled=False)
        with pytest.raises(ConfigError, match="'takes': requires Service\\('key'\\) of 'gives', which is disabled"):
            await reload(kernel, KernelSettings(plugins={"gives": off, "free": PluginSettings(config={"size": 1})}))
        with pytest.raises(ConfigError, match="size: is odd"):
            await reload(kernel, settings(takes={"size": 1}))
        optional = PluginSettings(required=False, config={"size": "x"})
        with pytest.raises(ConfigError, match="expected int"):
            await reload(kernel, KernelSettings(plugins={"takes": optional}))
        free = kernel.records["free"].plugin
        assert free is not None
        assert free.config == Sized(0)
        both = await reload(kernel, KernelSettings(plugins={"gives": off, "takes": off}))
        assert both.restart_needed == ["gives", "takes"]


async def test_what_needs_a_restart_is_told_until_there_was_one() -> None:
    plugins = {"fixed": Fixed, "free": Adjustable}
    async with Kernel(settings(fixed={"size": 1}), plugins=plugins) as kernel:
        new = KernelSettings(
            start_timeout=7,
            plugins={"fixed": PluginSettings(config={"size": 2}), "free": PluginSettings(required=False)},
        )
        pending = ["kernel.start_timeout", "fixed", "free"]
        assert (await reload(kernel, new)).restart_needed == pending
        assert (await reload(kernel, new)).restart_needed == pending
        assert (await reload(kernel, settings(fixed={"size": 1}))).restart_needed == []


async def test_two_reloads_at_once_come_one_after_the_other() -> None:
    steps: list[str] = []

    class Slow(Plugin[Sized]):
        async def prepare(self, config: Sized) -> Callable[[], None]:
            steps.append(f"prepares {config.size}")
            for _ in range(5):
                await anyio.lowlevel.checkpoint()
            return lambda: steps.append(f"takes {config.size}")

    async with Kernel(plugins={"slow": Slow}) as kernel, anyio.create_task_group() as tasks:
        tasks.start_soon(reload, kernel, settings(slow={"size": 1}))
        tasks.start_soon(reload, kernel, settings(slow={"size": 2}))
    one, other = ("1", "2") if steps[0] == "prepares 1" else ("2", "1")
    assert steps == [f"prepares {one}", f"takes {one}", f"prepares {other}", f"takes {other}"]


class Keeper(Plugin[Any]):
    class Config(msgspec.Struct):
        phrase: Secret = ""

    config_type = Config


async def test_a_new_secret_is_known_to_whoever_hides_them() -> None:
    async with Kernel(settings(keeper={"phrase": "hunter2"}), plugins={"keeper": Keeper}) as kernel:
        known = kernel.secrets
        assert known == {"hunter2"}
        await reload(kernel, settings(keeper={"phrase": "hunter3"}))
        assert known is kernel.secrets
        assert known == {"hunter2", "hunter3"}


async def test_a_kernel_that_does_not_run_reloads_nothing() -> None:
    with pytest.raises(KernelError, match="not running"):
        await reload(Kernel(plugins={}), settings())
