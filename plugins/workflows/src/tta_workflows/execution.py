"""One run that this process holds: its steps, branch by branch, until it is over, or somebody else's."""

from __future__ import annotations

from collections.abc import Sequence

import anyio
import anyio.lowlevel

from tta_breakers import Permit
from tta_kernel import as_failure, correlation_id, raised_at

from .compensation import Compensation
from .definition import Retention
from .engine import Engine
from .frame import StepFailed
from .journal import Behind, Fenced, JournalCorrupt, JournalError, JournalFull, Journalled, Lease, Outgoing, RunStatus
from .plan import Plan
from .records import (
    AnyRecord,
    Asked,
    Ended,
    Failed,
    Left,
    RolledBack,
    Signal,
    TakenOver,
)  # fmt: skip
from .runs import Run
from .state import Cause, State, savepoint_of, stuck, view
from .steps import Steps
from .streams import Window
from .telling import tell, tell_end
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
        self.steps = Steps(self)
        self.last: Sequence[AnyRecord] = ()
        """What the step that ended last has come to: it goes into the journal together with the run's end."""
        self._scope = anyio.CancelScope()
        self._is_ending = False
        """Whether what is asked, or a time limit, comes too late to stop its steps."""
        self._trouble: Exception | None = None
        self._late = False
        self._watching: anyio.CancelScope | None = None
        self._flushing = False
        self.permit: Permit | None = None
        """Of the breaker of its workflow, where there are breakers, and this process has begun it."""
        self.waits_for_commits = plan.workflow.execution.commits == "sync"

    # What others tell it.

    def leave(self, why: str) -> None:
        """Stop without another commit: the run isn't, or will not be, this process's any more."""
        self.left = self.left or why
        self._scope.cancel()

    def take_in(self, record: AnyRecord) -> None:
        """Take in a record that somebody else has added."""
        self.state.advance(record)
        if isinstance(record, Signal):
            self.steps.hear(record)
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
            del self.steps  # They hold the run, which is to be freed at once: see `Writer.close`.
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
                        await self.steps.go_on()
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
            tell_end(self)
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
            tell(self, (record,))
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

    async def write_and_tell(self, records: Sequence[AnyRecord], outgoing: Sequence[Outgoing] = ()) -> None:
        """Store records, which `state` knows already, and tell what they say."""
        await self.write(records, outgoing)
        if outgoing:
            self.engine.outbox.send_soon(self)
        tell(self, records)

    async def _tell_last(self) -> None:
        """Tell what came of the step that ended last, once it is stored: with the run's end, or without it."""
        last, self.last = self.last, ()
        if last:
            await self.write()
            tell(self, last)
