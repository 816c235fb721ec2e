"""Calls of agents as a run makes them, each as soon as its pool has a slot."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from msgspec import UNSET

from tta_agents import AgentId, Reply

from .breaking import Call
from .plan import PlannedStep
from .pools import Pools
from .state import StepState

if TYPE_CHECKING:
    from .execution import Execution
    from .frame import Frame


def in_pool(pools: Pools, call: Call, run: Execution) -> Call:
    """Return ``call`` such that it waits for a slot, which no time limit of its step does; see `Pool.wait`.

    A step that has something in its place, be it nothing at all, gives that where its run can't make its deadline.
    """
    head, settings, now = run.head, run.plan.workflow.execution, run.engine.clock.time

    async def pooled(frame: Frame, step: PlannedStep, path: str, agent: AgentId, state: StepState) -> Reply:
        pool = pools.of(settings.pool, agent.type)
        if pool is not None and not pool.take():
            waiting = pools.waiting(pool, run.plan, head, now(), path, agent.type)
            gives_up = step.step.fallback is not UNSET or step.on_error == "skip-on-error"
            await pool.wait(
                waiting, now, key=head.fairness or head.owner, strategy=settings.strategy, gives_up=gives_up
            )  # fmt: skip
        began = time.perf_counter()
        try:
            reply = await call(frame, step, path, agent, state)
        finally:
            if pool is not None:
                pool.give_back(now())
        pools.predictions.observe(agent.type, time.perf_counter() - began)
        return reply

    return pooled
