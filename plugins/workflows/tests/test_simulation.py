"""What strategies and shares do to many runs, by a clock that is counted."""

from __future__ import annotations

import random
from collections.abc import Sequence

import pytest

from tta_workflows.testing.simulation import SimulatedRun, simulate, turns

SEEDS = range(3)


def misses(strategy: str, load: float, *, owners: bool) -> float:
    """Return the share of runs that missed their deadlines; each run is somebody else's, or all are nobody's."""
    missed = count = 0
    for seed in SEEDS:
        runs = list(turns(random.Random(seed), 2000, load))
        for number, run in enumerate(runs):
            run.owner = str(number) if owners else ""
        missed += sum(run.missed for run in simulate(runs, strategy=strategy))
        count += len(runs)
    return missed / count


def p95(seconds: Sequence[float]) -> float:
    return sorted(seconds)[int(0.95 * len(seconds))]


@pytest.mark.parametrize("owners", [False, True], ids=["nobody's", "of many people"])
@pytest.mark.parametrize("load", [1.0, 1.15])
def test_at_saturation_a_fifth_as_many_deadlines_are_missed_as_by_fifo(load: float, *, owners: bool) -> None:
    assert misses("deadline", load, owners=owners) <= misses("fifo", load, owners=owners) / 5


@pytest.mark.parametrize("strategy", ["deadline", "fifo", "load-balanced"])
@pytest.mark.parametrize("seed", SEEDS)
def test_when_one_of_a_hundred_people_floods_the_others_hardly_feel_it(strategy: str, seed: int) -> None:
    dice = random.Random(seed)
    others = list(turns(dice, 2000, 0.4))
    for run in others:
        run.owner = str(dice.randrange(99))
    flood = list(turns(dice, 2000, 50.0))
    for run in flood:
        run.owner = "flood"
    alone = p95([sum(seconds for _, seconds in run.steps) for run in others])
    simulate([*others, *flood], strategy=strategy)
    assert p95([run.seconds for run in others]) <= 1.5 * alone


def test_without_shares_the_same_flood_would_be_felt() -> None:
    dice = random.Random(1)
    others, flood = list(turns(dice, 500, 0.4)), list(turns(dice, 2000, 50.0))
    alone = p95([sum(seconds for _, seconds in run.steps) for run in others])
    simulate([*others, *flood], strategy="fifo")
    assert p95([run.seconds for run in others]) > 5 * alone


def test_a_flood_gets_what_the_others_leave() -> None:
    flood = [SimulatedRun(0.0, [("a", 1.0)], 1e9, owner="flood") for _ in range(80)]
    assert max(run.ended for run in simulate(flood, slots=8)) == 10.0
