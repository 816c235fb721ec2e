"""Every place where the kernel calls code that isn't its own, against everything that strangers do there."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, get_type_hints

import anyio
import anyio.lowlevel
import pytest
from msgspec import Struct

from tta_kernel import (
    ConfigError,
    Context,
    Event,
    Figure,
    Health,
    Kernel,
    KernelSettings,
    Plugin,
    PluginSettings,
    Problem,
    Restart,
    hookimpl,
)
from tta_kernel.hookspecs import figures, health, snapshot
from tta_kernel.testing import LIMIT, Outcome, Stranger, logged, strangers, until
from tta_kernel.testing.values import wrong_values
from tta_program import reload

FAILS = (Outcome.FAILURE, Outcome.TIME_LIMIT)
NEVER = Restart(times=0)
WITHOUT_FRAME = {
    "StopAsyncIteration": "a generator makes another error of it",
    "error of the kernel": "what was raised on purpose is told without a place",
    "error of config without a problem": "so is this",
}


class Ping(Event, frozen=True, tag="neighbour.ping"):
    pass


class Words(Struct, frozen=True, forbid_unknown_fields=True):
    word: str = "here"


class Neighbour(Plugin[Words]):
    """Stands beside a stranger, and goes on."""

    heard = 0
    stopped = False

    @asynccontextmanager
    async def lifespan(self, ctx: Context) -> AsyncIterator[None]:
        ctx.on(Ping, self.hear)
        yield
        self.stopped = True

    async def hear(self, event: Ping) -> None:
        self.heard += 1

    async def prepare(self, config: Words) -> Callable[[], None]:
        return lambda: None

    @hookimpl
    async def health(self) -> Health:
        return Health(detail=self.config.word)

    @hookimpl
    def figures(self) -> Sequence[Figure]:
        return (Figure("neighbour.heard", "how often it was called"),)


def settings(*, required: bool = False, word: str = "here", limits: bool = False) -> KernelSettings:
    """Return settings in which the stranger may fail; with ``limits`` the whole stop has a short one."""
    return KernelSettings(
        stop_timeout=LIMIT if limits else 5.0,
        hook_timeouts={"health": LIMIT, "snapshot": LIMIT},
        plugins={
            "odd": PluginSettings(required=required, config={"word": word}),
            "neighbour": PluginSettings(config={"word": word}),
        },
    )


def kernel(odd: type[Plugin[Any]], *, required: bool = False, limits: bool = False) -> Kernel:
    return Kernel(settings(required=required, limits=limits), plugins={"neighbour": Neighbour, "odd": odd})


def odd_one(**body: Any) -> type[Plugin[Any]]:
    return type("Odd", (Plugin,), {"config_type": Words, **body})


def neighbour(it: Kernel) -> Neighbour:
    found = it.records["neighbour"].plugin
    assert isinstance(found, Neighbour)
    return found


async def goes_on(it: Kernel) -> bool:
    """Say whether the neighbour runs, answers and hears."""
    heard = neighbour(it).heard
    it.events.publish(Ping())
    await until(lambda: neighbour(it).heard > heard)
    answers = await it.ask(health)
    return it.records["neighbour"].state == "running" and answers["neighbour"] == Health(detail="here")


async def goes_on_for_ever(it: Kernel) -> None:
    while await goes_on(it):
        await anyio.lowlevel.checkpoint()


@pytest.fixture(autouse=True)
def lines() -> Iterator[list[str]]:
    """What is logged: some of it has no encoding, which only this list can carry."""
    with logged() as found:
        yield found


# The class, its constructor, its config


def wrong_attributes() -> list[Any]:
    return [
        pytest.param(name, make, id=f"{name} is {what}")
        for name, wanted in get_type_hints(Plugin).items()
        for what, make in wrong_values(wanted).items()
    ]


@pytest.mark.boundary(
    "tta_kernel.Plugin.provides",
    "tta_kernel.Plugin.requires",
    "tta_kernel.Plugin.after",
    "tta_kernel.Plugin.hookspecs",
    "tta_kernel.Plugin.fallback",
    "tta_kernel.Plugin.autoload",
    "tta_kernel.Plugin.surface",
    "tta_kernel.Plugin.start_timeout",
    "tta_kernel.Plugin.stop_timeout",
)
@pytest.mark.parametrize(("attribute", "make"), wrong_attributes())
def test_a_class_that_says_something_wrong_of_itself_is_refused(attribute: str, make: Callable[[], Any]) -> None:
    with pytest.raises(TypeError, match=f"Odd.{attribute} is a "):
        odd_one(**{attribute: make()})


def makes(stranger: Stranger, cls: type[Plugin[Any]]) -> None:
    """Make a kernel with a class that a stranger has written, and see what becomes of it."""
    if stranger.outcome is Outcome.STOP:
        with pytest.raises((KeyboardInterrupt, BaseExceptionGroup)):
            kernel(cls)
        return
    it = kernel(cls)
    assert it.records["neighbour"].usable
    if stranger.outcome in FAILS:
        [problem] = it.wiring.warnings
        assert problem.where == "plugin 'odd'" or "plugins.odd.config" in problem.where
        with pytest.raises(ConfigError):
            kernel(cls, required=True)


@pytest.mark.boundary("tta_kernel.Plugin.__init__")
@pytest.mark.parametrize("stranger", strangers("plain"), ids=str)
def test_a_constructor(stranger: Stranger) -> None:
    makes(stranger, odd_one(__init__=lambda self, config: stranger()))


@pytest.mark.parametrize("made", [42, None, Neighbour(Words())], ids=["a number", "nothing", "another plugin"])
def test_a_class_that_makes_something_else(made: Any) -> None:
    it = kernel(odd_one(__new__=lambda cls, config: made))
    assert not it.records["odd"].usable
    assert "its class makes something else" in it.records["odd"].reason
    assert it.records["neighbour"].usable


@pytest.mark.boundary("tta_kernel.Plugin.config_type")
@pytest.mark.parametrize("stranger", strangers("plain"), ids=str)
def test_a_config(stranger: Stranger) -> None:
    class Odd(Words, frozen=True):
        def __post_init__(self) -> None:
            stranger()

    makes(stranger, odd_one(config_type=Odd))


# The lifespan, tasks and handlers


@pytest.mark.boundary("tta_kernel.Plugin.lifespan")
@pytest.mark.parametrize("stranger", strangers("lifespan"), ids=str)
async def test_a_lifespan(stranger: Stranger, lines: list[str]) -> None:
    it = kernel(odd_one(lifespan=lambda self, ctx: stranger(), start_timeout=LIMIT, stop_timeout=LIMIT), limits=True)
    record = it.records["odd"]
    if stranger.outcome is Outcome.STOP:
        with pytest.raises(KeyboardInterrupt):
            async with it:
                await goes_on(it)
        assert neighbour(it).stopped
        return
    async with it:
        assert await goes_on(it)
        if stranger.name.startswith("start") and stranger.outcome in FAILS:
            assert record.state == "failed"
    if stranger.outcome is not Outcome.NAMED:  # Who blocks takes of the time of the others, too.
        assert neighbour(it).stopped
    if stranger.outcome in FAILS:
        assert record.state == "failed"
        assert any("plugin 'odd': failed while st" in line for line in lines)
    if "raises" in stranger.name and not any(it in stranger.name for it in WITHOUT_FRAME):
        assert "strangers.py:" in record.reason
    if stranger.outcome is Outcome.TIME_LIMIT:
        assert "took longer" in record.reason or "time to stop was over" in record.reason


async def test_a_required_plugin_that_is_cancelled_from_elsewhere_ends_the_kernel() -> None:
    [stranger] = [
        each for each in strangers("lifespan") if each.name == "start: raises a cancellation that nobody asked for"
    ]
    it = kernel(odd_one(lifespan=lambda self, ctx: stranger()), required=True)
    with pytest.raises(Exception, match=r"plugin 'odd': .*nobody here asked for"):
        async with it:
            pass
    assert neighbour(it).stopped


def with_lifespan(begin: Callable[[Context], None]) -> type[Plugin[Any]]:
    async def lifespan(self: Any, ctx: Context) -> AsyncIterator[None]:
        begin(ctx)
        yield

    return odd_one(lifespan=asynccontextmanager(lifespan))


@pytest.mark.parametrize("exc", ["notes", "groups"])
async def test_a_start_that_raises_what_is_hard_to_tell(exc: str) -> None:
    def lifespan(self: object, ctx: Context) -> Any:
        failure: Exception = ValueError("no tide")
        if exc == "notes":
            failure.__notes__ = 42  # type: ignore[assignment]
        else:
            for _ in range(5000):
                failure = ExceptionGroup("", [failure])
        raise failure

    with logged():
        async with kernel(odd_one(lifespan=lifespan)) as it:
            assert it.records["neighbour"].running
            assert not it.records["odd"].running


@pytest.mark.boundary("tta_kernel.Context.start_soon.func")
@pytest.mark.parametrize("stranger", strangers(), ids=str)
async def test_a_task(stranger: Stranger) -> None:
    it = kernel(with_lifespan(lambda ctx: ctx.start_soon(stranger, restart=NEVER)))
    record = it.records["odd"]
    if stranger.outcome is Outcome.STOP:
        with pytest.raises(KeyboardInterrupt):
            async with it:
                await anyio.sleep_forever()
        assert neighbour(it).stopped
        return
    async with it:
        if stranger.outcome is Outcome.FAILURE:
            await until(lambda: record.state == "failed")
            assert "crashed 1 times" in record.reason
        assert await goes_on(it)
        # A task is kept for as long as the plugin runs, so that it has no time limit.
        assert record.state == ("failed" if stranger.outcome is Outcome.FAILURE else "running")
    assert neighbour(it).stopped


@pytest.mark.boundary("tta_kernel.Context.on.handler")
@pytest.mark.parametrize("stranger", strangers(), ids=str)
async def test_a_handler(stranger: Stranger, lines: list[str]) -> None:
    it = kernel(with_lifespan(lambda ctx: ctx.on(Ping, stranger)))
    record = it.records["odd"]
    if stranger.outcome is Outcome.STOP:
        with pytest.raises(KeyboardInterrupt):
            async with it:
                await goes_on_for_ever(it)
        assert neighbour(it).stopped
        return
    async with it:
        [subscription] = [each for each in it.events.subscriptions if each.owner == "odd"]
        assert await goes_on(it)
        assert await goes_on(it)
        if stranger.outcome is Outcome.FAILURE:
            await until(lambda: subscription.failed == 2)
            assert sum("handler of Ping raised" in line for line in lines) == 2
        assert record.state == "running"
    assert record.state == "stopped"


@pytest.mark.parametrize("kind", [None, 5, "Ping", Health()])
def test_what_is_no_class_cannot_be_subscribed_to(kind: Any) -> None:
    it = kernel(odd_one())
    with pytest.raises(TypeError):
        it.events.attach(kind)
    it.events.publish(Ping())


# Hooks


def asking(hook: str, stranger: Stranger) -> type[Plugin[Any]]:
    async def answer(self: Any) -> Any:
        return await stranger()

    return odd_one(**{hook: hookimpl(answer)})


@pytest.mark.boundary("tta_kernel.health")
@pytest.mark.parametrize("stranger", strangers(returns=Health), ids=str)
async def test_health(stranger: Stranger) -> None:
    async with kernel(asking("health", stranger)) as it:
        if stranger.outcome is Outcome.STOP:
            with pytest.raises((KeyboardInterrupt, BaseExceptionGroup)):
                await it.health()
            return
        answers = await it.ask(health)
        shown = await it.health()
        assert await goes_on(it)
    assert shown["neighbour"].status == "ok"
    if stranger.outcome in FAILS:
        assert isinstance(answers["odd"], Exception)
        assert shown["odd"].status == "failing"
    if stranger.outcome is Outcome.TIME_LIMIT:
        assert isinstance(answers["odd"], TimeoutError)
    if stranger.outcome is Outcome.HARMLESS:
        assert shown["odd"].status == "ok"


@pytest.mark.boundary("tta_kernel.snapshot")
@pytest.mark.parametrize("stranger", strangers(returns=Mapping[str, Any]), ids=str)
async def test_a_snapshot(stranger: Stranger) -> None:
    async with kernel(asking("snapshot", stranger)) as it:
        if stranger.outcome is Outcome.STOP:
            with pytest.raises((KeyboardInterrupt, BaseExceptionGroup)):
                await it.ask(snapshot)
            return
        answers = await it.ask(snapshot)
        assert await goes_on(it)
    assert isinstance(answers["odd"], Exception) or stranger.outcome not in FAILS


def answering(hook: str, stranger: Stranger) -> type[Plugin[Any]]:
    return odd_one(**{hook: hookimpl(lambda self: stranger())})


@pytest.mark.boundary("tta_kernel.figures")
@pytest.mark.parametrize("stranger", strangers("plain", returns=Sequence[Figure]), ids=str)
def test_figures(stranger: Stranger) -> None:
    it = kernel(answering("figures", stranger))
    if stranger.outcome is Outcome.STOP:
        with pytest.raises((KeyboardInterrupt, BaseExceptionGroup)):
            it.hooks.collect(figures)
        return
    answers = it.hooks.collect(figures)
    assert len(answers["neighbour"]) == 1  # type: ignore[arg-type]
    assert isinstance(answers["odd"], Exception) is (stranger.outcome is Outcome.FAILURE)


@pytest.mark.boundary("tta_kernel.event_types")
@pytest.mark.parametrize("stranger", strangers("plain", returns=Sequence[type[Event]]), ids=str)
def test_event_types(stranger: Stranger) -> None:
    makes(stranger, answering("event_types", stranger))


@pytest.mark.boundary("tta_kernel.check")
@pytest.mark.parametrize("stranger", strangers("plain", returns=Sequence[Problem]), ids=str)
def test_a_check(stranger: Stranger) -> None:
    it = kernel(answering("check", stranger))
    if stranger.outcome is Outcome.STOP:
        with pytest.raises((KeyboardInterrupt, BaseExceptionGroup)):
            it.check()
        return
    it.check()
    assert it.records["neighbour"].state == "ready"
    if stranger.outcome is Outcome.FAILURE:
        assert it.records["odd"].state == "failed"
        assert "its check raised" in it.wiring.warnings[0].what


# A reload


@pytest.mark.boundary("tta_kernel.Plugin.prepare")
@pytest.mark.parametrize("stranger", strangers(returns=Callable[[], None]), ids=str)
async def test_whoever_is_to_agree_to_a_new_config(stranger: Stranger) -> None:
    odd = odd_one(prepare=lambda self, config: stranger(), start_timeout=LIMIT)
    async with kernel(odd) as it:
        if stranger.outcome is Outcome.STOP:
            with pytest.raises((KeyboardInterrupt, BaseExceptionGroup)):
                await reload(it, settings(word="there"))
        elif stranger.outcome in FAILS:
            with pytest.raises(ConfigError, match="odd"):
                await reload(it, settings(word="there"))
        else:
            return
        assert neighbour(it).config.word == "here"
        assert await goes_on(it)


@pytest.mark.parametrize("stranger", strangers("plain"), ids=str)
async def test_what_takes_a_new_config_over(stranger: Stranger, lines: list[str]) -> None:
    async def prepare(self: Any, config: Words) -> Callable[[], None]:
        return stranger

    async with kernel(odd_one(prepare=prepare)) as it:
        if stranger.outcome is Outcome.STOP:
            with pytest.raises((KeyboardInterrupt, BaseExceptionGroup)):
                await reload(it, settings(word="there"))
            return
        done = await reload(it, settings(word="there"))
        assert neighbour(it).config.word == "there"
    assert "neighbour" in done.changed
    if stranger.outcome is Outcome.FAILURE:
        assert done.restart_needed == ["odd"]
        assert any("plugin 'odd' agreed to a new config, and then raised" in line for line in lines)
