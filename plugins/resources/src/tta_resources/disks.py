"""Look at file systems, in a thread: one that is away, such as a network's, may hang whoever asks."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence

import anyio
import anyio.to_thread

from .model import Disk

_LIMIT = 5.0


class Disks:
    """Looks at the file systems of ``paths``."""

    def __init__(self, paths: Sequence[str]) -> None:
        self.found: Sequence[Disk] = ()
        self.errors: Mapping[str, str] = {}
        self._paths = paths
        self._threads = anyio.CapacityLimiter(len(paths) or 1)
        self._hanging: set[str] = set()

    async def look(self) -> None:
        """Look at all of them at once; what hangs is an error until it answers, and isn't asked again meanwhile."""
        found: dict[str, Disk] = {}
        errors = {f"disk.{path}": "hangs" for path in self._hanging}
        async with anyio.create_task_group() as tasks:
            for path in self._paths:
                if path not in self._hanging:
                    tasks.start_soon(self._one, path, found, errors)
        self.found = [found[path] for path in self._paths if path in found]
        self.errors = errors

    async def _one(self, path: str, found: dict[str, Disk], errors: dict[str, str]) -> None:
        self._hanging.add(path)
        try:
            with anyio.fail_after(_LIMIT):
                found[path] = await anyio.to_thread.run_sync(
                    self._stat, path, limiter=self._threads, abandon_on_cancel=True
                )
        except TimeoutError:
            errors[f"disk.{path}"] = "hangs"
        except OSError as exc:
            errors[f"disk.{path}"] = f"{type(exc).__name__}: {exc.strerror}"

    def _stat(self, path: str) -> Disk:
        try:
            stat = os.statvfs(path)
        finally:
            # Also in a thread that nobody waits for any more.
            self._hanging.discard(path)
        return Disk(path, stat.f_blocks * stat.f_frsize, stat.f_bavail * stat.f_frsize)
