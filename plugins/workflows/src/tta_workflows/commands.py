"""The commands ``tta workflows …`` look at definitions, and ``tta runs …`` at runs, on which some of them act."""

from __future__ import annotations

import argparse
import shlex
import sys
import time
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from tta_agents.hookspecs import declared
from tta_kernel import ConfigError, Kernel, Problem, suggest
from tta_messages.types import declared as declared_types
from tta_program import DONE, WANTING, Subcommands, fail, moment, print_json, table
from tta_program.arguments import whole_number
from tta_program.output import printable_lines

from . import examining, graph, steering
from .check import problems
from .choices import problems as choice_problems
from .definition import Workflow
from .journal import (
    JOURNAL,
    Journal,
    Journalled,
    RunSummary,
)  # fmt: skip
from .library import Definitions, read_file
from .plan import Plan, PlanError, restore_plan
from .records import Signal
from .runs import DEFINITIONS
from .selection import Act, add_filters, query_of, with_journal
from .shown import sizes, without_text
from .state import State, view
from .validation import misfits

_MOST = 100


def add(subcommands: Subcommands) -> None:
    """Add the commands."""
    subcommands.group("workflows", help="look at definitions of workflows, installed or in a file")

    def look(name: str, run: Any, text: str, **argument: Any) -> argparse.ArgumentParser:
        parser = subcommands.add(f"workflows {name}", run, help=text, requires=(DEFINITIONS,))
        parser.add_argument("--json", action="store_true", help="print JSON")
        if argument:
            parser.add_argument("workflow", **argument)
        return parser

    either = {"metavar": "NAME|FILE", "help": "its name, or a file that ends in .yaml"}
    look("list", _list, "list all definitions, and where each stands")
    look("show", _show, "show a definition", **either)
    parser = look("graph", _graph, "draw a definition", **either)
    parser.add_argument("--mermaid", action="store_true", help="for Mermaid, which browsers draw")
    look("check", _check, "say what is wrong with definitions, all at once", nargs="*", **either)

    subcommands.group("runs", help="look at runs of workflows, and cancel, answer or take them back")

    def ask(
        name: str, act: Act, text: str, *, run: bool = True, mutates: bool = False
    ) -> argparse.ArgumentParser:  # fmt: skip
        async def command(kernel: Kernel, options: argparse.Namespace) -> int:
            return await with_journal(kernel, options, act)

        parser = subcommands.add(
            f"runs {name}", command, help=text, requires=(JOURNAL,), mutates=mutates, target="run" if mutates else ""
        )  # fmt: skip
        parser.add_argument("--json", action="store_true", help="print JSON")
        if run:
            parser.add_argument("run", help="its name, as `tta runs list` shows it")
        return parser

    parser = ask("list", _runs, "list runs, the newest first", run=False)
    add_filters(parser)
    parser.add_argument("--cursor", default="", help="go on after a page")
    parser.add_argument("--limit", type=whole_number, default=_MOST, metavar="N", help="at most (%(default)s)")
    ask("show", _run, "show a run and what happened in it, without what was said")
    parser = ask("signal", _signal, "answer what a step of a run waits for", mutates=True)
    parser.add_argument("step", help="its path, as `tta runs show` has it")
    parser.add_argument("data", type=_data, help="the answer, as a JSON object")
    parser.add_argument("--by", default="", help="who answers, for the run's history")
    steering.add(subcommands)
    examining.add(subcommands)


# Definitions.


def _found(kernel: Kernel) -> Definitions:
    found = kernel.get(DEFINITIONS)
    assert isinstance(found, Definitions)
    return found


def _pick(kernel: Kernel, name: str) -> tuple[str, Workflow] | int:
    """Return a definition by its name, or from a file; or the exit code, once it is said why there is none."""
    if name.endswith(".yaml"):
        try:
            return Path(name).stem, read_file(Path(name))
        except ConfigError as exc:
            _tell(exc.problems)
            return WANTING
    found = _found(kernel)
    if name not in found:
        return fail("workflows", f"no workflow is called {name!r}; {suggest(name, found)}")
    return name, found[name]


