"""Which runs a command is about, and the journal that has them."""

from __future__ import annotations

import argparse
from collections.abc import Awaitable, Callable
from typing import get_args

from tta_kernel import Kernel
from tta_program import fail

from .journal import JOURNAL, Journal, JournalCorrupt, JournalError, JournalFull, RunQuery, RunStatus
from .plan import PlanError
from .runs import WorkflowsUnavailable

Act = Callable[[Journal, argparse.Namespace], Awaitable[int]]
FILTERS = ("workflow", "session", "owner")


async def with_journal(kernel: Kernel, options: argparse.Namespace, act: Act) -> int:
    """Do something with the runs of all processes; say why where that can't be done."""
    journal = kernel.get(JOURNAL)
    if not journal.durable:
        return fail("runs", "runs are remembered in memory, and this process has none: only the running one can look")
    try:
        return await act(journal, options)
    except (JournalError, WorkflowsUnavailable) as exc:
        return fail("runs", f"the journal can't be used: {exc}")
    except (JournalCorrupt, JournalFull, PlanError) as exc:
        return fail("runs", str(exc))


def add_filters(parser: argparse.ArgumentParser) -> None:
    """Let a command take runs by what they are."""
    for name in FILTERS:
        parser.add_argument(f"--{name}", default="", help="of this one")
    parser.add_argument("--status", choices=get_args(RunStatus), help="that stand so")
    parser.add_argument("--label", action="append", default=[], type=label, metavar="KEY=VALUE", help="of this label")


def has_filter(options: argparse.Namespace) -> bool:
    """Whether a command was told which runs it is about."""
    return bool(options.status or options.label or any(getattr(options, name) for name in FILTERS))


def query_of(options: argparse.Namespace, cursor: str = "", most: int = 200) -> RunQuery:
    """Return the query that a command was told."""
    return RunQuery(
        workflow=options.workflow, status=options.status, session=options.session, owner=options.owner,
        labels=dict(options.label), most=most, cursor=cursor,
    )  # fmt: skip


def label(text: str) -> tuple[str, str]:
    """Read a label."""
    key, equals, value = text.partition("=")
    if not (key and equals):
        raise argparse.ArgumentTypeError("a label reads KEY=VALUE")
    return key, value
