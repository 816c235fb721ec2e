"""The command ``tta``: run the system, or look at it before it runs."""

from __future__ import annotations

import argparse
import os
import select
import sys
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import anyio
import msgspec

from tta_kernel import KERNEL, Kernel, KernelError, Plugin, PluginError, Problem
from tta_kernel.wiring import Wiring

from . import hookspecs, logs
from .commands import Command, Subcommands, skip_what_it_leaves_alone
from .config import LayeredSettings, entries, read
from .exits import DONE, INTERRUPTED, NOT_STARTED, UNREAD, WANTING
from .output import aligned
from .run import run


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
    common.add_argument("--config")
    common.add_argument("--env")
    given, rest = common.parse_known_args(argv)  # wherever they stand before a "--"
    # Some versions of argparse take a "--" before the command for the command.
    rest = rest[1:] if rest[:1] == ["--"] else rest
    reveal = not (rest[:1] == ["check"] and "--no-secrets" in rest)
    settings, problems = read(Path(given.config) if given.config else None, given.env, reveal=reveal)
    wiring = Wiring(settings, None, (KERNEL,), specs=[hookspecs])
    wiring.general[:0] = problems
    parser = argparse.ArgumentParser(
        prog="tta",
        description="Run the system, or look at it before it runs.",
        epilog="Anywhere: --config FOLDER, --env NAME (such as production).",
    )
    parser.add_argument("--version", action="version", version=f"tta-kernel {version('tta-kernel')}")
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
    for name, answer in wiring.hooks.collect(hookspecs.register_commands, subcommands).items():
        if isinstance(answer, Exception) and wiring.records[name].plugin is not None:
            wiring.records[name].rule_out(PluginError(name, f"its commands: {answer!r}"))
    absent = wiring.records.get(rest[0]) if rest and rest[0] not in subcommands else None
    if absent and absent.plugin is None:
        parser.error(f"the plugin {absent.name!r} {absent.trouble()}: {absent.reason or 'enable it'}")
    options = parser.parse_args(rest)
    command: Command | None = options.command
    if command is None and options.look:
        return _look(wiring, settings, options)
    try:
        if command is None:
            return run(wiring, settings.source)
        kernel = Kernel(wiring=wiring)
        logs.setup(settings.log_level, settings.log_format, kernel.secrets)
        return anyio.run(_command, kernel, command, options)
    except KernelError as exc:
        print(f"tta {command.name if command else 'run'}: could not start:\n{exc}", file=sys.stderr)
        return NOT_STARTED
    except KeyboardInterrupt:
        return INTERRUPTED


def _look(wiring: Wiring, settings: LayeredSettings, options: argparse.Namespace) -> int:
    wiring.check()
    checks = options.look is _check
    all_of_it = not (checks and options.no_secrets)
    found = [it for it in wiring.problems + wiring.warnings if all_of_it or not it.deployment_only]
    data, lines = options.look(wiring, settings, found)
    print(msgspec.json.format(msgspec.json.encode(data), indent=2).decode() if options.json else "\n".join(lines))
    for problem in () if checks else found:
        print(problem, file=sys.stderr)
    return WANTING if found else DONE


async def _command(kernel: Kernel, command: Command, options: argparse.Namespace) -> int:
    skip_what_it_leaves_alone(command, kernel)
    async with kernel:
        return int(await command.run(kernel, options))


def _plugins(wiring: Wiring, settings: LayeredSettings, found: list[Problem]) -> tuple[Any, list[str]]:
    described = [record.describe() for record in wiring.records.values()]
    columns = ("name", "distribution", "version", "state", "provides", "requires", "reason")
    rows = [[it.upper() for it in columns[:-1]] + ["WHY"], *([_cell(d[it]) for it in columns] for d in described)]
    return {"plugins": described, "problems": found}, aligned(rows)


def _check(wiring: Wiring, settings: LayeredSettings, found: list[Problem]) -> tuple[Any, list[str]]:
    good = f"{settings.source}: {len(wiring.chosen())} plugins are ready to start"
    return found + wiring.notes, [*map(str, found + wiring.notes), *([] if found else [good])]


def _config(wiring: Wiring, settings: LayeredSettings, found: list[Problem]) -> tuple[Any, list[str]]:
    shown = entries(settings, {n: r.cls.config_type for n, r in wiring.records.items() if r.cls is not Plugin})
    return shown, aligned([(e.key, _cell(msgspec.json.encode(e.value).decode(), 60), f"# {e.layer}") for e in shown])


def _cell(value: Any, width: int = 1000) -> str:
    text = ", ".join(value) if isinstance(value, list) else str(value).partition("\n")[0]
    return text if len(text) <= width else text[: width - 1] + "…"


if __name__ == "__main__":
    sys.exit(main())
