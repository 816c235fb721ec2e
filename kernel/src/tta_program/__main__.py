"""The command ``tta``: run the system, or look at it before it runs."""

from __future__ import annotations

import argparse
import errno
import re
import sys
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

from tta_kernel import KERNEL, Kernel, KernelError, PluginError
from tta_kernel.isolation import describe, is_interrupt
from tta_kernel.wiring import Wiring

from . import health, hookspecs, imports, leaving, logs, looks, streams
from .commands import Command, Subcommands, skip_what_it_leaves_alone
from .config import read
from .exits import INTERRUPTED, NOT_STARTED
from .output import printable_lines
from .run import loop, run, watched
from .starts import StartCount
from .telling import told
from .usage import Parser
from .watch import LoopWatch, WiringWatch

LONGEST_NAME = 200
"""How many characters an environment's name may have; with the file's ending no file system has trouble with them."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run ``tta`` and return the exit code: 0, 1 found wanting, 2 usage, and the others of `tta_program.exits`."""
    streams.prepare()
    if argv is None:
        logs.catch_the_rest()
    try:
        try:
            return _main(sys.argv[1:] if argv is None else argv)
        finally:
            sys.stdout.flush()
    except KeyboardInterrupt:  # also while plugins are imported, of which many take longer than a person waits
        return INTERRUPTED
    except BaseExceptionGroup as exc:
        if is_interrupt(exc):
            return INTERRUPTED
        raise
    except streams.OutputLost as exc:
        return streams.lost(exc)
    finally:
        if argv is None:
            leaving.watch()


def _main(argv: Sequence[str]) -> int:
    folder, environment, verbose, rest = _common(argv)
    reveal = not (rest[:1] == ["check"] and "--no-secrets" in rest)
    settings, problems = read(folder, environment, reveal=reveal)
    with WiringWatch(settings.block_warning):
        with streams.diverted(), streams.kept(), imports.limited(settings.import_timeout):
            wiring = Wiring(settings, None, (KERNEL,), specs=[hookspecs])
        # Those of a plugin's section stand with the plugin, before what follows from them.
        told = wiring.problems
        wiring.general[:0] = [problem for problem in problems if problem not in told]
        options = _parse(rest, wiring)
        command: Command | None = options.command
        if command is None and options.look:
            return looks.show(wiring, settings, options)
    try:
        if command is None:
            return int(options.start(wiring, settings, options))
        kernel, watchdog = watched(wiring)
        # Whoever waits for a command's answer reads of what went wrong; what went well is for an operator.
        level = "warning" if settings.log_level == "info" and not verbose else settings.log_level
        logs.setup(level, settings.log_format, kernel.secrets)
        try:
            return loop(_command, kernel, command, options)
        finally:
            watchdog.disarm()
    except KernelError as exc:
        name = command.name if command else rest[0]
        why = logs.Redactor(settings.secrets)(str(exc))
        print(printable_lines(f"tta {name}: could not start:\n{why}"), file=sys.stderr)
        return NOT_STARTED


def _common(argv: Sequence[str]) -> tuple[Path | None, str | None, bool, list[str]]:
    """Take out the options that may stand anywhere before a "--": they decide which plugins there are."""
    parser = Parser(prog="tta", add_help=False, allow_abbrev=False)
    parser.add_argument("--config", type=_folder)
    parser.add_argument("--env", type=_environment)
    parser.add_argument("--verbose", action="store_true")
    given, rest = parser.parse_known_args(argv)
    if rest[:1] == ["--"]:
        # Some versions of argparse take a "--" before the command for the command.
        rest = rest[1:]
    return given.config, given.env, given.verbose, rest


def _folder(text: str) -> Path | None:
    """Read the name of a folder, be it there or not."""
    try:
        Path(text).stat()
    except OSError as exc:
        if exc.errno == errno.ENAMETOOLONG:
            raise argparse.ArgumentTypeError("no folder has so long a name") from None
    return Path(text) if text else None


def _environment(text: str) -> str:
    """Read the name of an environment, which is the name of a file, too."""
    if len(text) > LONGEST_NAME or not re.fullmatch(r"[\w.-]*", text):
        raise argparse.ArgumentTypeError(f"a name is up to {LONGEST_NAME} letters, digits and ._-")
    return text


def _parse(rest: Sequence[str], wiring: Wiring) -> argparse.Namespace:
    """Parse the command line with the commands of all plugins; a plugin whose commands are wrong is ruled out."""
    parser = Parser(
        prog="tta",
        description="Run the system, or look at it before it runs.",
        epilog="Anywhere: --config FOLDER, --env NAME (such as production), --verbose.",
    )
    parser.add_argument("--version", action="version", version=f"tta-kernel {version('tta-kernel')}")
    subcommands = Subcommands(parser)
    subcommands.add_own("run", "run until a signal: INT or TERM stops, HUP reloads").set_defaults(start=run)
    health.add(subcommands)
    looks.add(subcommands)
    with streams.diverted():
        added = wiring.hooks.collect(hookspecs.register_commands, subcommands)
    for name, answer in added.items():
        record = wiring.records[name]
        if isinstance(answer, Exception) and record.usable:
            record.rule_out(PluginError(name, f"its commands: {describe(answer, record.cls.__module__)}"))
    if rest and rest[0] not in subcommands:
        absent = wiring.records.get(rest[0])
        if absent and not absent.usable:
            # First what may be why: a section whose name is misspelt, or one that can't be read.
            causes = [str(wiring.settings.placed(problem)) for problem in wiring.general]
            why = f"the plugin {absent.name!r} {absent.trouble()}: {absent.reason or 'enable it'}"
            parser.error("\n".join([*causes, why]))
    options, unknown = parser.parse_known_args(rest)
    if unknown:
        # Only the command's own parser shows what the command takes.
        options.command_parser.error(f"unrecognized arguments: {' '.join(unknown)}")
    return options


async def _command(kernel: Kernel, command: Command, options: argparse.Namespace) -> int:
    skip_what_it_leaves_alone(command, kernel, also=[hookspecs.command_ran] if command.mutates else ())
    # One that starts a part says nothing of how the whole starts.
    with LoopWatch(kernel), StartCount(kernel, wanted=command.whole) as count, streams.diverted() as diversion:
        async with kernel, count.counting():
            # What plugins print while they start and stop is no part of what the command is asked for.
            with diversion.lifted():
                return await told(kernel, command, options)


if __name__ == "__main__":
    sys.exit(main())
