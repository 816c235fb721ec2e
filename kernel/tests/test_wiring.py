"""What the wiring makes of providers, fallbacks and cycles, and what `tta run` makes of signals."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from types import ModuleType
from typing import Any, TypeVar

import anyio
import anyio.lowlevel
import msgspec
import pytest

from tta_kernel import (
    ConfigError,
    Context,
    Event,
    Health,
    Kernel,
    KernelSettings,
    NoConfig,
    NotReady,
    Plugin,
    PluginError,
    PluginSettings,
    Problem,
    Service,
    State,
    hookimpl,
    hookspec,
)
from tta_program import load

A, B = Service[str]("a"), Service[str]("b")
OPTIONAL = PluginSettings(required=False)
Body = Callable[[Context], Awaitable[None]]


class Plugins:
    """Makes plugin classes that note their starts and stops."""

    def __init__(self) -> None:
        self.log: list[str] = []

    def make(
        self, name: str, *, provides: tuple[Service[Any], ...] = (), requires: tuple[Service[Any], ...] = (),
        enter: Body | None = None, leave: Callable[[], Awaitable[None]] | None = None, **more: Any,
    ) -> type[Plugin[NoConfig]]:  # fmt: skip
        log = self.log

        @asynccontextmanager
        async def lifespan(self: Plugin[NoConfig], ctx: Context) -> AsyncIterator[None]:
            if enter is not None:
                await enter(ctx)
            for key in provides:
                ctx.provide(key, name)
            log.append(f"+{name}")
            try:
                yield
            finally:
                if leave is not None:
                    await leave()
                log.append(f"-{name}")

        return type(name, (Plugin,), {"provides": provides, "requires": requires, "lifespan": lifespan, **more})


@pytest.fixture
def ps() -> Plugins:
    return Plugins()


def test_a_cycle_is_named(ps: Plugins) -> None:
    plugins = {
        "x": ps.make("x", provides=(A,), requires=(B,)),
        "y": ps.make("y", provides=(B,), requires=(A,)),
    }
    with pytest.raises(ConfigError, match=r"needs itself in the end: (x -> y -> x|y -> x -> y)"):
        Kernel(plugins=plugins)


def test_a_missing_provider_is_named_with_what_is_disabled(ps: Plugins) -> None:
    settings = KernelSettings(plugins={"x": PluginSettings(enabled=False)})
    plugins = {"x": ps.make("x", provides=(A,)), "y": ps.make("y", requires=(A,))}
    with pytest.raises(ConfigError, match=r"'y': requires Service\('a'\) of 'x', which is disabled; enable it"):
        Kernel(settings, plugins=plugins)


def test_what_is_missed_with_a_disabled_plugin_is_told_with_the_file_that_disables_it(
    ps: Plugins, tmp_path: Path
) -> None:
    (tmp_path / "base.yaml").write_text("plugins: {x: {config: {}}}")
    (tmp_path / "development.yaml").write_text("plugins: {x: {enabled: false}}")
    plugins = {"x": ps.make("x", provides=(A,)), "y": ps.make("y", requires=(A,))}
    with pytest.raises(ConfigError) as caught:
        Kernel(load(tmp_path, environ={}), plugins=plugins)
    assert str(caught.value).endswith(
        f"'x', which is disabled; enable it (as {tmp_path}/development.yaml says), or disable what needs it"
    )


def test_an_objection_to_a_key_names_the_file_that_says_it(tmp_path: Path) -> None:
    class Objects(Plugin[NoConfig]):
        @hookimpl
        def check(self) -> Sequence[Problem]:
            what = "nobody knows it"
            return [
                Problem("plugins.x.required", what),
                Problem("plugins.x.config.a", what, note=True),
                Problem("a", what),
            ]

    (tmp_path / "base.yaml").write_text("plugins: {x: {required: true}}")
    (tmp_path / "development.yaml").write_text("")
    kernel = Kernel(load(tmp_path, environ={}), plugins={"x": Objects})
    with pytest.raises(ConfigError) as caught:
        kernel.check()
    base = f"{tmp_path}/base.yaml"
    assert [it.where for it in caught.value.problems] == [f"{base}: plugins.x.required", "a"]
    assert [it.where for it in kernel.wiring.notes] == [f"{base}: plugins.x.config.a"]


def test_what_follows_from_one_cause_is_told_in_one_line_behind_it(ps: Plugins) -> None:
    class Sized(msgspec.Struct, forbid_unknown_fields=True):
        size: int = 0

    class First(Plugin[Sized]):
        provides = (A,)

    plugins: dict[str, type[Plugin[Any]]] = {
        "a": First,
        "b": ps.make("b", provides=(B,), requires=(A,)),
        "c": ps.make("c", requires=(B,)),
    }

    def told(section: PluginSettings) -> list[str]:
        with pytest.raises(ConfigError) as caught:
            Kernel(KernelSettings(plugins={"a": section}), plugins=plugins)
        return [str(problem) for problem in caught.value.problems]

    behind = "and 2 that need it can't run: b, c"
    assert told(PluginSettings(config={"size": "x"})) == [
        "plugins.a.config.size: expected int, got str",
        f"plugin 'a': can't be used, {behind}",
    ]
    off = PluginSettings(enabled=False)
    assert told(off) == [f"plugin 'a': is disabled, {behind}; enable it, or disable what needs it"]
    # Needed by one that is required, it keeps the kernel from starting though it is optional itself.
    assert len(told(PluginSettings(required=False, config={"size": "x"}))) == 2


def test_a_service_that_nobody_installed_provides_is_a_cause_of_its_own(ps: Plugins) -> None:
    plugins = {"x": ps.make("x", requires=(A,), provides=(B,)), "y": ps.make("y", requires=(B,))}
    with pytest.raises(ConfigError) as caught:
        Kernel(plugins=plugins)
    assert [str(problem) for problem in caught.value.problems] == [
        "plugin 'x': requires Service('a'), which no enabled plugin provides; install one",
        "plugin 'y': requires Service('b') of 'x', which can't be used",
    ]


def test_two_providers_are_both_named(ps: Plugins) -> None:
    plugins = {"x": ps.make("x", provides=(A,)), "y": ps.make("y", provides=(A,))}
    with pytest.raises(ConfigError, match=r"'y': provides Service\('a'\), and so does 'x'"):
        Kernel(plugins=plugins)


async def test_a_fallback_yields_to_another_provider_and_says_so(ps: Plugins) -> None:
    plugins = {"memory": ps.make("memory", provides=(A,), fallback=True), "x": ps.make("x", provides=(A,))}
    async with Kernel(plugins=plugins) as kernel:
        assert kernel.get(A) == "x"
        assert kernel.records["memory"].state is State.YIELDING
        assert kernel.records["memory"].yields_to == "x"
    async with Kernel(KernelSettings(plugins={"x": PluginSettings(enabled=False)}), plugins=plugins) as kernel:
        assert kernel.get(A) == "memory"


async def test_a_given_service_counts_as_provided(ps: Plugins) -> None:
    seen: list[str] = []

    async def look(ctx: Context) -> None:
        seen.append(ctx.get(A))

    async with Kernel(plugins={"x": ps.make("x", requires=(A,), enter=look)}, services={A: "fake"}):
        pass
    assert seen == ["fake"]


async def test_not_being_ready_while_stopping_is_a_plain_failure(ps: Plugins) -> None:
    async def late() -> None:
        raise NotReady("too late for that")

    kernel = Kernel(KernelSettings(plugins={"x": OPTIONAL}), plugins={"x": ps.make("x", leave=late)})
    async with kernel:
        pass
    assert kernel.records["x"].state is State.FAILED


class Struck(Event, frozen=True, tag="clock.struck"):
    hour: int


async def test_a_slow_reader_loses_the_oldest_events_and_that_is_counted() -> None:
    kernel = Kernel(plugins={})
    with kernel.events.subscribe(Struck, buffer=2) as struck:
        for hour in range(5):
            kernel.events.publish(Struck(hour=hour), source="clock")
        assert struck.dropped == 3
        assert [(await anext(struck)).hour, (await anext(struck)).source] == [3, "clock"]


async def test_a_handler_that_raises_is_counted_and_goes_on(ps: Plugins) -> None:
    seen: list[int] = []

    async def handle(event: Struck) -> None:
        seen.append(event.hour)
        if event.hour == 0:
            raise ValueError("midnight")

    async def enter(ctx: Context) -> None:
        ctx.on(Struck, handle)
        ctx.publish(Struck(hour=0))
        ctx.publish(Struck(hour=1))

    async with Kernel(plugins={"x": ps.make("x", enter=enter)}) as kernel:
        with anyio.fail_after(5):
            while len(seen) < 2:
                await anyio.lowlevel.checkpoint()
        assert kernel.records["x"].state is State.RUNNING
        assert [s.failed for s in kernel.events.subscriptions] == [1]


def test_an_unknown_hook_is_named_with_a_suggestion() -> None:
    class Misspelt(Plugin[NoConfig]):
        @hookimpl
        async def helth(self) -> None: ...

    with pytest.raises(ConfigError, match=r"hook 'health': Misspelt\.helth is called 'helth', as no hook is"):
        Kernel(plugins={"x": Misspelt})


@hookspec()
def check_tea(cup: str) -> bool:
    """Say whether the tea is good."""
    raise AssertionError("a specification is never called")


def test_a_hook_of_a_disabled_plugin_is_named_with_its_owner() -> None:
    specs = ModuleType("specs")
    vars(specs).update(check_tea=check_tea)

    class Taster(Plugin[NoConfig]):
        @hookimpl
        def check_tea(self) -> bool:
            return True

    off = KernelSettings(plugins={"tea": PluginSettings(enabled=False)})
    with pytest.raises(ConfigError) as caught:
        Kernel(off, plugins={"tea": type("Tea", (Plugin,), {"hookspecs": specs}), "taster": Taster})
    assert str(caught.value) == (
        "plugin 'taster': hook 'check_tea' belongs to 'tea', which is disabled; enable it, or disable what needs it"
    )
    with pytest.raises(ConfigError, match="unknown hook 'check_tea'; enable the plugin that specifies it"):
        Kernel(plugins={"taster": Taster})  # not: did you mean 'check'


def test_a_hook_of_the_wrong_colour_is_refused() -> None:
    class Plain(Plugin[NoConfig]):
        @hookimpl
        def health(self) -> None: ...

    with pytest.raises(ConfigError, match=r"'health': Plain\.health must be an `async def`"):
        Kernel(plugins={"x": Plain})


def test_a_fallback_that_provides_two_services_is_refused(ps: Plugins) -> None:
    with pytest.raises(ConfigError, match="is a fallback, so it must provide one service"):
        Kernel(plugins={"x": ps.make("x", provides=(A, B), fallback=True)})


async def test_a_required_plugin_that_needs_an_optional_one_is_told_as_the_reason(ps: Plugins) -> None:
    async def boom(ctx: Context) -> None:
        raise OSError("no server")

    plugins = {"x": ps.make("x", provides=(A,), enter=boom), "y": ps.make("y", requires=(A,))}
    with pytest.raises(PluginError, match="'x': failed while starting: OSError"):
        async with Kernel(KernelSettings(plugins={"x": OPTIONAL}), plugins=plugins):
            pytest.fail("it must not run")


def telling(*events: type[Event]) -> type[Plugin[NoConfig]]:
    class Tells(Plugin[NoConfig]):
        @hookimpl
        def event_types(self) -> Sequence[type[Event]]:
            return events

    return Tells


class Untagged(Event, frozen=True):
    pass


def test_an_event_without_an_owner_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"event Untagged must read 'owner\.name'"):
        Kernel(plugins={"x": telling(Untagged)})


def test_a_tag_of_two_plugins_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"'y': the tag 'clock\.struck' of event Struck is that of 'x'"):
        Kernel(plugins={"x": telling(Struck), "y": telling(Struck)})


class Sized(msgspec.Struct, frozen=True):
    size: int = 3


C = TypeVar("C", bound=msgspec.Struct)


class Between(Plugin[C]):
    pass


class Below(Between[Sized]):
    pass


class Furthest(Below):
    pass


@pytest.mark.parametrize("cls", [Below, Furthest])
def test_a_config_s_type_is_found_through_generic_classes_between(cls: type[Plugin[Any]]) -> None:
    assert cls.config_type is Sized
    assert Kernel(plugins={"x": cls}).records["x"].plugin is not None


class Ill(Plugin[NoConfig]):
    @hookimpl
    async def health(self) -> Health:
        raise OSError("no server")


async def test_health_is_what_a_plugin_says_or_what_becomes_of_asking_it(ps: Plugins) -> None:
    off = KernelSettings(plugins={"off": PluginSettings(enabled=False)})
    async with Kernel(off, plugins={"ill": Ill, "well": ps.make("well"), "off": Ill}) as kernel:
        found = await kernel.health()
    assert {name: each.status for name, each in found.items()} == {"ill": "failing", "well": "ok"}
    assert "no server" in found["ill"].detail
