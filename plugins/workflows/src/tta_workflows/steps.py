"""The steps of one run: branch by branch, each until it has its output, is given up, or waits no more."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import inf
from typing import TYPE_CHECKING, Any

import anyio
from msgspec import UNSET

from .attempt import Attempts, GivenUp
from .expressions import ExpressionError
from .frame import Frame, StepFailed
from .journal import Outgoing
from .plan import PlannedStep, pick
from .records import AnyRecord, Degraded, Done, Failed, Signal, Skipped, Started, Timer
from .state import StepState
from .watching import StepWatch

if TYPE_CHECKING:
    from .execution import Execution


class Steps:
    """Runs the steps of one run; `begin` may be called before `go_on`, which returns when all are over.

    What becomes of each is taken in by the run's state, and stored before what follows from it is done.
    """

    def __init__(self, execution: Execution) -> None:
        self._run, self._engine = execution, execution.engine
        self._root = Frame(execution.plan, "", execution.head.input, execution.state)
        self._ready: Sequence[PlannedStep] | None = None
        """With which steps it begins or goes on; None where `begin` has yet to find them."""
        self._wakes: dict[str, anyio.Event] = {}
        """What waits for a signal, by the step's path."""

    def hear(self, signal: Signal) -> None:
        """Wake the step that waits for this answer."""
        if (wake := self._wakes.get(signal.step)) is not None:
            wake.set()

    def begin(self) -> Sequence[AnyRecord]:
        """Find the steps with which it begins or goes on; return the records that say so, which are to be stored."""
        records: list[AnyRecord] = []
        self._ready = self._begun(self._root, records)
        return records

    async def go_on(self) -> None:
        """Run what is left of its steps."""
        if self._run.plan.is_gated:
            await self._engine.entrance.enter(self._run)
            if self._run.state.cause is not None:
                return
        if self._ready is None and (records := self.begin()):
            await self._run.write_and_tell(records)
        await self._branches(self._root, self._ready or ())

    def _begun(self, frame: Frame, records: list[AnyRecord]) -> Sequence[PlannedStep]:
        """Return the steps of a definition that can begin or go on; add to ``records`` what says so."""
        ready = frame.begin(self._engine.clock.time(), records)
        self._begin(frame, ready, records)
        return ready

    async def _branches(self, frame: Frame, ready: Sequence[PlannedStep]) -> None:
        """Run steps of a definition, and those that become ready by them."""
        if not frame.plan.branches:
            for step in ready:
                await self._branch(frame, step)
            return
        async with anyio.create_task_group() as tasks:
            frame.tasks = tasks
            for step in ready:
                tasks.start_soon(self._branch_among_others, frame, step)
        if frame.failure is not None:
            raise frame.failure

    async def _branch_among_others(self, frame: Frame, step: PlannedStep) -> None:
        try:
            await self._branch(frame, step)
        except StepFailed as exc:
            assert frame.tasks is not None
            frame.failure = frame.failure or exc
            frame.tasks.cancel_scope.cancel()
        except BaseException as exc:  # noqa: BLE001 - all but an interrupt goes on
            self._engine.stop_if_interrupted(exc)

    async def _branch(self, frame: Frame, first: PlannedStep) -> None:
        """Run a step, and then what becomes ready by it; what more becomes ready goes on beside it."""
        step: PlannedStep | None = first
        while step is not None:
            records = await self._perform(frame, step)
            for record in records:
                self._run.state.advance(record)
            outgoing = self._outgoing(frame, step, records[-1]) if step.sends or step.says else ()
            ready = frame.settle(step, self._engine.clock.time(), records)
            self._begin(frame, ready, records)
            if self._run.state.settled == len(self._run.plan.steps) and not (ready or outgoing):
                self._run.writer.hand_in(records)
                self._run.last = records
            elif self._run.waits_for_commits or outgoing:
                await self._run.write_and_tell(records, outgoing)
            else:
                self._run.writer.hand_in(records)
                self._run.flush()
            for other in ready[1:]:
                assert frame.tasks is not None
                frame.tasks.start_soon(self._branch_among_others, frame, other)
            step = ready[0] if ready else None

    def _begin(self, frame: Frame, ready: Sequence[PlannedStep], records: list[AnyRecord]) -> None:
        """Add the beginnings of steps, so that they travel with what they waited for."""
        now = self._engine.clock.time()
        for step in ready:
            path = frame.prefix + step.id
            found = self._run.state.steps.get(path)
            # Who has a capability is asked when it begins.
            if (found is not None and found.status != "pending") or step.step.capability:
                continue
            attempt = found.attempt + 1 if found is not None else 1
            record: Started | Timer
            if step.step.wait is not None:
                record = Timer(at=now, step=path, due=now + step.step.wait)
            else:
                acts = step.inner is None and step.until is None
                record = Started(at=now, step=path, attempt=attempt, agent=step.name if acts else "")
            self._run.state.advance(record)
            records.append(record)

    async def _perform(self, frame: Frame, step: PlannedStep) -> list[AnyRecord]:
        """Do a step; return the records that say what became of it."""
        path = frame.prefix + step.id
        try:
            if step.when is not None:
                self._evaluate(step, path, frame.data)
            return [await (self._repeat(frame, step, path) if step.until else self._once(frame, step, path))]
        except GivenUp as exc:
            return await self._recover(step, path, exc.failed)

    def _evaluate(self, step: PlannedStep, path: str, data: Mapping[str, Any]) -> None:
        assert step.when is not None
        try:
            step.when.holds(data)
        except ExpressionError as exc:
            raise self._given_up(path, "bad_expression", str(exc)) from None

    def _given_up(self, path: str, code: str, detail: str) -> GivenUp:
        attempt = self._run.state.step(path).attempt or 1
        return GivenUp(Failed(at=self._engine.clock.time(), step=path, attempt=attempt, code=code, detail=detail))

    async def _recover(self, step: PlannedStep, path: str, failed: Failed) -> list[AnyRecord]:
        """Return what becomes of a step that has failed for good; raise `StepFailed` where nothing does."""
        if step.step.fallback is not UNSET:
            return [failed, Degraded(at=failed.at, step=path, code=failed.code, output=step.step.fallback)]
        if step.on_error == "skip-on-error":
            return [failed, Skipped(at=failed.at, step=path, why="error")]
        self._run.state.advance(failed)
        await self._run.write_and_tell([failed])
        raise StepFailed(failed.code, failed.detail)

    async def _once(self, frame: Frame, step: PlannedStep, path: str) -> Done:
        if step.inner is not None:
            return await self._inner(frame, step, path)
        if step.step.signal:
            return await self._signal(step, path)
        if step.step.wait is not None:
            await self._engine.clock.sleep_until(self._run.state.step(path).due)
            return Done(at=self._engine.clock.time(), step=path)
        return await Attempts(self._run).done(frame, step, path)

    async def _repeat(self, frame: Frame, step: PlannedStep, path: str) -> Done:
        """Do a step, round after round, until its expression holds."""
        assert step.until is not None
        number = 1
        while True:
            at = f"{path}#{number}"
            if self._run.state.step(at).status != "done":
                try:
                    done = await self._once(frame, step, at)
                except GivenUp as exc:
                    failed = exc.failed
                    self._run.hand_in(failed)
                    raise self._given_up(path, failed.code, failed.detail) from None
                self._run.state.advance(done)
                await self._run.write_and_tell([done])
            output = self._run.state.step(at).output or {}
            try:
                holds = step.until.holds({**frame.data, "output": output})
            except ExpressionError as exc:
                raise self._given_up(path, "bad_expression", str(exc)) from None
            if holds or number == step.most:
                return Done(at=self._engine.clock.time(), step=path, output=output)
            number += 1

    async def _inner(self, frame: Frame, step: PlannedStep, path: str) -> Done:
        """Run a definition within this run."""
        assert step.inner is not None
        inner = Frame(step.inner, f"{path}/", pick(step.input, frame.data), self._run.state)
        limit = min(step.step.timeout or inf, step.inner.workflow.timeout)
        attempt, began = self._run.state.step(path).attempt or 1, self._engine.clock.time()
        records: list[AnyRecord] = []
        try:
            with StepWatch(self._run, path, attempt, began=began, limit=limit), anyio.move_on_after(limit):
                ready = self._begun(inner, records)
                if records:
                    await self._run.write_and_tell(records)
                await self._branches(inner, ready)
                return Done(at=self._engine.clock.time(), step=path, output=pick(step.inner.output, inner.data))
        except StepFailed as exc:
            raise self._given_up(path, exc.code, exc.detail) from None
        raise self._given_up(path, "timeout", f"step {path!r} took longer than {limit:g} s")

    async def _signal(self, step: PlannedStep, path: str) -> Done:
        """Wait for an answer from outside."""
        found, limit = self._run.state.step(path), step.step.timeout
        self._run.watch()
        await self._run.notice()
        if limit is None:
            await self._answer(path, found)
        else:
            with StepWatch(self._run, path, found.attempt or 1, began=found.began, limit=limit):
                await self._answer(path, found, limit)
        assert found.answer is not None
        return Done(at=self._engine.clock.time(), step=path, output=found.answer.data)

    async def _answer(self, path: str, found: StepState, limit: float = inf) -> None:
        """Return once there is an answer."""
        alarm = None
        try:
            while found.answer is None:
                if self._engine.clock.time() >= found.began + limit:
                    raise self._given_up(path, "timeout", f"nobody answered within {limit:g} s")
                wake = self._wakes[path] = anyio.Event()
                if limit < inf:
                    alarm = self._engine.alarms.set(found.began + limit, wake.set)
                await wake.wait()
        finally:
            self._wakes.pop(path, None)
            if alarm is not None:
                self._engine.alarms.cancel(alarm)

    def _outgoing(self, frame: Frame, step: PlannedStep, record: AnyRecord) -> list[Outgoing]:
        """Make what leaves the run with a step's output."""
        if not isinstance(record, Done | Degraded):
            return []
        data = {**frame.data, "output": record.output}
        name = f"{self._run.head.id}:{record.step}"
        if before := self._run.state.step(record.step).before:
            name += f"~{before}"  # What left with it before it was taken back and tried again was something else.
        out = [
            Outgoing(f"{name}:{number}", "send", each.to, each.type, pick(step.sends[number], data))
            for number, each in enumerate(step.step.send)
        ]
        out += [
            Outgoing(f"{name}:{number + len(out)}", "publish", each.name, "", pick(step.says[number], data))
            for number, each in enumerate(step.step.publish)
        ]
        return out
