"""Commands that change something are recorded, with who ran them; and each command says whether it does."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import pytest

from tta_program import Subcommands
from tta_program.commands import Command

CHANGES = {
    "breakers reset", "breakers trip", "crises acknowledge", "crises feedback", "crises packet", "crises resolve",
    "forget", "keys create", "keys revoke", "messages dlq purge",
    "messages dlq requeue", "messages recover", "notify acknowledge", "policy reload", "reviews delete",
    "reviews show",
    "runs cancel", "runs check", "runs export",
    "runs pause",
    "runs reconcile", "runs resume", "runs retry", "runs rollback", "runs signal", "schedules add",
    "schedules backfill", "schedules pause", "schedules remove", "schedules resume", "schedules run",
    "safety rules add", "safety rules import", "safety rules remove", "sessions profile",
    "tools approve", "tools cleanup", "tools deprecate", "tools run",
    "world export", "world import", "world migrate",
}  # fmt: skip
"""What others would see, and what takes out what persons have said: a new command stands here, or below."""
LOOKS = {
    "agents list", "agents show", "audit list", "audit verify", "breakers list", "crises export", "crises list",
    "crises show", "diagnose", "keys list", "llm budget", "llm models", "llm ping",
    "messages dlq list",
    "messages dlq show", "messages stats", "metrics alerts", "metrics dashboard", "notify list", "notify test", "play",
    "reviews list",
    "policy check", "policy diff", "policy explain", "policy show", "policy status", "policy validate",
    "resources", "safety lines",
    "runs diff", "runs list", "runs show", "safety check", "safety embeddings build", "safety evaluate",
    "safety report", "safety rules check", "safety rules export", "safety rules list", "safety train",
    "schedules list", "schedules show", "tools approvals", "tools list", "tools report", "tools show",
    "workflows check", "workflows graph", "workflows list",
    "workflows show", "world show",
}  # fmt: skip
"""Those that change nothing that lasts, and `play`, which is no operator's."""


def commands() -> Iterator[Command]:
    parser = argparse.ArgumentParser(prog="tta")
    subcommands = Subcommands(parser)
    for entry in sorted(entry_points(group="tta.plugins"), key=lambda entry: entry.name):
        cls = entry.load()
        if hasattr(cls, "register_commands"):
            cls(cls.config_type()).register_commands(subcommands)
    yield from leaves(parser)


def leaves(parser: Any) -> Iterator[Command]:
    found = parser.get_default("command")
    if isinstance(found, Command):
        yield found
    for action in parser._actions:
        for inner in (getattr(action, "choices", None) or {}) if isinstance(action.choices, dict) else {}:
            yield from leaves(action.choices[inner])


def test_each_command_says_whether_it_changes_something() -> None:
    marked = {command.name: command.mutates for command in commands()}
    assert {name for name, mutates in marked.items() if mutates} == CHANGES
    assert {name for name, mutates in marked.items() if not mutates} - LOOKS == set(), "does it change something?"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "config"
    folder.mkdir()
    names = ("http", "access", "access-file", "audit", "audit-file", "sessions", "sessions-memory")
    sections = ", ".join(f"{name}: {{enabled: true}}" for name in names)
    (folder / "base.yaml").write_text("kernel: {autoload: false}\n")
    (folder / "development.yaml").write_text(f"plugins: {{{sections}}}\n")
    return folder


def tta(folder: Path, *arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    kept = {key: value for key, value in os.environ.items() if not key.startswith("TTA_")}
    env = {**kept, "TTA_CONFIG": str(folder), "TTA_STATE": str(folder.parent / "state"), **environ}
    command = [sys.executable, "-m", "tta_program", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, env=env, timeout=60)


def test_what_commands_change_is_recorded_with_who_ran_them(folder: Path) -> None:
    made = tta(folder, "keys", "create", "night-shift", "--role", "operator")
    assert made.returncode == 0, made.stderr
    key = made.stdout.strip()
    assert tta(folder, "keys", "list").returncode == 0
    gone = tta(folder, "forget", "anna.of.the.lighthouse", TTA_KEY=key)
    assert gone.returncode == 1  # sessions in memory: only the running process can forget
    listed = tta(folder, "audit", "list", "--json")
    records = json.loads(listed.stdout)["records"]
    shown = [(each["event.name"], each["user.name"], each.get("target", ""), each["outcome"]) for each in records]
    assert ("command.forget", "night-shift", "", "failed") in shown
    [created] = [each for each in records if each["event.name"] == "command.keys.create"]
    assert created["user.name"].startswith("local:")
    assert (created["target"], created["outcome"]) == ("night-shift", "done")
    assert tta(folder, "audit", "verify").returncode == 0
    everything = b"".join(each.read_bytes() for each in folder.parent.joinpath("state").rglob("*") if each.is_file())
    assert key.encode() not in everything
    assert b"anna" not in everything


def test_what_could_not_be_recorded_is_not_begun(folder: Path) -> None:
    state = folder.parent / "state"
    (state / "audit").mkdir(parents=True)
    state.chmod(0o700)
    (state / "audit").chmod(0o777)
    refused = tta(folder, "keys", "create", "probe", "--role", "viewer")
    assert (refused.returncode, refused.stdout) == (3, "")
    assert "chmod 700" in refused.stderr


def test_what_is_done_and_could_not_be_recorded_is_told(folder: Path) -> None:
    state = folder.parent / "state"
    state.mkdir(mode=0o700)
    (state / "audit").mkdir(mode=0o700)
    # A folder in the place of the lock, which nobody can open to write.
    (state / "audit" / "lock").mkdir()
    done = tta(folder, "keys", "create", "probe", "--role", "viewer")
    assert done.returncode == 1
    assert done.stdout.startswith("ttak_")
    assert "not recorded" in done.stderr
