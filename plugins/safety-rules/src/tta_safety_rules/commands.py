"""The commands ``tta safety …``: what is said of a text and why, and looking at rules and changing them."""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import anyio.to_thread
import msgspec

from tta_kernel import Kernel, KernelError, Problem
from tta_program import DONE, USAGE, WANTING, Subcommands, fail, print_json, table
from tta_program.files import parse, read_text
from tta_safety import CATEGORIES, About, Verdict, check_text, judge
from tta_safety.layers import RulesError, read_layer
from tta_safety.rules import RULES, Rule, RulesChanged, RuleSource, RuleSourceError, RuleText

from .builtin import built_in
from .importing import imported, written
from .loading import load_engine, read_source, try_rules

_CHANNELS = ("player", "story", "tool")


class _Commands:
    def __init__(self, file: Path | None) -> None:
        self._file = file

    async def check(self, kernel: Kernel, options: argparse.Namespace) -> int:
        text = sys.stdin.read() if options.text == "-" else options.text
        about = About(before=options.before, locale=options.locale, country=options.country)
        answers = await kernel.ask(check_text, text, options.channel, "", about)
        verdict = judge(answers, options.channel)
        if options.json:
            print_json(verdict)
        else:
            _tell(verdict)
        for name, answer in answers.items():
            if isinstance(answer, Exception):
                fail("safety check", f"{name} has failed: {type(answer).__name__}")
        return DONE if verdict.status == "checked" and verdict.level == "safe" else WANTING

    async def look(self, kernel: Kernel, options: argparse.Namespace) -> int:
        file = options.file or self._file
        try:
            engine = await anyio.to_thread.run_sync(try_rules, file)
        except RulesError as error:
            _problems(error)
            return WANTING
        for note in engine.notes:
            print(note, file=sys.stderr)
        examples = sum(len(rule.match) + len(rule.no_match) for rule in engine.rules.rules)
        print(f"{len(engine.rules.rules)} rules, {examples} examples: all good ({engine.rules.digest})")
        return DONE

    async def list(self, kernel: Kernel, options: argparse.Namespace) -> int:
        rules = [it for it in await self._in_force(kernel) if options.category in ("", it.category)]
        if options.json:
            print_json(rules)
            return DONE
        head = ("RULE", "CATEGORY", "LEVEL", "SEVERITY", "KIND", "CHANNELS", "STATE")
        table([head, *(_row(rule) for rule in rules)])
        return DONE

    async def export(self, kernel: Kernel, options: argparse.Namespace) -> int:
        rules = [msgspec.to_builtins(rule) for rule in await self._in_force(kernel)]
        own = sorted({it["category"] for it in rules} - {*CATEGORIES})
        print(written({"version": 1, **({"categories": own} if own else {}), "rules": rules}), end="")
        return DONE

    async def add(self, kernel: Kernel, options: argparse.Namespace) -> int:
        text = sys.stdin.read() if options.rules == "-" else _read(Path(options.rules))
        new = parse(text, options.rules)
        if isinstance(new, Mapping) and "id" in new:
            new = {"rules": [new]}
        return await self._write(kernel, options, new)

    async def bring(self, kernel: Kernel, options: argparse.Namespace) -> int:
        layer, notes = imported(_read(Path(options.rules)), options.rules)
        for note in notes:
            print(note, file=sys.stderr)
        if not options.write:
            print(written(layer), end="")
            return DONE
        return await self._write(kernel, options, layer)

    async def remove(self, kernel: Kernel, options: argparse.Namespace) -> int:
        text, _ = await self._layer(kernel, shared=options.shared)
        raw = _raw(text)
        kept = [it for it in raw["rules"] if it.get("id") != options.id]
        known = any(options.id in layer.rules for layer in built_in())
        if len(kept) == len(raw["rules"]) and not known:
            return fail("safety rules remove", f"there is no rule {options.id!r}")
        if known:
            kept.append({"id": options.id, "enabled": False})
        return await self._put(kernel, {**raw, "rules": kept}, shared=options.shared)

    async def _in_force(self, kernel: Kernel) -> tuple[Rule, ...]:
        shared = None
        if RULES in kernel.hooks.providers:
            shared, wrong = await read_source(kernel.get(RULES))
            if wrong:
                raise RulesError(*wrong)
        return (await anyio.to_thread.run_sync(load_engine, self._file, shared)).rules.rules

    async def _write(self, kernel: Kernel, options: argparse.Namespace, new: Any) -> int:
        """Lay rules over those of the layer; one of the same id takes the other's place."""
        added = read_layer(written(new), options.rules)
        text, _ = await self._layer(kernel, shared=options.shared)
        raw = _raw(text)
        kept = [it for it in raw["rules"] if it.get("id") not in added.rules]
        raw["rules"] = [*kept, *(dict(it) for it in added.rules.values())]
        raw["parts"] = {**raw.get("parts", {}), **added.parts}
        raw["categories"] = [*dict.fromkeys((*(raw.get("categories") or ()), *added.categories))]
        return await self._put(kernel, raw, shared=options.shared)

    async def _layer(self, kernel: Kernel, *, shared: bool) -> tuple[RuleText, RuleSource | None]:
        if shared:
            source = _source(kernel)
            return (await source.read()) or RuleText("", "", "the shared rules"), source
        if self._file is None:
            hint = "set plugins.safety-rules.config.file, or say --shared where a source of rules runs"
            raise RulesError(Problem("safety rules", "no file of rules is configured", hint))
        return RuleText(_read(self._file) if self._file.exists() else "", "", str(self._file)), None

    async def _put(self, kernel: Kernel, raw: Mapping[str, Any], *, shared: bool) -> int:
        before, source = await self._layer(kernel, shared=shared)
        text = written({"version": 1, **{key: value for key, value in raw.items() if value}})
        below = self._file if shared else None
        whole = await anyio.to_thread.run_sync(load_engine, below, RuleText(text, "", before.where))
        if source is not None:
            try:
                await source.write(text, tag=before.tag)
            except RulesChanged:
                return fail("safety rules", "somebody else has changed them meanwhile: look, and try again")
        else:
            assert self._file is not None
            _replace(self._file, text)
        print(
            f"{before.where}: {len(raw['rules'])} rules; in force are {len(whole.rules.rules)} ({whole.rules.digest})"
        )
        return DONE


