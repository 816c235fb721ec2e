"""What tests of schedules are made of: workflows that begin whatever they are told to."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

import anyio
import msgspec

from tta_workflows.handle import Refused
from tta_workflows.journal import RunStatus
from tta_workflows.runs import Outcome, Run, RunHandle

T = TypeVar("T")


async def until(holds: Callable[[], Awaitable[T | None]], limit: float = 20.0) -> T:
    """Wait until something is there, and return it."""
    with anyio.fail_after(limit):
        while True:
            if found := await holds():
                return found
            await anyio.sleep(0.005)


@dataclass
class FakeWorkflows:
    """Runs by their key; ``calls`` are all starts, and ``begun`` those that began a run, by when.

    ``refuse``: the code with which a start is refused; ``over``: whether a run ends as soon as it has begun.
    """

    time: Callable[[], float]
    over: bool = True
    refuse: str = ""
    calls: list[str] = field(default_factory=list)
    begun: dict[str, float] = field(default_factory=dict)
    runs: dict[str, Run] = field(default_factory=dict)
    inputs: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    going: dict[str, None] = field(default_factory=dict)
    """The runs that aren't over, in the order in which they began."""

    async def start(
        self, name: str, input: Mapping[str, Any], *, key: str = "", session: str = "", owner: str = "",
        labels: Mapping[str, str] | None = None,
    ) -> RunHandle:  # fmt: skip
        self.calls.append(key)
        if self.refuse:
            return Refused(Run(key, name, "refused", error=self.refuse))
        if key not in self.runs:
            self.begun[key] = self.time()
            self.inputs[key] = input
            status: RunStatus = "done" if self.over else "running"
            self.runs[key] = Run(key, name, status, session=session, owner=owner, labels=labels or {})
            if not self.over:
                self.going[key] = None
        return Refused(self.runs[key])

    async def query(self, run: str) -> Run | None:
        return self.runs.get(run)

    async def cancel(self, run: str, *, by: str = "") -> Outcome:
        self.end(run, "cancelled")
        return Outcome("accepted")

    def end(self, key: str, status: RunStatus = "done") -> None:
        """End a run."""
        self.going.pop(key, None)
        self.runs[key] = msgspec.structs.replace(self.runs[key], status=status)
