"""The kit for plugin authors, used as they would."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Annotated, Any

import anyio
import msgspec
import pytest

from tta_kernel import ConfigError, Context, Event, Figure, KernelSettings, NoConfig, Plugin, Problem, Service, hookimpl
from tta_kernel.testing import name_of, problems, published, running, until, wrong_figures

BELL = Service[list[int]]("bell")


class HourStruck(Event, frozen=True, tag="clock.hour-struck"):
    hour: int


class Config(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    hour: Annotated[int, msgspec.Meta(le=12)] = 12


class ClockPlugin(Plugin[Config]):
    requires = (BELL,)

    @hookimpl
    def check(self) -> Sequence[Problem]:
        return (Problem("clock", "has no eleven"),) if self.config.hour == 11 else ()

    @asynccontextmanager
    async def lifespan(self, ctx: Context) -> AsyncIterator[None]:
        ctx.get(BELL).append(self.config.hour)
        ctx.start_soon(self.strike, ctx)
        yield

    async def strike(self, ctx: Context) -> None:
        for hour in (1, 2, 3):
            ctx.publish(HourStruck(hour=hour))


class Bells(Plugin[NoConfig]):
    provides = (BELL,)

    @asynccontextmanager
    async def lifespan(self, ctx: Context) -> AsyncIterator[None]:
        ctx.provide(BELL, [])
        yield


class Broken(Bells):
    @asynccontextmanager
    async def lifespan(self, ctx: Context) -> AsyncIterator[None]:
        raise OSError("no rope")
        yield


async def test_one_plugin_runs_with_its_config_and_a_fake() -> None:
    rung: list[int] = []
    async with running(ClockPlugin, config={"hour": 3}, services={BELL: rung}) as kernel:
        assert kernel.records["clock"].state == "running"
    assert rung == [3]


async def test_several_run_together_and_one_may_fail() -> None:
    both = running(Bells, {"big-ben": ClockPlugin}, configs={"big-ben": {"hour": 4}}, settings=KernelSettings())
    async with both as kernel:
        assert kernel.get(BELL) == [4]
    async with running({"broken": Broken}, optional=["broken"]) as kernel:
        assert kernel.records["broken"].state == "failed"


async def test_what_was_published_is_heard_in_order() -> None:
    kernel = running(ClockPlugin, services={BELL: []})
    with published(kernel, HourStruck) as events:
        async with kernel:
            assert (await events.next()).hour == 1
            await anyio.wait_all_tasks_blocked()
        assert [event.hour for event in await events.rest()] == [2, 3]
        assert await events.rest() == []
        with pytest.raises(TimeoutError):
            await events.next(within=0.01)


async def test_what_does_not_come_is_not_waited_for_for_ever() -> None:
    turns = iter([False, False, True])
    await until(lambda: next(turns))
    with pytest.raises(TimeoutError):
        await until(lambda: False, within=0.01)


def test_the_problems_of_a_config_are_those_of_check() -> None:
    assert problems(ClockPlugin, config={}) == []
    assert problems(ClockPlugin, config={"hour": 13, "our": 1}) == [
        "plugins.clock.config.our: unknown key; did you mean 'hour'?",
        "plugins.clock.config.hour: expected int <= 12",
    ]
    assert problems(ClockPlugin, config={"hour": 11}) == ["clock: has no eleven"]
    with pytest.raises(ConfigError):
        running(ClockPlugin, config={"hour": 13}, services={BELL: []})


@pytest.mark.parametrize(
    ("cls", "name"),
    [("ClockPlugin", "clock"), ("ClockMemory", "clock-memory"), ("Clock2", "clock-2"), ("HTTPClock", "http-clock")],
)
def test_a_name_follows_from_the_class(cls: str, name: str) -> None:
    assert name_of(type(cls, (Plugin,), {})) == name


def giving(declared: Sequence[Figure], **snapshot: Any) -> type[Plugin[NoConfig]]:
    class Gives(Plugin[NoConfig]):
        @hookimpl
        def figures(self) -> Sequence[Figure]:
            return declared

        @hookimpl
        async def snapshot(self) -> Mapping[str, Any]:
            return {name.replace("__", "."): value for name, value in snapshot.items()}

    return Gives


RINGS = Figure("bell.rings", "how often it rang", "counter")
BY_HOUR = Figure("bell.by_hour", "how often it rang", "counter", label="hour")


async def test_figures_that_are_in_the_snapshot_are_right() -> None:
    bell = giving([RINGS, BY_HOUR], bell__rings=3, bell__by_hour={"1": 1, "2": 2.0}, other="anything")
    async with running({"bell": bell}) as kernel:
        assert await wrong_figures(kernel) == []
    async with running({"bell-church": giving([RINGS], bell__rings=0)}) as kernel:
        assert await wrong_figures(kernel) == []


@pytest.mark.parametrize(
    ("declared", "given", "what"),
    [
        (RINGS, {}, "bell: bell.rings: is missing from the snapshot"),
        (RINGS, {"bell__rings": float("nan")}, "bell: bell.rings: nan is no finite number"),
        (RINGS, {"bell__rings": True}, "bell: bell.rings: True is no finite number"),
        (RINGS, {"bell__rings": {"1": 1}}, "bell: bell.rings: must be a number"),
        (BY_HOUR, {"bell__by_hour": 1}, "must be a mapping from its label's values to numbers"),
        (BY_HOUR, {"bell__by_hour": {1: 1}}, "its label has the value 1, which is no text"),
        (BY_HOUR, {"bell__by_hour": {"1": "1"}}, "'1' is no finite number"),
        (Figure("Rings", "?"), {"Rings": 1}, "must read 'owner.what'"),
        (Figure("clock.rings", "?"), {"clock__rings": 1}, "must read 'owner.what', the owner being 'bell'"),
    ],
)
async def test_a_figure_that_is_wrong_is_named(declared: Figure, given: Mapping[str, Any], what: str) -> None:
    async with running({"bell": giving([declared], **given)}) as kernel:
        [wrong] = await wrong_figures(kernel)
    assert what in wrong


async def test_figures_of_one_name_are_named() -> None:
    plugins = {"bell": giving([RINGS], bell__rings=1), "bell-church": giving([RINGS], bell__rings=1)}
    async with running(plugins) as kernel:
        [wrong] = await wrong_figures(kernel)
    assert "is declared twice" in wrong
    async with running({"bell": giving([RINGS, RINGS], bell__rings=1)}) as kernel:
        assert any("is declared twice" in wrong for wrong in await wrong_figures(kernel))


async def test_who_can_not_tell_figures_is_named() -> None:
    class Breaks(Plugin[NoConfig]):
        @hookimpl
        def figures(self) -> Sequence[Figure]:
            return (RINGS,)

        @hookimpl
        async def snapshot(self) -> Mapping[str, Any]:
            raise OSError("gone")

    async with running({"bell": Breaks}) as kernel:
        assert await wrong_figures(kernel) == ["bell: snapshot raised OSError('gone')"]
