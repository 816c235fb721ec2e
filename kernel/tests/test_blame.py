"""What went wrong is told with the plugin's own frame, the path or value, and the root cause first."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest

from tta_kernel import (
    ConfigError,
    Context,
    Kernel,
    KernelSettings,
    NoConfig,
    Plugin,
    PluginError,
    PluginSettings,
    Service,
)

HERE = rf"{re.escape(__file__)}:\d+"
EMPTY: dict[str, int] = {}
Step = Callable[[], Awaitable[object]]


async def nothing() -> None:
    pass


def plugin(start: Step = nothing, stop: Step = nothing) -> type[Plugin[Any]]:
    class Here(Plugin[NoConfig]):
        @asynccontextmanager
        async def lifespan(self, ctx: Context) -> AsyncIterator[None]:
            await start()
            yield
            await stop()

    return Here


async def why_not(start: Step, *, start_timeout: float = 5.0) -> str:
    """Return why a plugin didn't start."""
    kernel = Kernel(KernelSettings(start_timeout=start_timeout), plugins={"x": plugin(start)})
    with pytest.raises(PluginError) as caught:
        async with kernel:
            raise AssertionError
    return str(caught.value).removeprefix("plugin 'x': failed while starting: ")


async def test_the_place_is_the_plugin_s_own_and_the_path_is_told(tmp_path: Path) -> None:
    async def start() -> None:
        (tmp_path / "nowhere").read_text()

    why = rf"FileNotFoundError: \[Errno 2\] No such file or directory: '{tmp_path}/nowhere' at {HERE}"
    assert re.fullmatch(why, await why_not(start))


async def test_what_cannot_be_decoded_is_told_without_all_of_it() -> None:
    async def start() -> None:
        (b"a" * 10_000 + b"\xff").decode()

    why = "UnicodeDecodeError: 'utf-8' codec can't decode byte 0xff in position 10000: invalid start byte"
    assert re.fullmatch(rf"{why} at {HERE}", await why_not(start))


async def test_the_root_cause_comes_first() -> None:
    async def start() -> None:
        try:
            try:
                EMPTY["key"]
            except KeyError:
                int("seven")
        except ValueError as exc:
            raise RuntimeError("it can't open") from exc

    why = rf"KeyError\('key'\) at {HERE}, so ValueError\(.*'seven'.*\) at {HERE}, so RuntimeError\(.*open.*\) at {HERE}"
    assert re.fullmatch(why, await why_not(start))


async def test_a_cause_that_its_author_hides_is_not_told() -> None:
    async def start() -> None:
        try:
            EMPTY["secret"]
        except KeyError:
            raise RuntimeError("no key") from None

    assert re.fullmatch(rf"RuntimeError\('no key'\) at {HERE}", await why_not(start))


async def test_a_start_that_hangs_is_told_with_where_it_hangs() -> None:
    async def inner() -> None:
        await anyio.sleep_forever()

    line = inner.__code__.co_firstlineno + 1
    assert await why_not(inner, start_timeout=0.05) == f"TimeoutError: took longer than 0.05 s at {__file__}:{line}"


async def test_a_stop_that_hangs_is_told_with_where_it_hangs() -> None:
    async def inner() -> None:
        await anyio.sleep_forever()

    kernel = Kernel(KernelSettings(stop_timeout=0.05), plugins={"x": plugin(stop=inner)})
    async with kernel:
        pass
    line = inner.__code__.co_firstlineno + 1
    assert kernel.records["x"].reason.endswith(f"TimeoutError: its time to stop was over at {__file__}:{line}")


@pytest.mark.usefixtures("nothing_installed")
def test_what_an_import_calls_is_told_by_the_plugin_s_own_line(ship: Callable[..., Path]) -> None:
    site = ship("opening", "opening = opening:P", "from pathlib import Path\n\nPath('/nowhere').read_text()\n")
    with pytest.raises(ConfigError) as caught:
        Kernel()
    assert f"No such file or directory: '/nowhere' at {site}/opening.py:3;" in str(caught.value)


def test_a_constructor_is_told_by_the_plugin_s_own_line() -> None:
    class Here(Plugin[NoConfig]):
        provides = (Service[str]("key"),)

        def __init__(self, config: NoConfig) -> None:
            Path("/nowhere").read_text()

    with pytest.raises(ConfigError, match=rf"could not be made: FileNotFoundError: .* '/nowhere' at {HERE}"):
        Kernel(plugins={"x": Here})


@pytest.mark.parametrize("required", [True, False])
async def test_a_start_that_ignores_its_limit_is_named_and_nobody_waits_for_it(required: bool) -> None:
    release = anyio.Event()
    told: list[tuple[str, str]] = []

    async def shielded() -> None:
        with anyio.CancelScope(shield=True):
            await release.wait()

    def abandoned(name: str, stack: str) -> None:
        told.append((name, stack))
        if required:
            release.set()  # else the stop would wait for it

    kernel = Kernel(
        KernelSettings(start_timeout=0.05, stop_timeout=0.05, plugins={"x": PluginSettings(required=required)}),
        plugins={"x": plugin(shielded), "y": plugin()},
        abandoned=abandoned,
    )
    if required:
        with pytest.raises(PluginError, match=r"took longer than 0\.05 s"):
            async with kernel:
                raise AssertionError
    else:
        async with kernel:
            assert kernel.records["y"].running
            assert "ignores that it took longer than 0.05 s" in kernel.records["x"].reason
            release.set()
    [(name, stack)] = told
    assert name == "x"
    assert "in shielded\n    await release.wait()" in stack
    assert kernel.records["x"].state == "failed"
