"""Say when a resource gets tight, and when it is well again: only what lasts counts, and nothing flutters."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from msgspec import Struct

from .forecast import seconds_until
from .model import Level, Sample, Standing
from .thresholds import Thresholds

_FORECAST_OVER = 120.0
"""Seconds of samples that a forecast is made from."""
_FORECAST_EVERY = 5.0


class Change(Struct, frozen=True):
    """A resource that has come to another level, and the one before."""

    resource: str
    before: Level
    now: Standing


class _Trigger:
    """Whether one threshold is passed: for long enough, and until it is by far no longer."""

    def __init__(self, threshold: float, thresholds: Thresholds) -> None:
        self.passed = False
        self._on, self._off = threshold / 100, (threshold - thresholds.hysteresis) / 100
        self._sustained = thresholds.sustained
        self._since: float | None = None
        """Since when it is otherwise than ``passed`` says."""

    def see(self, used: float, at: float) -> None:
        is_otherwise = used < self._off if self.passed else used >= self._on
        if not is_otherwise:
            self._since = None
            return
        if self._since is None:
            self._since = at
        if at - self._since >= self._sustained:
            self.passed, self._since = not self.passed, None


class Watching:
    """Levels of resources, by ``thresholds``.

    A level is reached once all samples of ``sustained`` seconds have been at its threshold or above. It is left once
    they have been below it by ``hysteresis`` for as long.
    """

    def __init__(self, thresholds: Thresholds) -> None:
        self._thresholds = thresholds
        self._triggers: dict[str, Mapping[Level, _Trigger]] = {}
        self._standings: dict[str, Standing] = {}
        self._forecasts: Mapping[str, float | None] = {}
        self._forecast_at = float("-inf")

    @property
    def standings(self) -> Mapping[str, Standing]:
        """How each resource stands, by its name."""
        return self._standings

    def see(self, samples: Sequence[Sample]) -> Sequence[Change]:
        """Take in the newest of some samples, the last of them; return what has come to another level."""
        sample = samples[-1]
        if sample.at - self._forecast_at >= _FORECAST_EVERY:
            self._forecasts, self._forecast_at = forecasts(samples), sample.at
        changes = []
        for resource, used in usage(sample):
            before = self._standings.get(resource, Standing()).level
            level = self._level(resource, used, sample.at)
            standing = self._standings[resource] = Standing(level, used, self._forecasts.get(resource))
            if level != before:
                changes.append(Change(resource, before, standing))
        return changes

    def _level(self, resource: str, used: float, at: float) -> Level:
        triggers = self._triggers.get(resource)
        if triggers is None:
            thresholds = self._thresholds.of(resource)
            triggers = {level: _Trigger(threshold, self._thresholds) for level, threshold in thresholds.items()}
            self._triggers[resource] = triggers
        found: Level = "normal"
        for level, trigger in triggers.items():
            trigger.see(used, at)
            if trigger.passed:
                found = level
        return found


def usage(sample: Sample) -> Iterator[tuple[str, float]]:
    """Yield the resources of a sample, and which fraction of each is used."""
    if sample.memory:
        yield "memory", sample.memory.fraction
    if sample.processors and sample.processors.fraction is not None:
        yield "processors", sample.processors.fraction
    if stall := sample.stalls.get("memory"):
        yield "waiting for memory", stall.full10 / 100
    for disk in sample.disks:
        yield f"disk {disk.path}", disk.fraction


def forecasts(samples: Sequence[Sample]) -> dict[str, float | None]:
    """Return in how many seconds memory and file systems will be full, if it goes on like this."""
    recent = [each for each in samples if each.at >= samples[-1].at - _FORECAST_OVER]
    series: dict[str, list[tuple[float, float]]] = {}
    for sample in recent:
        for resource, used in usage(sample):
            if resource == "memory" or resource.startswith("disk "):
                series.setdefault(resource, []).append((sample.at, used))
    return {resource: seconds_until(1.0, points) for resource, points in series.items()}
