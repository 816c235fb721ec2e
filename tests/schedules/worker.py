"""A process that fires schedules and runs workflows on a Redis, and may end itself in the middle: ``SPEC`` is its JSON.

It says on its output, a line each, what a test waits for. SIGTERM ends it in order.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
from typing import Any, cast

import anyio
import msgspec

from tta_redis import Config, connect
from tta_schedules import Schedules
from tta_schedules.scheduler import Scheduler, Settings
from tta_schedules_redis import RedisScheduleStore
from tta_workflows.clock import SystemClock
from tta_workflows.engine import Settings as WorkflowSettings
from tta_workflows.executor import Executor
from tta_workflows.testing import FakeAgents, Processes, echo, workflow
from tta_workflows_redis import RedisJournal

DEFINITIONS = {"tick": workflow({"id": "say", "agent": "echo", "input": {"text": "input.text"}})}


class Spec(msgspec.Struct, frozen=True, kw_only=True):
    """What a worker does: at its ``acts_at``-th start of a run (0: never) it sends itself the signal ``act``.

    ``begun``: it does so only once that run has begun.
    """

    redis: Config = Config()
    replicas: int = 0
    name: str = "worker"
    lease: float = 1.0
    acts_at: int = 0
    act: int = 0
    begun: bool = False


class Fateful:
    """Workflows of a process that comes to its end, or its pause, in the middle of a start."""

    def __init__(self, executor: Executor, spec: Spec) -> None:
        self._executor, self._spec = executor, spec
        self._starts = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._executor, name)

    async def start(self, *args: Any, **how: Any) -> Any:
        self._starts += 1
        is_time = self._starts == self._spec.acts_at
        if is_time and not self._spec.begun:
            self._act(how["key"])
        handle = await self._executor.start(*args, **how)
        if is_time and self._spec.begun:
            self._act(how["key"])
        return handle

    def _act(self, key: str) -> None:
        say(f"acting {key}")
        os.kill(os.getpid(), self._spec.act)


def say(line: str) -> None:
    print(line, flush=True)


async def main(spec: Spec) -> None:
    logging.disable(logging.CRITICAL)
    with anyio.open_signal_receiver(signal.SIGTERM) as signals:
        async with connect(spec.redis) as redis:
            journal = RedisJournal(redis, wait_replicas=spec.replicas)
            store = RedisScheduleStore(redis, wait_replicas=spec.replicas)
            agents = FakeAgents({"echo": echo})
            processes = Processes(journal, agents, settings=WorkflowSettings(lease=spec.lease, grace=0.2))
            schedules = Schedules(store, durable=True)
            async with journal.listening(), store.listening(), processes.running(None, **DEFINITIONS) as executor:
                scheduler = Scheduler(
                    schedules, cast(Any, Fateful(executor, spec)), SystemClock(), process=spec.name,
                    log=logging.getLogger("worker"), settings=Settings(lease=spec.lease, poll=0.2, grace=0.5),
                )  # fmt: skip
                async with scheduler.running():
                    await scheduler.hold.taken.wait() if spec.act else None
                    say("ready")
                    async for _ in signals:
                        break
            say(f"fired {scheduler.fired}")


if __name__ == "__main__":
    anyio.run(main, msgspec.json.decode(sys.argv[1], type=Spec))
