"""Worker processes, each started again whenever it is killed."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import anyio
import anyio.abc
import msgspec

from .worker import WorkerSpec

_PYTHONPATH = os.pathsep.join(filter(None, [str(Path(__file__).parents[1]), os.environ.get("PYTHONPATH", "")]))


class WorkerProcess:
    """One producer or consumer over all its lives, each of which has a history of its own in ``folder``."""

    def __init__(self, folder: Path, spec: WorkerSpec) -> None:
        self._folder, self._spec = folder, spec
        self._lives = 0
        self._process: anyio.abc.Process | None = None
        self._stopping = False

    async def supervise(self) -> None:
        """Keep it running until it is done or stopped; an end that nobody wanted is an error, with its log."""
        while not self._stopping:
            self._lives += 1
            name = f"{self._spec.name}-{self._lives}"
            code = await self._live(name)
            if self._stopping and code in (0, -signal.SIGTERM, -signal.SIGKILL):
                return
            if code == 0 and self._spec.role == "producer":
                return
            if code != -signal.SIGKILL:
                log = (self._folder / f"{name}.log").read_text()
                raise AssertionError(f"{name} ended with {code}: {log[-3000:]}")

    async def _live(self, name: str) -> int:
        history, spec = self._folder / f"{name}.jsonl", self._folder / f"{name}.json"
        spec.write_bytes(msgspec.json.encode(msgspec.structs.replace(self._spec, history=str(history))))
        command = [sys.executable, "-m", f"{__package__}.worker", str(spec)]
        environment = {**os.environ, "PYTHONPATH": _PYTHONPATH}
        with (self._folder / f"{name}.log").open("wb") as log:
            self._process = await anyio.open_process(command, stdin=None, stdout=log, stderr=log, env=environment)
        try:
            return await self._process.wait()
        finally:
            if self._process.returncode is None:
                self._process.kill()

    @property
    def has_started(self) -> bool:
        """Whether it has reached Redis once: its kernel gives up when it finds none while starting, and not later."""
        return (self._folder / f"{self._spec.name}-1.jsonl").exists()

    def stop(self) -> None:
        """End it in order, and for good."""
        self._stopping = True
        self.send_signal(signal.SIGTERM)

    def send_signal(self, number: signal.Signals) -> None:
        if self._process is not None and self._process.returncode is None:
            self._process.send_signal(number)
