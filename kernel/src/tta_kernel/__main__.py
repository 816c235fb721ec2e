"""The command ``tta``: run the system, or look at it before it runs."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import anyio
import msgspec

from . import logs
from .commands import Command, Subcommands
from .config import entries, read
from .errors import ConfigError, KernelError
from .hookspecs import register_commands
from .kernel import KERNEL, Kernel
from .run import ABANDONED, run
from .wiring import Wiring

DONE, WANTING, USAGE, NOT_STARTED = 0, 1, 2, 3
INTERRUPTED, UNREAD = 130, 141  # as shells say it: 128 + SIGINT, 128 + SIGPIPE
__all__ = ["ABANDONED", "DONE", "NOT_STARTED", "USAGE", "WANTING", "main"]


def main(argv: Sequence[str] | None = None) -> int:
    """Run ``tta`` and return the exit code: 0, 1 found wanting, 2 usage, 3 not started, 70 abandoned."""
    try:
        try:
            return _main(sys.argv[1:] if argv is None else argv)
        finally:
            sys.stdout.flush()
    except BrokenPipeError:
        # Nobody reads on, as in `tta plugins | head -1`; else the interpreter would try again, and complain.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return UNREAD


def _main(argv: Sequence[str]) -> int:
    rest, folder, environment = _common(argv)
    settings, problems = read(Path(folder) if folder else None, environment)
    wiring = Wiring(settings, None, (KERNEL,))
    wiring.problems[:0] = problems
    parser = argparse.ArgumentParser(
        prog="tta",
        description="Run the system, or look at it before it runs.",
        epilog="Anywhere: --config FOLDER, --env NAME (such as production).",
    )
    subcommands = Subcommands(parser)
    for name, look, text in (
        ("run", None, "run until a signal: INT or TERM stops, HUP reloads"),
        ("plugins", _plugins, "list what is installed, and what becomes of it"),
        ("check", _check, "find everything that is wrong with a deployment; nothing is started"),
        ("config", _config, "show the effective config, and the layer of each value"),
    ):
        sub = subcommands._parser(name, text)
        sub.set_defaults(command=None, look=look)
        if look:
            sub.add_argument("--json", action="store_true", help="print JSON")
        if look is _check:
            sub.add_argument("--no-secrets", action="store_true", help="leave out what only the real deployment has")
    wiring.hooks.collect(register_commands, subcommands)
    # Some versions of argparse take a "--" before the command for the command.
    options = parser.parse_args(rest[1:] if rest[:1] == ["--"] else rest)
    command: Command | None = options.command
    if command is None and options.look:
        return int(options.look(wiring, options))
    try:
        if problems:
            raise ConfigError(*problems)
        if command is None:
            return run(settings)
        kernel = Kernel(settings)
        logs.setup(settings.log_level, settings.log_format, kernel.secrets)
        return anyio.run(_command, kernel, command, options)
    except KernelError as exc:
        print(f"tta {command.name if command else 'run'}: could not start:\n{exc}", file=sys.stderr)
        return NOT_STARTED
    except KeyboardInterrupt:
        return INTERRUPTED


def _common(argv: Sequence[str]) -> tuple[list[str], str | None, str | None]:
    """Take ``--config`` and ``--env`` out, wherever they stand before a ``--``."""
    found: dict[str, str | None] = {"--config": None, "--env": None}
    rest: list[str] = []
    arguments = iter(argv)
    for argument in arguments:
        name, equals, value = argument.partition("=")
        if argument == "--":
            return [*rest, argument, *arguments], found["--config"], found["--env"]
        if name not in found:
            rest.append(argument)
        elif not (value or (not equals and (value := next(arguments, "")))):
            print(f"tta: {name} needs a value", file=sys.stderr)
            raise SystemExit(USAGE)
        else:
            found[name] = value
    return rest, found["--config"], found["--env"]


async def _command(kernel: Kernel, command: Command, options: argparse.Namespace) -> int:
    if not command.whole:
        names = {kernel.wiring.providers[key] for key in command.requires if key in kernel.wiring.providers}
        names |= {name for spec in command.asks for name in kernel.hooks.implementers(spec)}
        kernel.wiring.keep(names & kernel.records.keys())
    async with kernel:
        return int(await command.run(kernel, options))


def _json(value: Any) -> None:
    print(msgspec.json.format(msgspec.json.encode(value), indent=2).decode())


def _table(rows: Iterable[Sequence[str]]) -> None:
    rows = list(rows)
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def _plugins(wiring: Wiring, options: argparse.Namespace) -> int:
    described = [record.describe() for record in wiring.records.values()]
    if options.json:
        _json({"plugins": described, "problems": wiring.problems})
        return WANTING if wiring.problems else DONE
    _table(
        [("NAME", "DISTRIBUTION", "VERSION", "STATE", "PROVIDES", "REQUIRES", "WHY")]
        + [
            (
                d.name,
                d.distribution,
                d.version,
                d.state,
                ", ".join(d.provides),
                ", ".join(d.requires),
                d.reason.split("\n")[0],
            )
            for d in described
        ]
    )
    for problem in wiring.problems:
        print(problem, file=sys.stderr)
    return WANTING if wiring.problems else DONE


def _check(wiring: Wiring, options: argparse.Namespace) -> int:
    wiring.check()
    found = [p for p in (*wiring.problems, *wiring.warnings) if not (options.no_secrets and p.deployment_only)]
    if options.json:
        _json(found)
    for problem in () if options.json else found:
        print(problem)
    if not (found or options.json):
        print(f"{wiring.settings.source.environment}: {len(list(wiring.chosen()))} plugins are ready to start")
    return WANTING if found else DONE


def _config(wiring: Wiring, options: argparse.Namespace) -> int:
    types = {r.name: r.cls.config_type for r in wiring.records.values() if r.cls is not None}
    shown = entries(wiring.settings, types)
    if options.json:
        _json(shown)
    else:
        _table([(e.key, msgspec.json.encode(e.value).decode(), f"# {e.layer}") for e in shown])
    for problem in wiring.problems:
        print(problem, file=sys.stderr)
    return WANTING if wiring.problems else DONE


if __name__ == "__main__":
    sys.exit(main())