def add(subcommands: Subcommands, file: Path | None) -> None:
    """Add the commands."""
    commands = _Commands(file)

    def guarded(act: Any) -> Any:
        async def run(kernel: Kernel, options: argparse.Namespace) -> int:
            try:
                code: int = await act(kernel, options)
            except RulesError as error:
                _problems(error)
                return WANTING
            except RuleSourceError as error:
                return fail("safety", str(error))
            except (OSError, ValueError) as error:
                fail("safety", str(error))
                return USAGE
            return code

        return run

    subcommands.group("safety", help="check texts, and look after the rules")
    parser = subcommands.add(
        "safety check", guarded(commands.check), help="say what is found in a text, and why", requires=(RULES,),
        asks=(check_text,),
    )  # fmt: skip
    parser.add_argument("text", help="the text; - reads it from the standard input, so that it stands in no history")
    parser.add_argument("--channel", choices=_CHANNELS, default="player", help="whose text it is")
    parser.add_argument("--before", default="", help="what the player wrote, where the text is a story")
    parser.add_argument("--locale", default="", help="such as en-GB")
    parser.add_argument("--country", default="", help="such as IE")
    parser.add_argument("--json", action="store_true", help="print JSON")
    subcommands.group("safety rules", help="look at rules, and change them")
    parser = subcommands.add("safety rules check", guarded(commands.look), help="try a file of rules, and its examples")
    parser.add_argument("file", nargs="?", type=Path, help="the file; else the one that is configured")
    parser = subcommands.add(
        "safety rules list", guarded(commands.list), help="list the rules of this deployment", requires=(RULES,)
    )
    parser.add_argument("--category", default="", help="those of one category")
    parser.add_argument("--json", action="store_true", help="print JSON")
    subcommands.add(
        "safety rules export", guarded(commands.export), help="print all rules, with their parts written out",
        requires=(RULES,),
    )  # fmt: skip
    for name, act, text in (
        ("add", commands.add, "lay rules over those that are there"),
        ("import", commands.bring, "turn a file of the predecessor's rules into ours"),
    ):
        parser = subcommands.add(
            f"safety rules {name}", guarded(act), help=text, requires=(RULES,), mutates=True, target=""
        )
        parser.add_argument("rules", help="a file of rules" + ("; - is the standard input" if name == "add" else ""))
        parser.add_argument("--shared", action="store_true", help="where all processes find them, and not in the file")
        if name == "import":
            parser.add_argument("--write", action="store_true", help="put them in force; else they are printed")
    parser = subcommands.add(
        "safety rules remove", guarded(commands.remove), help="take a rule away, or switch a built-in one off",
        requires=(RULES,), mutates=True, target="id",
    )  # fmt: skip
    parser.add_argument("id", help="the rule, as `tta safety rules list` shows it, without its version")
    parser.add_argument("--shared", action="store_true", help="where all processes find them, and not in the file")