async def _list(kernel: Kernel, options: argparse.Namespace) -> int:
    found = _found(kernel)
    rows: list[dict[str, Any]] = [
        {
            "name": name,
            "steps": len(workflow.steps),
            "timeout": workflow.timeout,
            "from": found.origins[name].rstrip(": ."),
            "description": workflow.description,
        }
        for name, workflow in sorted(found.items())
    ]
    if options.json:
        print_json(rows)
    elif rows:
        table([("NAME", "STEPS", "TIMEOUT", "FROM", "DESCRIPTION")] + [
            (each["name"], str(each["steps"]), f"{each['timeout']:g} s", each["from"], each["description"])
            for each in rows
        ])  # fmt: skip
    else:
        print("there are no workflows", file=sys.stderr)
    return DONE


async def _show(kernel: Kernel, options: argparse.Namespace) -> int:
    picked = _pick(kernel, options.workflow)
    if isinstance(picked, int):
        return picked
    _, workflow = picked
    said = _said(workflow)
    if options.json:
        print_json(said)
    else:
        print(printable_lines(msgspec.yaml.encode(said).decode().rstrip()))
    return DONE


def _said(value: Any) -> Any:
    """Return what a Struct says beyond its defaults, as a file would."""
    if isinstance(value, msgspec.Struct):
        said = {}
        for field in msgspec.structs.fields(value):
            own = getattr(value, field.name)
            if field.name == "version" or (own != field.default and own is not msgspec.UNSET):
                said[field.encode_name] = _said(own)
        return said
    if isinstance(value, tuple):
        return [_said(each) for each in value]
    return value


async def _graph(kernel: Kernel, options: argparse.Namespace) -> int:
    picked = _pick(kernel, options.workflow)
    if isinstance(picked, int):
        return picked
    name, workflow = picked
    if options.json:
        print_json({"name": name, "mermaid": graph.mermaid(workflow)})
    else:
        print(graph.mermaid(workflow) if options.mermaid else graph.text(name, workflow))
    return DONE


async def _check(kernel: Kernel, options: argparse.Namespace) -> int:
    definitions, wrong, names = Definitions(), list[Problem](), list[str]()
    definitions.become(_found(kernel))
    for name in options.workflow:
        if not name.endswith(".yaml"):
            if name not in definitions:
                return fail("workflows", f"no workflow is called {name!r}; {suggest(name, definitions)}")
            names.append(name)
            continue
        path = Path(name)
        try:
            definitions.define(path.stem, read_file(path), f"{path}: ")
            names.append(path.stem)
        except ConfigError as exc:
            wrong += exc.problems
    agents, (types, _) = declared(kernel.hooks), declared_types(kernel.hooks)
    chosen = names if options.workflow else list(definitions)
    wrong += problems(
        definitions, agents, trouble=kernel.hooks.trouble, origins=definitions.origins, types=types, only=chosen
    )  # fmt: skip
    wrong += choice_problems(definitions, kernel.hooks, only=chosen)
    if options.json:
        print_json({"workflows": chosen, "problems": wrong})
    else:
        _tell(wrong)
    if not (wrong or options.json):
        print(f"nothing is wrong with {', '.join(chosen) or 'any workflow: there are none'}")
    return DONE if all(each.note for each in wrong) else WANTING


def _tell(wrong: Sequence[Problem]) -> None:
    for each in wrong:
        print(printable_lines(str(each)))


# Runs.


async def _runs(journal: Journal, options: argparse.Namespace) -> int:
    try:
        page = await journal.list(query_of(options, options.cursor, options.limit))
    except ValueError:
        return fail("runs", f"{options.cursor!r} is no cursor: take it, quoted, from the page before, or leave it out")
    if options.json:
        print_json(page)
        return DONE
    if not page.runs:
        print("there are no such runs", file=sys.stderr)
        return DONE
    rows = [("RUN", "WORKFLOW", "STATUS", "BEGAN", "ENDED", "CODE", "SESSION", "OWNER", "LABELS")]
    rows += [
        (
            run.id, run.workflow, run.status, moment(run.created_at), moment(run.ended_at) if run.ended_at else "-",
            run.code or "-", run.session or "-", run.owner or "-", _labels(run.labels),
        )
        for run in page.runs
    ]  # fmt: skip
    table(rows)
    if page.cursor:
        fail("runs", f"there are more: --cursor {shlex.quote(page.cursor)}")
    return DONE


