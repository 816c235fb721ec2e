"""The commands ``tta crises …`` and ``tta safety report``: a human sees to interventions, and looks at how it goes."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, get_args

import msgspec

from tta_audit import AUDIT
from tta_kernel import Kernel, Service
from tta_notify import NOTIFY
from tta_program import DONE, Subcommands, as_json, fail, moment, print_json, table
from tta_program.arguments import duration, whole_number, whole_number_to
from tta_sessions import SESSIONS

from .crises import StoredCrises
from .model import (
    CRISIS,
    LEVELS,
    STATUSES,
    CrisisError,
    CrisisQuery,
    Feedback,
    Intervention,
    Judgement,
    NoSuchIntervention,
    Resolution,
)  # fmt: skip
from .report import gather, rows

_Act = Callable[[StoredCrises, Kernel, argparse.Namespace], Awaitable[int]]


def add(subcommands: Subcommands) -> None:
    """Add the commands."""
    subcommands.group("crises", help="look at interventions in crises, and see to them")

    def command(
        name: str, act: _Act, text: str, *, one: bool = True, mutates: bool = False,
        requires: Sequence[Service[Any]] = (CRISIS,),
    ) -> argparse.ArgumentParser:  # fmt: skip
        async def run(kernel: Kernel, options: argparse.Namespace) -> int:
            return await _run(kernel, options, act)

        parser = subcommands.add(
            name, run, help=text, requires=requires, mutates=mutates, target="intervention" if mutates else ""
        )
        parser.add_argument("--json", action="store_true", help="print JSON")
        if one:
            parser.add_argument("intervention", help="its id, as `tta crises list` shows it")
        return parser

    def change(name: str, act: _Act, text: str, *requires: Service[Any]) -> argparse.ArgumentParser:
        parser = command(f"crises {name}", act, text, mutates=True, requires=(CRISIS, *requires))
        parser.add_argument("--by", required=True, help="your name: a human sees to it, and says who they are")
        return parser

    parser = command("crises list", _list, "list interventions, the newest first", one=False)
    parser.add_argument("--status", choices=STATUSES, default="", help="only those")
    parser.add_argument("--session", default="", help="only those of a session")
    parser.add_argument("--cursor", default="", help="go on after a page")
    parser.add_argument("--limit", type=whole_number_to(500), default=50, metavar="N", help="at most (%(default)s)")
    command("crises show", _show, "show an intervention; nothing that a person wrote")
    command(
        "crises packet", _packet,
        "show what is handed to whoever takes over: it may hold what a person wrote, redacted; it is audited",
        mutates=True,
    )  # fmt: skip
    change("acknowledge", _acknowledge, "say that you see to an intervention: others aren't told then", NOTIFY)
    parser = change("resolve", _resolve, "close an intervention, and let the story go on", NOTIFY, SESSIONS)
    parser.add_argument("--as", dest="resolution", choices=get_args(Resolution), required=True, help="how it ended")
    parser = change("feedback", _feedback, "say what you think of an intervention, for whoever makes the rules")
    parser.add_argument("judgement", choices=get_args(Judgement), help="what it was")
    parser.add_argument("--level", choices=LEVELS, default="", help="the level that it should have had")
    parser.add_argument("--reason", default="", help="why, up to 1,000 characters; without what identifies a person")
    parser = command(
        "crises export", _export, "print feedback for the evaluation: ids and labels, a line each", one=False
    )
    parser.add_argument("--limit", type=whole_number, default=100_000, metavar="N", help="at most (%(default)s)")
    parser = command(
        "safety report", _report, "show how crises and turns went of late: kinds, levels, days; how long people play",
        one=False, requires=(CRISIS, SESSIONS, AUDIT),
    )  # fmt: skip
    parser.add_argument("--since", type=duration, default=7 * 86400.0, metavar="TIME", help="how far back (7d)")


async def _run(kernel: Kernel, options: argparse.Namespace, act: _Act) -> int:
    crises = kernel.get(CRISIS)
    if not isinstance(crises, StoredCrises) or not crises.durable:
        return fail(
            "crises", "interventions are kept in memory, and this process has none: only the running one can look"
        )
    try:
        return await act(crises, kernel, options)
    except NoSuchIntervention:
        return fail("crises", f"there is no intervention {options.intervention!a:.100} (any more)")
    except CrisisError as exc:
        return fail("crises", f"the interventions can't be reached: {exc}")
    except ValueError as exc:
        return fail("crises", str(exc))


async def _list(crises: StoredCrises, kernel: Kernel, options: argparse.Namespace) -> int:
    page = await crises.page(
        CrisisQuery(status=options.status, session=options.session, cursor=options.cursor, most=options.limit)
    )
    if options.json:
        print_json(page)
        return DONE
    if not page.interventions:
        print("there are no interventions", file=sys.stderr)
        return DONE
    shown = [("INTERVENTION", "LEVEL", "KIND", "STATUS", "OPENED", "BY", "SESSION")]
    shown += [
        (each.id, each.level, each.kind, each.status, moment(each.opened_at), each.acknowledged_by or "-", each.session)
        for each in page.interventions
    ]
    table(shown)
    if page.cursor:
        fail("crises", f"there are more: --cursor {page.cursor}")
    return DONE


async def _show(crises: StoredCrises, kernel: Kernel, options: argparse.Namespace) -> int:
    found = await crises.get(options.intervention)
    if found is None:
        raise NoSuchIntervention(options.intervention)
    return _shown(found, options)


def _shown(found: Intervention, options: argparse.Namespace) -> int:
    if options.json:
        print_json(found)
        return DONE
    seen = found.assessment
    cues = [name for name in ("ideation", "means", "intent", "plan", "behaviour", "imminent") if getattr(seen, name)]
    lines = [
        ("intervention", found.id),
        ("kind, level", f"{found.kind}, {found.level}"),
        ("cues", ", ".join(cues) or "none that is known"),
        ("severity", f"{seen.severity} of 6, along the C-SSRS; a triage, no diagnosis"),
        ("earlier", f"{seen.earlier} in this session of late"),
        ("rules", ", ".join(seen.rules) or "-"),
        ("status", found.status + (f" by {found.acknowledged_by}" if found.acknowledged_by else "")),
        ("opened", moment(found.opened_at)),
        ("acknowledged", moment(found.acknowledged_at) if found.acknowledged_at else "-"),
        ("escalated", moment(found.escalated_at) if found.escalated_at else "-"),
        ("resolved", f"{moment(found.resolved_at)}, {found.resolution}" if found.resolved_at else "-"),
        ("followed up", moment(found.followed_up_at) if found.followed_up_at else "-"),
        ("session, turn", f"{found.session}, {found.turn}"),
        ("locale", " ".join(filter(None, (found.locale, found.country))) or "-"),
        ("protocol", f"{found.protocol}; tta runs show {found.run}"),
    ]
    table(lines)
    return DONE


async def _packet(crises: StoredCrises, kernel: Kernel, options: argparse.Namespace) -> int:
    packet = await crises.packet(options.intervention)
    if packet is None:
        raise NoSuchIntervention(options.intervention)
    print_json(packet)
    return DONE


async def _acknowledge(crises: StoredCrises, kernel: Kernel, options: argparse.Namespace) -> int:
    return _shown(await crises.acknowledge(options.intervention, by=options.by), options)


async def _resolve(crises: StoredCrises, kernel: Kernel, options: argparse.Namespace) -> int:
    found = await crises.resolve(options.intervention, by=options.by, resolution=options.resolution)
    return _shown(found, options)


async def _feedback(crises: StoredCrises, kernel: Kernel, options: argparse.Namespace) -> int:
    if (options.judgement == "override") != bool(options.level and options.reason):
        return fail("crises", "an override has --level and --reason, and nothing else has")
    given = {"intervention": options.intervention, "judgement": options.judgement, "by": options.by}
    feedback = msgspec.convert({**given, "level": options.level, "reason": options.reason}, Feedback)
    kept = await crises.judge(feedback)
    print_json(kept) if options.json else print(f"kept: {kept.kind}, {kept.assessed}, {kept.judgement}")
    return DONE


async def _export(crises: StoredCrises, kernel: Kernel, options: argparse.Namespace) -> int:
    cursor, left = "", options.limit
    while left > 0:
        page = await crises.judgements(cursor=cursor, most=min(left, 500))
        for each in page.feedback:
            label = {"id": each.intervention, "category": each.kind, "assessed": each.assessed}
            print(as_json({**label, "label": each.judgement, "level": each.level}, indent=0))
        left -= len(page.feedback)
        cursor = page.cursor
        if not cursor:
            break
    return DONE


async def _report(crises: StoredCrises, kernel: Kernel, options: argparse.Namespace) -> int:
    audit = kernel.get(AUDIT) if AUDIT in kernel.hooks.providers else None
    found = await gather(crises, crises.clock() - options.since, kernel.get(SESSIONS), audit)
    if options.json:
        print_json(found)
    else:
        table(rows(found))
    return DONE
