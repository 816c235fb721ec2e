"""How long a run may take by its steps' own time limits, held against the limit of the whole."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from .definition import Retry, Step, Workflow
from .order import Order
from .plan import TRIED_AGAIN

_MOST_NAMED = 6


class Way(NamedTuple):
    """Steps one after the other, what each may take, and all of them."""

    parts: tuple[str, ...] = ()
    seconds: float = 0.0


def slowest_way(workflow: Workflow, order: Order, definitions: Mapping[str, Workflow], depth: int = 10) -> Way:
    """Return the way through a definition that may take longest; what has no limit of its own counts nothing."""
    ways: dict[str, Way] = {}
    for id in order.sequence:
        before = max((ways[each] for each in (*order.hard[id], *order.soft[id])), key=_seconds, default=Way())
        own, told = _longest(order.steps[id], workflow, definitions, depth)
        parts = (*before.parts, f"{id} {told}") if own else before.parts
        ways[id] = Way(parts, before.seconds + own)
    return max(ways.values(), key=_seconds, default=Way())


def describe(way: Way) -> str:
    """Say what a way is made of."""
    named = ", ".join(way.parts[:_MOST_NAMED])
    return f"{named}, …" if len(way.parts) > _MOST_NAMED else named


def _longest(step: Step, workflow: Workflow, definitions: Mapping[str, Workflow], depth: int) -> tuple[float, str]:
    """Return what a step may take at the most, and how that comes about."""
    rounds = step.repeat.most if step.repeat else 1
    if step.wait is not None:
        return step.wait, f"{step.wait:g} s"
    if step.workflow:
        own = step.timeout or 0.0
        inner = definitions.get(step.workflow)
        if not own and inner is not None and depth:
            order = Order(inner)
            own = 0.0 if order.cycle else slowest_way(inner, order, definitions, depth - 1).seconds
        return own * rounds, _times(rounds, own)
    own = step.timeout or 0.0
    if step.signal:
        return own, f"{own:g} s"
    retry = _retry_of(step, workflow)
    pauses = sum(min(retry.delay * retry.factor**n, retry.cap) for n in range(retry.attempts - 1)) if own else 0.0
    once = own * retry.attempts + pauses
    told = _times(retry.attempts, own) + (f" + {pauses:g} s" if pauses else "")
    return once * rounds, f"{rounds} × ({told})" if rounds > 1 else told


def _retry_of(step: Step, workflow: Workflow) -> Retry:
    if step.retry is not None:
        return step.retry
    return TRIED_AGAIN if (step.on_error or workflow.on_error) == "retry" else Retry()


def _times(count: int, seconds: float) -> str:
    return f"{count} × {seconds:g} s" if count > 1 else f"{seconds:g} s"


def _seconds(way: Way) -> float:
    return way.seconds
