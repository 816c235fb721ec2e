"""Attempts at a step: the call of its agent, what that says meanwhile, and whether there is another."""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from math import inf
from typing import TYPE_CHECKING, Any

import anyio
import anyio.lowlevel
import msgspec

from tta_agents import AgentError, AgentId, Reply, Undo
from tta_capabilities import MatchCriteria
from tta_kernel import as_failure, raised_at
from tta_kernel.errors import overdue

from .breaking import Call, by_breaker
from .bulk import BULK
from .plan import PlannedStep, pick
from .pooling import in_pool
from .records import Done, Failed, Piece, Started, UndoAdded
from .state import StepState
from .validation import objections
from .watching import StepWatch

if TYPE_CHECKING:
    from .execution import Execution
    from .frame import Frame

_UNLIMITED = nullcontext()
"""In place of a scope, which would cost more than all else of a call that has no limit."""
_LARGE_PIECE = 4096
"""How many characters of a text may wait for the journal: then the agent waits, too."""


class GivenUp(Exception):
    """There is no other attempt at a step: ``failed`` says what became of the last."""

    def __init__(self, failed: Failed) -> None:
        super().__init__(failed.code)
        self.failed = failed


class Attempts:
    """Makes attempts at the steps of one run, as the journal and their definitions say."""

    def __init__(self, execution: Execution) -> None:
        self._run, self._engine = execution, execution.engine
        self._agents = self._engine.bulk if execution.head.workflow == BULK else self._engine.agents

    async def done(self, frame: Frame, step: PlannedStep, path: str) -> Done:
        """Return how the step was done; raise `GivenUp` where no attempt is left."""
        call: Call = self._call
        if (breakers := self._engine.breakers) is not None and not self._run.is_reserved:
            call = by_breaker(breakers, self._call, self._run.made_before)
        if pools := self._engine.pools:
            call = in_pool(pools, call, self._run)
        while True:
            state = self._run.state.step(path)
            if state.status == "running":  # Who takes a run over finds it begun, and makes the same call again.
                agent = step.agent or _address(state.agent)
            else:
                agent = await self._begun(step, path, state)
            began = time.perf_counter()
            try:
                reply = await call(frame, step, path, agent, state)
                output = self._output(step, path, reply)
            except AgentError as exc:
                await self._fail(step, path, state, exc, time.perf_counter() - began)
            else:
                who = (
                    f"{reply.agent}@{version}" if (version := getattr(reply, "agent_version", "")) else str(reply.agent)
                )
                return Done(
                    at=self._engine.clock.time(), step=path, attempt=state.attempt, output=output, agent=who,
                    seconds=time.perf_counter() - began,
                )  # fmt: skip

    async def _begun(self, step: PlannedStep, path: str, state: StepState) -> AgentId:
        """See that the journal says that an attempt begins, and return whom to call."""
        attempt = state.attempt or 1
        if state.status == "pending":
            attempt = state.attempt + 1
        if state.status == "retrying":
            await self._engine.clock.sleep_until(state.again)
            attempt += 1
        agent = step.agent
        if agent is None:
            try:
                agent = await self._find(step.step.capability)
            except AgentError as exc:
                state.attempt = attempt
                await self._fail(step, path, state, exc, 0.0)
                return await self._begun(step, path, state)
        record = Started(at=self._engine.clock.time(), step=path, attempt=attempt, agent=str(agent))
        if not step.step.stream or attempt == 1:
            self._run.state.advance(record)
            await self._run.write_and_tell((record,))
            return agent
        while not await self._run.write_if_alone(record):
            if state.released:
                raise GivenUp(self._too_late(path, state))
        return agent

    async def _find(self, capability: str) -> AgentId:
        if self._engine.capabilities is None:
            raise AgentError("not_served", f"nobody knows who can do {capability!r}: no plugin provides capabilities")
        found = await self._engine.capabilities.match(
            MatchCriteria(capability_name=capability), "exact", max_results=1
        )  # fmt: skip
        if not found:
            raise AgentError("not_served", f"no agent can do {capability!r}", retryable=True)
        return found[0].agent_id

    async def _call(self, frame: Frame, step: PlannedStep, path: str, agent: AgentId, state: StepState) -> Reply:
        head, settings = self._run.head, step.step
        call = _Call(self._run, step, path, state)
        more: dict[str, Any] = {}
        if settings.stream:
            more["on_piece"] = call.on_piece
        if settings.idle is not None:
            more["on_beat"] = call.on_beat
        if state.text:
            # All that is written, not only what was told of it so far: a reader may be told the rest at any moment, and
            # whoever makes its text up could not go on from less without contradicting that.
            more["released"] = state.text
        try:
            with call.warning, call.limit:
                reply = await self._agents.call(
                    agent, pick(step.input, frame.data), key=f"{head.id}:{path}:{state.attempt}", attempt=state.attempt,
                    session=head.session, owner=head.owner, on_undo=call.on_undo, **more,
                )  # fmt: skip
                if not isinstance(reply, Reply):
                    raise TypeError(f"it returned {type(reply).__name__}, and no reply")
                await call.ended()
                return reply
            raise AgentError("timeout", call.late(), retryable=True)
        except AgentError as exc:
            raise (call.error or exc) from None
        except BaseException as exc:  # noqa: BLE001 - a stranger's agents; its message may hold a person's text
            # A group of cancellations would not end our scope, but come out of it.
            await anyio.lowlevel.checkpoint_if_cancelled()
            as_failure(exc)  # It goes on where somebody of ours asked for it.
            detail = f"calling {agent} raised {type(exc).__name__} at {raised_at(exc)}"
            raise (call.error or AgentError("failed", detail, retryable=True)) from None

    def _output(self, step: PlannedStep, path: str, reply: Reply) -> Mapping[str, Any]:
        """Return what an agent answered, if that can be used."""
        output = reply.output
        if not isinstance(output, dict):
            raise AgentError(
                "bad_output", f"{reply.agent} answered {type(output).__name__}, and no fields", retryable=True
            )
        if wrong := objections(self._engine.check_output, self._run.head.workflow, step, path, output):
            raise AgentError("bad_output", f"of {reply.agent}: {'; '.join(wrong)}", retryable=True)
        return output

    async def _fail(self, step: PlannedStep, path: str, state: StepState, error: AgentError, seconds: float) -> None:
        """Journal that an attempt has failed, and when there is another; raise `GivenUp` where there is none."""
        now, retry = self._engine.clock.time(), step.retry
        attempt = state.attempt
        made = attempt - state.before
        if state.released:
            # There may be no other text than the one that a person has begun to read.
            detail = f"after a part of its text was told: {error}"
            code = "stream_broken"
            raise GivenUp(Failed(at=now, step=path, attempt=attempt, code=code, detail=detail, seconds=seconds))
        wanted = error.code in retry.on if retry.on else error.retryable
        if not wanted or made >= retry.attempts:
            raise GivenUp(
                Failed(at=now, step=path, attempt=attempt, code=error.code, detail=error.shown, seconds=seconds)
            )
        self._run.hand_in(
            Failed(
                at=now, step=path, attempt=attempt, code=error.code, detail=error.shown, seconds=seconds,
                again=now + self._engine.pause(retry, made),
            )
        )  # fmt: skip
        await self._run.write()

    def _too_late(self, path: str, state: StepState) -> Failed:
        now = self._engine.clock.time()
        detail = f"after a part of its text was told: {state.code}"
        return Failed(at=now, step=path, attempt=state.attempt, code="stream_broken", detail=detail)


