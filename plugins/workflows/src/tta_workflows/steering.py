"""The commands ``tta runs cancel|pause|resume|retry|rollback``: one run, or all that fit, also if this process dies."""

from __future__ import annotations

import argparse
import logging
import secrets
import sys
import time
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any, cast

import anyio
import msgspec

from tta_agents import Agents
from tta_kernel import Kernel, Service, suggest
from tta_program import DONE, WANTING, Subcommands, fail, print_json, table
from tta_program.output import printable_lines

from .bulk import BULK, DEFINITION, Bulk, Page, chosen
from .clock import Alarms, SystemClock
from .engine import Engine, Settings
from .executor import Executor
from .holding import DEFINITION as HOLDING
from .holding import HELD, held
from .journal import JOURNAL, Journal, Journalled, RunQuery, RunStatus
from .operations import TAKES, Action, ask
from .plan import restore_plan
from .records import Done
from .runs import DEFINITIONS, RunHandle
from .selection import add_filters, has_filter, with_journal
from .state import State, view

log = logging.getLogger("tta.workflows")
_USAGE = 2
_SHOWN = 20
_LOOK = 5.0
"""How long to wait for news of a run, in seconds, before looking at it anyway."""
_TEXTS: Mapping[Action, str] = {
    "cancel": "ask for the end of a run, or of many, wherever they are worked on",
    "pause": "let nothing of a run, or of many, go on until it is resumed",
    "resume": "let go on what was paused or set aside",
    "retry": "let go on, where it was, what has failed or was cancelled",
    "rollback": "take back what a run, or many, have done, all of it or after a savepoint",
}


def add(subcommands: Subcommands) -> None:
    """Add the commands."""
    for action, text in _TEXTS.items():
        _add(subcommands, action, text)


def _add(subcommands: Subcommands, action: Action, text: str) -> None:
    async def act(journal: Journal, options: argparse.Namespace) -> int:
        if options.run:
            return await _ask_one(journal, action, options)
        if _is_about_new(options):
            return await _hold(journal, action, options)
        if not (has_filter(options) or options.all):
            fail("runs", f"name a run, or say which runs to {action}: --workflow, --status, … or --all")
            return _USAGE
        return await (_show(journal, action, options) if options.dry_run else _ask_many(journal, action, options))

    async def command(kernel: Kernel, options: argparse.Namespace) -> int:
        if options.run and (has_filter(options) or options.all or _is_about_new(options)):
            fail("runs", f"say which runs to {action}, or name one: not both")
            return _USAGE
        if action == "pause" and _is_about_new(options) and options.workflow:
            # A name that nobody has would hold nothing back, and whoever asked would count on it.
            defined = kernel.get(DEFINITIONS)
            if options.workflow not in defined:
                return fail("runs", f"no workflow is called {options.workflow!r}; {suggest(options.workflow, defined)}")
        return await with_journal(kernel, options, _take_back if action == "rollback" and options.run else act)

    requires: tuple[Service[Any], ...] = (JOURNAL, DEFINITIONS) if action == "pause" else (JOURNAL,)
    parser = subcommands.add(f"runs {action}", command, help=text, requires=requires, mutates=True, target="run")
    parser.add_argument("run", nargs="?", default="", help="its name, as `tta runs list` shows it")
    if action == "rollback":
        parser.add_argument("savepoint", nargs="?", default="", help="what came after this one (all of it)")
        parser.add_argument("--savepoint", dest="savepoint_of_all", default="", help="the same, for many runs")
    add_filters(parser)
    if action in ("pause", "resume"):
        what = "let none of the workflow begin any more" if action == "pause" else "let the workflow begin again"
        parser.add_argument("--new", action="store_true", help=f"{what}; its runs stay as they are")
    parser.add_argument("--all", action="store_true", help="all runs that there are")
    parser.add_argument("--dry-run", action="store_true", help="say which runs these are, and ask nothing")
    parser.add_argument("--by", default="", help="who asks, for the runs' history")
    parser.add_argument("--json", action="store_true", help="print JSON")


def _is_about_new(options: argparse.Namespace) -> bool:
    return bool(getattr(options, "new", False))


