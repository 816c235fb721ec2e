"""A workflow as data, and what one run of it did."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Protocol

import msgspec

from tta_agents import OnPiece
from tta_kernel import Event, PositiveDuration, Service

Paths = Mapping[str, str]
"""Field to path: ``input.x`` of the run, or ``steps.<id>.x`` of an earlier step's output."""


class Step(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One call of an agent; ``timeout`` in seconds, ``stream`` hands its pieces on as they come."""

    id: str
    agent: str
    input: Paths = {}
    instance: str | None = None
    timeout: PositiveDuration | None = None
    stream: bool = False


class Workflow(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Steps, one after the other; ``output`` says what a run returns."""

    steps: Annotated[tuple[Step, ...], msgspec.Meta(min_length=1)]
    output: Paths = {}
    timeout: PositiveDuration = 30.0


class WorkflowUse(msgspec.Struct, frozen=True):
    """What a plugin gives to a workflow, and what it reads of its output, as Structs' fields.

    ``key`` is the key of the plugin's config that names the workflow.
    """

    workflow: str
    input: type[msgspec.Struct]
    output: type[msgspec.Struct]
    key: str = ""


class StepRun(msgspec.Struct, frozen=True):
    """What became of a step; ``error`` and ``detail`` are those of an `AgentError`."""

    id: str
    agent: str
    status: Literal["done", "failed"]
    seconds: float
    error: str = ""
    detail: str = ""

    @property
    def result(self) -> str:
        """``done``, or why it isn't: the error's code and what it says of it."""
        return ": ".join(filter(None, (self.error, self.detail))) or self.status


class Run(msgspec.Struct, frozen=True):
    """One run of a workflow; ``output`` stays with the caller and is not kept."""

    id: str
    workflow: str
    status: Literal["running", "done", "failed"]
    started_at: float
    seconds: float = 0.0
    steps: tuple[StepRun, ...] = ()
    error: str = ""
    output: Mapping[str, Any] = {}


class UnknownWorkflow(LookupError):
    """No workflow of that name is configured."""


class Workflows(Protocol):
    """Runs the configured workflows."""

    async def run(
        self, name: str, input: Mapping[str, Any], *, key: str, session: str = "", owner: str = "",
        on_piece: OnPiece | None = None,
    ) -> Run:  # fmt: skip
        """Run one; ``key`` names the run and makes its steps idempotent.

        ``owner`` is the person whose data the input carries: ``forget`` finds by it what the steps' calls
        leave on their way.

        A step that fails makes the run ``failed``, with the error's code; only `UnknownWorkflow`
        raises. What a path doesn't find is left out of the request: its reader decides.
        """

    def definitions(self) -> Mapping[str, Workflow]:
        """Return the configured workflows, by name."""

    def get(self, run: str) -> Run | None:
        """Return a run of late, without its output."""


class RunStarted(Event, frozen=True, tag="workflows.run-started"):
    """A run began, for a person (``owner``) in a session; without an owner it concerns nobody but operators."""

    run: str
    workflow: str
    session: str = ""
    owner: str = ""


class StepFinished(Event, frozen=True, tag="workflows.step-finished"):
    """A step is done, or failed; ``session`` and ``owner`` are the run's."""

    run: str
    step: StepRun
    session: str = ""
    owner: str = ""


class RunFinished(Event, frozen=True, tag="workflows.run-finished"):
    """A run is done, or failed; ``session`` and ``owner`` are the run's."""

    run: str
    workflow: str
    status: str
    seconds: float
    error: str = ""
    session: str = ""
    owner: str = ""


WORKFLOWS = Service[Workflows]("workflows")
