"""The commands ``tta schedules …``: they change what is stored, and whichever process fires schedules sees to it."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, get_args

import msgspec

from tta_kernel import Kernel, Service, suggest
from tta_program import DONE, Subcommands, fail, moment, print_json, table
from tta_program.arguments import duration, some_time, whole_number
from tta_workflows import DEFINITIONS

from .decide import fires_next
from .model import CatchUp, Entry, Overlap, Record, Schedule
from .schedules import SCHEDULES, ScheduleRefused, Schedules
from .store import ScheduleStoreError
from .timing import timing_of

_MOST = 100
_Act = Callable[[Schedules, argparse.Namespace], Awaitable[int]]
_SHOWN_NEXT = 5


def add(subcommands: Subcommands) -> None:
    """Add the commands."""
    subcommands.group("schedules", help="look at schedules, which start workflows, and change them")

    def command(
        name: str, act: _Act, text: str, *, schedule: bool = True, mutates: bool = False,
        requires: Sequence[Service[Any]] = (SCHEDULES,),
    ) -> argparse.ArgumentParser:  # fmt: skip
        async def run(kernel: Kernel, options: argparse.Namespace) -> int:
            if DEFINITIONS in requires and (unknown := _unknown_workflow(kernel, options.workflow)):
                return fail("schedules", unknown)
            return await _run(kernel, options, act)

        parser = subcommands.add(
            f"schedules {name}", run, help=text, requires=requires, mutates=mutates,
            target="schedule" if mutates else "",
        )  # fmt: skip
        parser.add_argument("--json", action="store_true", help="print JSON")
        if schedule:
            parser.add_argument("schedule", help="its name, as `tta schedules list` shows it")
        return parser

    def change(name: str, act: _Act, text: str) -> argparse.ArgumentParser:
        parser = command(name, act, text, mutates=True)
        parser.add_argument("--by", default="", help="who asks, for the schedule's history")
        return parser

    parser = command("list", _list, "list schedules, and when each is due next", schedule=False)
    parser.add_argument("--cursor", default="", help="go on after a page")
    parser.add_argument("--limit", type=whole_number, default=_MOST, metavar="N", help="at most (%(default)s)")
    parser = command("show", _show, "show a schedule, what it will do and what it has done, without its input")
    parser.add_argument("--limit", type=whole_number, default=20, metavar="N", help="records at most (%(default)s)")
    parser = command(
        "add", _add, "begin a schedule; who asks twice begins one", mutates=True, requires=(SCHEDULES, DEFINITIONS)
    )
    _add_arguments(parser)
    change("pause", _pause, "let a schedule fire nothing until it is resumed")
    change("resume", _resume, "let a schedule fire what is due from now on")
    parser = change("run", _run_now, "run a schedule's workflow once, now")
    parser.add_argument("--id", default="", help="the same id is the same run")
    parser = change("backfill", _backfill, "fire once more what was due in a range")
    parser.add_argument("--from", dest="start", type=_moment, required=True, metavar="TIME", help=_A_TIME)
    parser.add_argument("--until", dest="end", type=_moment, required=True, metavar="TIME", help="as --from; it counts")
    parser.add_argument("--id", default="", help="the same id is the same backfill")
    command("remove", _remove, "end a schedule that was added at run time", mutates=True)


_A_TIME = "a time with its zone, such as 2026-12-01T09:00:00+01:00"


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("workflow", help="the workflow that it starts")
    when = parser.add_mutually_exclusive_group(required=True)
    when.add_argument("--cron", default="", help="minute hour day month weekday, such as '0 9 * * mon-fri', or @daily")
    when.add_argument("--every", type=some_time, default=0.0, metavar="TIME", help="an interval, such as 15m")
    parser.add_argument("--zone", default="UTC", help="of the wall clock, such as Europe/Berlin (%(default)s)")
    parser.add_argument("--input", type=_object, default={}, metavar="JSON", help="the workflow's input, an object")
    parser.add_argument("--owner", default="", help="the person whose data that is")
    parser.add_argument("--session", default="", help="the session that its runs belong to")
    parser.add_argument("--label", action="append", default=[], type=_label, metavar="KEY=VALUE", help="of its runs")
    parser.add_argument("--from", dest="start", type=_moment, metavar="TIME", help=_A_TIME)
    parser.add_argument("--until", dest="end", type=_moment, metavar="TIME", help="as --from")
    parser.add_argument("--limit", type=whole_number, default=0, metavar="N", help="fire so often, and end")
    parser.add_argument("--jitter", type=duration, default=0.0, metavar="TIME", help="put each off by less than that")
    parser.add_argument("--overlap", choices=get_args(Overlap), default="skip", help="while the run before goes on")
    parser.add_argument("--catch-up", choices=get_args(CatchUp), default="last", help="of what is found too late")
    parser.add_argument("--grace", type=duration, default=60.0, metavar="TIME", help="later is too late (60s)")
    parser.add_argument("--window", type=duration, default=86400.0, metavar="TIME", help="with all: no older (1d)")
    parser.add_argument("--most", type=whole_number, default=10, metavar="N", help="with all: at most (%(default)s)")
    parser.add_argument("--replace", action="store_true", help="there may be another of that name")


def _unknown_workflow(kernel: Kernel, name: str) -> str:
    """Say that a schedule would start nothing, or nothing: nobody watches it fire for the first time."""
    known = kernel.get(DEFINITIONS)
    return "" if name in known else f"no workflow is called {name!a:.100}; {suggest(name, known)}"


async def _run(kernel: Kernel, options: argparse.Namespace, act: _Act) -> int:
    schedules = kernel.get(SCHEDULES)
    if not schedules.durable:
        return fail(
            "schedules", "schedules are kept in memory, and this process has none: only the running one can look"
        )
    try:
        return await act(schedules, options)
    except ScheduleRefused as exc:
        return fail("schedules", str(exc))
    except ScheduleStoreError as exc:
        return fail("schedules", f"the schedules can't be reached: {exc}")


async def _list(schedules: Schedules, options: argparse.Namespace) -> int:
    page = await schedules.page(options.cursor, options.limit)
    if options.json:
        print_json({"schedules": list(map(_told, page.entries)), "cursor": page.cursor})
        return DONE
    if not page.entries:
        print("there are no schedules", file=sys.stderr)
        return DONE
    rows = [("SCHEDULE", "WORKFLOW", "WHEN", "NEXT", "LAST", "FIRED", "STATUS", "FROM")]
    rows += [
        (
            each.name, each.schedule.workflow, _when(each.schedule), _moment_or_dash(fires_next(each)),
            _moment_or_dash(each.last), str(each.fired), _status(each), each.origin,
        )
        for each in page.entries
    ]  # fmt: skip
    table(rows)
    if page.cursor:
        fail("schedules", f"there are more: --cursor {page.cursor}")
    return DONE


async def _show(schedules: Schedules, options: argparse.Namespace) -> int:
    entry = await schedules.get(options.schedule)
    history = await schedules.history(options.schedule, options.limit)
    if entry is None and not history:
        return fail("schedules", f"no schedule is called {options.schedule!r}; `tta schedules list` shows them")
    if options.json:
        print_json({**(_told(entry) if entry else {"name": options.schedule}), "history": history})
        return DONE
    if entry is None:
        print("it was removed: no more than its history is kept", file=sys.stderr)
    else:
        told = {**_told(entry), "next": ", ".join(map(moment, _coming(entry))) or "-"}
        told["last"], told["created_at"] = _moment_or_dash(entry.last), moment(entry.created_at)
        table([(key, _cell(value)) for key, value in told.items()])
        print()
    if history:
        rows = [("AT", "WHAT", "DUE", "WHY", "RUN", "COUNT", "BY")]
        table(rows + [_row(each) for each in history])
    return DONE


def _row(record: Record) -> tuple[str, ...]:
    return (
        moment(record.at), record.what, moment(record.due) if record.due else "-", record.code or record.why or "-",
        record.run or "-", str(record.count), record.by or "-",
    )  # fmt: skip


async def _add(schedules: Schedules, options: argparse.Namespace) -> int:
    raw = {
        name: getattr(options, name)
        for name in Schedule.__struct_fields__
        if name != "labels" and getattr(options, name) is not None
    }
    try:
        schedule = msgspec.convert({**raw, "labels": dict(options.label)}, Schedule)
    except msgspec.ValidationError as exc:
        return fail("schedules", str(exc))
    entry = await schedules.add(options.schedule, schedule, replacing=options.replace)
    return _outcome(options, f"{entry.name} is due next at {_moment_or_dash(entry.next)}", next=entry.next)


async def _pause(schedules: Schedules, options: argparse.Namespace) -> int:
    entry = await schedules.pause(options.schedule, by=options.by)
    return _outcome(options, f"{entry.name} fires nothing until it is resumed")


async def _resume(schedules: Schedules, options: argparse.Namespace) -> int:
    entry = await schedules.resume(options.schedule, by=options.by)
    return _outcome(options, f"{entry.name} is due next at {_moment_or_dash(entry.next)}", next=entry.next)


async def _run_now(schedules: Schedules, options: argparse.Namespace) -> int:
    run = await schedules.run(options.schedule, by=options.by, id=options.id)
    return _outcome(options, f"whoever fires schedules begins the run {run}", run=run)


async def _backfill(schedules: Schedules, options: argparse.Namespace) -> int:
    count = await schedules.backfill(options.schedule, options.start, options.end, by=options.by, id=options.id)
    return _outcome(options, f"{count} due times are fired, one after the other", count=count)


async def _remove(schedules: Schedules, options: argparse.Namespace) -> int:
    await schedules.remove(options.schedule)
    return _outcome(options, f"{options.schedule} is removed; runs of it go on")


def _outcome(options: argparse.Namespace, text: str, **more: Any) -> int:
    if options.json:
        print_json({"status": "accepted", **more})
    else:
        table([(text,)])
    return DONE


def _told(entry: Entry) -> dict[str, Any]:
    """Return a schedule without what may be a person's text: of its input names and sizes."""
    schedule = entry.schedule
    return {
        "name": entry.name, "status": _status(entry), "workflow": schedule.workflow, "when": _when(schedule),
        "zone": schedule.zone, "next": entry.next, "last": entry.last, "fired": entry.fired, "from": entry.origin,
        "created_at": entry.created_at, "catch_up": schedule.catch_up, "overlap": schedule.overlap,
        "jitter": schedule.jitter, "limit": schedule.limit, "owner": schedule.owner, "session": schedule.session,
        "labels": schedule.labels, "input": _sizes(schedule.input), "runs": entry.runs,
        "waiting": len(entry.asked) + (entry.waiting is not None), "backfills": len(entry.backfills),
    }  # fmt: skip


