"""Looking at a deployment before it runs: what is installed, what is wrong, what is configured."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import msgspec

from tta_kernel import ConfigError, Problem, suggest
from tta_kernel.records import Record
from tta_kernel.wiring import Wiring

from . import streams
from .commands import Subcommands
from .config import LayeredSettings
from .effective import entries
from .exits import DONE, USAGE, WANTING
from .logs import Redactor
from .output import aligned, encodable, fail, print_json, printable_lines
from .quarantine import Quarantine

Look = Callable[[Wiring, LayeredSettings, Sequence[Problem]], tuple[Any, list[str]]]
"""Returns what JSON shows, and the lines for people."""


def add(subcommands: Subcommands) -> None:
    """Add the commands that start nothing."""
    parser = _add(subcommands, "plugins", _plugins, "list what is installed, and what becomes of it")
    text = "bisect: find which plugin makes a start fail, by starting ever fewer of them; release: end a quarantine"
    parser.add_argument("what", nargs="?", choices=["bisect", "release"], help=text)
    text = "those whose failed starts `release` forgets"
    parser.add_argument("names", nargs="*", metavar="NAME", help=text)
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
    what = getattr(options, "what", None)
    if what != "release" and getattr(options, "names", ()):
        options.command_parser.error(f"unrecognized arguments: {' '.join(options.names)}")
    if what == "bisect":
        from .bisect import bisect  # It needs an event loop, which nothing else here does.

        return bisect(settings, wiring)
    if what == "release":
        return _release(wiring, settings, options.names)
    if settings.complete:
        with streams.diverted():
            wiring.check()
    else:
        # What they would object to may follow from what could not be read.
        unasked = "were not asked what they object to, since not all of the config could be read"
        wiring.notes.append(Problem("plugins", unasked, note=True))
    found = _redacted([*settings.uncounted, *wiring.problems, *wiring.warnings], settings)
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
    described = [_described(record, settings) for record in wiring.records.values()]
    heads = ("NAME", "DISTRIBUTION", "VERSION", "STATE", "PROVIDES", "REQUIRES", "WHY")
    rows = [
        (
            each["name"],
            each["distribution"],
            each["version"],
            each["state"],
            ", ".join(each["provides"]),
            ", ".join(each["requires"]),
            _short(each["reason"] or _failed_starts(each["failed_starts"]), 1000),
        )
        for each in described
    ]
    return {"plugins": described, "problems": found}, aligned([heads, *rows])


def _failed_starts(number: int) -> str:
    return f"failed the last {number} of its starts" if number else ""


def _described(record: Record, settings: LayeredSettings) -> dict[str, Any]:
    """Return what operators see of a plugin; ``since`` is in seconds since the epoch."""
    failures = settings.failures.get(record.name)
    return {
        "name": record.name,
        "state": record.state,
        "reason": Redactor(settings.secrets)(record.reason),
        "since": record.since,
        "required": record.required,
        "yields_to": record.yields_to,
        "failed_starts": failures.times if failures else 0,
        "in_quarantine": record.imported and settings.in_quarantine(record.name),
        "distribution": record.found.distribution,
        "version": record.found.version,
        "provides": [key.name for key in record.cls.provides],
        "requires": [key.name for key in record.cls.requires],
    }


def _release(wiring: Wiring, settings: LayeredSettings, names: Sequence[str]) -> int:
    """Forget the failed starts of these plugins, so that the next start tries them."""
    command = "plugins release"
    if not names:
        counted = ", ".join(sorted(settings.failures)) or "none has failed its last start"
        print(printable_lines(f"tta {command}: which plugins? ({counted})"), file=sys.stderr)
        return USAGE
    if settings.quarantine is None:
        return fail(command, "nothing counts failed starts; `kernel.quarantine` names the file for it")
    try:
        released = Quarantine(settings.quarantine).release(names)
    except ConfigError as exc:
        return fail(command, str(exc))
    for name in released:
        print(printable_lines(f"{name}: released; the next start tries it"))
    unknown = [name for name in names if name not in released]
    if not unknown:
        return DONE
    lines = []
    for name in unknown:
        hint = suggest(name, {*settings.failures, *wiring.records}, otherwise="")
        installed = name in wiring.records
        why = "has not failed its last start" if installed else "no plugin of that name is installed"
        lines.append("; ".join(filter(None, (f"{name}: {why}", "" if installed else hint))))
    return fail(command, "\n".join(lines))


def _check(wiring: Wiring, settings: LayeredSettings, found: Sequence[Problem]) -> tuple[Any, list[str]]:
    told = [*found, *_redacted([*wiring.notes, *_left_out(wiring)], settings)]
    lines = [str(problem) for problem in told]
    if not found:
        lines.append(f"{settings.source}: {len(wiring.chosen())} plugins are ready to start")
    return told, lines


def _left_out(wiring: Wiring) -> Iterable[Problem]:
    """Note which plugins others go on without, where they can't run: nobody should hear of that by accident."""
    chosen = wiring.chosen()
    for name, record in chosen.items():
        if record.vital:
            continue
        keys = [key for key in record.cls.provides if wiring.hooks.providers.get(key) == name]
        without = [other for other, it in chosen.items() if any(key in it.cls.after for key in keys)]
        if without:
            what = f"isn't required: where it can't run, these go on without it: {', '.join(sorted(without))}"
            yield Problem(f"plugins.{name}.required", what, note=True)


def _config(wiring: Wiring, settings: LayeredSettings, found: Sequence[Problem]) -> tuple[Any, list[str]]:
    types = {name: record.cls.config_type for name, record in wiring.records.items() if record.imported}
    shown = entries(settings, types)
    rows = []
    for entry in shown:
        value = msgspec.json.encode(encodable(entry.value)).decode()
        rows.append((entry.key, _short(value, 60), f"# {entry.layer}"))
    return shown, aligned(rows)


def _redacted(problems: Sequence[Problem], settings: LayeredSettings) -> list[Problem]:
    """Return problems without secrets: a plugin may quote its config, or an error that does."""
    redact = Redactor(settings.secrets)
    return [
        msgspec.structs.replace(it, where=redact(it.where), what=redact(it.what), hint=redact(it.hint))
        for it in problems
    ]


def _short(text: str, width: int) -> str:
    line = text.partition("\n")[0]
    return line if len(line) <= width else line[: width - 1] + "…"
