"""Running a workflow: its steps one after the other, each fed from what came before."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Any, Literal

import anyio
import msgspec

from tta_agents import AgentError, AgentId, Agents, OnPiece
from tta_kernel import Event

from .model import Paths, Run, RunFinished, RunStarted, Step, StepFinished, StepRun, UnknownWorkflow, Workflow


class Sequences:
    """Runs workflows over ``agents``; remembers the last ``kept`` runs, without what was said in them."""

    def __init__(
        self, definitions: Mapping[str, Workflow], agents: Agents, publish: Callable[[Event], None], *, kept: int
    ) -> None:
        self._definitions, self._agents, self._publish = definitions, agents, publish
        self._runs: OrderedDict[str, Run] = OrderedDict()
        self._kept = kept

    def definitions(self) -> Mapping[str, Workflow]:
        return self._definitions

    def get(self, run: str) -> Run | None:
        return self._runs.get(run)

    async def run(
        self, name: str, input: Mapping[str, Any], *, key: str, session: str = "", owner: str = "",
        on_piece: OnPiece | None = None,
    ) -> Run:  # fmt: skip
        if (workflow := self._definitions.get(name)) is None:
            known = ", ".join(sorted(self._definitions)) or "none"
            raise UnknownWorkflow(f"no workflow is called {name!r}; configured are: {known}")
        run = Run(key, name, "running", time.time())
        self._remember(run)
        self._publish(RunStarted(run=key, workflow=name))
        began, steps, outputs, output = time.perf_counter(), list[StepRun](), dict[str, Any](), dict[str, Any]()
        data, error = {"input": input, "steps": outputs}, "cancelled"
        try:
            with anyio.fail_after(workflow.timeout):
                for step in workflow.steps:
                    await self._step(step, data, run, steps, session, owner, on_piece)
            output, error = _pick(workflow.output, data), ""
        except AgentError as exc:
            error = exc.code
        except TimeoutError:
            error = "timeout"
        finally:
            status: Literal["failed", "done"] = "failed" if error else "done"
            ended = Run(key, name, status, run.started_at, time.perf_counter() - began, tuple(steps), error)
            self._remember(ended)
            self._publish(RunFinished(run=key, workflow=name, status=status, seconds=ended.seconds, error=error))
        return msgspec.structs.replace(ended, output=output)

    async def _step(
        self, step: Step, data: dict[str, Any], run: Run, steps: list[StepRun], session: str, owner: str,
        on_piece: OnPiece | None,
    ) -> None:  # fmt: skip
        began, error, detail = time.perf_counter(), "cancelled", ""
        try:
            with anyio.move_on_after(step.timeout):
                reply = await self._agents.call(
                    AgentId(step.agent, step.instance), _pick(step.input, data), key=f"{run.id}:{step.id}",
                    session=session, owner=owner, on_piece=on_piece if step.stream else None,
                )  # fmt: skip
                data["steps"][step.id] = reply.output
                error = ""
                return
            raise AgentError("timeout", f"step {step.id!r} took longer than {step.timeout:g} s", retryable=True)
        except AgentError as exc:
            error, detail = exc.code, exc.detail
            raise
        finally:
            status: Literal["failed", "done"] = "failed" if error else "done"
            done = StepRun(step.id, step.agent, status, time.perf_counter() - began, error, detail)
            steps.append(done)
            self._publish(StepFinished(run=run.id, step=done))

    def _remember(self, run: Run) -> None:
        self._runs[run.id] = run
        self._runs.move_to_end(run.id)
        while len(self._runs) > self._kept:
            self._runs.popitem(last=False)


def _pick(paths: Paths, data: Mapping[str, Any]) -> dict[str, Any]:
    """Read each path; what isn't there is left to the reader's default, and its decoder's complaint."""
    picked = {}
    for field, path in paths.items():
        value: Any = data
        for part in path.split("."):
            value = value.get(part, msgspec.UNSET) if isinstance(value, Mapping) else msgspec.UNSET
        if value is not msgspec.UNSET and value is not None:
            picked[field] = value
    return picked