async def _ask_one(journal: Journal, action: Action, options: argparse.Namespace) -> int:
    if options.dry_run:
        summary = await journal.summary(options.run)
        wanted = summary is not None and summary.status in TAKES[action]
        print(f"would {action} {options.run}" if wanted else f"would not {action} {options.run}")
        return DONE
    said = await ask(journal, options.run, action, at=time.time(), id=uuid.uuid4().hex, by=options.by)
    if said.status == "unknown":
        return fail("runs", f"{said.detail}; `tta runs list` shows which there are")
    if said.status not in ("accepted", "twice"):
        over = "is over: " if said.status == "ended" and said.detail != "it is set-aside" else ""
        return fail("runs", f"run {options.run!r} {over}{said.detail.removeprefix('it is ')}")
    if options.json:
        print_json({"status": said.status})
    elif said.status == "accepted":
        print("accepted: whoever works on the run sees to it")
    else:
        print(printable_lines(f"nothing to be done: {said.detail or 'it was asked before'}"))
    return DONE


async def _take_back(journal: Journal, options: argparse.Namespace) -> int:
    """Ask for it, and wait until whoever runs workflows has done it: only there are the agents that it takes."""
    if options.dry_run:
        return await _ask_one(journal, "rollback", options)
    found = await journal.read(options.run)
    if found is None:
        what = f"there is no run {options.run!r}, or no more than its summary"
        return fail("runs", f"{what}; `tta runs list` shows which there are")
    packed = await journal.definition(found.head.definition)
    savepoints = restore_plan(packed).workflow.savepoints if packed is not None else ()
    if options.savepoint and options.savepoint not in savepoints:
        return fail("runs", f"no savepoint is called {options.savepoint!r}; {suggest(options.savepoint, savepoints)}")
    said = await ask(
        journal, options.run, "rollback", at=time.time(), id=uuid.uuid4().hex, by=options.by,
        savepoint=options.savepoint,
    )  # fmt: skip
    if said.status not in ("accepted", "twice"):
        return fail("runs", said.detail or said.status)
    print("accepted: waiting for whoever runs workflows; it is done also if this ends", file=sys.stderr)
    found = await _wait_for_end(journal, options.run)
    if found is None:
        return fail("runs", f"run {options.run!r} is gone: it was forgotten, or its time is over")
    run = view(found.head, None, State(found.records), time.time(), status=found.status)
    if options.json:
        print_json({"status": run.status, "stuck": run.stuck})
    else:
        print(printable_lines(f"{run.status}; could not be taken back: {', '.join(run.stuck) or 'nothing'}"))
    return WANTING if run.stuck else DONE


async def _wait_for_end(journal: Journal, run: str) -> Journalled | None:
    # Its records say that it goes on; its status may not, until somebody has claimed it.
    while (found := await journal.read(run)) is not None:
        if found.status == "set-aside" or State(found.records).over:
            break
        await journal.wait(run, found.length, _LOOK)
    return found


# Many runs.


def _bulk(action: Action, options: argparse.Namespace) -> Bulk:
    return Bulk(
        action, time.time(), options.by, getattr(options, "savepoint_of_all", ""), options.workflow, options.status,
        options.session, options.owner, dict(options.label),
    )  # fmt: skip


async def _show(journal: Journal, action: Action, options: argparse.Namespace) -> int:
    """Say which runs would be asked."""
    counts, first = Counter[tuple[str, str]](), list[str]()
    async for run in chosen(journal, _bulk(action, options)):
        counts[run.workflow, run.status] += 1
        if len(first) < _SHOWN:
            first.append(run.id)
    if options.json:
        told = [{"workflow": name, "status": status, "runs": n} for (name, status), n in sorted(counts.items())]
        print_json({"action": action, "runs": counts.total(), "by": told, "first": first})
        return DONE
    print(f"would {action} {counts.total()} runs")
    if counts:
        rows = [(name, status, str(n)) for (name, status), n in sorted(counts.items())]
        table([("WORKFLOW", "STATUS", "RUNS"), *rows])
        print(printable_lines(f"among them {', '.join(first)}"))
    return DONE


