"""What an agent prints while it works doesn't come between the lines that a program reads."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

PRINTING = """
import os
from msgspec import Struct
from tta_agents import AgentPlugin, AgentSpec
from tta_kernel import NoConfig


class In(Struct):
    text: str


class Out(Struct):
    text: str
    world: dict = {}


class Printing(AgentPlugin[NoConfig]):
    spec = AgentSpec(type="printing", description="Says what it does.", input=In, output=Out, timeout=20.0)

    async def process(self, request, ctx):
        print("thinking about", request.text)
        os.system("echo a child thinks, too")
        return Out(text=f"You {request.text}.")
"""
NAMES = (
    "agents", "agents-memory", "workflows", "workflows-local", "workflows-memory", "sessions", "sessions-memory",
    "safety", "orchestration", "play", "printing",
)  # fmt: skip


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Lay an agent that prints, and a config with a workflow of this one alone, into a folder."""
    info = tmp_path / "printing-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: printing\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[tta.plugins]\nprinting = printing:Printing\n")
    (tmp_path / "printing.py").write_text(PRINTING)
    turn = {
        "steps": [{"id": "think", "agent": "printing", "input": {"text": "input.text"}}],
        "output": {"text": "steps.think.text", "world": "steps.think.world"},
    }
    plugins = {name: {} for name in NAMES} | {
        "workflows": {"config": {"workflows": {"turn": turn}}},
        "orchestration": {"config": {"allow_unchecked": True}},
    }
    (tmp_path / "base.yaml").write_bytes(msgspec.yaml.encode({"kernel": {"autoload": False}, "plugins": plugins}))
    (tmp_path / "development.yaml").write_text("")
    return tmp_path


@pytest.mark.parametrize("arguments", [[], ["--json"]])
def test_what_an_agent_prints_does_not_come_between_the_answers(folder: Path, arguments: list[str]) -> None:
    """modelcontextprotocol/python-sdk #3117 and mempalace #225, where a print broke the lines of JSON."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith("TTA_")}
    done = subprocess.run(
        [sys.executable, "-m", "tta_program", "play", "--config", folder, *arguments], input="wait\nlook\n",
        capture_output=True, text=True, check=False, timeout=60, env={**kept, "PYTHONPATH": str(folder)},
    )  # fmt: skip
    lines = done.stdout.splitlines()
    told = [json.loads(line)["text"] for line in lines] if arguments else lines
    assert told == ["You wait.", "You look."], done.stderr
    assert "thinking about look\n" in done.stderr
    assert done.stderr.count("a child thinks, too\n") == 2
