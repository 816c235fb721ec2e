"""Runs as their callers see them, and the service that runs workflows."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any, ClassVar, Literal, Protocol

import msgspec

from tta_kernel import Event, Service

from .definition import Workflow
from .journal import RunPage, RunQuery, RunStatus
from .records import AnyRecord

StepStatus = Literal[
    "pending", "running", "waiting", "retrying", "done", "skipped", "failed", "degraded", "cancelled", "undone", "stuck"
]


class StepRun(msgspec.Struct, frozen=True):
    """What became of a step; ``error`` and ``detail`` are those of an `AgentError`, ``attempt`` counts from 1.

    ``trace`` is what its agent says of how it came to its output (`traces`), as ``by: model``.
    """

    id: str
    agent: str
    status: StepStatus
    seconds: float = 0.0
    error: str = ""
    detail: str = ""
    attempt: int = 0
    trace: Mapping[str, str] = {}

    @property
    def result(self) -> str:
        """Its status or, where it came to nothing, the error's code and what it says of it; and its trace."""
        came_to = ": ".join(filter(None, (self.error, self.detail))) or self.status
        how = ", ".join(f"{name} {word}" for name, word in self.trace.items())
        return f"{came_to} ({how})" if how else came_to


class Run(msgspec.Struct, frozen=True):
    """A run as it stands: all of it but ``output`` can be shown to an operator.

    ``percent`` of its steps are over; ``degraded`` steps gave their fallback; ``stuck`` ones could not be undone.
    ``error`` is the code of what ended it, and ``detail`` what is said of that; for a run that was ``refused``, why.
    ``waits`` says what keeps it from its first step: a slot of its ``concurrency``, or the pause of its ``debounce``.
    """

    id: str
    workflow: str
    status: RunStatus
    started_at: float = 0.0
    seconds: float = 0.0
    steps: tuple[StepRun, ...] = ()
    error: str = ""
    detail: str = ""
    output: Mapping[str, Any] = {}
    session: str = ""
    owner: str = ""
    labels: Mapping[str, str] = {}
    percent: int = 0
    degraded: tuple[str, ...] = ()
    stuck: tuple[str, ...] = ()
    definition: str = ""
    waits: Literal["", "concurrency", "debounce"] = ""

    @property
    def over(self) -> bool:
        """Whether nothing more will happen to it by itself."""
        return self.status not in ("running", "waiting", "paused", "undoing")


class Streamed(msgspec.Struct, frozen=True):
    """A piece of a step's text: ``number`` counts from 1 in its attempt.

    ``position`` says where it stands in the run's journal: a reader that comes back, anywhere, goes on after it.
    """

    step: str
    attempt: int
    number: int
    text: str
    position: int


class Retracted(msgspec.Struct, frozen=True):
    """What was streamed of a step in this and earlier attempts doesn't count: it failed, and is tried again."""

    step: str
    attempt: int
    position: int


class RunHandle(Protocol):
    """A run that may go on in any process."""

    @property
    def id(self) -> str:
        """The run's name."""

    def stream(self, after: int = 0) -> AbstractAsyncContextManager[AsyncIterator[Streamed | Retracted]]:
        """Read the pieces of its streamed steps until it is over, those after a position.

        A slow reader slows the step; one that leaves doesn't.
        """

    async def release(self, piece: Streamed, length: int) -> bool:
        """Record, before it is shown, that a person is told the first ``length`` characters of that step's text.

        There is no other attempt at that step afterwards. False where it is too late: it was retracted.
        """

    async def result(self) -> Run:
        """Wait until the run is over. Whoever is cancelled here doesn't cancel the run."""

    async def query(self) -> Run:
        """Return how it stands."""

    async def cancel(self, by: str = "") -> Run:
        """End the run, undo it as its definition says, and return how it ended."""


OutcomeStatus = Literal["accepted", "twice", "ended", "unknown", "refused"]


class Outcome(msgspec.Struct, frozen=True):
    """What became of a request about a run; ``detail`` says why it was refused."""

    status: OutcomeStatus
    detail: str = ""


class WorkflowsUnavailable(Exception):
    """Nobody can say now, since what the engine asks is away; nothing was changed. Ask again."""