class _Call:
    """One call of an agent, and what it says before its answer."""

    def __init__(self, execution: Execution, step: PlannedStep, path: str, state: StepState) -> None:
        self._run, self._step, self._path, self._state = execution, step, path, state
        self._attempt = state.attempt
        self._idle, timeout = step.step.idle, step.step.timeout
        self._limit = inf
        self._scope: anyio.CancelScope | None = None
        if timeout is not None or self._idle is not None:
            now = anyio.current_time()
            self._limit = now + (inf if timeout is None else timeout)
            silent = now + (inf if self._idle is None else self._idle)
            self._scope = anyio.CancelScope(deadline=min(self._limit, silent))
        self.limit: AbstractContextManager[object] = self._scope or _UNLIMITED
        self.warning: AbstractContextManager[object] = _UNLIMITED
        if timeout is not None:
            began = execution.engine.clock.time()
            self.warning = StepWatch(execution, path, self._attempt, began=began, limit=timeout)
        self.error: AgentError | None = None
        """What is wrong with what it said: whoever raises within a call doesn't come out of it as it was."""
        self._said = ""
        self._before = state.text
        """What it said when it was made before, by a process that is gone."""
        self._last: Piece | None = None
        self._undo = [each for each in state.undo if each.attempt == self._attempt] if state.undo else []

    def on_beat(self) -> None:
        """Hear that the work goes on."""
        if self._scope is not None and self._idle is not None:
            self._scope.deadline = min(self._limit, anyio.current_time() + self._idle)

    def late(self) -> str:
        """Say what took too long."""
        if self._idle is not None and anyio.current_time() < self._limit:
            return str(overdue(f"step {self._path!r} said nothing for {self._idle:g} s", self._idle))
        timeout = self._step.step.timeout or 0.0
        return str(overdue(f"step {self._path!r} took longer than {timeout:g} s", timeout))

    async def on_piece(self, text: str) -> None:
        self.on_beat()
        self._said += text
        if self._before:
            if len(self._said) <= len(self._before) and self._before.startswith(self._said):
                return
            if self._said.startswith(self._before):
                text = self._said[len(self._before) :]
            else:
                await self._start_anew()
                text = self._said
            self._before = ""
        await self._say(text)

    async def ended(self) -> None:
        """See that nothing was said before which this time wasn't."""
        if self._before and self._said != self._before:
            await self._start_anew()
            if self._said:
                await self._say(self._said)

    async def _start_anew(self) -> None:
        """Take back what was said before the agent was called again, since now it says something else."""
        record = Started(
            at=self._run.engine.clock.time(), step=self._path, attempt=self._attempt, agent=self._state.agent
        )  # fmt: skip
        while self._state.released or not await self._run.write_if_alone(record):
            if self._state.released:
                self.error = AgentError("stream_broken", "what it said the second time began otherwise")
                raise self.error

    async def _say(self, text: str) -> None:
        if not text:
            return
        run, state = self._run, self._state
        now, last, number = run.engine.clock.time(), self._last, state.pieces + 1
        piece = Piece(at=now, step=self._path, attempt=self._attempt, number=number, text=text)
        if last is not None:
            longer = msgspec.structs.replace(piece, text=last.text + text)
            if run.writer.replace_last(last, longer):
                state.text += text
                state.pieces = number
                self._last = longer
                if len(longer.text) > _LARGE_PIECE:
                    await run.write()
                return
        run.hand_in(piece)
        self._last = piece
        run.flush()
        await run.window.wait(len(run.writer.stored) + run.writer.pending)

    async def on_undo(self, undo: Undo) -> None:
        """Journal what takes an effect back, before there is that effect."""
        self.on_beat()
        arguments = msgspec.msgpack.decode(msgspec.msgpack.encode(undo.arguments))
        agent = str(undo.agent)
        for known in self._undo:
            if (known.agent, known.arguments) == (agent, arguments):
                self._undo.remove(known)  # It said so before, and is called again.
                return
        number = len(self._state.undo) + 1
        self._run.hand_in(
            UndoAdded(
                at=self._run.engine.clock.time(), step=self._path, attempt=self._attempt, number=number, agent=agent,
                arguments=arguments,
            )
        )  # fmt: skip
        await self._run.write()


def _address(agent: str) -> AgentId:
    type, _, instance = agent.partition(":")
    return AgentId(type, instance or None)
