"""Asking everybody: who answers, who is late, who isn't there, and who may share a vocabulary."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from types import ModuleType

import anyio
import pytest

from tta_kernel import (
    ConfigError,
    Context,
    Hooks,
    Kernel,
    KernelSettings,
    NoConfig,
    Plugin,
    PluginError,
    PluginSettings,
    Problem,
    State,
    hookimpl,
    hookspec,
)


@hookspec(timeout=0.05)
async def opinion(subject: str, depth: int = 1) -> str | None:
    """Say what the plugin thinks."""
    raise AssertionError("a specification is never called")


@hookspec(timeout=0.05, together=True)
async def vote() -> str:
    """Say yes or no; all at once."""
    raise AssertionError("a specification is never called")


@hookspec()
def words() -> Sequence[str]:
    """List words."""
    raise AssertionError("a specification is never called")


SPECS = ModuleType("specs")
vars(SPECS).update(opinion=opinion, vote=vote, words=words)


class Asks(Plugin[NoConfig]):
    hookspecs = SPECS


class Answers(Plugin[NoConfig]):
    hookspecs = SPECS

    @hookimpl
    async def opinion(self, subject: str) -> str | None:
        return subject.upper() or None

    @hookimpl
    async def vote(self) -> str:
        return "yes"

    @hookimpl
    def words(self) -> Sequence[str]:
        return ("one",)


class Raises(Plugin[NoConfig]):
    @hookimpl
    async def opinion(self) -> str | None:
        raise ValueError("none")

    @hookimpl
    def words(self) -> Sequence[str]:
        raise ValueError("none")


class Late(Plugin[NoConfig]):
    @hookimpl
    async def opinion(self, subject: str, depth: int) -> str | None:
        await anyio.sleep_forever()
        return ""


class Broken(Answers):
    @asynccontextmanager
    async def lifespan(self, ctx: Context) -> AsyncIterator[None]:
        raise OSError("no server")
        yield


def settings(*optional: str) -> KernelSettings:
    return KernelSettings(plugins={name: PluginSettings(required=False) for name in optional})


async def test_everybody_answers_for_themselves() -> None:
    plugins = {"answers": Answers, "raises": Raises, "late": Late, "broken": Broken, "asks": Asks}
    async with Kernel(settings("broken"), plugins=plugins) as kernel:
        answers = await kernel.ask(opinion, "tea")
    assert answers["answers"] == "TEA"
    assert set(answers) == {"answers", "raises", "late", "broken"}
    raised, late, broken = (answers[name] for name in ("raises", "late", "broken"))
    assert isinstance(raised, ValueError)
    assert raised.__notes__ == ["answered by plugin 'raises' in hook 'opinion'"]
    assert isinstance(late, TimeoutError)
    assert "0.05" in str(late)
    assert isinstance(broken, PluginError)
    assert "not running" in str(broken)


async def test_none_is_an_answer() -> None:
    async with Kernel(plugins={"answers": Answers}) as kernel:
        assert await kernel.ask(opinion, "") == {"answers": None}


async def test_a_hook_may_be_asked_of_all_at_once() -> None:
    voters = 5
    asked: list[None] = []
    all_asked = anyio.Event()

    class Waits(Plugin[NoConfig]):
        hookspecs = SPECS

        @hookimpl
        async def vote(self) -> str:
            asked.append(None)
            if len(asked) == voters:
                all_asked.set()
            await all_asked.wait()
            return "yes"

    async with Kernel(plugins={f"voter-{number}": Waits for number in range(voters)}) as kernel:
        with anyio.fail_after(10):
            assert [*(await kernel.ask(vote)).values()] == ["yes"] * voters


async def test_nobody_answers_where_nothing_runs() -> None:
    kernel = Kernel(plugins={"answers": Answers})
    [answer] = (await kernel.ask(opinion, "tea")).values()
    assert isinstance(answer, PluginError)


def test_a_plain_hook_is_collected_of_what_does_not_run_too() -> None:
    answers = Kernel(plugins={"answers": Answers, "raises": Raises}).hooks.collect(words)
    assert answers["answers"] == ("one",)
    assert isinstance(answers["raises"], ValueError)


async def test_a_plugin_collects_what_others_say_while_it_starts() -> None:
    heard: dict[str, object] = {}

    class Curious(Plugin[NoConfig]):
        hookspecs = SPECS

        @asynccontextmanager
        async def lifespan(self, ctx: Context) -> AsyncIterator[None]:
            heard.update(ctx.collect(words))
            yield

    async with Kernel(plugins={"curious": Curious, "x": Answers}):
        assert heard == {"x": ("one",)}


def test_two_plugins_may_share_a_module_of_hookspecs() -> None:
    kernel = Kernel(plugins={"asks": Asks, "answers": Answers})
    assert kernel.hooks.implementers(words) == ["answers"]
    assert kernel.hooks.specs()["words"] is words


def test_two_specifications_of_one_name_are_refused() -> None:
    other = ModuleType("others")
    vars(other).update(words=hookspec()(lambda: ()))
    with pytest.raises(ConfigError, match="words"):
        Kernel(plugins={"asks": Asks, "other": type("Other", (Plugin,), {"hookspecs": other})})


class Objects(Plugin[NoConfig]):
    @hookimpl
    def check(self) -> Sequence[Problem]:
        return (Problem("roster", "is empty", "write one"),)


class CannotCheck(Plugin[NoConfig]):
    @hookimpl
    def check(self) -> Sequence[Problem]:
        raise OSError("no roster")


@pytest.mark.parametrize(("plugin", "what"), [(Objects, "roster: is empty; write one"), (CannotCheck, "no roster")])
async def test_a_required_plugin_that_objects_keeps_the_kernel_from_starting(
    plugin: type[Plugin[NoConfig]], what: str
) -> None:
    with pytest.raises(ConfigError, match=what):
        async with Kernel(plugins={"x": plugin}):
            pytest.fail("it must not run")


@pytest.mark.parametrize(("plugin", "what"), [(Objects, "roster: is empty; write one"), (CannotCheck, "no roster")])
async def test_an_optional_plugin_that_objects_is_left_out_with_its_reason(
    plugin: type[Plugin[NoConfig]], what: str
) -> None:
    async with Kernel(settings("x"), plugins={"x": plugin, "y": Answers}) as kernel:
        assert kernel.records["x"].state is State.FAILED
        assert what in kernel.records["x"].reason
        assert kernel.records["y"].state is State.RUNNING
        assert (await kernel.health())["x"].status == "degraded"


async def test_a_note_is_told_and_refuses_nothing(caplog: pytest.LogCaptureFixture) -> None:
    class Notes(Plugin[NoConfig]):
        @hookimpl
        def check(self, hooks: Hooks) -> Sequence[Problem]:
            return [Problem("roster", f"{hooks.trouble('off')}, and {hooks.trouble('x') or 'well'}", note=True)]

    off = KernelSettings(plugins={"off": PluginSettings(enabled=False)})
    async with Kernel(off, plugins={"x": Notes, "off": Answers}) as kernel:
        assert [str(note) for note in kernel.wiring.notes] == ["note: roster: is disabled, and well"]
    assert "note: roster: is disabled" in caplog.text
