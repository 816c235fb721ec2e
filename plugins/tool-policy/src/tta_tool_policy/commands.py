"""The commands ``tta policy …``: look at a policy, compare two, and ask a running system for its own."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import anyio.to_thread
import msgspec

from tta_kernel import Kernel
from tta_program import DONE, WANTING, Subcommands, fail, moment, print_json, table

from .asking import Unanswered, ask
from .config import Config
from .diff import call_changes, read_records, rule_changes
from .engine import Engine
from .loading import load
from .model import PolicyStatus, Reloaded
from .reading import PolicyError, format_of, read_file, read_policy
from .routes import Validated
from .showing import redacted

_KEY = "the key of who asks is to stand in TTA_KEY"


class _Commands:
    def __init__(self, config: Config) -> None:
        self._config = config

    async def show(self, kernel: Kernel, options: argparse.Namespace) -> int:
        engine = await self._engine(options.file)
        shown = {"hash": engine.digest, "policy": redacted(engine.text, self._config.hidden)}
        if options.json:
            print_json(shown)
        else:
            print(f"# {options.file or self._config.source or 'no file is configured'}: {engine.digest}")
            print(msgspec.yaml.encode(shown["policy"]).decode(), end="")
        return DONE

    async def check(self, kernel: Kernel, options: argparse.Namespace) -> int:
        engine = await self._engine(options.file)
        text = engine.text
        print(f"{len(text.deny)} rules of the floor and {len(text.rules)} others: all good ({engine.digest})")
        return DONE

    async def diff(self, kernel: Kernel, options: argparse.Namespace) -> int:
        old, new = await self._engine(options.old), await self._engine(options.new)
        rules = [*rule_changes(old, new)]
        number, calls = 0, []
        if options.against is not None:
            number, found = await anyio.to_thread.run_sync(
                lambda: call_changes(old, new, read_records(options.against))
            )
            calls = [*found]
        if options.json:
            print_json({"rules": rules, "calls": calls, "decided": number})
        else:
            for each in rules:
                keys = f": {', '.join(each.keys)}" if each.keys else ""
                print(f"{each.change} {each.rule}{keys}")
            if calls:
                rows = [(it.judgement, it.who, it.target, it.before, it.after, str(it.times)) for it in calls]
                table([("WHAT", "WHO", "TOOL", "BEFORE", "AFTER", "TIMES"), *rows])
            if options.against is not None:
                print(f"{number} recorded calls, {sum(it.times for it in calls)} of them not decided the same")
            elif not rules:
                print("both say the same")
        return WANTING if calls or (rules and options.against is None) else DONE

    async def status(self, kernel: Kernel, options: argparse.Namespace) -> int:
        found = await ask(options.url, "GET", "/policy/status", PolicyStatus)
        if options.json:
            print_json(found)
        else:
            state = f"degraded since {moment(found.degraded_since)}" if found.degraded_since else "good"
            table([
                ("policy", found.hash), ("source", found.source), ("in force since", moment(found.since)),
                ("rules", str(found.rules)), ("watched", "yes" if found.watching else "no"), ("state", state),
            ])  # fmt: skip
            for problem in found.problems:
                print(problem)
        return WANTING if found.degraded_since else DONE

    async def reload(self, kernel: Kernel, options: argparse.Namespace) -> int:
        found = await ask(options.url, "POST", "/policy/reload", Reloaded, {})
        print(f"in force is {found.hash}, from {found.source}")
        return DONE

    async def validate(self, kernel: Kernel, options: argparse.Namespace) -> int:
        text = await anyio.to_thread.run_sync(read_file, options.file)
        sent = {"text": text, "format": format_of(options.file)}
        found = await ask(options.url, "POST", "/policy/validate", Validated, sent)
        for problem in found.problems:
            print(problem, file=sys.stderr)
        if found.ok:
            print("it could be put in force there")
        return DONE if found.ok else WANTING

    async def _engine(self, file: Path | None) -> Engine:
        if file is None:
            loaded = await anyio.to_thread.run_sync(load, self._config.source, self._config.overrides)
            return loaded.engine
        overrides = self._config.overrides

        def read() -> Engine:
            return read_policy(read_file(file), str(file), format_of(file), overrides)

        return await anyio.to_thread.run_sync(read)


def add(subcommands: Subcommands, config: Config) -> None:
    """Add the commands."""
    commands = _Commands(config)
    subcommands.group("policy", help="look at the policy of tools, and compare two")
    parser = subcommands.add("policy show", _guarded(commands.show), help="show a policy without secrets, and its hash")
    _file(parser)
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser = subcommands.add("policy check", _guarded(commands.check), help="say what is wrong with a policy")
    _file(parser)
    parser = subcommands.add(
        "policy diff", _guarded(commands.diff), help="say what another policy decides differently; 1 where it does"
    )
    parser.add_argument("old", type=Path, metavar="OLD")
    parser.add_argument("new", type=Path, metavar="NEW")
    text = "decide recorded calls anew: a file, the folder of audit-file, or what `tta audit list --json` printed"
    parser.add_argument("--against", type=Path, metavar="RECORDS", help=text)
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser = subcommands.add(
        "policy status", _guarded(commands.status), help="ask a running system which policy is in force"
    )
    _url(parser)
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser = subcommands.add(
        "policy reload", _guarded(commands.reload), help="have a running system load its policy again",
        mutates=True, target="url",
    )  # fmt: skip
    _url(parser)
    parser = subcommands.add(
        "policy validate", _guarded(commands.validate), help="ask a running system whether it could take a policy"
    )
    parser.add_argument("file", type=Path, metavar="FILE")
    _url(parser)


def _file(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", type=Path, nargs="?", metavar="FILE", help="the one that config names by default")


def _url(parser: argparse.ArgumentParser) -> None:
    default = os.environ.get("TTA_URL", "http://127.0.0.1:8503")
    parser.add_argument("url", nargs="?", default=default, metavar="URL", help=f"where it serves (%(default)s); {_KEY}")


def _guarded(
    act: Callable[[Kernel, argparse.Namespace], Awaitable[int]],
) -> Callable[[Kernel, argparse.Namespace], Awaitable[int]]:
    async def run(kernel: Kernel, options: argparse.Namespace) -> int:
        try:
            return await act(kernel, options)
        except PolicyError as error:
            for problem in error.problems:
                print(problem, file=sys.stderr)
            return WANTING
        except Unanswered as error:
            fail("policy", str(error))
            return WANTING

    return run
