"""Which plugin makes a start fail, found by starting ever fewer of them, each time in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Collection, Sequence
from pathlib import Path

import anyio

from tta_kernel import ConfigError, Kernel
from tta_kernel.wiring import Wiring

from .config import LayeredSettings, load
from .exits import DONE, NOT_STARTED, WANTING
from .output import fail, printable_lines

_UNFIT = 4
"""The exit code of a try that says nothing: without the others these plugins can't be wired."""


class Trials:
    """Starts some of the plugins of a deployment, and says whether that failed."""

    def __init__(self, settings: LayeredSettings, wiring: Wiring, limit: float) -> None:
        self._source = settings.source
        self._records = wiring.chosen()
        self._limit = limit
        self.order = [name for level in wiring.levels for name in level]
        """Each after what it needs."""

    def fails(self, wanted: Collection[str]) -> bool:
        """Start these plugins and what they need, stop them, and say whether the start failed, or never ended."""
        chosen = self._with_needs(wanted)
        environment = dict(self._source.environ)
        for name in self._records.keys() - chosen:
            environment[f"TTA__PLUGINS__{name.upper().replace('-', '_')}__ENABLED"] = "false"
        command = [sys.executable, "-m", __name__, str(self._source.folder or ""), self._source.environment]
        try:
            code = subprocess.run(
                command, env=environment, timeout=self._limit, check=False, capture_output=True
            ).returncode
            told = {DONE: "starts", _UNFIT: "can't be started without the others"}.get(code, "fails")
        except subprocess.TimeoutExpired:
            told = f"doesn't start within {self._limit:g} s"
        line = f"{len(chosen)} of {len(self._records)} plugins: {told}: {', '.join(sorted(chosen))}"
        print(printable_lines(line), flush=True)
        return told not in ("starts", "can't be started without the others")

    def first(self, together: Sequence[str] = ()) -> str:
        """Return the first plugin of the order with which the start fails, ``together`` with these.

        The search halves what may be it each time, so that a hundred plugins take seven tries.
        """
        low, high = 0, len(self.order)
        while high - low > 1:
            middle = (low + high) // 2
            if self.fails([*self.order[:middle], *together]):
                high = middle
            else:
                low = middle
        return self.order[low]

    def _with_needs(self, wanted: Collection[str]) -> set[str]:
        todo, chosen = {*wanted}, set[str]()
        while todo:
            chosen |= todo
            todo = {needed for name in todo for needed in self._records[name].needs} - chosen
        return chosen


def bisect(settings: LayeredSettings, wiring: Wiring) -> int:
    """Name the plugin that makes the start fail, or the two that do so together; print each try."""
    if settings.complete:
        wiring.check()
    if wiring.problems:
        # Each try would be refused, and the first to be tried be taken for the culprit.
        told = "\n".join(map(str, wiring.problems))
        return fail("plugins bisect", f"nothing can be started; `tta check` tells all of it:\n{told}")
    trials = Trials(settings, wiring, settings.start_timeout + settings.stop_timeout + 10.0)
    if not (trials.order and trials.fails(trials.order)):
        print("all plugins start together")
        return DONE
    last = trials.first()
    if trials.fails([last]):
        print(f"the start fails because of {last!r}")
        return WANTING
    other = trials.first([last])
    alone = "" if trials.fails([other, last]) else ", and of others before them"
    print(f"the start fails because of {other!r} and {last!r} together{alone}")
    return WANTING


async def _try(settings: LayeredSettings) -> int:
    try:
        kernel = Kernel(settings)
        kernel.check()
    except ConfigError:
        return _UNFIT
    try:
        async with kernel:
            return DONE
    except Exception:  # noqa: BLE001 - that is what is looked for
        return NOT_STARTED


def _main(folder: str, environment: str) -> int:
    return anyio.run(_try, load(Path(folder) if folder else None, environment, os.environ))


if __name__ == "__main__":
    sys.exit(_main(*sys.argv[1:3]))
