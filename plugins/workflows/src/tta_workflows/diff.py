"""Two runs side by side, step by step: how each came out, in which time, and what its output's fields are like."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from .journal import Journalled
from .state import State, StepState


class StepDiff(msgspec.Struct, frozen=True):
    """A step of two runs; ``sizes`` has the bytes of each field of its output that isn't alike in both, -1 for none.

    ``same`` says whether it came out alike: its status, attempts, error and output; time is never the same.
    """

    step: str
    statuses: tuple[str, str]
    attempts: tuple[int, int]
    codes: tuple[str, str]
    seconds: tuple[float, float]
    sizes: Mapping[str, tuple[int, int]]
    same: bool


def diff(one: Journalled, other: Journalled) -> Sequence[StepDiff]:
    """Compare two runs by their steps, in the order in which the first began them, then the second."""
    first, second = State(one.records).steps, State(other.records).steps
    paths = dict.fromkeys((*first, *second))
    return [_step(path, first.get(path) or StepState(), second.get(path) or StepState()) for path in paths]


def _step(path: str, one: StepState, other: StepState) -> StepDiff:
    before, after = one.output or {}, other.output or {}
    fields = [name for name in dict.fromkeys((*before, *after)) if before.get(name) != after.get(name)]
    sizes = {name: (_size(before, name), _size(after, name)) for name in fields}
    pairs = (one.status, other.status), (one.attempt, other.attempt), (one.code, other.code)
    same = not sizes and all(left == right for left, right in pairs)
    return StepDiff(path, *pairs, (one.seconds, other.seconds), sizes, same)


def _size(output: Mapping[str, object], name: str) -> int:
    return len(msgspec.msgpack.encode(output[name])) if name in output else -1
