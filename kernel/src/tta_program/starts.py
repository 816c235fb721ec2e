"""Who fails to start, and who starts: counted for the quarantine."""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator, Iterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Self

import anyio

from tta_kernel import ConfigError, Kernel, State
from tta_kernel.lifecycle import PluginStateChanged
from tta_kernel.records import Record

from .logs import Redactor
from .quarantine import TIMES, Quarantine
from .watch import BLOCKED

log = logging.getLogger("tta.kernel")


class StartCount:
    """Counts the starts of a kernel's optional plugins in the file that ``kernel.quarantine`` names, if it does.

    ``with StartCount(kernel) as count:`` before the kernel starts, and ``async with count.counting():`` as soon as it
    has. So a start that somebody interrupts counts for nobody, nor does one that a required plugin ends.
    """

    def __init__(self, kernel: Kernel, *, wanted: bool = True) -> None:
        self._kernel = kernel
        path: Path | None = getattr(kernel.settings, "quarantine", None)
        self._quarantine = Quarantine(path) if path and wanted else None
        self._ran: set[str] = set()

    def __enter__(self) -> Self:
        # More changes than there are while plugins start, unless one tries again and again.
        self._changes = self._kernel.events.attach(PluginStateChanged, buffer=10_000)
        return self

    def __exit__(self, *exc: object) -> None:
        self._kernel.events.detach(self._changes)

    @asynccontextmanager
    async def counting(self) -> AsyncGenerator[None]:
        """Count who has failed, and who has started, now or by the time that the block ends."""
        self._kernel.events.detach(self._changes)
        if self._quarantine is None:
            yield
            return
        self._ran = {change.plugin for change in self._changes.buffer if change.state == State.RUNNING}
        failed = dict(self._failed())
        await self._count(self._quarantine, self._ran, failed)
        try:
            yield
        finally:
            late = {record.name for record in self._kernel.records.values() if record.running} - self._ran
            if late:
                # It wasn't ready at first. Nobody cancels that: it lasts no longer than a lock may be held.
                with anyio.CancelScope(shield=True):
                    await self._count(self._quarantine, late, {})

    def _failed(self) -> Iterator[tuple[str, str]]:
        redact = Redactor(self._kernel.secrets)
        for level in self._kernel.wiring.levels:
            for record in map(self._kernel.records.__getitem__, level):
                if record.state is State.FAILED and not record.vital and self._is_to_blame(record):
                    yield record.name, redact(record.reason)

    def _is_to_blame(self, record: Record) -> bool:
        """Say whether the start failed, and because of the plugin itself."""
        if record.name in self._ran or record.problems:
            return False
        # One whose time was over while another blocked the event loop; a time-out says so.
        if BLOCKED in record.reason and repr(record.name) not in record.reason:
            return False
        return all(self._kernel.records[name].running for name in record.needs)

    async def _count(self, quarantine: Quarantine, started: set[str], failed: Mapping[str, str]) -> None:
        try:
            await anyio.to_thread.run_sync(lambda: quarantine.count(started=started, failed=failed))
        except ConfigError as exc:
            log.warning("failed starts are not counted: %s", exc)
            return
        for name in failed:
            log.info("plugin %r has failed to start; after %d such starts in a row it is left out", name, TIMES)
