"""Taking back what a run has done: newest first, each journalled and tried again, none ever dropped."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import anyio
import anyio.lowlevel

from tta_agents import AgentError, AgentId
from tta_kernel import as_failure, raised_at
from tta_kernel.errors import overdue

from .frame import frame_data
from .plan import pick
from .records import Undone
from .state import Effect, effects

if TYPE_CHECKING:
    from .execution import Execution


class Compensation:
    """Takes back the effects of one run; who takes the run over goes on where the journal says that it was."""

    def __init__(self, execution: Execution) -> None:
        self._run, self._engine = execution, execution.engine

    async def run(self, savepoint: str) -> int:
        """Take back all that came after a savepoint; return how many effects there were in all."""
        for effect in list(effects(self._run.plan, self._run.state, savepoint)):
            await self._take_back(effect)
        return sum(len(step.undone) for step in self._run.state.steps.values())

    async def _take_back(self, effect: Effect) -> None:
        clock, retry = self._engine.clock, self._engine.settings.undo
        attempt, again = effect.attempt, effect.again
        while True:
            if again:
                await clock.sleep_until(again)
            error = await self._call(effect, attempt)
            again = 0.0
            if error is not None and attempt < retry.attempts:
                again = clock.time() + self._engine.pause(retry, attempt)
            self._run.hand_in(
                Undone(
                    at=clock.time(), step=effect.step, number=effect.number, attempt=attempt, again=again,
                    code=error.code if error else "", detail=error.shown if error else "",
                )
            )  # fmt: skip
            await self._run.write()
            if not again:
                if error is not None:
                    self._engine.log.error(
                        "run %s: step %s could not be undone, and a human must look: %s", self._run.head.id,
                        effect.step, error.code,
                    )  # fmt: skip
                return
            attempt += 1

    async def _call(self, effect: Effect, attempt: int) -> AgentError | None:
        head = self._run.head
        agent, request = self._request(effect)
        limit = self._engine.settings.undo_timeout
        try:
            with anyio.move_on_after(limit):
                await self._engine.agents.call(
                    agent, request, key=self._key(effect, attempt), attempt=attempt, session=head.session,
                    owner=head.owner,
                )  # fmt: skip
                return None
        except AgentError as exc:
            return exc
        except BaseException as exc:  # noqa: BLE001 - a stranger's agents; its message may hold a person's text
            # A group of cancellations would not end our scope, but come out of it.
            await anyio.lowlevel.checkpoint_if_cancelled()
            as_failure(exc)  # It goes on where somebody of ours asked for it.
            return AgentError("failed", f"calling {agent} raised {type(exc).__name__} at {raised_at(exc)}")
        return AgentError("timeout", str(overdue(f"{agent} took longer than {limit:g} s", limit)))

    def _key(self, effect: Effect, attempt: int) -> str:
        key = f"{self._run.head.id}:{effect.step}:undo:{effect.number}:{attempt}"
        before = self._run.state.steps[effect.step].before
        # What was done again after it was taken back is another effect.
        return f"{key}~{before}" if before else key

    def _request(self, effect: Effect) -> tuple[AgentId, Mapping[str, Any]]:
        """Return who takes an effect back, and what it is given."""
        step = self._run.state.steps[effect.step]
        if effect.number:
            added = next(each for each in step.undo if each.number == effect.number)
            type, _, instance = added.agent.partition(":")
            return AgentId(type, instance or None), added.arguments
        planned = self._run.plan.find(effect.step)
        assert planned is not None
        assert planned.step.undo is not None
        data = frame_data(self._run.plan, self._run.head.input, self._run.state, effect.step)
        # What never came to an output has none to be read.
        return AgentId(planned.step.undo.agent), pick(planned.undo, {**data, "output": step.output or {}})
