"""Whatever definition the check lets pass, no run of it fails for a reason that the check is there for."""

from __future__ import annotations

import random
import time
from collections.abc import Mapping
from typing import Any

import msgspec
import pytest

from tta_agents import AgentError, AgentSpec
from tta_workflows import Workflow, WorkflowUse
from tta_workflows.check import problems
from tta_workflows.memory import MemoryJournal
from tta_workflows.testing import Call, FakeAgents, Processes, workflow


class Inner(msgspec.Struct, frozen=True):
    text: str
    mood: str | None = None


class Ask(msgspec.Struct, frozen=True):
    text: str
    count: int = 0
    inner: Inner | None = None


class Answer(msgspec.Struct, frozen=True):
    text: str
    count: int
    inner: Inner
    tail: str | None = None


class Measure(msgspec.Struct, frozen=True):
    count: float
    inner: Inner


class Measured(msgspec.Struct, frozen=True):
    count: int
    words: list[str]
    text: str | None = None


class Given(msgspec.Struct, frozen=True):
    text: str
    count: int
    inner: Inner
    tail: str | None = None


class Returned(msgspec.Struct, frozen=True):
    text: str
    count: float = 0.0


AGENTS = {"tell": AgentSpec("tell", "", Ask, Answer), "count": AgentSpec("count", "", Measure, Measured)}
FIELDS = ("text", "count", "inner", "inner.text", "inner.mood", "tail", "words", "nothing")
USE = WorkflowUse("w", Given, Returned)


class Agents(FakeAgents):
    """Agents that take what their specs say, give some of what these allow, and are tired now and then."""

    def __init__(self, dice: random.Random) -> None:
        super().__init__()
        self._dice = dice
        self.refused: list[str] = []
        self.work = {"tell": self.tell, "count": self.count}

    def read(self, call: Call, type: type[msgspec.Struct]) -> None:
        try:
            msgspec.convert(call.request, type)
        except msgspec.ValidationError as exc:
            self.refused.append(f"{call.key}: {exc}")
            raise AgentError("bad_request", str(exc)) from None
        if self._dice.random() < 0.15:
            raise AgentError("tired")

    def maybe(self) -> str | None:
        return self._dice.choice(("x", None))

    async def tell(self, call: Call) -> Mapping[str, Any]:
        self.read(call, Ask)
        answer = Answer("told", self._dice.randrange(3), Inner("in", self.maybe()), self.maybe())
        return dict(msgspec.to_builtins(answer))

    async def count(self, call: Call) -> Mapping[str, Any]:
        self.read(call, Measure)
        return dict(msgspec.to_builtins(Measured(self._dice.randrange(3), ["a"], self.maybe())))


class Dice(random.Random):
    """Random definitions, of which some are right."""

    def steps(self) -> list[dict[str, Any]]:
        ids: list[str] = []
        steps = []
        for id in "abcde"[: self.randrange(1, 6)]:
            steps.append(self.step(id, ids))
            ids.append(id)
        return steps

    def step(self, id: str, before: list[str]) -> dict[str, Any]:
        agent = self.choice(("tell", "tell", "count", "inner"))
        step: dict[str, Any] = {"id": id}
        if agent == "inner":
            step |= {"workflow": "v", "input": self.paths(before, ("text",), ())}
        else:
            spec = AGENTS[agent]
            required = [field.name for field in msgspec.structs.fields(spec.input) if field.required]
            optional = [field.name for field in msgspec.structs.fields(spec.input) if not field.required]
            step |= {"agent": agent, "input": self.paths(before, required, optional)}
        if before and self.random() < 0.7:
            needs = self.sample(before, self.randrange(len(before) + 1))
            step["needs"] = [each + self.choice(("", "", "?")) for each in needs]
        if self.random() < 0.3:
            step["when"] = self.choice(
                (f"{self.path(before, self.choice(FIELDS))} == 1", "input.count > 0", "input.tail")
            )
        if self.random() < 0.25:
            step["fallback"] = self.choice(({"text": "so"}, {"count": 1}, {"text": "so", "count": 2}, {"text": 3}))
        if self.random() < 0.3:
            step["on_error"] = self.choice(("skip-on-error", "retry", "fail-fast"))
        if step.get("agent") and self.random() < 0.3:
            path = self.choice(("output.text", "input.text", self.path(before, "text")))
            step["undo"] = {"agent": "tell", "input": {"text": path}}
        if step.get("agent") and self.random() < 0.15:
            step["repeat"] = {"until": "output.count == 1", "most": 2}
        return step

    def paths(self, before: list[str], required: Any, optional: Any) -> dict[str, str]:
        wanted = [*required, *(each for each in optional if self.random() < 0.5)]
        # Mostly a field of the same name, so that enough definitions are right.
        return {each: self.path(before, each if self.random() < 0.9 else self.choice(FIELDS)) for each in wanted}

    def path(self, before: list[str], field: str) -> str:
        root = "input" if not before or self.random() < 0.4 else f"steps.{self.choice(before)}"
        return f"{root}.{field}"

    def definitions(self) -> dict[str, Workflow]:
        steps = self.steps()
        ids = [step["id"] for step in steps]
        inner = workflow(
            {"id": "x", "agent": "tell", "input": {"text": "input.text"}, **self.choice(({}, {"when": "input.text"}))},
            output={"text": "steps.x.text", "count": "steps.x.count", "inner": "steps.x.inner"},
        )
        tried = {"attempts": 2, "delay": 0}
        for step in steps:
            if step.get("on_error") == "retry" and step.get("agent"):
                step["retry"] = tried
        return {"w": workflow(*steps, output=self.paths(ids, ("text",), ("count",))), "v": inner}

    def input(self) -> dict[str, Any]:
        given = Given("hi", self.randrange(2), Inner("in", self.choice(("x", None))), self.choice(("x", None)))
        return dict(msgspec.to_builtins(given))


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
@pytest.mark.parametrize("first", range(0, 6000, 1000))
async def test_no_run_fails_for_what_the_check_is_there_for(first: int) -> None:
    passed = 0
    for seed in range(first, first + 400):
        dice = Dice(seed)
        definitions = dice.definitions()
        if [*problems(definitions, AGENTS, {"user": [USE]})]:
            continue
        passed += 1
        agents = Agents(dice)
        async with Processes(MemoryJournal(time.time), agents).running(None, **definitions) as workflows:
            run = await workflows.run("w", dice.input())
        told = f"seed {seed}: {msgspec.json.encode(definitions).decode()}: {run}"
        assert agents.refused == [], told
        assert run.status == "done" or run.error == "tired", told
        assert not run.stuck or any(step.error == "tired" for step in run.steps), told
        if run.status == "done":
            msgspec.convert(run.output, Returned)
    assert passed >= 20
