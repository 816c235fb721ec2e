"""What is asked for over HTTP: definitions, runs, and what an operator does about a run."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any

import msgspec

from tta_http import (
    CONFLICT,
    NOT_FOUND,
    UNAVAILABLE,
    Paged,
    Part,
    Principal,
    Route,
    cursor_after,
    part_of,
)  # fmt: skip
from tta_kernel import Kernel, KernelError

from .journal import JournalCorrupt, JournalError, JournalFull, RunQuery, RunStatus, RunSummary
from .runs import DEFINITIONS, WORKFLOWS, Outcome, OutcomeStatus, Run, StepRun, Workflows, WorkflowsUnavailable
from .shown import sizes, without_text

Id = Annotated[str, msgspec.Meta(min_length=1, max_length=256)]
Name = Annotated[str, msgspec.Meta(max_length=256)]
READ = "runs:read"
_UNDOING = ("undoadded", "undone", "rolledback", "asked")
"""Kinds of records that tell what can be taken back, what was, and who wanted it."""


class WorkflowView(msgspec.Struct, frozen=True):
    """A definition in short."""

    name: str
    steps: int
    timeout: float
    description: str = ""


class WorkflowList(Part[WorkflowView], frozen=True):
    """Definitions, by name."""


class AskRuns(Paged, frozen=True, forbid_unknown_fields=True):
    """Which runs, the newest first: all that is given must hold."""

    workflow: Name = ""
    status: RunStatus | None = None
    session: Name = ""
    owner: Name = ""


class RunList(Part[RunSummary], frozen=True):
    """Runs, the newest first."""


class AskRun(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A run; ``text`` asks for what was said, too."""

    id: Id
    text: bool = False


class RunView(msgspec.Struct, frozen=True):
    """A run as it stands. Of its output there are names and sizes in bytes, and with ``text`` all of it."""

    id: str
    workflow: str
    status: RunStatus
    started_at: float
    seconds: float
    percent: int
    steps: Sequence[StepRun]
    error: str = ""
    session: str = ""
    owner: str = ""
    labels: Mapping[str, str] = {}
    degraded: Sequence[str] = ()
    stuck: Sequence[str] = ()
    definition: str = ""
    output_sizes: Mapping[str, int] = {}
    output: Mapping[str, Any] | None = None
    waits: str = ""


class RunHistory(msgspec.Struct, frozen=True):
    """Records of a run in the order of their commits, each with its ``no``, ``kind`` and ``at``; without text sizes."""

    records: Sequence[Mapping[str, Any]]


