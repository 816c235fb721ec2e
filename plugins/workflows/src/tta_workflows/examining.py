"""The commands ``tta runs check|reconcile|export|diff``: what is wrong with runs, and what happened in them."""

from __future__ import annotations

import argparse
import sys
import time
import uuid
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import msgspec

from tta_kernel import Kernel
from tta_program import DONE, WANTING, Subcommands, fail, print_json, table
from tta_program.output import printable_lines

from .checks import Finding, check
from .diff import diff
from .export import as_test, write_private
from .hookspecs import reconcile_runs
from .journal import JOURNAL, Journal, JournalCorrupt, Journalled, RunSummary
from .operations import ask
from .plan import Plan, PlanError, restore_plan
from .records import Asked
from .selection import add_filters, query_of, with_journal
from .state import OVER


def add(subcommands: Subcommands) -> None:
    """Add the commands."""

    async def check_all(kernel: Kernel, options: argparse.Namespace) -> int:
        return await with_journal(kernel, options, _check)

    parser = subcommands.add(
        "runs check", check_all, help="say what is wrong with runs, and mend it", requires=(JOURNAL,), mutates=True
    )
    parser.add_argument("run", nargs="*", help="its name (all that are not over)")
    _add_repair(parser)

    async def reconcile(kernel: Kernel, options: argparse.Namespace) -> int:
        async def act(journal: Journal, options: argparse.Namespace) -> int:
            return await _reconcile(kernel, journal, options)

        return await with_journal(kernel, options, act)

    parser = subcommands.add(
        "runs reconcile", reconcile, help="hold runs against what they were begun for; starts what runs workflows",
        requires=(JOURNAL,), asks=(reconcile_runs,), mutates=True,
    )  # fmt: skip
    _add_repair(parser)

    async def export(kernel: Kernel, options: argparse.Namespace) -> int:
        return await with_journal(kernel, options, _export)

    parser = subcommands.add(
        "runs export", export, help="write a run as a test that replays it", requires=(JOURNAL,),
        mutates=True, target="run",  # It changes nothing, and who took what persons have said is to be known.
    )  # fmt: skip
    parser.add_argument("run", help="its name")
    parser.add_argument(
        "--with-text", action="store_true", help="also what persons have said in it; else it is refused"
    )
    parser.add_argument("--to", type=Path, help="the file (test_run_….py, here)")

    async def compare(kernel: Kernel, options: argparse.Namespace) -> int:
        return await with_journal(kernel, options, _diff)

    parser = subcommands.add("runs diff", compare, help="compare two runs, step by step", requires=(JOURNAL,))
    parser.add_argument("runs", nargs=2, metavar="RUN", help="its name")
    parser.add_argument("--json", action="store_true", help="print JSON")


def _add_repair(parser: argparse.ArgumentParser) -> None:
    add_filters(parser)
    parser.add_argument("--repair", action="store_true", help="mend what was found")
    parser.add_argument("--by", default="", help="who asks, for the runs' history")
    parser.add_argument("--json", action="store_true", help="print JSON")


# Consistency.


async def _check(journal: Journal, options: argparse.Namespace) -> int:
    for run in options.run:
        if await journal.summary(run) is None:
            return fail("runs", f"there is no run {run!r}; `tta runs list` shows which there are")
    found: list[Finding] = []
    async for id in _runs(journal, options):
        found += await examine(journal, id, time.time())
    return await _tell(journal, options, found)


async def examine(journal: Journal, run: str, now: float) -> Sequence[Finding]:
    """Say what is wrong with one run, as the journal has it."""
    try:
        found = await journal.read(run)
    except JournalCorrupt as exc:
        summary = await journal.summary(run)
        if summary is None or summary.status == "set-aside":
            return ()
        return (Finding(run, "corrupt", str(exc), "set-aside"),)
    return check(await _plan(journal, found), found, now) if found is not None else ()


async def _plan(journal: Journal, found: Journalled) -> Plan | None:
    packed = await journal.definition(found.head.definition)
    try:
        return restore_plan(packed) if packed is not None else None
    except PlanError:
        return None


async def _runs(journal: Journal, options: argparse.Namespace) -> AsyncIterator[str]:
    if options.run:
        for run in options.run:
            yield run
        return
    async for summary in _listed(journal, options):
        if summary.status not in OVER or summary.status == "stuck" or options.status:
            yield summary.id


async def _listed(journal: Journal, options: argparse.Namespace) -> AsyncIterator[RunSummary]:
    cursor, more = "", True
    while more:
        page = await journal.list(query_of(options, cursor))
        for run in page.runs:
            yield run
        cursor, more = page.cursor, bool(page.cursor)


