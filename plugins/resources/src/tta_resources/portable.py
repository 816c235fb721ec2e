"""Look at memory and processors where there is no Linux: by psutil, without cgroups and pressure."""

from __future__ import annotations

import time

import psutil

from .model import Memory, Own, Processors, Sample


class PortableSampler:
    """Looks at the host, and at this process."""

    def __init__(self) -> None:
        self._process = psutil.Process()
        self._looked = False

    def close(self) -> None:
        """Nothing is kept open."""

    def sample(self) -> Sample:
        """Look once."""
        memory = psutil.virtual_memory()
        # Since the last call; the first has nothing to compare with.
        busy = psutil.cpu_percent(interval=None)
        fraction, self._looked = (busy / 100.0 if self._looked else None), True
        with self._process.oneshot():
            spent = self._process.cpu_times()
            own = Own(self._process.memory_info().rss, spent.user + spent.system)
        used = memory.total - memory.available
        return Sample(
            at=time.time(),
            memory=Memory(memory.total, used, memory.available, used / memory.total),
            processors=Processors(float(psutil.cpu_count() or 1), fraction),
            own=own,
        )
