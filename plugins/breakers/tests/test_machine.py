"""What becomes of a breaker, whatever happens to it in whichever order: it never wedges, and one probe is made."""

from __future__ import annotations

import random
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tta_breakers import BreakerSettings, Record
from tta_breakers.machine import Change, Claimed, Counted, Reset, Settled, Tripped, apply, is_due

SETTINGS = BreakerSettings(failures=3, rate=None, open=10, growth=2, longest=60, jitter=0.1, probe=5, successes=2)
RANDOM = random.Random(1).random


def after(record: Record, *changes: Change, by: BreakerSettings = SETTINGS) -> Record:
    for change in changes:
        record = apply(record, change, by, lambda: 0.0)
    return record


def opened(at: float = 100.0) -> Record:
    return after(Record(), Counted(at, 0, 3))


def half_open(at: float = 110.0) -> Record:
    return after(opened(at - 10), Claimed(at, "p"))


def test_failures_of_several_processes_add_up() -> None:
    assert after(Record(), Counted(1, 0, 1), Counted(1, 0, 1)).status == "closed"
    assert after(Record(), Counted(1, 0, 1), Counted(1, 0, 1), Counted(1, 0, 1)).status == "open"


def test_a_success_between_them_begins_anew() -> None:
    assert after(Record(), Counted(1, 0, 2), Counted(1, 0, 2, reset=True)).failures == 2


def test_what_began_before_it_changed_says_nothing() -> None:
    record = half_open()
    assert after(record, Counted(111, 0, 9), Tripped(111, "r", generation=0)) == record


def test_it_is_open_for_its_time_and_then_a_probe_is_due() -> None:
    record = opened(at=100.0)
    assert [is_due(record, SETTINGS, now) for now in (100.0, 109.9, 110.0)] == [False, False, True]


def test_so_many_probes_in_a_row_close_it() -> None:
    record = after(half_open(), Settled(111, "p", "succeeded"))
    assert (record.status, is_due(record, SETTINGS, 111)) == ("half_open", True)
    assert after(record, Claimed(112, "q"), Settled(113, "q", "succeeded")).clean


def test_a_probe_that_fails_opens_it_for_longer_up_to_the_longest() -> None:
    record, lasted = opened(), []
    for number in range(6):
        lasted.append(record.until - record.since)
        record = after(record, Claimed(record.until, str(number)), Settled(record.until, str(number), "failed"))
    assert lasted == [10, 20, 40, 60, 60, 60]


def test_when_it_has_closed_it_begins_with_the_shortest_time_again() -> None:
    record = after(half_open(), Settled(111, "p", "failed"), Reset(112))
    record = after(record, Counted(113, record.generation, 3))
    assert record.until - record.since == 10


def test_a_probe_that_is_returned_leaves_its_place_to_another() -> None:
    record = after(half_open(), Settled(111, "p", "returned"))
    assert after(record, Claimed(111, "q")).probe == "q"


def test_a_probe_whose_time_is_over_leaves_its_place_and_says_nothing_then() -> None:
    taken = after(half_open(at=110.0), Claimed(114.9, "q"))
    assert taken.probe == "p"
    taken = after(taken, Claimed(115.0, "q"))
    assert taken.probe == "q"
    assert after(taken, Settled(116, "p", "failed")) == taken


@pytest.mark.parametrize("jump", [-3600.0, 3600.0])
def test_a_clock_that_jumps_holds_nobody_up(jump: float) -> None:
    assert is_due(opened(at=100_000), SETTINGS, 100_000 + jump)
    assert is_due(half_open(at=100_000), SETTINGS, 100_000 + jump)


def test_opened_by_hand_it_says_why_and_by_whom() -> None:
    record = after(Record(), Tripped(1, "no memory", by="op"))
    assert (record.status, record.reason, record.by) == ("open", "no memory", "op")


def test_a_reset_of_what_was_never_used_changes_nothing() -> None:
    assert after(Record(), Reset(1)) == Record()


def test_the_longest_of_settings_is_taken_with_any_number_of_openings() -> None:
    endless = BreakerSettings(open=1, growth=10, longest=5, jitter=0)
    record = after(Record(opens=10**9), Tripped(1.0, "again"), by=endless)
    assert record.until == 6.0


@dataclass
class Calls:
    """Callers in several processes that share a record, a clock that is moved, and holders that die."""

    settings: BreakerSettings
    now: float = 1000.0
    record: Record = field(default_factory=Record)
    probes: list[tuple[str, float]] = field(default_factory=list)
    """Who makes a probe, and until when it may."""
    number: int = 0

    def act(self, what: str, amount: float) -> None:
        match what:
            case "wait":
                self.now += amount
            case "fail" | "succeed" if self.record.status == "closed":
                self.apply(Counted(self.now, self.record.generation, int(what == "fail"), reset=what == "succeed"))
            case "claim":
                self.claim()
            case "probe failed" | "probe succeeded" | "probe returned" if self.probes:
                probe, _ = self.probes.pop(int(amount) % len(self.probes))
                self.apply(Settled(self.now, probe, what.removeprefix("probe ")))  # type: ignore[arg-type]
            case "die" if self.probes:
                self.probes.pop(int(amount) % len(self.probes))
            case "trip":
                self.apply(Tripped(self.now, "by hand"))
            case "reset":
                self.apply(Reset(self.now))

    def claim(self) -> bool:
        self.number += 1
        probe = str(self.number)
        self.apply(Claimed(self.now, probe))
        if self.record.probe != probe:
            return False
        valid = [until for other, until in self.probes if other == self.record.probe and until > self.now]
        assert valid == []
        self.probes.append((probe, self.now + self.settings.probe))
        return True

    def apply(self, change: Change) -> None:
        before = self.record
        self.record = apply(before, change, self.settings, RANDOM)
        if self.record.status != before.status:
            assert self.record.generation == before.generation + 1


STEPS = (
    "wait", "fail", "fail", "fail", "succeed", "claim", "claim", "probe failed", "probe succeeded", "probe returned",
    "die", "trip", "reset",
)  # fmt: skip


@settings(max_examples=300)
@given(
    st.lists(st.tuples(st.sampled_from(STEPS), st.floats(0, 40)), max_size=60),
    st.integers(1, 4), st.integers(1, 3), st.floats(1, 10), st.floats(0, 1),
)  # fmt: skip
def test_whatever_happens_it_never_wedges(
    steps: list[tuple[str, float]], failures: int, successes: int, growth: float, jitter: float
) -> None:
    by = BreakerSettings(
        failures=failures, successes=successes, growth=growth, jitter=jitter, open=10, longest=30, probe=5
    )  # fmt: skip
    calls = Calls(by)
    for what, amount in steps:
        calls.act(what, amount)
        live = [p for p, until in calls.probes if until > calls.now and p == calls.record.probe]
        assert len(live) <= 1

    # From whatever it is in, and with every holder gone, it closes in a bounded time once calls succeed.
    calls.probes.clear()
    calls.now += max(by.longest * (1 + by.jitter), by.probe)
    for _ in range(by.successes):
        if calls.record.status == "closed":
            break
        assert calls.claim(), f"nobody may ever try again: {calls.record}"
        calls.act("probe succeeded", 0)
    assert calls.record.status == "closed"
