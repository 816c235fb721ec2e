"""A recorded run once more, without its agents: each answers what it answered then, and nobody is waited for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import SimpleNamespace
from typing import Any, cast

import anyio
import anyio.lowlevel
import msgspec

from tta_agents import AgentError, AgentId, Agents, OnPiece, OnUndo, Reply, Undo
from tta_capabilities import Capabilities, MatchCriteria
from tta_workflows.clock import Alarms, SystemClock
from tta_workflows.definition import Retry, Step, Workflow
from tta_workflows.engine import Engine, Settings
from tta_workflows.executor import Executor
from tta_workflows.journal import RunHead
from tta_workflows.memory import MemoryJournal
from tta_workflows.plan import restore_plan
from tta_workflows.records import AnyRecord, Asked, Done, Failed, Piece, Signal, Started, UndoAdded, Undone
from tta_workflows.state import SETTLED, State

from .fakes import log

PATIENCE = 10.0
"""Seconds after which a replay that doesn't come to what it came to has failed."""
_STOPS = ("cancel", "rollback", "retry")


class Recorded(msgspec.Struct, frozen=True):
    """A run as a journal has it; ``definition`` is what it runs, as journals keep it."""

    head: RunHead
    definition: bytes
    records: tuple[AnyRecord, ...]

    def until_stopped(self) -> tuple[AnyRecord, ...]:
        """Return what was recorded before somebody asked for its end, for it to be taken back, or for another try."""
        for number, record in enumerate(self.records):
            if isinstance(record, Asked) and record.what in _STOPS:
                return self.records[:number]
        return self.records


class Outcome(msgspec.Struct, frozen=True, eq=False):
    """What a run has come to: its status, and those of its steps that are over, with their outputs."""

    status: str
    steps: Mapping[str, tuple[str, Any]]

    def __eq__(self, other: object) -> bool:
        # As journals keep them: an output may hold what is no number, which is not even equal to itself.
        return isinstance(other, Outcome) and self._packed == other._packed

    def __hash__(self) -> int:
        return hash(self._packed)

    @property
    def _packed(self) -> bytes:
        return msgspec.msgpack.encode(self, order="deterministic")


def outcome(recorded: Recorded) -> Outcome:
    """Return what a run had come to when it was recorded, or when it was stopped."""
    return _outcome(State(recorded.until_stopped()))


async def replay(recorded: Recorded) -> Outcome:
    """Run it again, and return what it comes to."""
    plan, expected = restore_plan(recorded.definition), outcome(recorded)
    definitions = {name: _hurried(each) for name, each in plan.reached.items()}
    agents, clock = _Answers(recorded), SystemClock()
    engine = Engine(
        agents=cast("Agents", agents), journal=MemoryJournal(clock.time), clock=clock, alarms=Alarms(clock), log=log,
        settings=Settings(grace=0.0), capabilities=cast("Capabilities", _Able(definitions, recorded)),
    )  # fmt: skip
    executor, id = Executor(engine, definitions), recorded.head.id
    signals = [record for record in recorded.until_stopped() if isinstance(record, Signal)]
    with anyio.fail_after(PATIENCE):
        async with executor.running():
            await executor.start(plan.name, recorded.head.input, key=id)
            while True:
                state = State(await executor.history(id))
                if (found := _outcome(state)) == expected or state.over:
                    return found
                for signal in [each for each in signals if state.step(each.step).status == "waiting"]:
                    signals.remove(signal)
                    await executor.signal(id, signal.step, signal.data, id=signal.id)
                await anyio.lowlevel.checkpoint()


def _outcome(state: State) -> Outcome:
    steps: dict[str, tuple[str, Any]] = {}
    for path, step in state.steps.items():
        if step.status in SETTLED or step.status == "failed":
            steps[path] = (step.status, step.output)
    return Outcome(state.status if state.over else "unfinished", steps)


def _hurried(workflow: Workflow) -> Workflow:
    """Return a definition that waits for nobody, and sends nothing."""
    return msgspec.structs.replace(workflow, steps=tuple(map(_hurried_step, workflow.steps)))


def _hurried_step(step: Step) -> Step:
    retry = msgspec.structs.replace(step.retry, delay=0.0) if step.retry else None
    if retry is None and step.on_error == "retry":
        retry = Retry(attempts=3, delay=0.0)
    wait = 0.001 if step.wait is not None else None
    return msgspec.structs.replace(step, retry=retry, wait=wait, send=(), publish=())


class _Answers:
    """Answers each call as it was answered, by its key."""

    process = "replay"

    def __init__(self, recorded: Recorded) -> None:
        self._prefix = f"{recorded.head.id}:"
        self._done: dict[tuple[str, int], Done] = {}
        self._failed: dict[tuple[str, int], Failed] = {}
        self._undone: dict[tuple[str, int, int], Undone] = {}
        self._before: dict[tuple[str, int], list[Piece | UndoAdded]] = {}
        for record in recorded.until_stopped():
            match record:
                case Done():
                    self._done[record.step, record.attempt] = record
                case Failed():
                    self._failed[record.step, record.attempt] = record
                case Undone():
                    self._undone[record.step, record.number, record.attempt] = record
                case Started():
                    self._before[record.step, record.attempt] = []  # What it said before, it has taken back.
                case Piece() | UndoAdded():
                    self._before.setdefault((record.step, record.attempt), []).append(record)

    async def call(
        self, agent: AgentId, request: Mapping[str, Any], *, key: str, on_piece: OnPiece | None = None,
        on_undo: OnUndo | None = None, **how: Any,
    ) -> Reply:  # fmt: skip
        path, *which = key.removeprefix(self._prefix).split(":")
        if which[0] == "undo":
            undone = self._undone.get((path, int(which[1]), int(which[2].partition("~")[0])))
            if undone is not None and undone.code:
                raise AgentError(undone.code, undone.detail)
            return Reply(agent, {}, 0.0)
        made = (path, int(which[0]))
        for record in self._before.get(made, ()):
            if isinstance(record, Piece) and on_piece is not None:
                await on_piece(record.text)
            elif isinstance(record, UndoAdded) and on_undo is not None:
                type, _, instance = record.agent.partition(":")
                await on_undo(Undo(AgentId(type, instance or None), record.arguments))
        if (failed := self._failed.get(made)) is not None:
            raise AgentError(failed.code, failed.detail, retryable=bool(failed.again))
        if (done := self._done.get(made)) is None:
            await anyio.sleep_forever()  # It never answered.
            raise AssertionError("it is cancelled")
        return Reply(agent, done.output, 0.0)


class _Able:
    """Finds who had a capability."""

    def __init__(self, definitions: Mapping[str, Workflow], recorded: Recorded) -> None:
        self._agents: dict[str, AgentId] = {}
        capabilities = {step.id: step.capability for each in definitions.values() for step in each.steps}
        for record in recorded.records:
            if isinstance(record, Started):
                id = record.step.rpartition("/")[2].partition("#")[0]
                type, _, instance = record.agent.partition(":")
                self._agents[capabilities.get(id, "")] = AgentId(type, instance or None)

    async def match(self, criteria: MatchCriteria, *_: Any, **__: Any) -> Sequence[Any]:
        found = self._agents.get(criteria.capability_name or "")
        return [SimpleNamespace(agent_id=found)] if found is not None else []