def _source(kernel: Kernel) -> RuleSource:
    try:
        return kernel.get(RULES)
    except KernelError:
        hint = "enable a plugin that has one, such as safety-redis"
        raise RulesError(Problem("safety rules", "no source of shared rules runs here", hint)) from None


def _read(path: Path) -> str:
    try:
        return read_text(path)
    except ValueError as error:
        raise RulesError(Problem(str(path), str(error))) from None


def _raw(text: RuleText) -> dict[str, Any]:
    """Return a layer as it is written, once it has proved to be one."""
    if not text.text.strip():
        return {"rules": []}  # Whoever adds to it, or takes away, sees that there is nothing.
    read_layer(text.text, text.where)
    raw = parse(text.text, text.where) or {}
    return {**raw, "rules": list(raw.get("rules") or [])}


def _replace(path: Path, text: str) -> None:
    """Write a file at once, so that whoever watches it sees the old one or the new one whole."""
    with tempfile.NamedTemporaryFile("w", dir=path.parent, suffix=".new", delete=False, encoding="utf-8") as new:
        new.write(text)
        new.flush()
        os.fsync(new.fileno())
    Path(new.name).chmod(path.stat().st_mode & 0o777 if path.exists() else 0o644)
    Path(new.name).replace(path)


def _problems(error: RulesError) -> None:
    for problem in error.problems:
        print(problem, file=sys.stderr)


def _row(rule: Rule) -> tuple[str, ...]:
    state = "off" if not rule.enabled else "shadow" if rule.shadow else "floor" if rule.floor else "on"
    return (
        rule.reference, rule.category, rule.level, str(rule.severity or "-"), rule.kind or "-",
        ",".join(rule.channels), state,
    )  # fmt: skip


def _tell(verdict: Verdict) -> None:
    print(f"{verdict.status}: {verdict.level or '-'}, risk {verdict.risk:.2f}")
    for label, said in (("kinds", verdict.kinds), ("flags", verdict.flags)):
        if said:
            print(f"{label}: {', '.join(said)}")
    if verdict.sentiment is not None:
        print(f"sentiment: {verdict.sentiment:+.2f}")
    if verdict.findings:
        head = ("RULE", "LEVEL", "CATEGORY", "SEVERITY", "SUBJECT", "POLARITY", "WHEN", "SPAN", "WHY")
        rows = [
            (
                it.rule, it.level, it.category, str(it.severity or "-"), it.subject, it.polarity, it.temporality,
                f"{it.span[0]}-{it.span[1]}" if it.span else "-", it.why or "-",
            )
            for it in verdict.findings
        ]  # fmt: skip
        table([head, *rows])
    if verdict.alternative:
        print(f"instead: {verdict.alternative}")
