"""The command ``tta``: run the system, or look at it before it runs."""

from __future__ import annotations

import argparse
import os
import select
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import anyio
import msgspec

from . import logs
from .commands import Command, Subcommands
from .config import entries, read
from .errors import ConfigError, KernelError, PluginError
from .hookspecs import register_commands
from .kernel import KERNEL, Kernel
from .plugin import Plugin
from .run import ABANDONED, run
from .wiring import Wiring

DONE, WANTING, USAGE, NOT_STARTED = 0, 1, 2, 3  # argparse says USAGE
INTERRUPTED, UNREAD = 130, 141  # as shells say it: 128 + SIGINT, 128 + SIGPIPE
__all__ = ["ABANDONED", "DONE", "NOT_STARTED", "USAGE", "WANTING", "main"]


def main(argv: Sequence[str] | None = None) -> int:
    """Run ``tta`` and return the exit code: 0, 1 found wanting, 2 usage, 3 not started, 70 abandoned."""
    try:
        code = _main(sys.argv[1:] if argv is None else argv)
        sys.stdout.flush()
    except BrokenPipeError:
        poll = select.poll()
        poll.register(sys.stdout.fileno(), 0)
        if not poll.poll(0):  # It was another pipe, of a plugin's.
            raise
        # Nobody reads on, as in `tta plugins | head -1`; else the interpreter would try again, and complain.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return UNREAD
    return code


def _main(argv: Sequence[str]) -> int:
    common = argparse.ArgumentParser(prog="tta", add_help=False, allow_abbrev=False)
    common.add_argument("--config", type=_named)
    common.add_argument("--env", type=_named)
    given, rest = common.parse_known_args(argv)  # wherever they stand before a "--"
    settings, problems = read(Path(given.config) if given.config else None, given.env)
    wiring = Wiring(settings, None, (KERNEL,), reveal="--no-secrets" not in rest)
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
    for name, answer in wiring.hooks.collect(register_commands, subcommands).items():
        if isinstance(answer, Exception) and wiring.records[name].plugin is not None:
            wiring.rule_out(wiring.records[name], PluginError(name, f"its commands: {answer!r}"))
    # Some versions of argparse take a "--" before the command for the command.
    options = parser.parse_args(rest[1:] if rest[:1] == ["--"] else rest)
    command: Command | None = options.command
    if command is None and options.look:
        return WANTING if options.look(wiring, options) else DONE
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


def _named(text: str) -> str:
    if not text:
        raise argparse.ArgumentTypeError("needs a value")
    return text


async def _command(kernel: Kernel, command: Command, options: argparse.Namespace) -> int:
    if not command.whole:
        names = {kernel.wiring.providers[key] for key in command.requires if key in kernel.wiring.providers}
        names |= {name for spec in command.asks for name in kernel.hooks.implementers(spec)}
        kernel.wiring.keep(names & kernel.records.keys())
    async with kernel:
        return int(await command.run(kernel, options))


def _plugins(wiring: Wiring, options: argparse.Namespace) -> bool:
    described = [record.describe() for record in wiring.records.values()]
    if options.json:
        _json({"plugins": described, "problems": wiring.problems})
    else:
        columns = ("name", "distribution", "version", "state", "provides", "requires", "reason")
        _table([[it.upper() for it in columns[:-1]] + ["WHY"], *([_cell(d[it]) for it in columns] for d in described)])
    return _complain(wiring)


def _check(wiring: Wiring, options: argparse.Namespace) -> bool:
    wiring.check()
    found = [p for p in (*wiring.problems, *wiring.warnings) if not (options.no_secrets and p.deployment_only)]
    if options.json:
        _json(found)
    else:
        good = f"{wiring.settings.source.environment}: {len(wiring.chosen())} plugins are ready to start"
        print("\n".join(map(str, found)) or good)
    return bool(found)


def _config(wiring: Wiring, options: argparse.Namespace) -> bool:
    types = {r.name: r.cls.config_type for r in wiring.records.values() if r.cls is not Plugin}
    shown = entries(wiring.settings, types)
    if options.json:
        _json(shown)
    else:
        _table([(e.key, msgspec.json.encode(e.value).decode(), f"# {e.layer}") for e in shown])
    return _complain(wiring)


def _complain(wiring: Wiring) -> bool:
    for problem in wiring.problems:
        print(problem, file=sys.stderr)
    return bool(wiring.problems)


def _json(value: Any) -> None:
    print(msgspec.json.format(msgspec.json.encode(value), indent=2).decode())


def _cell(value: Any) -> str:
    return ", ".join(value) if isinstance(value, list) else str(value).partition("\n")[0]


def _table(rows: Sequence[Sequence[str]]) -> None:
    widths = [min(max(map(len, column)), 60) for column in zip(*rows, strict=True)]
    for row in rows:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


if __name__ == "__main__":
    sys.exit(main())
