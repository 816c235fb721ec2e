"""How a tool has done, in numbers that several processes can add up."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct

STEPS = 40
FASTEST = 2.0**-13
"""Seconds, about 0.12 ms: what is faster counts as that."""
BOUNDS = tuple(FASTEST * 2 ** (step / 2) for step in range(STEPS))
"""Upper bounds of the times that are counted, up to about 100 s; each is 1.4 times the one before."""
REFUSED = ("denied", "approval_required")
"""Codes of calls that weren't made since somebody didn't want them: no failures of the tool."""


class Figures(Struct, frozen=True, kw_only=True):
    """Calls of one tool: how many came to a result, ``failures`` by code, and how many were answered from the cache.

    ``times`` counts the calls that were made by how long they took: up to each of `BOUNDS`, and more than the last.
    """

    successes: int = 0
    failures: Mapping[str, int] = {}
    cached: int = 0
    seconds: float = 0.0
    times: tuple[int, ...] = ()
    last_used_at: float = 0.0

    @property
    def failed(self) -> int:
        """How many calls came to nothing."""
        return sum(self.failures.values())

    @property
    def calls(self) -> int:
        """How many calls there were."""
        return self.successes + self.failed

    @property
    def made(self) -> int:
        """How many calls the policy let through."""
        return self.calls - sum(self.failures.get(code, 0) for code in REFUSED)

    @property
    def error_rate(self) -> float:
        """Which part of the calls came to nothing, of those that the policy let through."""
        return 1 - self.successes / self.made if self.made else 0.0

    def quantile(self, part: float) -> float:
        """Return how many seconds ``part`` of the calls took at most, up to 1.4 times too much; 0 without any."""
        left = part * sum(self.times)
        for bound, number in zip((*BOUNDS, BOUNDS[-1]), self.times, strict=False):
            left -= number
            if left <= 0:
                return bound
        return 0.0

    def plus(self, other: Figures) -> Figures:
        """Return both together."""
        failures = dict(self.failures)
        for code, number in other.failures.items():
            failures[code] = failures.get(code, 0) + number
        longest = max(len(self.times), len(other.times))
        mine, theirs = (_padded(each.times, longest) for each in (self, other))
        return Figures(
            successes=self.successes + other.successes,
            failures=failures,
            cached=self.cached + other.cached,
            seconds=self.seconds + other.seconds,
            times=tuple(one + two for one, two in zip(mine, theirs, strict=True)),
            last_used_at=max(self.last_used_at, other.last_used_at),
        )


def _padded(times: tuple[int, ...], length: int) -> tuple[int, ...]:
    return times + (0,) * (length - len(times))
