"""The commands ``tta audit …``: look at what was recorded, and whether anybody has changed it."""

from __future__ import annotations

import argparse
import re

import msgspec

from tta_access import asked
from tta_kernel import Kernel
from tta_program import DONE, WANTING, Subcommands, fail, moment, print_json, table
from tta_program.arguments import whole_number_to

from .memory import MemoryAudit
from .model import AUDIT, Audit, AuditError, Record, Verdict, position

_LIMIT = 600.0
"""Seconds that looking through all records may take."""


def add(subcommands: Subcommands) -> None:
    """Add the commands."""
    subcommands.group("audit", help="look at the record of who did what")
    parser = subcommands.add("audit list", _list, help="list records, the newest first", requires=(AUDIT,))
    parser.add_argument("--who", default="", help="of this principal")
    parser.add_argument("--what", default="", help="of this deed, such as command.runs.cancel, or command.*")
    parser.add_argument("--owner", default="", help="that concern this person, unless they were forgotten")
    parser.add_argument("--before", type=_cursor, default="", metavar="CURSOR", help="go on after a page")
    parser.add_argument("--limit", type=whole_number_to(10_000), default=100, metavar="N", help="at most (%(default)s)")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser = subcommands.add(
        "audit verify", _verify, help="say whether a record was changed, put in or taken out", requires=(AUDIT,)
    )
    parser.add_argument("--json", action="store_true", help="print JSON")


def _cursor(text: str) -> str:
    # What is none would be compared all the same, and show records of anywhere.
    if not re.fullmatch(r"|\d{13}\.\d{6}/[^/]+/\d{12}", text):
        raise argparse.ArgumentTypeError("expected a cursor, as the page before has said it")
    return text


def _audit(kernel: Kernel) -> Audit | None:
    audit = kernel.get(AUDIT)
    return None if isinstance(audit, MemoryAudit) else audit


def _in_memory() -> int:
    return fail("audit", "records are kept in memory, and this process has none: only the running one can look")


async def _list(kernel: Kernel, options: argparse.Namespace) -> int:
    if (audit := _audit(kernel)) is None:
        return _in_memory()
    try:
        found = await asked(
            AuditError, _LIMIT, list[Record], audit.read,
            limit=options.limit, before=options.before, who=options.who, what=options.what, owner=options.owner,
        )  # fmt: skip
    except AuditError as exc:
        return fail("audit", str(exc))
    more = position(found[-1]) if len(found) == options.limit else ""
    if options.json:
        print_json({"records": found, "next": more})
        return DONE
    if found:
        rows: list[tuple[str, ...]] = [("at", "who", "what", "target", "outcome", "code", "owner")]
        for record in found:
            rest = (record.who, record.what, record.target, record.outcome, record.code, record.owner)
            rows.append((moment(record.at), *(each or "-" for each in rest)))
        table(rows)
    else:
        print("nothing is recorded")
    if more:
        print(f"there may be more: --before {more}")
    return DONE


async def _verify(kernel: Kernel, options: argparse.Namespace) -> int:
    if (audit := _audit(kernel)) is None:
        return _in_memory()
    try:
        found = await asked(AuditError, _LIMIT, list[Verdict], audit.verify)
    except AuditError as exc:
        return fail("audit", str(exc))
    broken = [each for each in found if each.status == "broken"]
    if options.json:
        print_json([msgspec.to_builtins(each) for each in found])
        return WANTING if broken else DONE
    if found:
        rows = [("chain", "records", "status", "head")]
        for each in found:
            numbers = f"{each.first}-{each.last}" if each.last else "-"
            rows.append((each.chain, numbers, each.status, each.head or "-"))
        table(rows)
    else:
        print("nothing is recorded")
    for each in broken:
        fail("audit", f"{each.chain}: {each.why}")
    return WANTING if broken else DONE
