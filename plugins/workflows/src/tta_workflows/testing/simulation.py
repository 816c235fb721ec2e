"""Runs in a pool by a clock that is counted: what a strategy or a share does to them, without waiting for anything."""

from __future__ import annotations

import heapq
import itertools
import logging
import math
import random
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from tta_workflows.lanes import Ticket
from tta_workflows.pools import Pools, PoolSettings
from tta_workflows.strategies import Waiting

SLOTS = 8
TURN = {"input": (0.3, 0.4), "world": (1.2, 0.6), "story": (2.5, 0.8)}
"""The steps of a turn: seconds on average, and the sigma of their logarithmic normal distribution."""


@dataclass
class SimulatedRun:
    """A run of steps, one after the other: each with the agent's name, and how long it takes."""

    begins: float
    steps: Sequence[tuple[str, float]]
    deadline: float
    owner: str = ""
    ended: float = 0.0
    at: int = field(default=0, repr=False)

    @property
    def seconds(self) -> float:
        return self.ended - self.begins

    @property
    def missed(self) -> bool:
        return self.ended > self.deadline


def turns(dice: random.Random, count: int, load: float, slots: int = SLOTS) -> Iterator[SimulatedRun]:
    """Make turns that come at random: seven of ten have three steps, the others one; ``load`` 1 is all that fits."""
    mean = 0.7 * sum(seconds for seconds, _ in TURN.values()) + 0.3 * TURN["input"][0]
    now = 0.0
    for _ in range(count):
        now += dice.expovariate(load * slots / mean)
        agents = ["input"] if dice.random() < 0.3 else list(TURN)
        steps = [(agent, _seconds(dice, agent)) for agent in agents]
        yield SimulatedRun(now, steps, now + 3 + 3 * sum(TURN[agent][0] for agent in agents))


def _seconds(dice: random.Random, agent: str) -> float:
    mean, sigma = TURN[agent]
    return dice.lognormvariate(0, sigma) * mean / math.exp(sigma * sigma / 2)


def simulate(runs: Iterable[SimulatedRun], *, strategy: str = "deadline", slots: int = SLOTS) -> list[SimulatedRun]:
    """Let runs go through one pool that all their steps share, and return them as they ended."""
    return _Simulation(strategy, slots).run(list(runs))


class _Simulation:
    def __init__(self, strategy: str, slots: int) -> None:
        pools = Pools({"pool": PoolSettings(slots, queue=10**6)}, logging.getLogger("tta.workflows-local"))
        pool = pools.of("pool", "")
        assert pool is not None
        self._pool, self._predictions, self._strategy = pool, pools.predictions, strategy
        self._now = 0.0
        self._numbers = itertools.count()
        self._due: list[tuple[float, int, SimulatedRun, bool]] = []
        """Which runs come at what time, and whether they come from a slot then."""

    def run(self, runs: list[SimulatedRun]) -> list[SimulatedRun]:
        for run in runs:
            heapq.heappush(self._due, (run.begins, next(self._numbers), run, False))
        while self._due:
            self._now, _, run, has_slot = heapq.heappop(self._due)
            if has_slot:
                self._predictions.observe(*run.steps[run.at])
                run.at += 1
                self._pool.give_back(self._now)
            if run.at == len(run.steps):
                run.ended = self._now
            elif self._pool.take():
                self._begin(run)
            else:
                self._wait(run)
        return runs

    def _begin(self, run: SimulatedRun) -> None:
        heapq.heappush(self._due, (self._now + run.steps[run.at][1], next(self._numbers), run, True))

    def _wait(self, run: SimulatedRun) -> None:
        waiting = Waiting(
            "w", created=run.begins, arrived=self._now, deadline=run.deadline, turn=self._pool.turn("w"),
            call=self._predictions.call(run.steps[run.at][0]),
            rest=sum(self._predictions.call(agent) for agent, _ in run.steps[run.at :]),
        )  # fmt: skip
        ticket = Ticket(
            waiting, key=run.owner, strategy=self._strategy, gives_up=False, answer=lambda _: self._begin(run)
        )  # fmt: skip
        self._pool.add(ticket, self._now)
