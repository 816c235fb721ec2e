"""What becomes of a schedule at a certain time: a pure function, so that whoever asks again decides the same."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice, takewhile

import msgspec
from msgspec.structs import replace

from .model import Backfill, Ended, Entry, Firing, Overlap, Record, Schedule, Why
from .timing import Timing, due_text, jitter, timing_of

COUNTED = 1000
"""So many missed due times are counted; where there are more, it is that many."""
RUNS = 16
"""So many runs of a schedule are remembered as going on, at most: the newest."""
LOOK_AGAIN = 1.0
"""How often, in seconds, it is looked whether a run is over that a due time waits for."""


class Decision(msgspec.Struct, frozen=True):
    """What is to be stored before anything is done: ``entry.firing`` says what is to be fired.

    ``cancel`` are runs whose end is to be asked for before that.
    """

    entry: Entry
    records: tuple[Record, ...] = ()
    cancel: tuple[str, ...] = ()


def decide(entry: Entry, now: float, going: tuple[str, ...]) -> Decision | None:
    """Say what is to be done with a schedule that fires nothing in this moment; None where it is to be left as it is.

    ``going`` are those of its runs that aren't over.
    """
    known = entry
    entry = replace(entry, runs=going)
    if entry.asked:
        decision = _fire_what_is_asked(entry, now)
    elif entry.waiting is not None and not going:
        waited = replace(entry, waiting=None)
        decision = Decision(_firing(waited, entry.waiting, "waited"))
    elif (due := fires_next(entry)) is not None and due <= now:
        decision = _due(entry, now)
    elif entry.backfills:
        decision = Decision(_fill(entry))
    elif entry.wake is None or entry.wake > now:
        return None
    else:
        decision = Decision(entry)
    new = replace(decision.entry, wake=wake_of(decision.entry, now))
    return None if new == known else replace(decision, entry=new)


def fires_next(entry: Entry) -> float | None:
    """Return when the next due time is to be fired: it may be put off."""
    if entry.next is None or entry.paused or entry.ended:
        return None
    return entry.next + jitter(entry.name, entry.next, entry.schedule.jitter)


def wake_of(entry: Entry, now: float) -> float | None:
    """Return when somebody is to look at a schedule again."""
    if entry.firing is not None or entry.asked or entry.backfills:
        return now
    times = [] if (due := fires_next(entry)) is None else [due]
    if entry.waiting is not None:
        times.append(now + LOOK_AGAIN)
    return min(times, default=None)


def begun(name: str, schedule: Schedule, now: float, **more: object) -> Entry:
    """Return a schedule that begins: only what is due later counts."""
    entry = Entry(name=name, schedule=schedule, created_at=now, **more)  # type: ignore[arg-type]  # its own fields
    entry = _advanced(entry, now)
    return replace(entry, wake=wake_of(entry, now))


def changed(entry: Entry, schedule: Schedule, now: float) -> Entry:
    """Return a schedule that is another by now; where it is due at other times, only what is later counts."""
    new = replace(entry, schedule=schedule, ended="")
    before, after = timing_of(entry.schedule), timing_of(schedule)
    if before is not after or entry.ended or entry.next is None:
        new = going_on(new, now)
    new = _within_limit(new)
    return replace(new, wake=wake_of(new, now))


def going_on(entry: Entry, now: float) -> Entry:
    """Go on with what is due from now on; a clock that was set back brings no due time twice."""
    return _advanced(entry, max(now, entry.last or 0.0))


def key(name: str, due: float, *more: str) -> str:
    """Return the key of a run: whoever starts it again starts nothing."""
    return ":".join(("schedule", name, *more, due_text(due)))


def _fire_what_is_asked(entry: Entry, now: float) -> Decision:
    first, *rest = entry.asked
    firing = Firing(f"schedule:{entry.name}:now:{first.id}", first.at, "now", first.by)
    return Decision(replace(entry, asked=tuple(rest), firing=firing))


def _fill(entry: Entry) -> Entry:
    """Fire the next due time of the first backfill; the one after it may be the last."""
    first, *rest = entry.backfills
    following = timing_of(entry.schedule).after(first.next)
    if following is not None and following <= first.until:
        rest = [replace(first, next=following), *rest]
    firing = Firing(key(entry.name, first.next, "backfill", first.id), first.next, "backfill", first.by)
    return replace(entry, backfills=tuple(rest), firing=firing)


def _due(entry: Entry, now: float) -> Decision:
    """Fire the next due time, or leave it out: by ``catch_up``, and then by ``overlap``."""
    schedule, timing = entry.schedule, timing_of(entry.schedule)
    assert entry.next is not None
    records: tuple[Record, ...] = ()
    why: Why = "due"
    # However it was put off: so none is late that is fired before one that is not.
    late = now - schedule.grace - schedule.jitter
    if entry.next < late:
        why = "caught-up"
        last = timing.last(late)
        if last is None or last < entry.next:
            last = entry.next
        kept = _kept(schedule, timing, entry.next, last, now)
        if kept is None or kept > entry.next:
            count = _count(timing, entry.next, last, kept)
            before = last if kept is None else timing.last(kept - 0.001)
            records = (Record(at=now, what="missed", due=before or entry.next, count=count),)
            entry = _advanced(entry, last) if kept is None else replace(entry, next=kept)
            if kept is None:
                return Decision(entry, records)
    due = entry.next
    assert due is not None
    entry = _advanced(entry, due)
    decision = _by_overlap(entry, due, why, now)
    return replace(decision, records=(*records, *decision.records))


def _by_overlap(entry: Entry, due: float, why: Why, now: float) -> Decision:
    overlap: Overlap = entry.schedule.overlap
    if overlap == "allow" or not entry.runs:
        return Decision(_firing(entry, due, why))
    if overlap == "cancel":
        # The newest is the one that waits for their end.
        before, entry = entry.waiting, _within_limit(replace(entry, waiting=due))
        records = () if before is None else (Record(at=now, what="skipped", due=before),)
        return Decision(entry, records, cancel=entry.runs if before is None else ())
    if overlap == "buffer" and entry.waiting is None:
        return Decision(_within_limit(replace(entry, waiting=due)))
    return Decision(entry, (Record(at=now, what="skipped", due=due),))


def _kept(schedule: Schedule, timing: Timing, first: float, last: float, now: float) -> float | None:
    """Return the first of the late due times, from ``first`` to ``last``, that is to be fired."""
    if schedule.catch_up == "skip":
        return None
    if schedule.catch_up == "last":
        return last
    oldest = max(first, now - schedule.window)
    if last < oldest:
        return None
    kept = last
    for _ in range(schedule.most - 1):
        before = timing.last(kept - 0.001)
        if before is None or before < oldest:
            break
        kept = before
    return kept


def _count(timing: Timing, first: float, last: float, kept: float | None) -> int:
    missed: Iterable[float] = timing.since(first - 0.001)
    missed = takewhile(lambda due: due <= last if kept is None else due < kept, missed)
    return sum(1 for _ in islice(missed, COUNTED))


def _firing(entry: Entry, due: float, why: Why) -> Entry:
    entry = replace(entry, firing=Firing(key(entry.name, due), due, why), fired=entry.fired + 1, last=due)
    return _within_limit(entry)


def _advanced(entry: Entry, time: float) -> Entry:
    """Go on to the first due time after ``time``."""
    following = timing_of(entry.schedule).after(time)
    ended: Ended = "end" if following is None else ""
    return replace(entry, next=following, ended=entry.ended or ended)


def _within_limit(entry: Entry) -> Entry:
    """End a schedule that has fired as often as it may."""
    count = entry.fired + (entry.waiting is not None)
    if entry.schedule.limit and count >= entry.schedule.limit:
        return replace(entry, next=None, ended="limit")
    return entry


def backfill(entry: Entry, id: str, start: float, end: float, by: str, most: int) -> tuple[Backfill | None, int]:
    """Return the range of due times to be fired again, None where nothing is due in it, and how many they are.

    Counts at most one more than ``most``.
    """
    timing = timing_of(entry.schedule)
    due = list(islice(takewhile(lambda each: each <= end, timing.since(start - 0.001)), most + 1))
    return (Backfill(id, due[0], due[-1], by) if due else None), len(due)
