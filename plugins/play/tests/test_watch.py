"""What blocks a game is named while it lasts, in the command's own process."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import msgspec

NAPPING = """
import logging, threading
from msgspec import Struct
from tta_agents import AgentPlugin, AgentSpec
from tta_kernel import NoConfig

named = threading.Event()


def see(record):
    if "plugin 'napping'" in record.getMessage():
        named.set()
    return True


class In(Struct):
    text: str


class Out(Struct):
    text: str
    world: dict = {}


class Napping(AgentPlugin[NoConfig]):
    spec = AgentSpec(type="napping", description="Blocks until that is named.", input=In, output=Out, timeout=20.0)

    async def process(self, request, ctx):
        logging.getLogger("tta.kernel").addFilter(see)
        return Out(text="It was named." if named.wait(15) else "Nobody said a word.")
"""
NAMES = (
    "agents", "agents-memory", "workflows", "workflows-local", "workflows-memory", "sessions", "sessions-memory",
    "safety", "orchestration", "play", "napping",
)  # fmt: skip


def test_an_agent_that_blocks_is_named_while_a_turn_is_played(tmp_path: Path) -> None:
    info = tmp_path / "napping-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: napping\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[tta.plugins]\nnapping = napping:Napping\n")
    (tmp_path / "napping.py").write_text(NAPPING)
    turn = {
        "steps": [{"id": "nap", "agent": "napping", "input": {"text": "input.text"}}],
        "output": {"text": "steps.nap.text", "world": "steps.nap.world"},
    }
    plugins = {name: {} for name in NAMES} | {
        "workflows": {"config": {"workflows": {"turn": turn}}},
        "orchestration": {"config": {"allow_unchecked": True}},
    }
    settings = {"kernel": {"autoload": False, "block_warning": "50ms"}, "plugins": plugins}
    (tmp_path / "base.yaml").write_bytes(msgspec.yaml.encode(settings))
    (tmp_path / "development.yaml").write_text("")
    kept = {key: value for key, value in os.environ.items() if not key.startswith("TTA_")}
    done = subprocess.run(
        [sys.executable, "-m", "tta_program", "play", "--config", tmp_path, "look"],
        capture_output=True, text=True, check=False, timeout=60, env={**kept, "PYTHONPATH": str(tmp_path)},
    )  # fmt: skip
    assert done.stdout == "It was named.\n", done.stderr
    assert f"now by plugin 'napping' at {tmp_path}/napping.py:" in done.stderr
    assert "in process" in done.stderr