async def _run(journal: Journal, options: argparse.Namespace) -> int:
    found = await journal.read(options.run)
    if found is None:
        summary = await journal.summary(options.run)
        return _unknown(options.run) if summary is None else _only_summary(summary, json=options.json)
    plan = await _plan(journal, found)
    run = view(found.head, plan, State(found.records), time.time(), status=found.status)
    told = {key: value for key, value in msgspec.to_builtins(run).items() if key != "output"}
    told["input"] = sizes(found.head.input)
    history = [without_text(number, record) for number, record in enumerate(found.records, 1)]
    if options.json:
        print_json({**told, "history": history})
        return DONE
    steps = told.pop("steps")
    table([(key, _cell(value)) for key, value in {**told, "started_at": moment(run.started_at)}.items()])
    print()
    table([("STEP", "AGENT", "STATUS", "ATTEMPT", "ERROR")] + [
        (each["id"], each["agent"] or "-", each["status"], str(each["attempt"]), each["error"] or "-") for each in steps
    ])  # fmt: skip
    print()
    table([("NO", "AT", "WHAT", "STEP", "MORE")] + [
        (str(each.pop("no")), moment(each.pop("at")), each.pop("kind"), each.pop("step", "") or "-", _more(each))
        for each in history
    ])  # fmt: skip
    return DONE


def _more(record: Mapping[str, Any]) -> str:
    """Return what else a record says, its times as people read them; 0 is none."""
    told = {**record}
    for key in ("again", "due"):
        at = told.pop(key, 0.0)
        if at:
            told[key] = moment(at)
    return _cell(told)


async def _plan(journal: Journal, found: Journalled) -> Plan | None:
    """Return what a run runs, as the journal has kept it."""
    packed = await journal.definition(found.head.definition)
    try:
        return restore_plan(packed) if packed is not None else None
    except PlanError:
        return None


def _only_summary(summary: RunSummary, *, json: bool) -> int:
    if json:
        print_json(summary)
    else:
        told = msgspec.to_builtins(summary)
        for key in ("created_at", "ended_at"):
            told[key] = moment(told[key]) if told[key] else "-"
        table([(key, _cell(value)) for key, value in told.items()])
        print("its history has ended: no more than this is kept", file=sys.stderr)
    return DONE


async def _signal(journal: Journal, options: argparse.Namespace) -> int:
    found = await journal.read(options.run)
    if found is None:
        return _unknown(options.run)
    plan = await _plan(journal, found)
    planned = plan.find(options.step) if plan else None
    if planned is None or not planned.step.signal:
        waiting = [path for path, step in State(found.records).steps.items() if step.status == "waiting"]
        return fail("runs", f"no step {options.step!r} of it waits for an answer; {suggest(options.step, waiting)}")
    if planned.step.response is not None and (wrong := misfits(planned.step.response, options.data)):
        return fail("runs", f"that is no answer to {options.step!r}: {'; '.join(wrong)}")
    if State(found.records).step(options.step).answer is not None:
        return fail("runs", f"step {options.step!r} has been answered")
    record = Signal(at=time.time(), step=options.step, data=options.data, id=uuid.uuid4().hex, by=options.by)
    return _outcome(options, await journal.append(options.run, record, id=f"{options.step}:{record.id}"))


def _outcome(options: argparse.Namespace, appended: str) -> int:
    if appended == "unknown":
        return _unknown(options.run)
    if appended == "ended":
        return fail("runs", f"run {options.run!r} is over")
    if options.json:
        print_json({"status": "accepted"})
    else:
        print("accepted: whoever works on the run sees to it")
    return DONE


def _unknown(run: str) -> int:
    return fail("runs", f"there is no run {run!r}, or no more than its summary; `tta runs list` shows which there are")


def _labels(labels: Mapping[str, str]) -> str:
    return ", ".join(f"{key}={value}" for key, value in sorted(labels.items())) or "-"


def _cell(value: Any) -> str:
    if isinstance(value, str):
        return value or "-"
    if isinstance(value, Mapping):
        parts = ((key, f"({_cell(each)})" if isinstance(each, Mapping) else _cell(each)) for key, each in value.items())
        return ", ".join(" ".join(each) for each in parts) or "-"
    if isinstance(value, list | tuple):
        return ", ".join(map(_cell, value)) or "-"
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _data(text: str) -> Mapping[str, Any]:
    try:
        return msgspec.json.decode(text, type=dict[str, Any])
    except (msgspec.DecodeError, UnicodeEncodeError):
        raise argparse.ArgumentTypeError('an answer is a JSON object, such as {"yes": true}') from None