class Act(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Something to do about a run."""

    id: Id


class Rollback(Act, frozen=True, forbid_unknown_fields=True):
    """What to take back: what came after a savepoint, or all."""

    savepoint: Name = ""


class SignalRun(Act, frozen=True, forbid_unknown_fields=True):
    """An answer to what a step waits for; the same ``signal`` again is the same answer."""

    step: Id
    data: dict[str, Any]
    signal: Name = ""


class Accepted(msgspec.Struct, frozen=True):
    """It was taken up: whoever works on the run sees to it. ``twice``: it was before."""

    status: OutcomeStatus


def workflow_routes(kernel: Callable[[], Kernel]) -> Sequence[Route]:
    """Return the routes; ``kernel`` has the engine, whichever plugin that is."""
    return _Routes(kernel).declared()


class _Routes:
    def __init__(self, kernel: Callable[[], Kernel]) -> None:
        self._kernel = kernel

    def declared(self) -> Sequence[Route]:
        common: dict[str, Any] = {
            "method": "POST",
            "response": Accepted,
            "status": 202,
            "problems": (NOT_FOUND, CONFLICT),
            "example": Accepted("accepted"),
        }
        return [
            Route(
                method="GET", path="/workflows", permission="workflows:read", request=Paged, response=WorkflowList,
                summary="List the definitions of workflows.", handler=self.definitions,
                example=WorkflowList([WorkflowView("turn", 5, 30.0, "one turn of the story")]),
            ),
            Route(
                method="GET", path="/runs", permission=READ, request=AskRuns, response=RunList, problems=(NOT_FOUND,),
                summary="List runs, the newest first.", handler=self.runs,
                example=RunList([RunSummary("r-1", "turn", "done", 1_790_000_000.0, 1_790_000_000.2)]),
            ),
            Route(
                method="GET", path="/runs/{id}", permission=READ, request=AskRun, response=RunView, reveals="text",
                summary="Show a run and its steps.", handler=self.run, problems=(NOT_FOUND, CONFLICT),
                example=RunView(
                    "r-1", "turn", "done", 1_790_000_000.0, 0.2, 100,
                    [StepRun("story", "narrative-generator", "done", 0.02, attempt=1)], output_sizes={"text": 412},
                ),
            ),
            Route(
                method="GET", path="/runs/{id}/history", permission=READ, request=AskRun, response=RunHistory,
                summary="Show what happened in a run.", handler=self.history, reveals="text",
                problems=(NOT_FOUND, CONFLICT),
                example=RunHistory([{"no": 1, "kind": "started", "at": 1_790_000_000.0}]),
            ),
            Route(
                method="GET", path="/runs/{id}/rollback-history", permission=READ, request=AskRun,
                response=RunHistory, summary="Show what of a run was taken back.", handler=self.undoing,
                reveals="text", problems=(NOT_FOUND, CONFLICT), example=RunHistory([]),
            ),
            Route(
                path="/runs/{id}/cancel", permission="runs:cancel", request=Act, handler=self.cancel,
                summary="Ask for the end of a run, wherever it is worked on.", **common,
            ),
            Route(
                path="/runs/{id}/pause", permission="runs:pause", request=Act, handler=self.pause,
                summary="Let nothing of a run go on until it is resumed.", **common,
            ),
            Route(
                path="/runs/{id}/resume", permission="runs:resume", request=Act, handler=self.resume,
                summary="Let a run go on that was paused or set aside.", **common,
            ),
            Route(
                path="/runs/{id}/retry", permission="runs:retry", request=Act, handler=self.retry,
                summary="Let a run that has failed, or was cancelled, go on where it was.", **common,
            ),
            Route(
                path="/runs/{id}/rollback", permission="runs:rollback", request=Rollback, handler=self.rollback,
                summary="Take back what a run has done, all of it or what came after a savepoint.", **common,
            ),
            Route(
                path="/runs/{id}/signal", permission="runs:signal", request=SignalRun, handler=self.signal,
                summary="Answer what a step of a run waits for.", **common,
            ),
        ]  # fmt: skip

    def _workflows(self) -> Workflows:
        try:
            return self._kernel().get(WORKFLOWS)
        except KernelError:
            raise UNAVAILABLE("no engine of workflows runs here") from None

    async def definitions(self, request: Paged, principal: Principal) -> WorkflowList:
        found = self._kernel().get(DEFINITIONS)
        names, cursor = part_of([*found], request)
        shown = [
            WorkflowView(name, len(found[name].steps), found[name].timeout, found[name].description) for name in names
        ]
        return WorkflowList(shown, cursor)

    async def runs(self, request: AskRuns, principal: Principal) -> RunList:
        query = RunQuery(
            workflow=request.workflow, status=request.status, session=request.session, owner=request.owner,
            most=request.limit, cursor=request.after,
        )  # fmt: skip
        try:
            page = await self._workflows().list(query)
        except ValueError:
            raise NOT_FOUND("that cursor is of another list") from None
        except (JournalError, WorkflowsUnavailable) as exc:
            raise UNAVAILABLE(f"the journal of runs can't be read: {exc}") from None
        return RunList(page.runs, cursor_after(page.cursor) if page.cursor else None)

    async def run(self, request: AskRun, principal: Principal) -> RunView:
        run = await self._found(self._workflows().query, request.id)
        if run is None:
            raise NOT_FOUND("there is no run of this id, or no more than its summary")
        return _view(run, text=request.text)

    async def history(self, request: AskRun, principal: Principal) -> RunHistory:
        records = await self._found(self._workflows().history, request.id)
        if not records:
            raise NOT_FOUND("there is no run of this id, or no more than its summary")
        if request.text:
            return RunHistory([{"no": n, **msgspec.to_builtins(each)} for n, each in enumerate(records, 1)])
        return RunHistory([without_text(number, record) for number, record in enumerate(records, 1)])

    async def undoing(self, request: AskRun, principal: Principal) -> RunHistory:
        whole = await self.history(request, principal)
        return RunHistory([each for each in whole.records if each["kind"] in _UNDOING])

    async def _found(self, ask: Callable[[str], Any], id: str) -> Any:
        try:
            return await ask(id)
        except (JournalError, WorkflowsUnavailable) as exc:
            raise UNAVAILABLE(f"the journal of runs can't be read: {exc}") from None
        except (JournalCorrupt, JournalFull):
            raise CONFLICT("the journal of this run can't be read; it is set aside") from None

    async def cancel(self, request: Act, principal: Principal) -> Accepted:
        return _accepted(await self._workflows().cancel(request.id, by=principal.name))

    async def pause(self, request: Act, principal: Principal) -> Accepted:
        return _accepted(await self._workflows().pause(request.id, by=principal.name))

    async def resume(self, request: Act, principal: Principal) -> Accepted:
        return _accepted(await self._workflows().resume(request.id, by=principal.name))

    async def retry(self, request: Act, principal: Principal) -> Accepted:
        return _accepted(await self._workflows().retry(request.id, by=principal.name))

    async def rollback(self, request: Rollback, principal: Principal) -> Accepted:
        return _accepted(await self._workflows().rollback(request.id, request.savepoint, by=principal.name))

    async def signal(self, request: SignalRun, principal: Principal) -> Accepted:
        said = await self._workflows().signal(
            request.id, request.step, request.data, id=request.signal, by=principal.name
        )
        if said.status == "refused":
            # Not what is said of it: that may quote the answer.
            raise CONFLICT("no such step of it waits for that answer")
        return _accepted(said)


def _accepted(said: Outcome) -> Accepted:
    if said.status == "unknown":
        raise NOT_FOUND("there is no run of this id, or no more than its summary")
    if said.status in ("ended", "refused"):
        raise CONFLICT(said.detail or "the run is over")
    return Accepted(said.status)


def _view(run: Run, *, text: bool) -> RunView:
    return RunView(
        run.id, run.workflow, run.status, run.started_at, run.seconds, run.percent, run.steps, run.error, run.session,
        run.owner, run.labels, run.degraded, run.stuck, run.definition, sizes(run.output), run.output if text else None,
        run.waits,
    )  # fmt: skip
