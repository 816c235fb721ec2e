"""Find the cgroup that a process lives in, and the limits on the way up from it (v1, v2, and both at once).

The formats are those of ``man 7 cgroups``, ``man 5 proc`` and the kernel's ``admin-guide/cgroup-v1`` and
``cgroup-v2``.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal

from msgspec import Struct

_NO_LIMIT = 2**63 - 4096 * 16
"""v1 writes the largest multiple of a page for "no limit"; pages have up to 64 KiB."""

Version = Literal[1, 2]


class Group(Struct, frozen=True):
    """Where a controller finds a process: its directories, from its own cgroup up to the top that can be seen."""

    version: Version
    directories: Sequence[Path]

    @property
    def own(self) -> Path:
        """The process's own cgroup."""
        return self.directories[0]


class _Mount(Struct, frozen=True):
    version: Version
    root: str
    point: Path
    controllers: frozenset[str]


def find(controller: str, *, root: Path = Path("/"), pid: str = "self") -> Group | None:
    """Return where ``controller`` (``memory``, ``cpu``, ``cpuacct``) finds a process; None where it does nowhere.

    ``root``: below which directory `/proc` and `/sys` lie. On a host that has both versions, a controller belongs to
    one of them: to v1 where a v1 hierarchy has it mounted.
    """
    memberships = dict(_memberships(root / "proc" / pid / "cgroup"))
    for mount in _mounts(root):
        named = controller if mount.version == 1 else ""
        if named not in memberships or (mount.version == 1 and controller not in mount.controllers):
            continue
        directories = tuple(_upwards(mount, memberships[named]))
        if mount.version == 1 or _has(directories, controller):
            return Group(mount.version, directories)
    return None


def _memberships(file: Path) -> Iterator[tuple[str, str]]:
    """Yield controllers, and "" for v2, with the path of the process's cgroup in that hierarchy."""
    for line in file.read_text().splitlines():
        _, controllers, path = line.split(":", 2)
        for controller in controllers.split(","):
            yield controller, path


def _mounts(root: Path) -> Sequence[_Mount]:
    """Return the mounts of cgroups that can be seen, those of v1 first."""
    found = []
    for line in (root / "proc/self/mountinfo").read_text().splitlines():
        # id, parent, device, root, point, options, optional fields, "-", type, source, options of the file system
        before, _, after = line.partition(" - ")
        kind, _, options = after.split(" ", 2)
        if kind not in ("cgroup", "cgroup2"):
            continue
        _, _, _, inside, point, *_ = before.split(" ")
        version: Version = 1 if kind == "cgroup" else 2
        place = root / _unescaped(point).lstrip("/")
        found.append(_Mount(version, _unescaped(inside), place, frozenset(options.split(","))))
    return sorted(found, key=lambda mount: mount.version)


def _unescaped(text: str) -> str:
    """Undo what mountinfo does to spaces, tabs, newlines and backslashes."""
    for octal, plain in (("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")):
        text = text.replace(octal, plain)
    return text


def _upwards(mount: _Mount, path: str) -> Iterator[Path]:
    """Yield the directory of a path in a hierarchy, and those above it, as far as this mount shows them.

    In a container the mount often begins at the container's own cgroup, whose path ``path`` still names in whole; and
    in a namespace of its own a process of the outside has a path that begins with ``/..``. Both begin at the mount.
    """
    inside = _below(path, mount.root)
    place = mount.point / inside
    if not place.is_dir():
        place = mount.point
    yield place
    while place != mount.point:
        place = place.parent
        yield place


def _below(path: str, root: str) -> str:
    if path == root or ".." in path.split("/"):
        return ""
    prefix = root if root.endswith("/") else root + "/"
    return path.removeprefix(prefix).lstrip("/") if path.startswith(prefix) else path.lstrip("/")


def _has(directories: Sequence[Path], controller: str) -> bool:
    """Say whether v2 has a controller switched on anywhere on the way up; at its root files of limits are missing."""
    for each in directories:
        try:
            if controller in (each / "cgroup.controllers").read_text().split():
                return True
        except OSError:
            continue
    return False


def memory_limit(version: Version, directory: Path) -> int | None:
    """Return how many bytes a cgroup may have, by its hard limit or the one from which on it is throttled."""
    names = ("memory.max", "memory.high") if version == 2 else ("memory.limit_in_bytes",)
    limits = [_number(directory / name) for name in names]
    return min((limit for limit in limits if limit is not None and limit < _NO_LIMIT), default=None)


def quota(version: Version, directory: Path) -> float | None:
    """Return how many cores a cgroup may use; None where it has no quota."""
    try:
        if version == 2:
            spent, period = (directory / "cpu.max").read_text().split()
            return None if spent == "max" else int(spent) / int(period)
        spent_us = int((directory / "cpu.cfs_quota_us").read_text())
        return None if spent_us <= 0 else spent_us / int((directory / "cpu.cfs_period_us").read_text())
    except (OSError, ValueError, ZeroDivisionError):
        return None


def _number(file: Path) -> int | None:
    try:
        return int(file.read_text())
    except (OSError, ValueError):  # "max"
        return None


def cores_of(pid: str = "self") -> int:
    """Return on how many of the host's cores a process may run."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0 if pid == "self" else int(pid)))
    return os.cpu_count() or 1
