"""In which order calls get slots that they wait for: a strategy is one function, and the smallest key goes first."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Mapping

import msgspec

from tta_kernel import as_failure, raised_at

Key = float | tuple[float, ...]
"""What a strategy gives for a call: of two, the one with the smaller key goes first, then the one that came first."""


_SLACK = 1.5
"""How many times as long as on average a run may take: who has less time left than that mostly comes too late.

In simulations at 1.1 times what fits, 9.6 % of all runs miss their deadlines so, and 12.6 % by 1.0.
"""


class Waiting(msgspec.Struct, frozen=True):
    """A call that waits for a slot, as a strategy sees it; times in seconds since the epoch, and in seconds.

    ``created`` is when its run was started and ``arrived`` when it began to wait; ``deadline`` is when the run's result
    is wanted. ``call`` is how long such calls have taken of late, and ``rest`` how long the run will take from here
    on, by what its agents have taken; both are 0 where nothing is known. ``turn`` is when it would be its turn
    if workflows took turns: each has one call in each.
    """

    workflow: str
    created: float
    arrived: float
    deadline: float = math.inf
    priority: int = 0
    call: float = 0.0
    rest: float = 0.0
    turn: int = 0

    def is_late(self, now: float) -> bool:
        """Say whether its run can't make its deadline any more, even if it went on now."""
        return now + self.rest > self.deadline


Strategy = Callable[[Waiting, float], Key]
"""Given a call that waits, and what time it is. It is asked again when the call's turn comes: a key may grow."""


def fifo(waiting: Waiting, now: float) -> Key:
    """Let those go first that came first."""
    return waiting.arrived


def priority(waiting: Waiting, now: float) -> Key:
    """Let the highest priority go first."""
    return -waiting.priority, waiting.arrived


def fastest_first(waiting: Waiting, now: float) -> Key:
    """Let those go first whose runs are over soonest."""
    return waiting.rest


def load_balanced(waiting: Waiting, now: float) -> Key:
    """Let the workflows take turns, however many calls of each wait."""
    return waiting.turn, waiting.arrived


def deadline(waiting: Waiting, now: float) -> Key:
    """Let the earliest deadline go first, and those last that won't make theirs any more."""
    return now + _SLACK * waiting.rest > waiting.deadline, waiting.deadline


STRATEGIES: Mapping[str, Strategy] = {
    "deadline": deadline, "fastest-first": fastest_first, "fifo": fifo, "load-balanced": load_balanced,
    "priority": priority,
}  # fmt: skip


class Order:
    """A strategy by its name, whoever wrote it: where it has no key for a call, that one goes by when it came."""

    def __init__(self, name: str, strategy: Strategy, log: logging.Logger) -> None:
        self._name, self._strategy, self._log = name, strategy, log
        self._has_failed = False

    def __call__(self, waiting: Waiting, now: float) -> tuple[float, ...]:
        """Return its key, as a tuple of numbers that can be compared with any other."""
        try:
            given = self._strategy(waiting, now)
            key = tuple(_number(part) for part in (given if type(given) is tuple else (given,)))
        except BaseException as exc:  # noqa: BLE001 - a stranger's strategy
            as_failure(exc)  # It goes on where somebody of ours asked for it.
            return self._in_place(waiting, f"has no key for a call ({type(exc).__name__} at {raised_at(exc)})")
        return key

    def _in_place(self, waiting: Waiting, what: str) -> tuple[float, ...]:
        if not self._has_failed:  # Once: it is asked for every call that waits.
            self._has_failed = True
            self._log.error("the strategy %r %s; its calls go by when they came", self._name, what)
        return (waiting.arrived,)


def _number(part: object) -> float:
    number = float(part) if isinstance(part, int | float) else math.nan
    if math.isnan(number):
        raise TypeError(f"a key is a number or a tuple of numbers, and no {type(part).__name__}")
    return number
