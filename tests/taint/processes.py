"""``tta play`` in a process of its own, with an agent that leaks all it can and a check that says what it let pass."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from tta_orchestration.testing import TURN

_PLUGIN = """
import os
from pathlib import Path
from typing import Any

import anyio
import msgspec
from tta_agents import AgentError, AgentSpec
from tta_kernel import NoConfig, Plugin, hookimpl
from tta_orchestration.testing import Scene, Teller
from tta_safety import Verdict

FOLDER = Path(os.environ["TAINT_FOLDER"])
PIECES = ("Zqonex is told. ", "Zqtwox is ", "told. ", "Zqlastx is told.")


class Told(msgspec.Struct, frozen=True):
    text: str
    world: dict[str, Any]


class Leaking(Teller):
    spec = AgentSpec("teller", "tells", Scene, Told, timeout=2.0)

    async def process(self, request, ctx, /):
        await ctx.emit(PIECES[0])
        if "fail" in request.text:
            raise AgentError("Zqcodex", "because of Zqdetailx")
        if "burst" in request.text:
            raise ValueError("Zqraisedx") from RuntimeError("Zqcausex")
        for piece in PIECES[1:]:
            await ctx.emit(piece)
        return Told("".join(PIECES), {"turns": 1, "name": "Zqnamex"})


class Checking(Plugin[NoConfig]):
    @hookimpl
    async def check_text(self, text, channel, about):
        said = about.before if channel != "player" else ""
        if about.told or channel == "tool":
            if "block" in said:
                return Verdict("checked", "blocked", 0.9)
            if "raise" in said:
                raise ValueError(text)
            if "lie" in said:
                return text
            if "hang" in said:
                await anyio.sleep_forever()
            if "wait" in said:
                (FOLDER / "waits").touch()
                while not (FOLDER / "go").exists():
                    await anyio.sleep(0.01)
        with (FOLDER / "approved").open("a") as file:
            file.write(text + chr(10))
        return Verdict("checked", "safe")
"""
_ALWAYS = (
    "agents", "workflows", "workflows-local", "sessions", "safety", "orchestration", "play", "leaking", "checking",
)  # fmt: skip
IN_MEMORY = (*_ALWAYS, "agents-memory", "workflows-memory", "sessions-memory")
ON_REDIS = (
    *_ALWAYS, "redis", "messages", "messages-redis", "agents-redis", "workflows-redis", "sessions-redis",
    "safety-redis",
)  # fmt: skip


class Place:
    """A folder with a config, where the plugins are installed."""

    def __init__(self, folder: Path, names: Sequence[str], **configs: Mapping[str, Any]) -> None:
        self._folder = folder
        info = folder / "site" / "tta_taint-0.1.dist-info"
        info.mkdir(parents=True)
        (folder / "site" / "tta_taint.py").write_text(_PLUGIN)
        (info / "METADATA").write_text("Metadata-Version: 2.1\nName: tta-taint\nVersion: 0.1\n")
        (info / "entry_points.txt").write_text(
            "[tta.plugins]\nleaking = tta_taint:Leaking\nchecking = tta_taint:Checking\n"
        )
        plugins: dict[str, dict[str, Any]] = {name: {"enabled": True} for name in names}
        given: dict[str, Mapping[str, Any]] = {"workflows": {"workflows": {"turn": TURN}}, **configs}
        for name, section in given.items():
            plugins[name]["config"] = section
        config = folder / "config"
        config.mkdir()
        (config / "base.yaml").write_text("{}")
        kernel = {"autoload": False, "hook_timeouts": {"check_text": "1s"}}
        (config / "taint.yaml").write_text(yaml.safe_dump({"kernel": kernel, "plugins": plugins}))

    def command(self, *arguments: str) -> list[str]:
        where = ["--config", str(self._folder / "config"), "--env", "taint"]
        return [sys.executable, "-m", "tta_program", *where, "play", "--session", "s-1", *arguments]

    def environ(self) -> dict[str, str]:
        kept = {key: value for key, value in os.environ.items() if not key.startswith("TTA_")}
        paths = os.pathsep.join(filter(None, (str(self._folder / "site"), os.environ.get("PYTHONPATH"))))
        return kept | {"PYTHONPATH": paths, "TAINT_FOLDER": str(self._folder)}

    @property
    def waits(self) -> bool:
        return (self._folder / "waits").exists()

    def go(self) -> None:
        (self._folder / "go").touch()

    @property
    def approved(self) -> Sequence[str]:
        """What the check has let pass."""
        return (self._folder / "approved").read_text().splitlines()
