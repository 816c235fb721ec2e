"""Look at what there is, again and again, and keep what was seen."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Protocol

import anyio
from msgspec.structs import replace

from .disks import Disks
from .history import History
from .model import Sample, Standing
from .watching import Change, Watching

_WATCHED = 120
"""How many samples a forecast may look at."""


class Sampler(Protocol):
    """Looks once, quickly, and without waiting for anything."""

    def sample(self) -> Sample:
        """Return what there is now."""

    def close(self) -> None:
        """Let go of what it holds."""


def sampler(pid: str = "self") -> Sampler:
    """Return the sampler of this platform, for this process or another; ValueError where there is no such process."""
    if sys.platform == "linux":
        from .linux import LinuxSampler

        if not (pid == "self" or (pid.isdecimal() and Path("/proc", pid).is_dir())):
            raise ValueError("there is no process of this number")

        return LinuxSampler(pid=pid)
    if pid != "self":
        raise ValueError("only on Linux can another process be looked at")
    from .portable import PortableSampler

    return PortableSampler()


class Sampling:
    """The samples of this process, taken every ``interval`` seconds."""

    def __init__(
        self, sampler: Sampler, disks: Disks, watching: Watching, *, interval: float, size: int,
        changed: Callable[[Change], None],
    ) -> None:  # fmt: skip
        self._sampler, self._disks, self._watching, self._interval = sampler, disks, watching, interval
        self._changed = changed
        self._history = History(size)
        self._history.add(sampler.sample())

    def last(self) -> Sample:
        """See `Resources`."""
        return self._history.last()

    def history(self, *, since: float = 0.0, most: int = 3600) -> Sequence[Sample]:
        """See `Resources`."""
        return self._history.history(since=since, most=most)

    def standings(self) -> Mapping[str, Standing]:
        """See `Resources`."""
        return self._watching.standings

    async def run(self) -> None:
        """Take samples for as long as this isn't cancelled."""
        while True:
            await anyio.sleep(self._interval)
            self.look()

    async def look_at_disks(self) -> None:
        """Look at file systems for as long as this isn't cancelled."""
        while True:
            await self._disks.look()
            await anyio.sleep(max(10.0, self._interval))

    def look(self) -> None:
        """Take one sample, and tell what has come to another level."""
        found = self._sampler.sample()
        if self._disks.found or self._disks.errors:
            found = replace(found, disks=self._disks.found, errors={**found.errors, **self._disks.errors})
        self._history.add(found)
        for change in self._watching.see(self._history.newest(_WATCHED)):
            self._changed(change)
