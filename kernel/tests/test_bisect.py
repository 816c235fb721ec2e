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
from tta_kernel import NoConfig, Plugin, Problem, hookimpl

class Good(Plugin[NoConfig]):
    pass

class Bad(Plugin[NoConfig]):
    @asynccontextmanager
    async def lifespan(self, ctx):
        raise OSError("no server")
        yield

class Objecting(Plugin[NoConfig]):
    @hookimpl
    def check(self):
        return [Problem("roster", "is empty")]

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


def bisect(
    ship: Callable[..., Path], tmp_path: Path, *, environment: str = "", **classes: str
) -> tuple[int, list[str]]:
    entries = "\n".join(f"{name} = bisected:{cls}" for name, cls in classes.items())
    site = ship("bisected", entries, PLUGINS)
    sections = ", ".join(f"{name}: {{}}" for name in classes)
    (tmp_path / "base.yaml").write_text(f"kernel: {{autoload: false}}\nplugins: {{{sections}}}\n")
    (tmp_path / "development.yaml").write_text(environment)
    variables = os.environ | {"PYTHONPATH": str(site), "TTA_CONFIG": str(tmp_path)}
    command = [sys.executable, "-m", "tta_program", "plugins", "bisect"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=variables, timeout=60)
    return done.returncode, (done.stdout or done.stderr).splitlines()


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


def test_nobody_is_the_culprit_of_a_config_that_cannot_be_read(ship: Callable[..., Path], tmp_path: Path) -> None:
    code, lines = bisect(ship, tmp_path, a="Good", b="Good", environment="plugins: {a: {}\n  b")
    assert (code, lines[0]) == (1, "tta plugins bisect: nothing can be started; `tta check` tells all of it:")
    assert lines[1].startswith(f"{tmp_path}/development.yaml:2:3: cannot be read as YAML")


def test_one_that_objects_to_its_deployment_is_told_by_its_objection(ship: Callable[..., Path], tmp_path: Path) -> None:
    assert bisect(ship, tmp_path, a="Good", b="Objecting") == (
        1, ["tta plugins bisect: nothing can be started; `tta check` tells all of it:", "roster: is empty"]
    )  # fmt: skip
