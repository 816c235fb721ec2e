"""Look at memory, processors and pressure on Linux, in some tens of microseconds."""

from __future__ import annotations

import os
import resource
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TypeVar

from msgspec import Struct

from . import cgroups
from .files import KeptOpen
from .model import Memory, Own, Processors, Sample, Stall

T = TypeVar("T")
_FIND_EVERY = 30.0
"""Seconds after which cgroups and limits are looked up anew: a process can be moved, and a limit changed."""
_PAGE = os.sysconf("SC_PAGE_SIZE")
_TICK = os.sysconf("SC_CLK_TCK")
_STALLS = ("cpu", "memory", "io")


class _Level(Struct, frozen=True):
    """A limit of memory, and the directory of the cgroup that has it."""

    directory: Path
    limit: int


class _Layout(Struct, frozen=True):
    """Where what is looked at stands, and what the limits are."""

    memory: cgroups.Group | None
    levels: Sequence[_Level]
    cores: float
    quota: float | None
    """Cores that the tightest cgroup on the way up may use, and its directory below."""
    limited: Path | None
    usage: Path | None
    """Which file says how much processor time that cgroup has used."""
    usage_unit: float
    """Seconds of one of its units."""
    stalls: dict[str, Path]


class LinuxSampler:
    """Looks at what holds for this process or ``pid``; ``root`` is where `/proc` and `/sys` lie."""

    def __init__(
        self, *, root: Path = Path("/"), pid: str = "self", clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._root, self._pid, self._clock = root, pid, clock
        self._files = KeptOpen()
        self._layout: _Layout | None = None
        self._found_at = 0.0
        self._before: tuple[float, float, float] | None = None
        """When, the seconds that the host was idle until then, and those that the cgroup had used."""
        self._errors: dict[str, str] = {}

    def close(self) -> None:
        """Close the files."""
        self._files.close()

    def sample(self) -> Sample:
        """Look once."""
        now = self._clock()
        self._errors = {}
        if self._layout is None or now - self._found_at >= _FIND_EVERY:
            self._layout, self._found_at = self._find(), now
        layout = self._layout
        return Sample(
            at=time.time(),
            memory=self._read("memory", lambda: self._memory(layout)),
            processors=self._read("processors", lambda: self._processors(layout, now)),
            own=self._own(),
            stalls={
                name: found
                for name, path in layout.stalls.items()
                if (found := self._read(f"stalls.{name}", partial(self._stall, path))) is not None
            },
            errors=self._errors,
        )

    def _read(self, what: str, look: Callable[[], T]) -> T | None:
        try:
            return look()
        except (OSError, ValueError, KeyError, IndexError) as exc:
            self._errors[what] = f"{type(exc).__name__}: {exc}"
            # What was found doesn't hold any more, perhaps.
            self._found_at = float("-inf")
            return None

    def _find(self) -> _Layout:
        memory = self._group("memory")
        processors = self._group("cpu")
        levels = []
        for directory in memory.directories if memory else ():
            limit = cgroups.memory_limit(memory.version, directory) if memory else None
            if limit is not None:
                levels.append(_Level(directory, limit))
        quotas = [
            (found, each)
            for each in (processors.directories if processors else ())
            if processors and (found := cgroups.quota(processors.version, each)) is not None
        ]
        quota, limited = min(quotas, default=(None, None), key=lambda pair: pair[0])
        usage, unit = self._usage(processors, limited)
        return _Layout(
            memory=memory, levels=levels, cores=self._cores(), quota=quota, limited=limited, usage=usage,
            usage_unit=unit, stalls=self._stalls(memory),
        )  # fmt: skip

    def _group(self, controller: str) -> cgroups.Group | None:
        return self._read(f"cgroups.{controller}", lambda: cgroups.find(controller, root=self._root, pid=self._pid))

    def _cores(self) -> float:
        return float(self._read("affinity", lambda: cgroups.cores_of(self._pid)) or os.cpu_count() or 1)

    def _usage(self, group: cgroups.Group | None, limited: Path | None) -> tuple[Path | None, float]:
        """Return which file says what the cgroup with the quota has used, and the seconds of its unit."""
        if group is None or limited is None:
            return None, 0.0
        if group.version == 2:
            return limited / "cpu.stat", 1e-6
        accounts = self._group("cpuacct")
        level = len(group.directories) - group.directories.index(limited)
        # v1 may mount `cpuacct` elsewhere; the cgroups of both are the same, counted from the top.
        found = accounts.directories[-level] if accounts and len(accounts.directories) >= level else None
        return (found / "cpuacct.usage" if found else None), 1e-9

    def _stalls(self, memory: cgroups.Group | None) -> dict[str, Path]:
        """Return the pressure of the process's own cgroup, else of the host."""
        found = {}
        for name in _STALLS:
            own = memory.own / f"{name}.pressure" if memory and memory.version == 2 else None
            host = self._root / "proc/pressure" / name
            for path in (own, host):
                if path is not None and self._is_readable(path):
                    found[name] = path
                    break
        return found

    def _is_readable(self, path: Path) -> bool:
        try:
            # Where the kernel has it, but it isn't switched on, the file is there and reading it fails.
            return bool(self._files.read(path, 1))
        except OSError:
            return False

    def _memory(self, layout: _Layout) -> Memory:
        total, available = self._host_memory()
        used, fraction = total - available, 1.0 - available / total
        tightest = total
        for level in layout.levels:
            taken = self._working_set(layout.memory, level.directory)
            fraction = max(fraction, taken / level.limit if level.limit else 1.0)
            available = min(available, max(0, level.limit - taken))
            if level.limit < tightest:
                tightest, used = level.limit, taken
        ooms, kills = self._ooms(layout.memory)
        return Memory(tightest, used, available, min(1.0, fraction), ooms, kills)

    def _host_memory(self) -> tuple[int, int]:
        # Its first lines are MemTotal, MemFree and MemAvailable.
        lines = self._files.read(self._root / "proc/meminfo", 256).splitlines()
        kilobytes = {name: int(value.split()[0]) for name, _, value in (line.partition(b":") for line in lines[:3])}
        return kilobytes[b"MemTotal"] * 1024, kilobytes[b"MemAvailable"] * 1024

    def _working_set(self, group: cgroups.Group | None, directory: Path) -> int:
        v2 = group is not None and group.version == 2
        used = self._files.number(directory / ("memory.current" if v2 else "memory.usage_in_bytes"))
        given_back = b"inactive_file" if v2 else b"total_inactive_file"
        return max(0, used - self._files.table(directory / "memory.stat").get(given_back, 0))

    def _ooms(self, group: cgroups.Group | None) -> tuple[int, int]:
        if group is None:
            return 0, 0
        place = group.own / ("memory.events" if group.version == 2 else "memory.oom_control")
        try:
            counts = self._files.table(place)
        except FileNotFoundError:  # The root of v2 has none.
            return 0, 0
        # v1 doesn't count how often it was out of memory without killing anybody.
        return counts.get(b"oom", counts.get(b"oom_kill", 0)), counts.get(b"oom_kill", 0)

    def _processors(self, layout: _Layout, now: float) -> Processors:
        # Cheaper than /proc/stat by an order of magnitude; what waits for a disk is busy here.
        idle = float(self._files.read(self._root / "proc/uptime", 64).split()[1])
        used = self._used(layout)
        before, self._before = self._before, (now, idle, used)
        cores = min(layout.cores, layout.quota or layout.cores)
        fraction = None
        if before is not None and now > before[0]:
            elapsed = now - before[0]
            host = 1.0 - (idle - before[1]) / (elapsed * (os.cpu_count() or 1))
            own = (used - before[2]) / (elapsed * layout.quota) if layout.quota else 0.0
            fraction = min(1.0, max(0.0, host, own))
        times, seconds = self._throttled(layout)
        return Processors(cores, fraction, times, seconds)

    def _used(self, layout: _Layout) -> float:
        if layout.usage is None:
            return 0.0
        if layout.usage.name == "cpu.stat":
            return self._files.table(layout.usage)[b"usage_usec"] * layout.usage_unit
        return self._files.number(layout.usage) * layout.usage_unit

    def _throttled(self, layout: _Layout) -> tuple[int, float]:
        if layout.limited is None:
            return 0, 0.0
        found = self._files.table(layout.limited / "cpu.stat")
        # Microseconds in v2, nanoseconds in v1.
        seconds = found.get(b"throttled_usec", 0) * 1e-6 + found.get(b"throttled_time", 0) * 1e-9
        return found.get(b"nr_throttled", 0), seconds

    def _stall(self, path: Path) -> Stall:
        # "some avg10=0.00 avg60=0.00 avg300=0.00 total=0", then the same with "full"; old kernels have no full for cpu.
        some, *full = [
            [float(part.partition(b"=")[2]) for part in line.split()[1:3]]
            for line in self._files.read(path, 512).splitlines()
        ]
        full10, full60 = full[0] if full else (0.0, 0.0)
        return Stall(some[0], some[1], full10, full60)

    def _own(self) -> Own:
        if self._pid == "self":
            spent = resource.getrusage(resource.RUSAGE_SELF)
            pages = self._read("own", lambda: int(self._files.read(Path("/proc/self/statm"), 128).split()[1]))
            return Own((pages or 0) * _PAGE, spent.ru_utime + spent.ru_stime)
        place = self._root / "proc" / self._pid
        pages = self._read("own", lambda: int(self._files.read(place / "statm", 128).split()[1]))
        fields = self._read("own", partial(self._fields, place / "stat"))
        # utime and stime are the 14th and 15th fields of all.
        ticks = int(fields[11]) + int(fields[12]) if fields else 0
        return Own((pages or 0) * _PAGE, ticks / _TICK)

    def _fields(self, path: Path) -> Sequence[bytes]:
        # The name in parentheses may hold anything; the fields after it are the third and so on.
        return self._files.read(path, 1024).rpartition(b")")[2].split()
