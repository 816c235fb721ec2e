"""What every process counts: its build, its processor and memory, its event loop, its plugins."""

from __future__ import annotations

import os
import platform
import time
from collections import Counter as Tally
from importlib.metadata import version
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

import anyio

from tta_kernel import Kernel, State, Subscription

from .following import OWNER
from .registry import Metrics

_PROC = Path("/proc/self")
_IDLE = (State.DISABLED, State.YIELDING, State.SKIPPED)
"""States of plugins that are not meant to run."""
BEAT = 0.1
"""Seconds between two looks at how late the event loop is."""


def add_build(metrics: Metrics) -> None:
    """Add the one series that says which program this is."""
    family = metrics.gauge("tta_build_info", "1, and in its labels what runs", labels=("version", "python", "platform"))
    family.labels(version("tta-kernel"), platform.python_version(), platform.system()).set(1)


def add_process(metrics: Metrics) -> None:
    """Add what prometheus_client says of a process, under the same names; what a system doesn't tell is left out."""
    metrics.counter("process_cpu_seconds_total", "processor time", "seconds", read=time.process_time)
    if not (_PROC / "statm").exists():
        return
    page = os.sysconf("SC_PAGE_SIZE")
    metrics.gauge("process_virtual_memory_bytes", "virtual memory", "bytes", read=lambda: page * _statm(0))
    metrics.gauge("process_resident_memory_bytes", "resident memory", "bytes", read=lambda: page * _statm(1))
    metrics.gauge("process_open_fds", "open file descriptors", read=lambda: sum(1 for _ in (_PROC / "fd").iterdir()))
    metrics.gauge("process_max_fds", "most file descriptors that may be open", read=_most_files)
    started = _started()
    metrics.gauge("process_start_time_seconds", "start, since the epoch", "seconds", read=lambda: started)


class Loop:
    """Measures how late the event loop comes to what is due: what blocks it is felt by everybody."""

    def __init__(self, metrics: Metrics) -> None:
        self._lag = metrics.histogram("tta_event_loop_lag_seconds", "how late the event loop ran what was due")

    async def run(self) -> None:
        """Look again and again."""
        while True:
            due = anyio.current_time() + BEAT
            await anyio.sleep_until(due)
            self._lag.observe(max(0.0, anyio.current_time() - due))


class Plugins:
    """Counts what the kernel knows of its plugins: their states, and the events that they were too slow for."""

    def __init__(self, kernel: Kernel, metrics: Metrics) -> None:
        self._kernel = kernel
        self._states = metrics.gauge("tta_plugins", "installed plugins by state", labels=("state",))
        self._up = metrics.gauge("tta_plugin_up", "1 while the plugin runs, of those that are to", labels=("plugin",))
        self._dropped = metrics.counter(
            "tta_events_dropped_total", "events that a plugin was too slow for", labels=("plugin",)
        )
        self._failed = metrics.counter(
            "tta_events_failed_total", "events whose handler raised, by the plugin that handles", labels=("plugin",)
        )
        self._seen: WeakKeyDictionary[Subscription[Any], tuple[int, int]] = WeakKeyDictionary()

    def look(self) -> None:
        """Count what is there now."""
        records = self._kernel.records.values()
        states = Tally(str(record.state) for record in records)
        self._states.replace({(state,): states[state] for state in State})
        self._up.replace({(each.name,): int(each.running) for each in records if each.state not in _IDLE})
        for subscription in self._kernel.events.subscriptions:
            # The differences, since a subscription that has ended takes its numbers with it.
            dropped, failed = self._seen.get(subscription, (0, 0))
            self._seen[subscription] = (subscription.dropped, subscription.failed)
            owner = subscription.owner or "host"
            if owner != OWNER:
                self._dropped.labels(owner).inc(subscription.dropped - dropped)
                self._failed.labels(owner).inc(subscription.failed - failed)


def _statm(field: int) -> int:
    return int((_PROC / "statm").read_bytes().split()[field])


def _most_files() -> int:
    import resource  # It is only where /proc is.

    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]


def _started() -> float:
    """Return when the process started: field 22 of proc(5)'s stat, in ticks since the machine did."""
    after_name = (_PROC / "stat").read_text().rpartition(")")[2].split()
    ticks = int(after_name[22 - 3])
    booted = next(int(line.split()[1]) for line in Path("/proc/stat").read_text().splitlines() if "btime" in line)
    return booted + ticks / os.sysconf("SC_CLK_TCK")
