"""Files of the kernel that are kept open: a look is one system call."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

_MOST = 1 << 16


class KeptOpen:
    """Files by path; one that can't be opened or read is opened anew at the next look."""

    def __init__(self) -> None:
        self._open: dict[Path, int] = {}

    def read(self, path: Path, most: int = _MOST) -> bytes:
        """Return what a file holds now, from its beginning; raise an OSError where it can't be read."""
        file = self._open.get(path)
        if file is None:
            file = self._open[path] = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            return os.pread(file, most, 0)
        except OSError:
            # Its cgroup, or its process, has gone; another of this path may come.
            os.close(self._open.pop(path))
            raise

    def number(self, path: Path) -> int:
        """Return the number that a file holds."""
        return int(self.read(path, 64))

    def table(self, path: Path) -> Mapping[bytes, int]:
        """Return a file of lines of a name and a number."""
        found = {}
        for line in self.read(path).splitlines():
            name, _, value = line.partition(b" ")
            if value.lstrip(b"-").isdigit():
                found[name] = int(value)
        return found

    def close(self) -> None:
        """Close them all."""
        while self._open:
            os.close(self._open.popitem()[1])