async def _ask_many(journal: Journal, action: Action, options: argparse.Namespace) -> int:
    """Begin a bulk action and see it through, or leave it to others: they finish it when this process ends."""
    bulk = _bulk(action, options)
    async with clerk(journal) as executor:
        await _finish_others(journal, executor)
        handle = await executor.start(
            BULK, msgspec.to_builtins(bulk), key=f"bulk-{action}-{secrets.token_hex(6)}", owner=bulk.owner
        )
        if not options.json:
            print(printable_lines(f"{handle.id}: asking; whoever runs workflows finishes it, should this end"))
            sys.stdout.flush()
        async with anyio.create_task_group() as tasks:
            if not options.json:
                tasks.start_soon(_tell_progress, journal, handle.id)
            run = await handle.result()
            tasks.cancel_scope.cancel()
    if run.status != "done":
        return fail("runs", f"{handle.id} is {run.status}: {run.detail or run.error}")
    page = msgspec.convert(run.output, Page)
    if options.json:
        print_json({"run": handle.id, "asked": page.asked, "passed": page.passed, "refused": page.refused})
    else:
        print(f"asked of {page.asked} runs; passed by {page.passed}, refused by {page.refused}")
    return WANTING if page.refused else DONE


async def _tell_progress(journal: Journal, run: str) -> None:
    seen = 0
    while True:
        found = await journal.read(run, seen)
        for record in found.records if found is not None else ():
            seen += 1
            if isinstance(record, Done) and "#" in record.step:
                page = msgspec.convert(record.output, Page)
                print(f"… {page.asked} asked, {page.passed} passed by, {page.refused} refused", file=sys.stderr)
        await journal.wait(run, seen, 5.0)


async def _finish_others(journal: Journal, executor: Executor) -> None:
    """Go on with the bulk actions that others have begun and nobody has: who asked for them wants them done."""
    for status in ("running", "waiting"):
        for run in (await journal.list(RunQuery(workflow=BULK, status=status))).runs:
            if await executor.adopt(run.id):
                found: RunHandle | None = await executor.find(run.id)
                assert found is not None
                print(printable_lines(f"{run.id}: finishing what another has begun"), file=sys.stderr)
                await found.result()


async def _hold(journal: Journal, action: Action, options: argparse.Namespace) -> int:
    """Hold a workflow back, or let it begin again; processes see it within a third of their lease."""
    name = options.workflow
    if not name:
        fail("runs", "say which workflow: --workflow NAME --new")
        return _USAGE
    run = (await held(journal)).get(name)
    if options.dry_run or (run is not None) == (action == "pause"):
        print(printable_lines(f"{name} is {'held back' if run is not None else 'not held back'}"))
        return DONE
    async with clerk(journal) as executor:
        if run is None:
            key = f"held-{name}-{secrets.token_hex(6)}"
            await executor.start(HELD, {}, key=key, labels={"workflow": name})
            await executor.pause(key, by=options.by)
            await _until(journal, key, "paused")
        else:
            await executor.cancel(run, by=options.by)
            await executor.adopt(run)
            await _until(journal, run, "cancelled")
    print(printable_lines(f"{name} {'is held back' if action == 'pause' else 'begins again'}"))
    return DONE


async def _until(journal: Journal, run: str, status: RunStatus) -> None:
    while (summary := await journal.summary(run)) is not None and summary.status != status:
        found = await journal.read(run)
        await journal.wait(run, found.length if found is not None else 0, 0.1)


@asynccontextmanager
async def clerk(journal: Journal, *, lease: float = 10.0) -> AsyncIterator[Executor]:
    """Run what runs bulk actions, and takes no other run over: there are no agents here."""
    clock = SystemClock()
    engine = Engine(
        agents=cast("Agents", _Nobody()), journal=journal, clock=clock, alarms=Alarms(clock), log=log,
        settings=Settings(lease=lease, claims=False),
    )  # fmt: skip
    executor = Executor(engine, {BULK: DEFINITION, HELD: HOLDING}, process=f"tta-runs-{secrets.token_hex(4)}")
    async with executor.running():
        yield executor


class _Nobody:
    """No agents: none is asked where only bulk actions run."""

    async def call(self, *_: Any, **__: Any) -> Any:
        raise AssertionError("a bulk action calls no agent")
