"""The command ``tta safety evaluate``."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path

import anyio
import anyio.to_thread
import msgspec

from tta_kernel import Kernel
from tta_program import DONE, WANTING, Subcommands, fail
from tta_safety import CATEGORIES
from tta_safety.layers import RulesError
from tta_safety_rules.embeddings.head import LIMIT
from tta_safety_rules.scores import DeepHead

from .measures import curve
from .picture import svg
from .reading import ReadError, Row, read_rows
from .report import markdown
from .results import results_of
from .running import Examiner, Scored, examine_rows
from .unhurried import UnhurriedHead

MakeExaminer = Callable[[DeepHead | None], Examiner]
"""Makes what examines texts as the plugin does, with the deep head that is given; raises RulesError on bad rules."""

REPORT, PICTURE = "report.md", "curves.svg"


def add(subcommands: Subcommands, examiner: MakeExaminer) -> None:
    """Add the command."""

    async def evaluate(kernel: Kernel, options: argparse.Namespace) -> int:
        return await _evaluate(examiner, options)

    parser = subcommands.add("safety evaluate", evaluate, help="measure the checks on labelled texts")
    parser.add_argument(
        "files", nargs="+", type=Path, metavar="FILE",
        help="CSV (with a first line of names) or one JSON object a line: text, label, and optionally category, group, "
        "context, conversation, turn, id",
    )  # fmt: skip
    parser.add_argument(
        "--channel",
        choices=("player", "story", "tool"),
        default="player",
        help="where the texts come from (%(default)s)",
    )
    parser.add_argument("--scores", type=Path, metavar="OUT", help="write a JSON object for each text")
    parser.add_argument("--report", type=Path, metavar="DIR", help=f"write {REPORT} and {PICTURE} there")
    parser.add_argument("--without-deep", action="store_true", help="leave the deep head out, also where it is built")


async def _evaluate(make: MakeExaminer, options: argparse.Namespace) -> int:
    try:
        rows = [row for path in options.files for row in await anyio.to_thread.run_sync(read_rows, path)]
    except ReadError as exc:
        return fail("safety", str(exc))
    deep = None if options.without_deep else await _deep()
    try:
        examiner = make(deep)
    except RulesError as exc:
        return fail("safety", str(exc))
    scored = await examine_rows(examiner, rows, options.channel)
    late = [seconds > LIMIT for seconds in deep.seconds] if deep else []
    results = results_of(rows, scored, late)
    title = "Evaluation of " + ", ".join(path.name for path in options.files)
    print(markdown(results, title), end="")
    if deep is None:
        print("\nWithout the deep head.")
    try:
        if options.scores:
            await anyio.to_thread.run_sync(_write_scores, options.scores, scored)
        if options.report:
            await anyio.to_thread.run_sync(
                _write_report, options.report, markdown(results, title, picture=PICTURE), rows, scored
            )
    except OSError as exc:
        return fail("safety", f"{exc.filename}: {exc.strerror}")
    unread = sum(it.level == "failed" for it in scored)
    return WANTING if unread else DONE


async def _deep() -> UnhurriedHead | None:
    try:
        return await anyio.to_thread.run_sync(UnhurriedHead)
    except (ImportError, OSError):
        return None


def _write_scores(path: Path, scored: Sequence[Scored]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        for it in scored:
            file.write(msgspec.json.encode(it) + b"\n")


def _write_report(folder: Path, text: str, rows: Sequence[Row], scored: Sequence[Scored]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / REPORT).write_text(text, encoding="utf-8")
    labelled = [(row, it) for row, it in zip(rows, scored, strict=True) if row.label is not None]
    harmless = [it for row, it in labelled if not row.label]
    curves = {}
    if harmless and len(harmless) < len(labelled):
        curves["all"] = curve([it.risk for row, it in labelled if row.label], [it.risk for it in harmless])
        for name in CATEGORIES:
            positive = [it.risks.get(name, 0.0) for row, it in labelled if row.label and row.category == name]
            if positive:
                curves[name] = curve(positive, [it.risks.get(name, 0.0) for it in harmless])
    (folder / PICTURE).write_text(svg(curves), encoding="utf-8")
