"""One run that this process holds: its steps, branch by branch, until it is over, or somebody else's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import inf
from typing import Any

import anyio
import anyio.lowlevel
from msgspec import UNSET

from tta_breakers import Permit
from tta_kernel import as_failure, correlation_id, raised_at

from .attempt import Attempts, GivenUp
from .compensation import Compensation
from .definition import Retention
from .engine import Engine
from .expressions import ExpressionError
from .frame import Frame, StepFailed
from .journal import Behind, Fenced, JournalCorrupt, JournalError, JournalFull, Journalled, Lease, Outgoing, RunStatus
from .plan import Plan, PlannedStep, pick
from .records import (
    AnyRecord,
    Asked,
    Degraded,
    Done,
    Ended,
    Failed,
    Left,
    RolledBack,
    Signal,
    Skipped,
    Started,
    TakenOver,
    Timer,
)  # fmt: skip
from .runs import Run, RunFinished, RunStarted, StepFinished, StepStarted
from .state import Cause, State, percent, savepoint_of, step_run, stuck, view
from .streams import Window
from .watching import WARN_AT, warn
from .writer import Writer


class Execution:
    """Runs one run to its end; `run` does that, and everything else says what it should know meanwhile.

    ``left`` says why it is no longer this process's: ``fenced``, ``lost``, ``draining`` or ``paused``, and nothing is
    committed any more; ``resumed``: it was to be paused, and is to go on, anew. ``closed`` is set when `run` has
    returned.
    """

    def __init__(
        self, engine: Engine, lease: Lease, found: Journalled, plan: Plan, taken: TakenOver | None = None
    ) -> None:  # fmt: skip
        self.engine, self.head, self.plan = engine, found.head, plan
        self.state = State(found.records)
        self.writer = Writer(
            engine.journal, lease, found.head, found.records, status=lambda: self.state.status, on_new=self.take_in,
            backoff=engine.backoff,
        )  # fmt: skip
        self.writer.outgoing.extend(found.outgoing)
        self.lease = lease
        self.made_before = {path: step.attempt for path, step in self.state.steps.items() if step.status == "running"}
        """The attempts that a process has made which is gone, by their steps' paths."""
        self._taken = taken
        self.left = ""
        self.is_taken_over = False
        self.is_reserved = engine.pools.is_reserved(plan.workflow.execution.pool)
        self.closed = anyio.Event()
        self.sending: anyio.Lock | None = None
        self.window = Window(engine.settings.window)
        self._root = Frame(plan, "", found.head.input, self.state)
        self._ready: Sequence[PlannedStep] | None = None
        """With which steps it begins or goes on; None where `begin` has yet to find them."""
        self._last: Sequence[AnyRecord] = ()
        """What the step that ended last has come to: it goes into the journal together with the run's end."""
        self._scope = anyio.CancelScope()
        self._is_ending = False
        """Whether what is asked, or a time limit, comes too late to stop its steps."""
        self._trouble: Exception | None = None
        self._late = False
        self._wakes: dict[str, anyio.Event] = {}
        """What waits for a signal, by the step's path."""
        self._watching: anyio.CancelScope | None = None
        self._flushing = False
        self.permit: Permit | None = None
        """Of the breaker of its workflow, where there are breakers, and this process has begun it."""
        self._waits_for_commits = plan.workflow.execution.commits == "sync"

    # What others tell it.

    def leave(self, why: str) -> None:
        """Stop without another commit: the run isn't, or will not be, this process's any more."""
        self.left = self.left or why
        self._scope.cancel()

    def take_in(self, record: AnyRecord) -> None:
        """Take in a record that somebody else has added."""
        self.state.advance(record)
        if isinstance(record, Signal):
            if (wake := self._wakes.get(record.step)) is not None:
                wake.set()
        elif isinstance(record, Asked) and (self.state.cause is not None or self.state.paused) and not self._is_ending:
            self._scope.cancel()

    async def notice(self) -> None:
        """Look for what somebody else has added."""
        try:
            await self.writer.catch_up()
        except (Fenced, JournalCorrupt) as exc:
            self._give_up(exc)

    def watch(self) -> None:
        """From now on, see at once what somebody else adds."""
        if self._watching is None and not self.closed.is_set():
            self._watching = anyio.CancelScope()
            self.engine.start_soon(self._watch, self._watching)

    async def _watch(self, scope: anyio.CancelScope) -> None:
        backoff = self.engine.backoff()
        with scope:
            while not self.closed.is_set():
                try:
                    await self.engine.journal.wait(self.head.id, len(self.writer.stored), 5.0)
                except JournalError as exc:
                    await backoff.wait(exc)
                    continue
                backoff.over()
                await self.notice()
                await anyio.lowlevel.checkpoint()

    def last_at(self) -> float:
        """Return when something happened in it last, in seconds since the epoch."""
        return self.writer.stored[-1].at if self.writer.stored else self.head.created_at

    def view(self) -> Run:
        """Return the run as it stands."""
        return view(self.head, self.plan, self.state, self.engine.clock.time())

    # From its beginning to its end.

    async def run(self) -> None:
        """Run it; whatever goes wrong, others go on."""
        if self.head.correlation_id:
            correlation_id.set(self.head.correlation_id)
        alarms, timeout = self.engine.alarms, self.plan.workflow.timeout
        watch_after = self.engine.settings.watch_after
        self._alarm = (
            alarms.set(self.engine.clock.time() + watch_after, self._on_alarm) if timeout > watch_after
            else alarms.set(self._limit(), self._time_out)
        )  # fmt: skip
        try:
            await self._run()
            if isinstance(self._trouble, JournalCorrupt | JournalFull):
                self.left = "aside"
                await self._set_aside(str(self._trouble))
            elif self.left == "draining" and self.state.acting:
                await self._say_left()
        except BaseException as exc:  # noqa: BLE001 - a mistake of ours must not take the other runs along
            failure = as_failure(exc)
            why = f"{type(failure).__name__} at {raised_at(failure)}"
            # What it says may be a person's text.
            self.engine.log.error("run %s can't go on, and is set aside: %s", self.head.id, why)  # noqa: TRY400
            self.left = self.left or "aside"
            await self._set_aside(why)
        finally:
            alarms.cancel(self._alarm)
            self.closed.set()
            if self._watching is not None:
                self._watching.cancel()
            self.writer.close()
            if self.plan.is_gated or self.plan.workflow.execution.singleton is not None:
                await self.engine.entrance.leave(self)

    def _on_alarm(self) -> None:
        self.watch()
        # Only here: most runs are over by now, and to be warned of each would cost them something.
        self._alarm = self.engine.alarms.set(self._limit() - (1 - WARN_AT) * self.plan.workflow.timeout, self._on_slow)

    def _on_slow(self) -> None:
        limit = self._limit()
        # Who took it over late need not say again what was said before.
        if self._taken is None or self.engine.clock.time() < limit - self.plan.workflow.timeout * (1 - WARN_AT) / 2:
            warn(self)
        self._alarm = self.engine.alarms.set(limit, self._time_out)

    def _limit(self) -> float:
        """Return when it will have taken too long."""
        return (self.state.begun_again or self.head.created_at) + self.state.pauses + self.plan.workflow.timeout

    def _time_out(self) -> None:
        if self.state.cause is None and self.state.end is None and not (self.state.paused or self._is_ending):
            self._late = True
            self._scope.cancel()

    async def _run(self) -> None:
        with self._scope:
            if self._taken is not None:
                # Before an agent is called: it may be what has killed the process that had the run before.
                self.hand_in(self._taken)
                await self.write()
            if not self.state.paused:
                if self.state.cause is None and self.state.end is None:
                    try:
                        await self._go_on()
                    except StepFailed:
                        assert self.state.cause is not None
                self._is_ending = True
                await self._finish()
                return
        if self._stopped():
            return
        is_late = self._late or isinstance(self._trouble, JournalFull)
        self._is_ending = True
        with anyio.CancelScope() as self._scope:
            if not is_late and self.state.cause is None and self.state.end is None and await self._is_let_go():
                return
            if isinstance(self._trouble, JournalFull):
                await self._overflow()
            elif self._late and self.state.cause is None:
                await self._fail_all("timeout", f"the run took longer than {self.plan.workflow.timeout:g} s")
            await self._finish()

    async def _is_let_go(self) -> bool:
        """Let go of a run that is paused, until somebody has it go on; False where it is to be taken back instead."""
        backoff = self.engine.backoff()
        await self.write()
        await self._tell_last()
        await self.engine.outbox.empty(self)
        while self.state.paused:
            try:
                await self.engine.journal.park(self.lease, self.head.id, len(self.writer.stored))
            except Behind:
                await self.notice()
            except Fenced as exc:
                self._give_up(exc)
                return True
            except JournalError as exc:
                await backoff.wait(exc)
            else:
                self.left = "paused"
                return True
        if self.state.cause is None:
            self.left = self.left or "resumed"
        return bool(self.left)

    def _stopped(self) -> bool:
        """Say whether nothing more may be committed."""
        if self._trouble is not None and not isinstance(self._trouble, JournalFull):
            self.left = self.left or "fenced"
        return bool(self.left)

    async def _overflow(self) -> None:
        """Go on with what the journal has: what didn't fit hasn't happened, and the run ends."""
        self._trouble = None
        self.writer.start_over()
        self.state = State(self.writer.stored)
        if self.state.cause is None:
            await self._fail_all("too_large", "the journal holds no more of this run")

    async def _fail_all(self, code: str, detail: str) -> None:
        """Let what is under way have failed, so that the journal says why the run is over."""
        now = self.engine.clock.time()
        active = ("running", "waiting", "retrying")
        paths = [path for path, step in self.state.steps.items() if step.status in active]
        # Those within others first: where the run's own step has failed its cause is known.
        paths.sort(key=lambda path: -path.count("/"))
        pending = next((step.id for step in self.plan.steps if step.id not in self.state.steps), "")
        for path in paths or ([pending] if pending else []):
            attempt = self.state.step(path).attempt or 1
            self.hand_in(Failed(at=now, step=path, attempt=attempt, code=code, detail=detail))
        await self.write()

    async def _finish(self) -> None:
        """Take back what is to be taken back, and let the run be over."""
        was_over, release = self.state.over, False
        while self.state.cause is None and self.state.end is None:
            await self.engine.outbox.empty(self)
            # Whoever asked for something before the run's end was told that it would be seen to.
            end = Ended(at=self._now(), status="done")
            release = await self.write_if_alone(end, "done", release=self.plan.retention)
        await self._tell_last()
        if (cause := self.state.cause) is not None:
            await self._take_back(cause)
        await self.engine.outbox.empty(self)
        if self.writer.pending:
            await self.write()
        self.closed.set()
        if not was_over:
            self._publish_end()
        if not release:
            await self._release()

    async def _take_back(self, cause: Cause) -> None:
        asked, end = cause.asked, self.state.end
        by_hand = asked is not None and asked.what == "rollback"
        savepoint = savepoint_of(self.plan, cause)
        undone = await Compensation(self).run(savepoint) if savepoint is not None else 0
        if undone or by_hand:
            self.hand_in(
                RolledBack(
                    at=self._now(), savepoint=savepoint or "", by=asked.by if asked else "", why=cause.code,
                    stuck=stuck(self.state),
                )
            )  # fmt: skip
        if end is None:
            self.hand_in(Ended(at=self._now(), status="cancelled" if asked else "failed", code=cause.code))
        elif end.status == "done":
            self.hand_in(Ended(at=self._now(), status="cancelled", code="rolled_back"))

    async def _release(self) -> None:
        """Let go of it; it is over, and who waits for it isn't kept waiting."""
        keep = self.plan.retention
        backoff = self.engine.backoff()
        while True:
            try:
                await self.engine.journal.release(
                    self.lease, self.head.id, content=keep.content, summary=keep.summary
                )  # fmt: skip
                return
            except JournalError as exc:
                await backoff.wait(exc)
            except Fenced:
                return  # Whoever has it now lets go of it.

    async def _set_aside(self, reason: str) -> None:
        try:
            with anyio.move_on_after(self.engine.settings.grace, shield=True):
                await self.engine.journal.set_aside(self.lease, self.head.id, reason)
        except (Fenced, JournalError) as exc:
            self.engine.log.warning("run %s could not be set aside: %s", self.head.id, exc)

    async def _say_left(self) -> None:
        """Tell whoever takes the run over that nothing has gone wrong with it here, if there is time for that."""
        with anyio.move_on_after(self.engine.settings.grace, shield=True):
            try:
                await self.writer.write((Left(at=self._now()),))
            except (Fenced, JournalFull, JournalCorrupt) as exc:
                self.engine.log.warning("run %s is left without a word: %s", self.head.id, exc)

    # Commits.

    def _now(self) -> float:
        return self.engine.clock.time()

    def hand_in(self, record: AnyRecord) -> None:
        """Take a record in, which goes out with the next commit."""
        self.state.advance(record)
        self.writer.hand_in((record,))

    async def write(self, records: Sequence[AnyRecord] = (), outgoing: Sequence[Outgoing] = ()) -> None:
        """Return when these, which `state` knows already, are stored, and all that was handed in before."""
        try:
            await self.writer.write(records, outgoing)
        except (Fenced, JournalFull, JournalCorrupt) as exc:
            self._give_up(exc)
            await anyio.sleep_forever()  # It is cancelled: nothing may be done that isn't journalled.

    async def write_if_alone(
        self, record: AnyRecord, status: RunStatus = "running", *, release: Retention | None = None
    ) -> bool:  # fmt: skip
        """Store a record, and tell what it says, unless somebody else has added one since; then that is taken in.

        With ``release`` the run is let go of with it.
        """
        try:
            if not await self.writer.write_if_alone(record, status, release=release):
                return False
            self._tell((record,))
            return True
        except (Fenced, JournalFull, JournalCorrupt) as exc:
            self._give_up(exc)
            await anyio.sleep_forever()
        raise AssertionError("it is cancelled")

    def _give_up(self, exc: Exception) -> None:
        if self._trouble is None:
            self._trouble = exc
        if isinstance(exc, JournalFull):
            self._scope.cancel()
        else:
            self.leave("fenced")

    def flush(self) -> None:
        """Have what was handed in stored, without waiting for it."""
        if not self._flushing:
            self._flushing = True
            self.engine.start_soon(self._flush)

    async def _flush(self) -> None:
        try:
            await self.writer.write()
        except (Fenced, JournalFull, JournalCorrupt) as exc:
            self._give_up(exc)
        finally:
            self._flushing = False

    # Steps.

    def begin(self) -> Sequence[AnyRecord]:
        """Find the steps with which it begins or goes on; return the records that say so, which are to be stored."""
        records: list[AnyRecord] = []
        self._ready = self._begun(self._root, records)
        return records

    async def _go_on(self) -> None:
        """Run what is left of its steps."""
        if self.plan.is_gated:
            await self.engine.entrance.enter(self)
            if self.state.cause is not None:
                return
        if self._ready is None and (records := self.begin()):
            await self.write_and_tell(records)
        await self._branches(self._root, self._ready or ())

    def _begun(self, frame: Frame, records: list[AnyRecord]) -> Sequence[PlannedStep]:
        """Return the steps of a definition that can begin or go on; add to ``records`` what says so."""
        ready = frame.begin(self._now(), records)
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
            self.engine.stop_if_interrupted(exc)

    async def _branch(self, frame: Frame, first: PlannedStep) -> None:
        """Run a step, and then what becomes ready by it; what more becomes ready goes on beside it."""
        step: PlannedStep | None = first
        while step is not None:
            records = await self._perform(frame, step)
            for record in records:
                self.state.advance(record)
            outgoing = self._outgoing(frame, step, records[-1]) if step.sends or step.says else ()
            ready = frame.settle(step, self._now(), records)
            self._begin(frame, ready, records)
            if self.state.settled == len(self.plan.steps) and not (ready or outgoing):
                self.writer.hand_in(records)
                self._last = records
            elif self._waits_for_commits or outgoing:
                await self.write_and_tell(records, outgoing)
            else:
                self.writer.hand_in(records)
                self.flush()
            for other in ready[1:]:
                assert frame.tasks is not None
                frame.tasks.start_soon(self._branch_among_others, frame, other)
            step = ready[0] if ready else None

    def _begin(self, frame: Frame, ready: Sequence[PlannedStep], records: list[AnyRecord]) -> None:
        """Add the beginnings of steps, so that they travel with what they waited for."""
        now = self._now()
        for step in ready:
            path = frame.prefix + step.id
            found = self.state.steps.get(path)
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
            self.state.advance(record)
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
        attempt = self.state.step(path).attempt or 1
        return GivenUp(Failed(at=self._now(), step=path, attempt=attempt, code=code, detail=detail))

    async def _recover(self, step: PlannedStep, path: str, failed: Failed) -> list[AnyRecord]:
        """Return what becomes of a step that has failed for good; raise `StepFailed` where nothing does."""
        if step.step.fallback is not UNSET:
            return [failed, Degraded(at=failed.at, step=path, code=failed.code, output=step.step.fallback)]
        if step.on_error == "skip-on-error":
            return [failed, Skipped(at=failed.at, step=path, why="error")]
        self.state.advance(failed)
        await self.write_and_tell([failed])
        raise StepFailed(failed.code, failed.detail)

    async def _once(self, frame: Frame, step: PlannedStep, path: str) -> Done:
        if step.inner is not None:
            return await self._inner(frame, step, path)
        if step.step.signal:
            return await self._signal(step, path)
        if step.step.wait is not None:
            await self.engine.clock.sleep_until(self.state.step(path).due)
            return Done(at=self._now(), step=path)
        return await Attempts(self).done(frame, step, path)

    async def _repeat(self, frame: Frame, step: PlannedStep, path: str) -> Done:
        """Do a step, round after round, until its expression holds."""
        assert step.until is not None
        number = 1
        while True:
            at = f"{path}#{number}"
            if self.state.step(at).status != "done":
                try:
                    done = await self._once(frame, step, at)
                except GivenUp as exc:
                    failed = exc.failed
                    self.hand_in(failed)
                    raise self._given_up(path, failed.code, failed.detail) from None
                self.state.advance(done)
                await self.write_and_tell([done])
            output = self.state.step(at).output or {}
            try:
                holds = step.until.holds({**frame.data, "output": output})
            except ExpressionError as exc:
                raise self._given_up(path, "bad_expression", str(exc)) from None
            if holds or number == step.most:
                return Done(at=self._now(), step=path, output=output)
            number += 1

    async def _inner(self, frame: Frame, step: PlannedStep, path: str) -> Done:
        """Run a definition within this run."""
        assert step.inner is not None
        inner = Frame(step.inner, f"{path}/", pick(step.input, frame.data), self.state)
        limit = min(step.step.timeout or inf, step.inner.workflow.timeout)
        records: list[AnyRecord] = []
        try:
            with anyio.move_on_after(limit):
                ready = self._begun(inner, records)
                if records:
                    await self.write_and_tell(records)
                await self._branches(inner, ready)
                return Done(at=self._now(), step=path, output=pick(step.inner.output, inner.data))
        except StepFailed as exc:
            raise self._given_up(path, exc.code, exc.detail) from None
        raise self._given_up(path, "timeout", f"step {path!r} took longer than {limit:g} s")

    async def _signal(self, step: PlannedStep, path: str) -> Done:
        """Wait for an answer from outside."""
        found, limit = self.state.step(path), step.step.timeout
        self.watch()
        await self.notice()
        alarm = None
        try:
            while found.answer is None:
                if limit is not None and self._now() >= found.began + limit:
                    raise self._given_up(path, "timeout", f"nobody answered within {limit:g} s")
                wake = self._wakes[path] = anyio.Event()
                if limit is not None:
                    alarm = self.engine.alarms.set(found.began + limit, wake.set)
                await wake.wait()
        finally:
            self._wakes.pop(path, None)
            if alarm is not None:
                self.engine.alarms.cancel(alarm)
        return Done(at=self._now(), step=path, output=found.answer.data)

    def _outgoing(self, frame: Frame, step: PlannedStep, record: AnyRecord) -> list[Outgoing]:
        """Make what leaves the run with a step's output."""
        if not isinstance(record, Done | Degraded):
            return []
        data = {**frame.data, "output": record.output}
        name = f"{self.head.id}:{record.step}"
        if before := self.state.step(record.step).before:
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

    # Events.

    async def write_and_tell(self, records: Sequence[AnyRecord], outgoing: Sequence[Outgoing] = ()) -> None:
        """Store records, which `state` knows already, and tell what they say."""
        await self.write(records, outgoing)
        if outgoing:
            self.engine.outbox.send_soon(self)
        self._tell(records)

    def tell_start(self, records: Sequence[AnyRecord]) -> None:
        """Tell that the run has begun, and with what."""
        if self.engine.publish is not None:
            head = self.head
            self.engine.publish(
                RunStarted(run=head.id, workflow=head.workflow, session=head.session, owner=head.owner)
            )  # fmt: skip
            self._tell(records)

    async def _tell_last(self) -> None:
        """Tell what came of the step that ended last, once it is stored: with the run's end, or without it."""
        last, self._last = self._last, ()
        if last:
            await self.write()
            self._tell(last)

    def _tell(self, records: Sequence[AnyRecord]) -> None:
        publish, head = self.engine.publish, self.head
        if publish is None:
            return
        done = percent(self.plan, self.state)
        for record in records:
            if isinstance(record, Started):
                publish(
                    StepStarted(
                        run=head.id, workflow=head.workflow, step=record.step, attempt=record.attempt, percent=done,
                        session=head.session, owner=head.owner,
                    )
                )  # fmt: skip
            elif isinstance(record, Done | Skipped | Degraded) or (isinstance(record, Failed) and not record.again):
                step = step_run(self.plan.find(record.step), record.step, self.state.step(record.step))
                if isinstance(record, Failed) and step.status != "failed":
                    continue  # What became of it after all is told next.
                publish(
                    StepFinished(
                        run=head.id, step=step, workflow=head.workflow, percent=done, session=head.session,
                        owner=head.owner,
                    )
                )  # fmt: skip

    def _publish_end(self) -> None:
        if self.engine.publish is None:
            return
        head, end = self.head, self.state.end
        assert end is not None
        self.engine.publish(
            RunFinished(
                run=head.id, workflow=head.workflow, status=self.state.status, seconds=end.at - head.created_at,
                error=end.code, session=head.session, owner=head.owner,
            )
        )  # fmt: skip