class Workflows(Protocol):
    """Runs workflows. What can't be done is a status, and never an exception.

    What only looks (`find`, `query`, `list`, `history`, and `RunHandle.release`) raises `WorkflowsUnavailable` where
    nobody can say.
    """

    async def start(
        self, name: str, input: Mapping[str, Any], *, key: str = "", session: str = "", owner: str = "",
        labels: Mapping[str, str] | None = None, priority: int = 0, deadline: float = 0.0, fairness: str = "",
    ) -> RunHandle:  # fmt: skip
        """Begin a run; ``key`` names it: with the same key again it is the same run, as it was started first.

        ``owner`` is the person whose data the input carries: ``forget`` finds by it what the run leaves on its way.
        A run that can't begin is ``refused``, with the codes ``unknown_workflow``, ``bad_input``, ``too_large``,
        ``key_taken`` (by another workflow, input or owner), ``overloaded`` or ``rate_limited`` (later it may begin),
        ``held`` (an operator lets none begin) or ``unavailable``.

        The others say when its calls get a slot for which several wait: a higher ``priority`` may go first, the result
        is wanted by ``deadline`` (in seconds since the epoch; 0: as the definition says), and ``fairness`` is to whose
        share they count, in place of the owner's.
        """

    async def run(
        self, name: str, input: Mapping[str, Any], *, key: str = "", session: str = "", owner: str = "",
        labels: Mapping[str, str] | None = None, priority: int = 0, deadline: float = 0.0, fairness: str = "",
    ) -> Run:  # fmt: skip
        """Begin a run and wait for its result."""

    async def find(self, run: str) -> RunHandle | None:
        """Return a run by its name, also one that another process works on."""

    async def signal(self, run: str, step: str, data: Mapping[str, Any], *, id: str = "", by: str = "") -> Outcome:
        """Answer what a step waits for; the first answer counts, and the same ``id`` again is the same answer."""

    async def cancel(self, run: str, *, by: str = "") -> Outcome:
        """Ask for the end of a run, wherever it is worked on."""

    async def pause(self, run: str, *, by: str = "") -> Outcome:
        """Let nothing of a run go on until it is resumed; what an agent does for it is broken off, and done again then.

        While it is paused its time limit doesn't count, and it takes signals.
        """

    async def resume(self, run: str, *, by: str = "") -> Outcome:
        """Let a run go on that was paused, or set aside."""

    async def retry(self, run: str, *, by: str = "") -> Outcome:
        """Let a run that has failed, or was cancelled, go on where it was; what was taken back is done again."""

    async def rollback(self, run: str, savepoint: str = "", *, by: str = "") -> Outcome:
        """Take back what a run has done, all of it or what came after a savepoint; also of one that is over."""

    async def query(self, run: str) -> Run | None:
        """Return how a run stands."""

    async def list(self, query: RunQuery) -> RunPage:
        """List runs, the newest first."""

    async def history(self, run: str) -> Sequence[AnyRecord]:
        """Return a run's records, in the order of their commits."""

    def definitions(self) -> Mapping[str, Workflow]:
        """Return the known workflows, by name."""


class RunStarted(Event, frozen=True, tag="workflows.run-started"):
    """A run began, for a person (``owner``) in a session; without an owner it concerns nobody but operators."""

    __shown__: ClassVar = ("run", "workflow")

    run: str
    workflow: str
    session: str = ""
    owner: str = ""


class StepStarted(Event, frozen=True, tag="workflows.step-started"):
    """An attempt at a step began."""

    __shown__: ClassVar = ("run", "workflow", "step")

    run: str
    workflow: str
    step: str
    attempt: int
    percent: int = 0
    session: str = ""
    owner: str = ""


class StepFinished(Event, frozen=True, tag="workflows.step-finished"):
    """A step is over; ``percent`` of the run's steps are; ``session`` and ``owner`` are the run's."""

    __shown__: ClassVar = ("run", "step", "workflow")

    run: str
    step: StepRun
    workflow: str = ""
    percent: int = 0
    session: str = ""
    owner: str = ""


class RunSlow(Event, frozen=True, tag="workflows.run-slow"):
    """Three quarters of a run's time limit are over, and it isn't."""

    run: str
    workflow: str
    limit: float
    session: str = ""
    owner: str = ""


class StepSlow(Event, frozen=True, tag="workflows.step-slow"):
    """Three quarters of a step's time limit are over, and this attempt at it isn't."""

    __shown__: ClassVar = ("run", "workflow", "step")

    run: str
    workflow: str
    step: str
    attempt: int
    limit: float
    session: str = ""
    owner: str = ""


class RunQuiet(Event, frozen=True, tag="workflows.run-quiet"):
    """A run has come no further for so many seconds; ``steps`` are those whose agents are at work."""

    run: str
    workflow: str
    steps: tuple[str, ...] = ()
    seconds: float = 0.0
    session: str = ""
    owner: str = ""


class RunFinished(Event, frozen=True, tag="workflows.run-finished"):
    """A run is over; ``session`` and ``owner`` are the run's."""

    __shown__: ClassVar = ("run", "workflow", "status", "error")

    run: str
    workflow: str
    status: str
    seconds: float
    error: str = ""
    session: str = ""
    owner: str = ""


class WorkflowSaid(Event, frozen=True, tag="workflows.said"):
    """A definition's ``publish``, under the definition's own ``name``."""

    __shown__: ClassVar = ("name", "id", "run", "workflow")

    name: str
    id: str
    run: str
    workflow: str
    data: Mapping[str, Any] = {}
    session: str = ""
    owner: str = ""


DEFINITIONS = Service[Mapping[str, Workflow]]("workflow-definitions")
"""The workflows that this deployment defines, by name."""
WORKFLOWS = Service[Workflows]("workflows")
"""Running a workflow: steps that are fed from what came before, and whose run outlives its process."""