async def _tell(journal: Journal, options: argparse.Namespace, found: Sequence[Finding]) -> int:
    done = [await repair(journal, each, options.by) for each in found] if options.repair else ["" for _ in found]
    if options.json:
        print_json([{**msgspec.to_builtins(each), "repair": said} for each, said in zip(found, done, strict=True)])
    elif not found:
        print("nothing is wrong")
    else:
        rows = [(each.run, each.code, each.detail, said or each.fix) for each, said in zip(found, done, strict=True)]
        table([("RUN", "CODE", "WHAT", "REPAIR" if options.repair else "FIX"), *rows])
    mended = options.repair and all(said.startswith("done") for said in done)
    return DONE if not found or mended else WANTING


async def repair(journal: Journal, finding: Finding, by: str) -> str:
    """Do what mends a finding; return ``done``, or why not."""
    run, now = finding.run, time.time()
    if finding.fix == "set-aside":
        return await _set_aside(journal, run, finding.detail)
    if finding.fix == "reopen":
        asked = Asked(at=now, what="resume", id=uuid.uuid4().hex, by=by)
        said: str = await journal.reopen(run, asked, id=asked.id)
        return "done: whoever runs workflows goes on with it" if said == "added" else f"not done: {said}"
    outcome = await ask(journal, run, finding.fix, at=now, id=uuid.uuid4().hex, by=by)
    if outcome.status in ("accepted", "twice"):
        return f"done: {finding.fix} is asked for"
    return f"not done: {outcome.detail or outcome.status}"


async def _set_aside(journal: Journal, run: str, why: str) -> str:
    lease = await journal.join("tta-runs-check", 10.0)
    try:
        if not await journal.take(lease, run):
            return "not done: another process holds it, and will set it aside itself"
        await journal.set_aside(lease, run, why)
    finally:
        await journal.leave(lease)
    return "done: it is set aside"


async def _reconcile(kernel: Kernel, journal: Journal, options: argparse.Namespace) -> int:
    found: list[Finding] = []
    failed = False
    runs = [summary async for summary in _listed(journal, options) if summary.status not in OVER]
    for start in range(0, len(runs), 200):
        for plugin, answer in (await kernel.ask(reconcile_runs, runs[start : start + 200])).items():
            if isinstance(answer, Exception):
                failed = True
                fail("runs", f"{plugin}: {answer}")
            else:
                found += answer
    return max(await _tell(journal, options, found), WANTING if failed else DONE)


# One run, and two.


async def _export(journal: Journal, options: argparse.Namespace) -> int:
    if not options.with_text:
        return fail("runs", "the file would hold what persons have said in the run; say --with-text if it may")
    found = await journal.read(options.run)
    if found is None:
        return fail("runs", f"there is no run {options.run!r}, or no more than its summary")
    packed = await journal.definition(found.head.definition)
    if packed is None:
        return fail("runs", f"nobody has the definition of run {options.run!r}")
    name = "".join(char if char.isalnum() and char.isascii() else "_" for char in options.run)
    path = options.to or Path(f"test_run_{name}.py")
    try:
        write_private(path, as_test(found, packed))
    except OSError as exc:
        return fail("runs", f"{path}: {exc.strerror}")
    print(printable_lines(f"{path}: run it with pytest; it holds what persons have said, so delete it when done"))
    return DONE


async def _diff(journal: Journal, options: argparse.Namespace) -> int:
    found: list[Journalled] = []
    for run in options.runs:
        read = await journal.read(run)
        if read is None:
            return fail("runs", f"there is no run {run!r}, or no more than its summary")
        found.append(read)
    rows = diff(*found)
    if options.json:
        print_json(rows)
        return DONE
    table([("STEP", "STATUS", "ATTEMPT", "ERROR", "SECONDS", "FIELDS, IN BYTES")] + [
        (
            each.step, _pair(*each.statuses), _pair(*map(str, each.attempts)), _pair(*each.codes),
            f"{each.seconds[0]:.3g} → {each.seconds[1]:.3g}",
            ", ".join(f"{name} {_size(a)} → {_size(b)}" for name, (a, b) in each.sizes.items()) or "alike",
        )
        for each in rows
    ])  # fmt: skip
    print(f"{sum(not each.same for each in rows)} of {len(rows)} steps differ", file=sys.stderr)
    return DONE


def _pair(one: str, other: str) -> str:
    return one or "-" if one == other else f"{one or '-'} → {other or '-'}"


def _size(size: int) -> str:
    return "none" if size < 0 else str(size)
