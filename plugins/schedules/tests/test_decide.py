"""What becomes of a schedule at a certain time: catching up, runs that go on, limits, and what people ask for."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from msgspec.structs import replace

from tta_schedules import Asked, Entry, Firing, Schedule
from tta_schedules.decide import backfill, begun, changed, decide, key
from tta_schedules.timing import jitter

NOON = datetime(2026, 6, 1, 12, tzinfo=UTC).timestamp()
HOUR = 3600.0


def schedule(**more: Any) -> Schedule:
    return Schedule("greet", **{"every": HOUR, **more})


def walk(entry: Entry, now: float, going: tuple[str, ...] = ()) -> tuple[list[Firing], list[tuple[str, int]], Entry]:
    """Do what is decided until nothing is left; return what was fired, what was left out, and how it stands then."""
    fired: list[Firing] = []
    left: list[tuple[str, int]] = []
    for _ in range(1000):
        decision = decide(entry, now, going)
        if decision is None:
            return fired, left, entry
        left += [(record.what, record.count) for record in decision.records]
        entry = decision.entry
        if entry.firing is not None:
            fired.append(entry.firing)
            entry = replace(entry, firing=None)
    raise AssertionError("it never ends")


def hours(fired: list[Firing]) -> list[float]:
    return [(each.due - NOON) / HOUR for each in fired]


def test_what_is_due_is_fired_once_and_not_before() -> None:
    entry = begun("a", schedule(), NOON)
    assert (entry.next, entry.wake) == (NOON + HOUR, NOON + HOUR)
    assert decide(entry, NOON + HOUR - 0.1, ()) is None
    fired, left, entry = walk(entry, NOON + HOUR)
    assert fired == [Firing("schedule:a:2026-06-01T13:00:00Z", NOON + HOUR)]
    assert (left, entry.next, entry.fired, entry.last) == ([], NOON + 2 * HOUR, 1, NOON + HOUR)


@pytest.mark.parametrize(
    ("fields", "fired", "left"),
    [
        ({"catch_up": "skip"}, [10.0], [("missed", 9)]),
        ({"catch_up": "last"}, [9.0, 10.0], [("missed", 8)]),
        ({"catch_up": "all"}, [*map(float, range(1, 11))], []),
        ({"catch_up": "all", "most": 3}, [7.0, 8.0, 9.0, 10.0], [("missed", 6)]),
        ({"catch_up": "all", "window": 4.5 * HOUR}, [6.0, 7.0, 8.0, 9.0, 10.0], [("missed", 5)]),
        ({"catch_up": "all", "window": 1.0}, [10.0], [("missed", 9)]),
        ({"catch_up": "skip", "grace": 20 * HOUR}, [*map(float, range(1, 11))], []),
        ({"catch_up": "all", "limit": 4}, [1.0, 2.0, 3.0, 4.0], []),
    ],
)
def test_what_is_found_too_late_is_left_out_or_caught_up_with(
    fields: dict[str, Any], fired: list[float], left: list[tuple[str, int]]
) -> None:
    entry = begun("a", schedule(overlap="allow", **fields), NOON)
    found, out, entry = walk(entry, NOON + 10 * HOUR + 30)
    assert (hours(found), out) == (fired, left)
    late = [each.why for each in found if each.due < NOON + 10 * HOUR]
    assert set(late) <= {"due" if "grace" in fields else "caught-up"}
    assert entry.next == (None if "limit" in fields else NOON + 11 * HOUR)


def test_many_missed_are_counted_up_to_a_thousand() -> None:
    entry = begun("a", schedule(every=1.0, catch_up="skip"), NOON)
    _, left, _ = walk(entry, NOON + HOUR + 59)
    assert left[0] == ("missed", 1000)


def test_a_clock_that_is_set_back_fires_nothing_twice_and_one_set_on_misses_what_it_jumps_over() -> None:
    entry = begun("a", schedule(every=600.0, overlap="allow", catch_up="skip"), NOON)
    first, _, entry = walk(entry, NOON + HOUR)
    again, _, entry = walk(entry, NOON)
    later, _, entry = walk(entry, NOON + HOUR + 601)
    assert (len(first), again) == (1, [])
    assert [each.due for each in later] == [NOON + HOUR + 600]


def test_with_skip_a_due_time_is_left_out_while_the_run_before_goes_on() -> None:
    entry = replace(begun("a", schedule(overlap="skip"), NOON), runs=("r",))
    assert walk(entry, NOON + HOUR, ("r",))[:2] == ([], [("skipped", 1)])
    assert hours(walk(entry, NOON + HOUR)[0]) == [1.0]


def test_with_buffer_one_waits_for_the_end_of_the_run_before() -> None:
    entry = replace(begun("a", schedule(overlap="buffer"), NOON), runs=("r",))
    fired, left, entry = walk(entry, NOON + HOUR, ("r",))
    assert (fired, left, entry.waiting, entry.wake) == ([], [], NOON + HOUR, NOON + HOUR + 1)
    fired, left, entry = walk(entry, NOON + 2 * HOUR, ("r",))
    assert (fired, left, entry.waiting) == ([], [("skipped", 1)], NOON + HOUR)
    fired, _, entry = walk(entry, NOON + 2 * HOUR + 5)
    assert [(each.due, each.why) for each in fired] == [(NOON + HOUR, "waited")]
    assert (entry.waiting, entry.next) == (None, NOON + 3 * HOUR)


def test_with_cancel_the_newest_waits_for_the_end_of_the_run_that_is_cancelled_for_it() -> None:
    entry = replace(begun("a", schedule(overlap="cancel"), NOON), runs=("r",))
    decision = decide(entry, NOON + HOUR, ("r",))
    assert decision is not None
    assert (decision.cancel, decision.entry.waiting) == (("r",), NOON + HOUR)
    fired, left, entry = walk(decision.entry, NOON + 2 * HOUR, ("r",))
    assert (fired, left, entry.waiting) == ([], [("skipped", 1)], NOON + 2 * HOUR)
    assert hours(walk(entry, NOON + 2 * HOUR + 1)[0]) == [2.0]


def test_a_limit_counts_what_waits_and_ends_the_schedule() -> None:
    entry = replace(begun("a", schedule(overlap="buffer", limit=2), NOON), runs=("r",), fired=1)
    _, _, entry = walk(entry, NOON + HOUR, ("r",))
    assert (entry.ended, entry.next, entry.waiting) == ("limit", None, NOON + HOUR)
    fired, _, entry = walk(entry, NOON + 5 * HOUR)
    assert (hours(fired), entry.fired, entry.wake) == ([1.0], 2, None)


def test_the_end_ends_the_schedule() -> None:
    end = datetime(2026, 6, 1, 14, tzinfo=UTC)
    fired, _, entry = walk(begun("a", schedule(end=end, catch_up="all"), NOON), NOON + 9 * HOUR)
    assert (hours(fired), entry.ended, entry.wake) == ([1.0, 2.0], "end", None)


def test_a_paused_schedule_fires_only_what_is_asked_for() -> None:
    entry = replace(begun("a", schedule(), NOON), paused=True)
    assert decide(entry, NOON + HOUR - 1, ()) is None
    entry = replace(entry, asked=(Asked("x", NOON, "me"),))
    fired, left, entry = walk(entry, NOON + 5 * HOUR, ("r",))
    assert fired == [Firing("schedule:a:now:x", NOON, "now", "me")]
    assert (left, entry.asked, entry.wake) == ([], (), None)


def test_a_backfill_fires_a_range_under_its_own_keys() -> None:
    entry = begun("a", schedule(), NOON)
    wanted, count = backfill(entry, "b1", NOON - 3 * HOUR, NOON, "me", 100)
    assert wanted is not None
    assert count == 4
    fired, _, entry = walk(replace(entry, backfills=(wanted,)), NOON)
    assert hours(fired) == [-3.0, -2.0, -1.0, 0.0]
    assert fired[0].key == "schedule:a:backfill:b1:2026-06-01T09:00:00Z"
    assert (entry.backfills, entry.next, entry.fired) == ((), NOON + HOUR, 0)
    assert backfill(entry, "b", NOON + 1, NOON + 2, "", 100) == (None, 0)
    assert backfill(entry, "b", 0.0, NOON, "", 100)[1] == 101


def test_what_is_due_goes_before_a_backfill() -> None:
    entry = begun("a", schedule(), NOON)
    wanted, _ = backfill(entry, "b", NOON - HOUR, NOON, "", 100)
    assert wanted is not None
    fired, _, _ = walk(replace(entry, backfills=(wanted,)), NOON + HOUR)
    assert [each.why for each in fired] == ["due", "backfill", "backfill"]


def test_who_is_put_off_is_fired_that_much_later() -> None:
    entry = begun("a", schedule(jitter=600.0), NOON)
    later = jitter("a", NOON + HOUR, 600.0)
    assert later > 0
    assert entry.wake == NOON + HOUR + later
    assert decide(entry, NOON + HOUR + later - 0.01, ()) is None
    fired, _, _ = walk(entry, NOON + HOUR + later)
    assert [each.key for each in fired] == [key("a", NOON + HOUR)]


def test_another_time_begins_anew_and_another_input_does_not() -> None:
    entry = replace(begun("a", schedule(), NOON), fired=3)
    assert changed(entry, schedule(input={"x": 1}), NOON + 5 * HOUR).next == NOON + HOUR
    other = changed(entry, schedule(every=2 * HOUR), NOON + 5 * HOUR)
    assert (other.next, other.wake, other.fired) == (NOON + 6 * HOUR, NOON + 6 * HOUR, 3)
    assert changed(replace(entry, ended="removed", next=None), schedule(), NOON + HOUR).next == NOON + 2 * HOUR
    assert changed(entry, schedule(limit=3), NOON).ended == "limit"


def test_a_change_after_a_clock_was_set_back_brings_nothing_twice() -> None:
    _, _, entry = walk(begun("a", schedule(), NOON), NOON + HOUR)
    assert changed(entry, schedule(every=HOUR / 2), NOON).next == NOON + 1.5 * HOUR
