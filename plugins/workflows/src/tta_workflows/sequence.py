"""Running a workflow: its steps one after the other, each fed from what came before."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Any, Literal, NamedTuple

import anyio
import msgspec

from tta_agents import AgentError, AgentId, Agents, OnPiece
from tta_kernel import Event, as_failure, raised_at
from tta_kernel.errors import overdue

from .model import Paths, Run, RunFinished, RunStarted, Step, StepFinished, StepRun, UnknownWorkflow, Workflow


class _Caller(NamedTuple):
    """For whom a run works, and who reads its pieces."""

    session: str
    owner: str
    on_piece: OnPiece | None


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
        caller = _Caller(session, owner, on_piece)
        run = Run(key, name, "running", time.time())
        self._remember(run)
        self._publish(RunStarted(run=key, workflow=name, session=session, owner=owner))
        began = time.perf_counter()
        steps: list[StepRun] = []
        outputs: dict[str, Any] = {}
        output: dict[str, Any] = {}
        data = {"input": input, "steps": outputs}
        error = "cancelled"  # unless it is known better in the end
        try:
            with anyio.fail_after(workflow.timeout):
                for step in workflow.steps:
                    outputs[step.id] = await self._step(step, data, run, steps, caller)
            output = _pick(workflow.output, data)
            error = ""
        except AgentError as exc:
            error = exc.code
        except TimeoutError:
            error = "timeout"
        finally:
            status: Literal["failed", "done"] = "failed" if error else "done"
            ended = Run(key, name, status, run.started_at, time.perf_counter() - began, tuple(steps), error)
            self._remember(ended)
            finished = RunFinished(
                run=key, workflow=name, status=status, seconds=ended.seconds, error=error, session=session, owner=owner
            )  # fmt: skip
            self._publish(finished)
        return msgspec.structs.replace(ended, output=output)

    async def _step(self, step: Step, data: Mapping[str, Any], run: Run, steps: list[StepRun], caller: _Caller) -> Any:
        """Return what the step's agent answered; add to ``steps`` what became of it, in any case."""
        began = time.perf_counter()
        error, detail = "cancelled", ""  # unless it is known better in the end
        try:
            with anyio.move_on_after(step.timeout):
                reply = await self._agents.call(
                    AgentId(step.agent, step.instance), _pick(step.input, data), key=f"{run.id}:{step.id}",
                    session=caller.session, owner=caller.owner, on_piece=caller.on_piece if step.stream else None,
                )  # fmt: skip
                error = ""
                return reply.output
            assert step.timeout is not None  # There was one to exceed.
            late = overdue(f"step {step.id!r} took longer than {step.timeout:g} s", step.timeout)
            raise AgentError("timeout", str(late), retryable=True)
        except AgentError as exc:
            error, detail = exc.code, exc.detail
            raise
        except BaseException as exc:  # noqa: BLE001 - a stranger's agents; its message may hold a person's text
            as_failure(exc)  # It goes on where somebody of ours asked for it.
            error, detail = "failed", f"calling {step.agent} raised {type(exc).__name__} at {raised_at(exc)}"
            raise AgentError(error, detail, retryable=True) from None
        finally:
            status: Literal["failed", "done"] = "failed" if error else "done"
            done = StepRun(step.id, step.agent, status, time.perf_counter() - began, error, detail)
            steps.append(done)
            self._publish(StepFinished(run=run.id, step=done, session=caller.session, owner=caller.owner))

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
