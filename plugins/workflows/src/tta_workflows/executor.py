"""The service `WORKFLOWS` in this process: begins runs, takes over others', and answers what is asked of any."""

from __future__ import annotations

import secrets
import time
import uuid
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import Any

import anyio
import msgspec

from tta_breakers import Permit
from tta_kernel import correlation_id, suggest
from tta_messages import Backoff

from . import breaking
from .admission import Admission, names_problem, terms_problem
from .definition import Workflow
from .engine import Engine
from .execution import Execution
from .handle import Handle, Refused
from .holding import Held
from .journal import (
    Appended,
    Fenced,
    JournalCorrupt,
    JournalError,
    JournalFull,
    Journalled,
    Lease,
    RunHead,
    RunPage,
    RunQuery,
)  # fmt: skip
from .membership import Membership
from .operations import Action, ask
from .plan import PlanError
from .plans import Plans
from .records import AnyRecord, Signal, TakenOver
from .runs import Outcome, OutcomeStatus, Run, RunHandle, WorkflowsUnavailable
from .state import OVER, State, view
from .telling import tell_start
from .validation import misfits
from .watching import Watch


class Executor:
    """Runs workflows over an `Engine`; `running` is entered before anything is asked of it."""

    def __init__(self, engine: Engine, definitions: Mapping[str, Workflow], *, process: str = "") -> None:
        self._engine, self._definitions = engine, definitions
        self._plans = Plans(engine.journal, definitions)
        self._membership = Membership(
            engine, process or secrets.token_hex(6), lost=self._lose, taken=self._take
        )  # fmt: skip
        self._executions: dict[str, Execution] = {}
        self._admission = Admission(engine.settings.runs)
        self._held = Held(engine.journal, engine.log, engine.settings.lease / 3)
        self._idle = anyio.Event()

    # Its life.

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Hold runs for as long as the block; afterwards others may go on with what isn't over."""
        engine, settings = self._engine, self._engine.settings
        async with anyio.create_task_group() as tasks:
            engine.tasks = tasks
            tasks.start_soon(engine.alarms.run)
            tasks.start_soon(self._membership.run)
            tasks.start_soon(Watch(engine, settings.quiet_after).run, self._executions.values())
            with anyio.move_on_after(settings.patience):
                await self._membership.joined.wait()
            tasks.start_soon(self._held.run)
            try:
                yield
            finally:
                self._membership.draining = True
                for execution in list(self._executions.values()):
                    if execution.state.status == "waiting":
                        execution.leave("draining")
                with anyio.move_on_after(settings.grace, shield=True):
                    await self._until_idle()
                for execution in list(self._executions.values()):
                    execution.leave("draining")
                with anyio.CancelScope(shield=True):
                    await self._until_idle()
                tasks.cancel_scope.cancel()
                with anyio.move_on_after(settings.grace, shield=True):
                    try:
                        await self._membership.leave()
                    except JournalError as exc:
                        engine.log.warning("the lease on runs is left to its end: %s", exc)
        engine.tasks = None
        if engine.interrupt is not None:
            raise engine.interrupt

    async def _until_idle(self) -> None:
        while self._executions:
            self._idle = anyio.Event()
            await self._idle.wait()

    def forget(self, owner: str) -> None:
        """Let go of a person's runs: whoever erases them, perhaps in another process, can't reach what is here."""
        for execution in list(self._executions.values()):
            if execution.head.owner == owner:
                execution.leave("fenced")

    def _lose(self, lease: Lease) -> None:
        for execution in list(self._executions.values()):
            if execution.lease is lease:
                execution.leave("lost")

    async def _take(self, lease: Lease, run: str) -> None:
        """Go on with a run that is ours now."""
        if (before := self._executions.get(run)) is not None:
            if before.lease is not lease:  # It was lost, is ours again, and has yet to end as what it was.
                self._membership.look_for(run)
            return
        log, journal = self._engine.log, self._engine.journal
        try:
            found = await journal.read(run)
            if found is None:
                return
            plan = await self._plans.of_run(found.head)
        except (JournalCorrupt, PlanError) as exc:
            await self._set_aside(lease, run, str(exc))
            return
        state = State(found.records)
        if state.acting and state.vanished >= self._engine.settings.takeovers:
            await self._set_aside(lease, run, f"{state.vanished} processes in a row have vanished with it")
            return
        log.info("run %s of workflow %s is taken over", run, found.head.workflow)
        taken = TakenOver(at=self.now(), process=lease.process) if state.acting else None
        execution = Execution(self._engine, lease, found, plan, taken)
        execution.is_taken_over = True
        self._begin(execution)

    async def _set_aside(self, lease: Lease, run: str, why: str) -> None:
        self._engine.log.error("run %s is set aside, and a human must look: %s", run, why)
        with suppress(Fenced):
            await self._engine.journal.set_aside(lease, run, why)

    def _begin(self, execution: Execution) -> None:
        self._executions[execution.head.id] = execution
        self._engine.start_soon(self._run, execution)

    async def _run(self, execution: Execution) -> None:
        try:
            await execution.run()
        finally:
            id = execution.head.id
            if execution.permit is not None:
                breaking.report(execution.permit, execution.state)
            if self._executions.get(id) is execution:
                del self._executions[id]
            if execution.left == "resumed":
                self._membership.look_for(id)
            if not self._executions:
                self._idle.set()

    # Beginning.

    def definitions(self) -> Mapping[str, Workflow]:
        return self._definitions

    async def start(
        self, name: str, input: Mapping[str, Any], *, key: str = "", session: str = "", owner: str = "",
        labels: Mapping[str, str] | None = None, priority: int = 0, deadline: float = 0.0, fairness: str = "",
    ) -> RunHandle:  # fmt: skip
        id = key or secrets.token_hex(16)
        refuse = _Refusal(id, name, session, owner)
        if name not in self._definitions:
            known = suggest(name, self._definitions)
            return refuse("unknown_workflow", f"no workflow is called {name!r}; {known}")
        try:
            plan = self._plans.of(name)
            given = msgspec.msgpack.decode(msgspec.msgpack.encode(input))
        except PlanError as exc:
            return refuse("unknown_workflow", f"workflow {name!r} can't be run: {exc}")
        except (TypeError, ValueError, OverflowError, RecursionError):
            return refuse("bad_input", "it holds what can't be stored")
        if not isinstance(given, dict):
            return refuse("bad_input", "it has no fields")
        if wrong_terms := terms_problem(priority, deadline, fairness):
            return refuse("bad_input", wrong_terms)
        if wrong_names := names_problem(id, session, owner, labels or {}):
            return refuse("bad_input", wrong_names)
        if plan.workflow.takes is not None and (wrong := misfits(plan.workflow.takes, given)):
            return refuse("bad_input", "; ".join(wrong))
        lease = self._membership.lease
        if lease is None or self._membership.draining:
            return refuse("unavailable", "this process holds no runs now")
        if plan.sends and self._engine.messages is None:
            return refuse("unavailable", "it sends messages, and nothing provides them")
        head = RunHead(
            id=id, workflow=name, definition=plan.definition, created_at=self.now(), input=given, session=session,
            owner=owner, labels=dict(labels or {}), correlation_id=correlation_id.get(), priority=priority,
            deadline=deadline, fairness=fairness,
        )  # fmt: skip
        refusal = None
        if not self._engine.pools.is_reserved(plan.workflow.execution.pool):
            if name in self._held.names:
                refusal = ("held", f"an operator holds {name!r} back: `tta runs resume --workflow {name} --new`")
            else:
                refusal = self._admission.refusal(head, plan, self._executions, time.monotonic())
        try:
            # What has begun already is asked for, and not refused.
            if refusal is not None and await self._engine.journal.summary(id) is None:
                return refuse(*refusal)
            if plan.workflow.execution.singleton is not None:
                head = msgspec.structs.replace(head, id=await self._engine.entrance.single(plan, head))
        except JournalError as exc:
            return refuse("unavailable", str(exc))
        execution = Execution(self._engine, lease, Journalled(head), plan)
        try:
            return await self._enter(execution, given, refuse)
        finally:
            if execution.permit is not None and self._executions.get(head.id) is not execution:
                execution.permit.returned()  # It was not begun here, or not now.

    async def _enter(self, execution: Execution, given: Mapping[str, Any], refuse: _Refusal) -> RunHandle:
        """Begin a run, unless there is one of its key, or its workflow's breaker is open."""
        head, plan, breakers = execution.head, execution.plan, self._engine.breakers
        first = () if plan.is_gated else execution.steps.begin()
        try:
            if breakers is not None and not execution.is_reserved:
                answer = await breaking.admit(breakers, head.workflow)
                if isinstance(answer, Permit):
                    execution.permit = answer
                elif await self._engine.journal.summary(head.id) is None:
                    return refuse(breaking.CODE, breaking.why(answer))
            found, created = await self._create(execution, first)
        except JournalError as exc:
            return refuse("unavailable", str(exc))
        except JournalFull as exc:
            return refuse("too_large", str(exc))
        if created:
            execution.writer.stored.extend(first)
            self._begin(execution)
            tell_start(execution, first)
            return Handle(self, head.id, execution)
        before = found.head
        forgotten = found.status in OVER and not before.input
        same = (before.workflow, before.owner) == (head.workflow, head.owner)
        if not same or not (forgotten or before.input == given or plan.workflow.execution.singleton is not None):
            return refuse("key_taken", f"there is another run of the key {head.id!r}")
        return Handle(self, head.id, self._executions.get(head.id))

    async def _create(self, execution: Execution, first: Sequence[AnyRecord]) -> tuple[Journalled, bool]:
        await self._plans.store(execution.plan)
        try:
            return await self._engine.journal.create(execution.lease, execution.head, first, execution.state.status)
        except (JournalError, anyio.get_cancelled_exc_class()):
            # It may be there all the same, and then nobody else may go on with it.
            self._membership.look_for(execution.head.id)
            raise

    async def run(
        self, name: str, input: Mapping[str, Any], *, key: str = "", session: str = "", owner: str = "",
        labels: Mapping[str, str] | None = None, priority: int = 0, deadline: float = 0.0, fairness: str = "",
    ) -> Run:  # fmt: skip
        handle = await self.start(
            name, input, key=key, session=session, owner=owner, labels=labels, priority=priority, deadline=deadline,
            fairness=fairness,
        )  # fmt: skip
        return await handle.result()

    # What is asked of any run.

    async def find(self, run: str) -> RunHandle | None:
        if (execution := self._executions.get(run)) is not None:
            return Handle(self, run, execution)
        with _unavailable():
            return Handle(self, run) if await self._engine.journal.summary(run) is not None else None

    async def signal(self, run: str, step: str, data: Mapping[str, Any], *, id: str = "", by: str = "") -> Outcome:
        try:
            if (execution := self.execution(run)) is not None:
                state, planned = execution.state, execution.plan.find(step)
            else:
                found = await self._engine.journal.read(run)
                if found is None:
                    return Outcome("unknown", f"there is no run {run!r}")
                state, planned = State(found.records), (await self._plans.of_run(found.head)).find(step)
            if planned is None or not planned.step.signal:
                return Outcome("refused", f"no step {step!r} of it waits for an answer")
            given = msgspec.msgpack.decode(msgspec.msgpack.encode(data))
            if planned.step.response is not None and (wrong := misfits(planned.step.response, given)):
                return Outcome("refused", "; ".join(wrong))
            waiting = state.steps.get(step)
            if waiting is not None and waiting.answer is not None:
                return Outcome("twice", "it has been answered")
            record = Signal(at=self.now(), step=step, data=given, id=id, by=by)
            return Outcome(_OUTCOMES[await self.append(run, record, id=f"{step}:{id}" if id else "")])
        except (TypeError, ValueError, OverflowError, RecursionError):
            return Outcome("refused", "it holds what can't be stored")
        except (JournalError, JournalCorrupt, JournalFull, PlanError) as exc:
            return Outcome("refused", str(exc))

    async def cancel(self, run: str, *, by: str = "") -> Outcome:
        return await self._ask(run, "cancel", by)

    async def pause(self, run: str, *, by: str = "") -> Outcome:
        return await self._ask(run, "pause", by)

    async def resume(self, run: str, *, by: str = "") -> Outcome:
        return await self._ask(run, "resume", by)

    async def retry(self, run: str, *, by: str = "") -> Outcome:
        return await self._ask(run, "retry", by)

    async def _ask(self, run: str, action: Action, by: str, savepoint: str = "") -> Outcome:
        journal, id = self._engine.journal, uuid.uuid4().hex
        try:
            outcome = await ask(journal, run, action, at=self.now(), id=id, by=by, savepoint=savepoint)
        except (JournalError, JournalFull) as exc:
            return Outcome("refused", str(exc))
        if (execution := self._executions.get(run)) is not None:
            await execution.notice()
        return outcome

    async def rollback(self, run: str, savepoint: str = "", *, by: str = "") -> Outcome:
        try:
            if savepoint and (found := await self._engine.journal.read(run)) is not None:
                plan = await self._plans.of_run(found.head)
                if savepoint not in plan.workflow.savepoints:
                    known = suggest(savepoint, plan.workflow.savepoints)
                    return Outcome("refused", f"no savepoint is called {savepoint!r}; {known}")
        except (JournalError, JournalCorrupt, PlanError) as exc:
            return Outcome("refused", str(exc))
        return await self._ask(run, "rollback", by, savepoint)

    async def adopt(self, run: str) -> bool:
        """Go on with a run that nobody holds; False where somebody does, or there is none. Raises `JournalError`."""
        lease = self._membership.lease
        if lease is None or not await self._engine.journal.take(lease, run):
            return False
        await self._take(lease, run)
        return True

    async def query(self, run: str) -> Run | None:
        with _unavailable():
            found, _ = await self.look(run)
        return None if found.status == "refused" else found

    async def list(self, query: RunQuery) -> RunPage:
        with _unavailable():
            return await self._engine.journal.list(query)

    async def history(self, run: str) -> Sequence[AnyRecord]:
        with _unavailable():
            found = await self._engine.journal.read(run)
        return found.records if found is not None else ()

    # For handles.

    def now(self) -> float:
        """Return the time, in seconds since the epoch."""
        return self._engine.clock.time()

    def execution(self, run: str) -> Execution | None:
        """Return a run that this process works on, and hasn't left to others."""
        execution = self._executions.get(run)
        return execution if execution is not None and not execution.left else None

    async def append(self, run: str, record: AnyRecord, *, id: str) -> Appended:
        """Add what somebody says to a run, and tell it where it is worked on here."""
        said = await self._engine.journal.append(run, record, id=id)
        if (execution := self._executions.get(run)) is not None:
            await execution.notice()
        return said

    async def read(self, run: str, after: int = 0) -> Journalled | None:
        """Read a run's journal."""
        return await self._engine.journal.read(run, after)

    async def wait(self, run: str, after: int, limit: float) -> None:
        """Wait for news of a run of another process."""
        await self._engine.journal.wait(run, after, limit)

    def backoff(self) -> Backoff:
        """Return what waits while the journal is away."""
        return self._engine.backoff()

    async def look(self, run: str) -> tuple[Run, Journalled | None]:
        """Return how a run stands by its journal; where only its summary is left, by that; ``refused`` is none."""
        if (execution := self.execution(run)) is not None:
            return execution.view(), None
        try:
            found = await self._engine.journal.read(run)
        except JournalCorrupt:
            found = None  # Its summary says that it is set aside.
        if found is not None:
            try:
                plan = await self._plans.of_run(found.head)
            except PlanError:
                plan = None
            return view(found.head, plan, State(found.records), self.now(), status=found.status), found
        summary = await self._engine.journal.summary(run)
        if summary is None:
            return Run(run, "", "refused", error="unknown_run"), None
        left = Run(
            run, summary.workflow, summary.status, summary.created_at, error=summary.code, session=summary.session,
            owner=summary.owner, labels=summary.labels, definition=summary.definition,
            seconds=max(0.0, summary.ended_at - summary.created_at),
        )  # fmt: skip
        return left, None


_OUTCOMES: Mapping[Appended, OutcomeStatus] = {
    "added": "accepted", "twice": "twice", "ended": "ended", "unknown": "unknown",
}  # fmt: skip


@contextmanager
def _unavailable() -> Iterator[None]:
    try:
        yield
    except (JournalError, JournalCorrupt) as exc:
        raise WorkflowsUnavailable(str(exc)) from exc


class _Refusal:
    """Makes the handle of a run that isn't begun."""

    def __init__(self, id: str, workflow: str, session: str, owner: str) -> None:
        self._id, self._workflow, self._session, self._owner = id, workflow, session, owner

    def __call__(self, code: str, detail: str) -> RunHandle:
        return Refused(
            Run(
                self._id, self._workflow, "refused", error=code, detail=detail, session=self._session,
                owner=self._owner,
            )
        )  # fmt: skip
