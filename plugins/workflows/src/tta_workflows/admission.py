"""Whether a run may begin in this process: not beyond what it holds at once, and not more often than its rate."""

from __future__ import annotations

import math
import time
from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from .definition import Rate
from .journal import RunHead
from .keys import slot

if TYPE_CHECKING:
    from .execution import Execution
    from .plan import Plan

MOST_PRIORITY = 1_000_000
MOST_FAIRNESS = 200
MOST_NAME = 500
"""How many characters a key, session, owner, or a label or its name may have."""
MOST_LABELS = 50
_IDLE = 20
"""For how many times as long as it took to count the runs that only wait, which is a look at each, the count holds.

So a flood of starts that are refused takes a twentieth of a processor at the most, and few runs are counted each time.
"""


class Refusal(NamedTuple):
    """Why a run may not begin: a code, and what is said of it."""

    code: str
    detail: str


class Admission:
    """Admits runs while fewer than ``limit`` are at work here; those that wait for an answer or a pause don't count."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._rates = Rates()
        self._only_wait = 0
        self._count_again_at = 0.0

    def refusal(self, head: RunHead, plan: Plan, held: Mapping[str, Execution], now: float) -> Refusal | None:
        """Say why a run may not begin, or count it; ``now`` by a clock that never goes back."""
        if len(held) >= self._limit and len(held) - self._waiting(held.values()) >= self._limit:
            return Refusal("overloaded", f"{self._limit} runs are at work in this process, and no more may be")
        rate = plan.workflow.execution.rate
        if rate is not None and not self._rates.allow(slot("rate", head, rate.key), rate, now):
            return Refusal("rate_limited", f"within {rate.every:g} s {rate.limit} may begin")
        return None

    def _waiting(self, held: Collection[Execution]) -> int:
        began = time.perf_counter()
        if began >= self._count_again_at:
            self._only_wait = sum(execution.state.status == "waiting" for execution in held)
            now = time.perf_counter()
            self._count_again_at = now + _IDLE * (now - began)
        return self._only_wait


_NAMES = msgspec.msgpack.Decoder(tuple[str, str, str, dict[str, str]])


def names_problem(id: str, session: str, owner: str, labels: Mapping[str, str]) -> str:
    """Say what is wrong with what a run is found by, or nothing: one that isn't UTF-8 would end every list of runs."""
    try:
        _NAMES.decode(msgspec.msgpack.encode((id, session, owner, labels)))
    except (TypeError, ValueError, OverflowError, RecursionError, msgspec.MsgspecError):
        return "its key, session, owner or labels are no text"
    if len(labels) > MOST_LABELS:
        return f"it has {len(labels)} labels, and {MOST_LABELS} are the most"
    if max(map(len, (id, session, owner, *labels, *labels.values()))) > MOST_NAME:
        return f"its key, session, owner or a label is longer than {MOST_NAME} characters"
    return ""


def terms_problem(priority: Any, deadline: Any, fairness: Any) -> str:
    """Say what is wrong with how a run is to be started, or nothing."""
    if type(priority) is not int or abs(priority) > MOST_PRIORITY:
        return f"its priority is no whole number from -{MOST_PRIORITY} to {MOST_PRIORITY}"
    if type(deadline) not in (int, float) or not 0 <= deadline < math.inf:
        return "its deadline is no time in seconds since the epoch"
    if not isinstance(fairness, str) or len(fairness) > MOST_FAIRNESS:
        return f"its fairness is no text of up to {MOST_FAIRNESS} characters"
    return ""


class Rates:
    """Token buckets: each key has one, which is full at first, and fills up within a rate's ``every``.

    Of a bucket only the time is kept at which it will be full (GCRA); of at most ``most`` keys, and those that are full
    go first.
    """

    def __init__(self, most: int = 10_000) -> None:
        self._most = most
        self._full_at: dict[str, float] = {}

    def allow(self, key: str, rate: Rate, now: float) -> bool:
        """Take a token, if there is one."""
        token = rate.every / rate.limit
        full_at = max(self._full_at.get(key, now), now) + token
        # Less than a nanosecond is what rounding makes of a whole bucket.
        if full_at - now > rate.every + 1e-9:
            return False
        if key not in self._full_at and len(self._full_at) >= self._most:
            self._make_room(now)
        self._full_at[key] = full_at
        return True

    def _make_room(self, now: float) -> None:
        left = sorted((full_at, key) for key, full_at in self._full_at.items() if full_at > now)
        # Of the others those that are fullest are forgotten: they miss least.
        self._full_at = {key: full_at for full_at, key in left[-self._most // 2 :]}
