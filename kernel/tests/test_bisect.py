"""`tta plugins bisect`: which plugin makes a start fail, or which two together."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

PLUGINS = """
import os
from contextlib import asynccontextmanager
from tta_kernel import NoConfig, Plugin

class Good(Plugin[NoConfig]):
    pass

class Bad(Plugin[NoConfig]):
    @asynccontextmanager
    async def lifespan(self, ctx):
        raise OSError("no server")
        yield

class First(Plugin[NoConfig]):
    @asynccontextmanager
    async def lifespan(self, ctx):
        os.environ["TAKEN"] = "x"
        yield

class Second(Plugin[NoConfig]):
    surface = True
    @asynccontextmanager
    async def lifespan(self, ctx):
        if "TAKEN" in os.environ:
            raise OSError("it is taken")
        yield
"""


def bisect(ship: Callable[..., Path], tmp_path: Path, **classes: str) -> tuple[int, list[str]]:
    entries = "\n".join(f"{name} = bisected:{cls}" for name, cls in classes.items())
    site = ship("bisected", entries, PLUGINS)
    sections = ", ".join(f"{name}: {{}}" for name in classes)
    (tmp_path / "base.yaml").write_text(f"kernel: {{autoload: false}}\nplugins: {{{sections}}}\n")
    (tmp_path / "development.yaml").write_text("")
    environment = os.environ | {"PYTHONPATH": str(site), "TTA_CONFIG": str(tmp_path)}
    command = [sys.executable, "-m", "tta_program", "plugins", "bisect"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment, timeout=60)
    return done.returncode, done.stdout.splitlines()


@pytest.mark.parametrize("bad", ["a", "d", "e"])
def test_one_plugin_that_fails_is_found(ship: Callable[..., Path], tmp_path: Path, bad: str) -> None:
    code, lines = bisect(ship, tmp_path, **{name: "Bad" if name == bad else "Good" for name in "abcde"})
    assert (code, lines[-1]) == (1, f"the start fails because of {bad!r}")
    assert lines[0] == "5 of 5 plugins: fails: a, b, c, d, e"
    assert len(lines) <= 6


def test_two_plugins_that_fail_together_are_found(ship: Callable[..., Path], tmp_path: Path) -> None:
    code, lines = bisect(ship, tmp_path, a="Good", b="First", c="Good", d="Second")
    assert (code, lines[-1]) == (1, "the start fails because of 'b' and 'd' together")


def test_a_start_that_succeeds_has_no_culprit(ship: Callable[..., Path], tmp_path: Path) -> None:
    assert bisect(ship, tmp_path, a="Good", b="Second") == (
        0, ["2 of 2 plugins: starts: a, b", "all plugins start together"]
    )  # fmt: skip