def _coming(entry: Entry) -> Sequence[float]:
    if entry.next is None or entry.paused:
        return ()
    coming = [entry.next]
    while len(coming) < _SHOWN_NEXT and (following := timing_of(entry.schedule).after(coming[-1])) is not None:
        coming.append(following)
    return coming


def _status(entry: Entry) -> str:
    if entry.ended:
        return f"ended ({entry.ended})"
    return "paused" if entry.paused else "active"


def _when(schedule: Schedule) -> str:
    return schedule.cron or f"every {schedule.every:g} s"


def _moment_or_dash(at: float | None) -> str:
    return "-" if at is None else moment(at)


def _sizes(fields: Mapping[str, Any]) -> dict[str, int]:
    return {name: len(msgspec.msgpack.encode(value)) for name, value in fields.items()}


def _cell(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {each}" for key, each in value.items()) or "-"
    if isinstance(value, list | tuple):
        return ", ".join(map(_cell, value)) or "-"
    return f"{value:g}" if isinstance(value, float) else str(value) or "-"


def _moment(text: str) -> datetime:
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        found = None
    if found is None or found.tzinfo is None:
        raise argparse.ArgumentTypeError(_A_TIME)
    return found


def _label(text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not (key and equals):
        raise argparse.ArgumentTypeError("a label reads KEY=VALUE")
    return key, value


def _object(text: str) -> Mapping[str, Any]:
    try:
        return msgspec.json.decode(text, type=dict[str, Any])
    except (msgspec.DecodeError, UnicodeEncodeError):
        raise argparse.ArgumentTypeError('an input is a JSON object, such as {"text": "hello"}') from None
