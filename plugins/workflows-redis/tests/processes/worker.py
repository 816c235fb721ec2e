"""A process that runs workflows on a Redis, until it is told to end or ends itself in the middle: ``SPEC`` is its JSON.

It says on its output, a line each, what a test waits for. SIGTERM ends it in order; then it says how it was.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Mapping
from typing import Any

import anyio
import anyio.lowlevel
import msgspec

from tta_redis import Config, Redis, connect
from tta_workflows.engine import Settings
from tta_workflows.executor import Executor
from tta_workflows.testing import Call, FakeAgents, Processes, workflow
from tta_workflows_redis import RedisJournal

STEPS = ("a", "b", "c", "d", "e")
PIECES = ("Once ", "upon ", "a ", "time.")
DEFINITIONS = {
    "chain": workflow(
        *({"id": id, "agent": "work", "input": {"text": "input.text"}} for id in STEPS),
        output={"text": f"steps.{STEPS[-1]}.text"},
    ),
    "asked": workflow(
        {"id": "before", "agent": "work", "input": {"text": "input.text"}},
        {"id": "one", "signal": "answer", "needs": ["before"]},
        {"id": "two", "signal": "answer", "needs": ["before"]},
        {"id": "after", "agent": "work", "input": {"text": "steps.one.text"}, "needs": ["one", "two"]},
        output={"one": "steps.one.text", "two": "steps.two.text", "after": "steps.after.text"},
    ),
    "alone": workflow(
        *({"id": id, "agent": "work", "input": {"text": "input.text"}} for id in STEPS[:2]),
        execution={"concurrency": {"key": "input.place"}},
    ),
    "tale": workflow({"id": "story", "agent": "tell", "stream": True}, output={"text": "steps.story.text"}),
}


class Spec(msgspec.Struct, frozen=True, kw_only=True):
    """What a worker does.

    ``run``: a workflow of which it begins one, under that name. ``start`` so many runs of ``chain``, and only then work
    on them; at the ``acts_at``-th call of an agent it sends itself the signal ``act`` (0: never).
    ``holds``: its agents stop in the middle of what they do, until SIGUSR1 says that they go on.
    """

    redis: Config = Config()
    name: str = "worker"
    lease: float = 1.0
    start: int = 0
    chain: str = "chain"
    run: str = ""
    acts_at: int = 0
    act: int = 0
    holds: bool = False


class Work:
    """The agents of one process, whose effects are counted in Redis, by the key of the call."""

    def __init__(self, redis: Redis, spec: Spec) -> None:
        self._redis, self._spec = redis, spec
        self._calls = 0
        self.executor: Executor | None = None
        self.go_on = anyio.Event()
        self.begun = anyio.Event()
        if not spec.start:
            self.begun.set()
        self.held = anyio.Event()
        self.ending = anyio.Event()
        if not spec.holds:
            self.go_on.set()

    def agents(self) -> FakeAgents:
        """Serve them."""
        return FakeAgents({"work": self.work, "tell": self.tell})

    async def work(self, call: Call) -> Mapping[str, Any]:
        await self.begun.wait()
        await self._redis.execute("HINCRBY", effects(self._redis), call.key, 1)
        self._calls += 1
        if self._calls == self._spec.acts_at:
            say("acting")
            os.kill(os.getpid(), self._spec.act)
            if self._spec.act == signal.SIGTERM:
                await self._start_too_late()
        if self._spec.act == signal.SIGTERM and self._calls >= self._spec.acts_at:
            await anyio.sleep_forever()  # What is under way when the process is to end doesn't come to its end.
        await self._hold()
        return {"text": call.request["text"], "by": self._spec.name}

    async def tell(self, call: Call) -> Mapping[str, Any]:
        if self._spec.holds:
            await call.emit(*PIECES[:2])
            await self._hold()
        else:
            await call.emit(*PIECES)
        return {"text": "".join(PIECES), "by": self._spec.name, "released": call.released}

    async def _hold(self) -> None:
        if not self.go_on.is_set():
            say("holding")
            self.held.set()
            await self.go_on.wait()

    async def _start_too_late(self) -> None:
        await self.ending.wait()
        await anyio.lowlevel.checkpoint()
        assert self.executor is not None
        refused = await (await self.executor.start("chain", {"text": "late"}, key="late")).query()
        say(f"{refused.status} {refused.error}")


def effects(redis: Redis) -> str:
    """Return where effects are counted."""
    return redis.key("effects")


def say(line: str) -> None:
    print(line, flush=True)


async def main(spec: Spec) -> None:
    with anyio.open_signal_receiver(signal.SIGTERM, signal.SIGUSR1) as signals:
        async with connect(spec.redis) as redis:
            journal, work = RedisJournal(redis), Work(redis, spec)
            processes = Processes(journal, work.agents(), settings=Settings(lease=spec.lease, grace=0.2))
            async with journal.listening(), processes.running(None, **DEFINITIONS) as executor:
                work.executor = executor
                say("ready")
                if spec.run:
                    await executor.start(spec.run, {"text": "hi"}, key=spec.run)
                for number in range(spec.start):
                    await executor.start(spec.chain, {"text": str(number)}, key=f"r{number}")
                work.begun.set()
                async for number in signals:
                    if number == signal.SIGTERM:
                        break
                    work.go_on.set()
                work.ending.set()
            say(f"fenced {journal.fenced}")


if __name__ == "__main__":
    anyio.run(main, msgspec.json.decode(sys.argv[1], type=Spec))
