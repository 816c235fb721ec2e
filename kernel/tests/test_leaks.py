"""What a plugin says of itself anywhere in `tta`, with its secret in it, and what Python says of it unasked."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tta_program.logs import Redactor

Ship = Callable[..., Path]
SECRET = 'pa"ss\\wörd +/x'
CODE = """
import sys, threading, warnings
from contextlib import asynccontextmanager
import msgspec
from tta_kernel import *

class Config(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    password: Secret
    objects: bool = False
    fails: bool = False

class Unraisable:
    def __init__(self, text):
        self.text = text
    def __del__(self):
        raise ValueError(self.text)

class P(Plugin[Config]):
    @property
    def text(self):
        return f"at db://me:sw0rdfish@db.example.org with {self.config.password}"

    def leave(self):
        raise ValueError(self.text)

    @asynccontextmanager
    async def lifespan(self, ctx):
        warnings.warn(self.text)
        thread = threading.Thread(target=self.leave, name=self.text)
        thread.start()
        thread.join()
        Unraisable(self.text)
        if self.config.fails:
            raise ValueError(self.text)
        yield

    @hookimpl
    def check(self, hooks):
        return [Problem(self.text, self.text, self.text, note=not self.config.objects)]

    @hookimpl
    async def health(self):
        return Health("degraded", self.text)

    @hookimpl(optionalhook=True)
    def register_commands(self, subcommands):
        async def say(kernel, options):
            raise ValueError(self.text)
        subcommands.add("say", say, help="say something", whole=True)
"""


def tta(ship: Ship, tmp_path: Path, config: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    site = ship("odd-plugin", "odd = odd_plugin:P", CODE)
    section = f"{{password: {{env: ODD_PASSWORD}}, {config}}}"
    (tmp_path / "base.yaml").write_text(f"kernel: {{autoload: false}}\nplugins: {{odd: {{config: {section}}}}}\n")
    (tmp_path / "development.yaml").write_text("")
    environment = os.environ | {"PYTHONPATH": str(site), "TTA_CONFIG": str(tmp_path), "ODD_PASSWORD": SECRET}
    command = [sys.executable, "-m", "tta_program", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, env=environment, timeout=40)


@pytest.mark.parametrize(
    ("config", "arguments", "code"),
    [
        ("", ["health"], 1),
        ("", ["health", "--json"], 1),
        ("", ["check"], 0),
        ("objects: true", ["check", "--json"], 1),
        ("objects: true", ["plugins"], 1),
        ("objects: true", ["plugins", "--json"], 1),
        ("objects: true", ["say"], 3),
        ("fails: true", ["run"], 3),
        ("fails: true", ["say"], 3),
        ("", ["say"], 1),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else str(value),
)
def test_no_output_shows_a_secret(ship: Ship, tmp_path: Path, config: str, arguments: list[str], code: int) -> None:
    done = tta(ship, tmp_path, config, *arguments)
    assert "<redacted>" in done.stdout + done.stderr
    for told in (done.stdout, done.stderr):
        assert "pa" + chr(34) + "ss" not in told
        assert "pa" + chr(92) + chr(34) + "ss" not in told
        assert "sw0rdfish" not in told
    assert done.returncode == code


@pytest.mark.parametrize(
    "shown",
    [
        SECRET,
        repr(SECRET),
        ascii(SECRET),
        repr(SECRET.encode()),
        '"pa\\"ss\\\\w\\u00f6rd +/x"',
        "pa%22ss%5Cw%C3%B6rd%20%2B%2Fx",
        "pa%22ss%5Cw%C3%B6rd+%2B%2Fx",
    ],
)
def test_a_secret_is_found_however_it_is_written(shown: str) -> None:
    assert "ss" not in Redactor({SECRET})(shown)
