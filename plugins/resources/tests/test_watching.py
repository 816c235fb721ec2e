"""When a resource is tight: what lasts counts, nothing flutters, and what will come is foretold."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as some

from tta_kernel.testing import problems
from tta_resources import Disk, Memory, Own, Processors, ResourcesPlugin, Sample, Stall, Thresholds
from tta_resources.events import ResourceExhausted, ResourceRecovered, ResourceWarned
from tta_resources.forecast import seconds_until
from tta_resources.plugin import event_of
from tta_resources.watching import Change, Watching

GIB = 1 << 30
ORDER = ("normal", "early", "warning", "critical")


def sample(at: float, used: float, *, processors: float = 0.1, stall: float = 0.0, disk: float = 0.1) -> Sample:
    return Sample(
        at, Memory(GIB, int(used * GIB), int((1 - used) * GIB), used), Processors(2.0, processors), Own(1, 1.0),
        {"memory": Stall(stall, stall, stall, stall)}, [Disk("/", GIB, int((1 - disk) * GIB))],
    )  # fmt: skip


def changes(used: Sequence[float], thresholds: Thresholds | None = None, **more: Any) -> list[tuple[float, str, str]]:
    """Let a second pass for each usage of memory; return when which resource came to which level."""
    watching = Watching(thresholds or Thresholds())
    seen: list[Sample] = []
    found: list[tuple[float, str, str]] = []
    for at, each in enumerate(used):
        seen.append(sample(float(at), each, **more))
        found += [(float(at), it.resource, it.now.level) for it in watching.see(seen[-120:])]
    return found


def test_what_lasts_is_told_once_and_what_does_not_is_not() -> None:
    short = [0.5] * 10 + [0.99] * 29 + [0.5] * 60
    assert changes(short) == []
    long = [0.5] * 10 + [0.85] * 100
    assert changes(long) == [(40.0, "memory", "warning")]


def test_it_goes_up_level_by_level_and_comes_back_below_by_the_hysteresis() -> None:
    used = [0.76] * 40 + [0.82] * 40 + [0.95] * 40 + [0.86] * 60 + [0.84] * 60 + [0.5] * 40
    assert changes(used) == [
        (30.0, "memory", "early"), (70.0, "memory", "warning"), (110.0, "memory", "critical"),
        # 86 % is not yet below 90 by five points; 84 % is, and not below 80 by them.
        (210.0, "memory", "warning"), (270.0, "memory", "normal"),
    ]  # fmt: skip


@given(some.lists(some.floats(0.77, 0.83), min_size=60, max_size=200))
def test_what_wavers_about_a_threshold_is_not_told_again_and_again(used: list[float]) -> None:
    levels = [level for _, _, level in changes(used)]
    assert levels in ([], ["early"], ["early", "warning"], ["warning"])


@given(some.lists(some.floats(0, 1), max_size=150), some.sampled_from([0.0, 3.0]))
def test_a_level_is_reached_after_so_long_above_it_and_at_no_other_time(used: list[float], sustained: float) -> None:
    thresholds = Thresholds(sustained=sustained)
    floors = {"normal": 0.0, "early": 0.75, "warning": 0.8, "critical": 0.9}
    level = "normal"
    for at, _, now in changes(used, thresholds):
        if ORDER.index(now) > ORDER.index(level):
            last = used[int(at - sustained) : int(at) + 1]
            assert len(last) == sustained + 1
            assert min(last) >= floors[now]
        level = now


@pytest.mark.parametrize(
    ("more", "told"),
    [
        ({"processors": 0.92}, ("processors", "warning")),
        ({"processors": 0.96}, ("processors", "critical")),
        ({"disk": 0.905}, ("disk /", "critical")),
        ({"stall": 6.0}, ("waiting for memory", "warning")),
        ({"stall": 25.0}, ("waiting for memory", "critical")),
    ],
)
def test_each_resource_has_its_own_thresholds(more: dict[str, Any], told: tuple[str, str]) -> None:
    assert [(resource, level) for _, resource, level in changes([0.1] * 31, **more)] == [told]


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("noise", [0.0, 0.02])
def test_a_ramp_is_foretold_within_a_fifth_whatever_wild_points_are_in_it(seed: int, noise: float) -> None:
    wild = random.Random(seed)
    slope = wild.uniform(0.0005, 0.004)
    points = [(float(at), 0.2 + slope * at + wild.gauss(0, noise * 0.2)) for at in range(120)]
    for at in wild.sample(range(120), 8):
        points[at] = (float(at), wild.random() if noise == 0 else points[at][1])
    due = (1.0 - (0.2 + slope * 119)) / slope
    found = seconds_until(1.0, points)
    assert found is not None
    assert found == pytest.approx(due, rel=0.2)


@pytest.mark.parametrize(
    "values",
    [
        [0.5] * 120,
        [0.9 - 0.001 * at for at in range(120)],
        [0.5 + 0.3 * math.sin(at) for at in range(120)],
        [0.5, 0.6],
        [],
        [0.5 + 1e-9 * at for at in range(120)],
    ],
    ids=["still", "falling", "to and fro", "too few", "none", "in years"],
)
def test_what_does_not_grow_steadily_has_no_forecast(values: Sequence[float]) -> None:
    assert seconds_until(1.0, [(float(at), value) for at, value in enumerate(values)]) is None


def test_a_standing_says_when_memory_will_be_full() -> None:
    watching = Watching(Thresholds())
    seen = []
    for at in range(100):
        seen.append(sample(float(at), 0.2 + 0.005 * at))
        watching.see(seen)
    full_in = watching.standings["memory"].full_in
    assert full_in is not None
    assert full_in == pytest.approx((1 - 0.2 - 0.005 * 95) / 0.005, rel=0.05)
    assert watching.standings["processors"].full_in is None


def test_events_say_where_a_resource_came_from_and_where_it_is() -> None:
    watching = Watching(Thresholds(sustained=0.0))
    told = [
        event_of("story-1", change)
        for at, used in enumerate([0.82, 0.95, 0.1])
        for change in watching.see([sample(float(at), used)])
    ]
    warned, exhausted, recovered = told
    assert isinstance(warned, ResourceWarned)
    assert (warned.resource, warned.before, warned.level) == ("memory", "normal", "warning")
    assert isinstance(exhausted, ResourceExhausted)
    assert (exhausted.before, exhausted.used) == ("warning", 0.95)
    assert isinstance(recovered, ResourceRecovered)
    assert (recovered.node, recovered.before) == ("story-1", "critical")


@pytest.mark.parametrize(
    ("thresholds", "said"),
    [
        ({"mem_warn": 95}, "mem_warn is 95, and mem_crit 90"),
        ({"cpu_crit": 50}, "cpu_warn is 90, and cpu_crit 50"),
        ({"disk_warn": 101}, "disk_warn"),
        ({"hysteresis": -1}, "hysteresis"),
        ({"sustained": "long"}, "sustained"),
    ],
)
def test_thresholds_that_make_no_sense_are_refused(thresholds: dict[str, Any], said: str) -> None:
    [problem] = problems(ResourcesPlugin, config={"thresholds": thresholds})
    assert said in problem


def test_a_change_can_be_written_down() -> None:
    [change] = Watching(Thresholds(sustained=0.0)).see([sample(0.0, 0.99)])
    assert msgspec.convert(msgspec.to_builtins(change), Change) == change
