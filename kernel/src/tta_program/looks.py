"""Looking at a deployment before it runs: what is installed, what is wrong, what is configured."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from tta_kernel import Problem
from tta_kernel.records import Record
from tta_kernel.wiring import Wiring

from .commands import Subcommands
from .config import LayeredSettings
from .effective import entries
from .exits import DONE, WANTING
from .output import aligned, encodable, print_json, printable_lines

Look = Callable[[Wiring, LayeredSettings, Sequence[Problem]], tuple[Any, list[str]]]
"""Returns what JSON shows, and the lines for people."""


def add(subcommands: Subcommands) -> None:
    """Add the commands that start nothing."""
    parser = _add(subcommands, "plugins", _plugins, "list what is installed, and what becomes of it")
    text = "find which plugin makes a start fail, by starting ever fewer of them"
    parser.add_argument("what", nargs="?", choices=["bisect"], help=text)
    parser = _add(subcommands, "check", _check, "find everything that is wrong with a deployment; nothing is started")
    parser.add_argument("--no-secrets", action="store_true", help="leave out what only the real deployment has")
    _add(subcommands, "config", _config, "show the effective config, and the layer of each value")


def _add(subcommands: Subcommands, name: str, look: Look, text: str) -> argparse.ArgumentParser:
    parser = subcommands.add_own(name, text)
    parser.set_defaults(look=look)
    parser.add_argument("--json", action="store_true", help="print JSON")
    return parser


def show(wiring: Wiring, settings: LayeredSettings, options: argparse.Namespace) -> int:
    """Print what the chosen look finds, and return the exit code; problems go to standard error, but for ``check``."""
    if getattr(options, "what", None) == "bisect":
        from .bisect import bisect  # It needs an event loop, which nothing else here does.

        return bisect(settings)
    if settings.complete:
        wiring.check()
    else:
        # What they would object to may follow from what could not be read.
        what = "were not asked what they object to, since not all of the config could be read"
        wiring.notes.append(Problem("plugins", what, note=True))
    found = wiring.problems + wiring.warnings
    checks = options.look is _check
    if checks and options.no_secrets:
        found = [problem for problem in found if not problem.deployment_only]
    data, lines = options.look(wiring, settings, found)
    if options.json:
        print_json(data)
    else:
        print(printable_lines("\n".join(lines)))
    if not checks:
        for problem in found:
            print(printable_lines(str(problem)), file=sys.stderr)
    return WANTING if found else DONE


def _plugins(wiring: Wiring, settings: LayeredSettings, found: Sequence[Problem]) -> tuple[Any, list[str]]:
    described = [_described(record) for record in wiring.records.values()]
    heads = ("NAME", "DISTRIBUTION", "VERSION", "STATE", "PROVIDES", "REQUIRES", "WHY")
    rows = [
        (
            each["name"],
            each["distribution"],
            each["version"],
            each["state"],
            ", ".join(each["provides"]),
            ", ".join(each["requires"]),
            _short(each["reason"], 1000),
        )
        for each in described
    ]
    return {"plugins": described, "problems": found}, aligned([heads, *rows])


def _described(record: Record) -> dict[str, Any]:
    """Return what operators see of a plugin; ``since`` is in seconds since the epoch."""
    return {
        "name": record.name,
        "state": record.state,
        "reason": record.reason,
        "since": record.since,
        "required": record.required,
        "yields_to": record.yields_to,
        "distribution": record.found.distribution,
        "version": record.found.version,
        "provides": [key.name for key in record.cls.provides],
        "requires": [key.name for key in record.cls.requires],
    }


def _check(wiring: Wiring, settings: LayeredSettings, found: Sequence[Problem]) -> tuple[Any, list[str]]:
    told = [*found, *wiring.notes]
    lines = [str(problem) for problem in told]
    if not found:
        lines.append(f"{settings.source}: {len(wiring.chosen())} plugins are ready to start")
    return told, lines


def _config(wiring: Wiring, settings: LayeredSettings, found: Sequence[Problem]) -> tuple[Any, list[str]]:
    types = {name: record.cls.config_type for name, record in wiring.records.items() if record.imported}
    shown = entries(settings, types)
    rows = []
    for entry in shown:
        value = msgspec.json.encode(encodable(entry.value)).decode()
        rows.append((entry.key, _short(value, 60), f"# {entry.layer}"))
    return shown, aligned(rows)


def _short(text: str, width: int) -> str:
    line = text.partition("\n")[0]
    return line if len(line) <= width else line[: width - 1] + "…"
