"""The contract of `Workflows`, over any journal: what a run does, in whichever process."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

import anyio
import pytest

from tta_agents import AgentError
from tta_workflows.definition import Retry, Workflow
from tta_workflows.engine import Settings
from tta_workflows.journal import Journal, RunQuery
from tta_workflows.records import Done, Left, RolledBack, Started, TakenOver, UndoAdded, Undone
from tta_workflows.runs import Retracted, Run, RunFinished, RunStarted, StepFinished, Streamed, Workflows, WorkflowSaid

from .fakes import Call, Cut, FakeAgents, Processes, VirtualClock, echo, failing, workflow

PATIENCE = 20.0
LATER = 60.0
QUICKLY = Settings(lease=1.0, grace=0.1, undo=Retry(attempts=3, delay=0.001))


def step(id: str, agent: str = "echo", **more: Any) -> dict[str, Any]:
    return {"id": id, "agent": agent, "input": {"text": "input.text"}, **more}


def undone(id: str, agent: str = "echo", **more: Any) -> dict[str, Any]:
    """Make a step whose undo is told what it was."""
    undo = {"agent": "undo", "input": {"step": f"input.{id}", "text": "output.text"}}
    return step(id, agent, undo=undo, **more)


async def until(journal: Journal, run: str, status: str) -> None:
    """Wait until the journal says so of a run."""
    while (found := await journal.summary(run)) is None or found.status != status:
        await anyio.lowlevel.checkpoint()


INPUT = {"text": "hi", "a": "a", "b": "b", "c": "c", "d": "d"}
TRIED = {"attempts": 3, "delay": 0.001}


class WorkflowsContract:
    """Subclass this, and give the fixture ``journal``: one that is empty."""

    @pytest.fixture
    def agents(self) -> FakeAgents:
        return FakeAgents({"echo": echo})

    @pytest.fixture
    def processes(self, journal: Journal, agents: FakeAgents) -> Processes:
        return Processes(journal, agents, settings=QUICKLY)

    async def run(self, processes: Processes, definition: Workflow, **more: Any) -> Run:
        with anyio.fail_after(PATIENCE):
            async with processes.running(w=definition) as workflows:
                return await workflows.run("w", more.pop("input", INPUT), **more)

    # What steps get, and in which order they go.

    async def test_steps_get_what_their_paths_point_at(self, processes: Processes, agents: FakeAgents) -> None:
        definition = workflow(
            step("a"),
            step("b", input={"text": "steps.a.text", "more": "input.deep.er", "none": "input.nothing"}),
            output={"said": "steps.b.text", "heard": "input.text"},
        )
        done = await self.run(processes, definition, input={"text": "hi", "deep": {"er": 1}}, session="s", owner="ann")
        assert (done.status, done.error, done.percent) == ("done", "", 100)
        assert done.output == {"said": "hi", "heard": "hi"}
        assert [(each.id, each.agent, each.status, each.attempt) for each in done.steps] == [
            ("a", "echo", "done", 1), ("b", "echo", "done", 1),
        ]  # fmt: skip
        assert [call.request for call in agents.calls] == [{"text": "hi"}, {"text": "hi", "more": 1}]
        assert {(call.session, call.owner) for call in agents.calls} == {("s", "ann")}
        assert agents.keys == ["a:1", "b:1"]

    async def test_steps_that_need_the_same_go_at_once(self, processes: Processes, agents: FakeAgents) -> None:
        here: set[str] = set()
        all_here = anyio.Event()

        async def meet(call: Call) -> Mapping[str, Any]:
            here.add(call.key)
            if len(here) == 3:
                all_here.set()
            await all_here.wait()
            return call.request

        agents.work["meet"] = meet
        definition = workflow(
            step("a"), *(step(id, "meet", needs=["a"]) for id in "bcd"), step("e", needs=["b", "c", "d"])
        )
        done = await self.run(processes, definition)
        assert done.status == "done"
        assert agents.keys[0] == "a:1"
        assert agents.keys[-1] == "e:1"

    async def test_what_is_skipped_takes_along_what_needs_it_hard(self, processes: Processes) -> None:
        definition = workflow(
            step("a", when="input.text == 'other'"),
            step("b"),
            step("c", needs=["b?"]),
            step("d", needs=[], when="input.text == 'hi'"),
        )
        done = await self.run(processes, definition)
        assert [(each.id, each.status) for each in done.steps] == [
            ("a", "skipped"), ("b", "skipped"), ("c", "done"), ("d", "done"),
        ]  # fmt: skip
        assert (done.status, done.percent) == ("done", 100)

    async def test_an_expression_that_cannot_be_evaluated_fails_its_step(self, processes: Processes) -> None:
        failed = await self.run(processes, workflow(step("a"), step("b", when="steps.a.text < 1")))
        assert (failed.status, failed.error) == ("failed", "bad_expression")

    async def test_a_workflow_runs_within_another(self, processes: Processes, agents: FakeAgents) -> None:
        inner = workflow(step("x"), step("y", input={"text": "steps.x.text"}), output={"said": "steps.y.text"})
        outer = workflow(
            {"id": "a", "workflow": "inner", "input": {"text": "input.text"}},
            step("b", input={"text": "steps.a.said"}), output={"text": "steps.b.text"},
        )  # fmt: skip
        with anyio.fail_after(PATIENCE):
            async with processes.running(w=outer, inner=inner) as workflows:
                done = await workflows.run("w", INPUT)
        assert (done.status, done.output) == ("done", {"text": "hi"})
        assert agents.keys == ["a/x:1", "a/y:1", "b:1"]

    async def test_a_step_repeats_until_its_expression_holds(self, processes: Processes, agents: FakeAgents) -> None:
        async def grow(call: Call) -> Mapping[str, Any]:
            return {"text": call.request.get("text", "") + "x"}

        agents.work["grow"] = grow
        until = {"until": "len(output.text) >= input.long", "most": 5}
        definition = workflow(
            step("a", "grow", input={"text": "steps.a.text"}, repeat=until), output={"text": "steps.a.text"}
        )
        assert (await self.run(processes, definition, input={"long": 3})).output == {"text": "xxx"}
        assert agents.keys == ["a#1:1", "a#2:1", "a#3:1"]
        assert (await self.run(processes, definition, input={"long": 99})).output == {"text": "xxxxx"}

    # What becomes of a step that fails.

    async def test_a_failing_step_fails_the_run_and_the_later_ones_do_not_run(
        self, processes: Processes, agents: FakeAgents
    ) -> None:
        agents.work["tired"] = failing("tired", retryable=False)
        failed = await self.run(processes, workflow(step("a"), step("b", "tired"), step("c")))
        assert (failed.status, failed.error, failed.output) == ("failed", "tired", {})
        assert [(each.id, each.status, each.error) for each in failed.steps] == [
            ("a", "done", ""), ("b", "failed", "tired"), ("c", "pending", ""),
        ]  # fmt: skip
        assert agents.keys == ["a:1", "b:1"]

    async def test_a_step_is_tried_again_as_it_says(self, processes: Processes, agents: FakeAgents) -> None:
        agents.work["moody"] = failing("tired", "busy")
        done = await self.run(processes, workflow(step("a", "moody", retry=TRIED)))
        assert (done.status, done.steps[0].attempt) == ("done", 3)
        assert agents.keys == ["a:1", "a:2", "a:3"]
        assert [call.attempt for call in agents.calls] == [1, 2, 3]

    @pytest.mark.parametrize(
        ("retry", "code", "retryable", "calls"),
        [
            (TRIED, "tired", True, 3),
            (TRIED, "tired", False, 1),
            ({**TRIED, "on": ["tired"]}, "tired", False, 3),
            ({**TRIED, "on": ["tired"]}, "busy", True, 1),
        ],
    )
    async def test_after_which_errors_there_is_another_attempt(
        self, processes: Processes, agents: FakeAgents, retry: Any, code: str, *, retryable: bool, calls: int
    ) -> None:
        agents.work["moody"] = failing(*[code] * 9, retryable=retryable)
        failed = await self.run(processes, workflow(step("a", "moody", retry=retry)))
        assert (failed.status, failed.error, len(agents.calls)) == ("failed", code, calls)

    async def test_a_workflow_says_what_becomes_of_its_steps_unless_they_do(
        self, processes: Processes, agents: FakeAgents
    ) -> None:
        agents.work["tired"] = failing(*["tired"] * 99, retryable=False)
        definition = workflow(
            step("a", "tired"), step("b", needs=["a?"]), step("c", "tired", needs=["a?"], fallback={"text": "so"}),
            on_error="skip-on-error", output={"b": "steps.b.text", "c": "steps.c.text"},
        )  # fmt: skip
        done = await self.run(processes, definition)
        assert (done.status, done.output, done.degraded) == ("done", {"b": "hi", "c": "so"}, ("c",))
        assert [(each.status, each.error) for each in done.steps] == [
            ("skipped", "tired"), ("done", ""), ("degraded", "tired"),
        ]  # fmt: skip
        agents.work["tired"] = failing("tired")
        again = workflow(step("a", "tired"), on_error="retry")
        assert (await self.run(processes, again)).status == "done"
        agents.work["tired"] = failing("tired")
        fast = workflow(step("a", "tired", on_error="fail-fast"), on_error="retry")
        assert (await self.run(processes, fast)).status == "failed"

    async def test_a_failing_step_stops_those_beside_it(self, processes: Processes, agents: FakeAgents) -> None:
        begun, stopped = anyio.Event(), anyio.Event()

        async def long(call: Call) -> Mapping[str, Any]:
            begun.set()
            try:
                await anyio.sleep_forever()
            finally:
                stopped.set()
            return {}

        async def fail(call: Call) -> Mapping[str, Any]:
            await begun.wait()
            raise AgentError("tired")

        agents.work |= {"long": long, "fail": fail}
        failed = await self.run(processes, workflow(step("a", "long", needs=[]), step("b", "fail", needs=[])))
        assert (failed.status, failed.error) == ("failed", "tired")
        assert stopped.is_set()

    @pytest.mark.parametrize("limit", [{"timeout": 0.01}, {"idle": 0.01}])
    async def test_a_step_past_its_time_has_failed(
        self, processes: Processes, agents: FakeAgents, limit: dict[str, float]
    ) -> None:
        async def long(call: Call) -> Mapping[str, Any]:
            await anyio.sleep_forever()
            return {}

        agents.work["long"] = long
        failed = await self.run(processes, workflow(step("a", "long", **limit)))
        assert (failed.status, failed.error, failed.steps[0].error) == ("failed", "timeout", "timeout")

    async def test_a_run_past_its_time_has_failed(self, processes: Processes, agents: FakeAgents) -> None:
        clock = processes.clock = VirtualClock()
        begun = anyio.Event()

        async def long(call: Call) -> Mapping[str, Any]:
            begun.set()
            await anyio.sleep_forever()
            return {}

        agents.work["long"] = long
        inner = workflow(step("x", "long"))
        outer = workflow(step("a"), {"id": "b", "workflow": "inner"}, timeout=60.0)
        with anyio.fail_after(PATIENCE):
            async with processes.running(w=outer, inner=inner) as workflows:
                handle = await workflows.start("w", INPUT)
                await begun.wait()
                clock.advance(61.0)
                failed = await handle.result()
        assert (failed.status, failed.error) == ("failed", "timeout")
        assert [(each.id, each.error) for each in failed.steps if each.status == "failed"] == [
            ("b", "timeout"), ("b/x", "timeout"),
        ]  # fmt: skip

    async def test_an_output_that_does_not_fit_fails_its_step(self, processes: Processes, agents: FakeAgents) -> None:
        schema = {"type": "object", "properties": {"text": {"type": "string", "maxLength": 1}}}
        failed = await self.run(processes, workflow(step("a", response=schema)), input={"text": "secret"})
        assert (failed.status, failed.error) == ("failed", "bad_output")
        assert "$.text" in failed.detail
        assert "secret" not in failed.detail
        processes.check_output = lambda workflow, step, output: [f"{workflow}.{step} has no soul"]
        failed = await self.run(processes, workflow(step("a")))
        assert (failed.error, failed.detail) == ("bad_output", "of echo: w.a has no soul")

    # Taking back.

    async def test_what_was_done_is_taken_back_newest_first(self, processes: Processes, agents: FakeAgents) -> None:
        agents.work |= {"undo": echo, "tired": failing("tired")}
        failed = await self.run(
            processes, workflow(undone("a"), undone("b"), step("c"), undone("d", "tired"), on_failure="undo")
        )
        assert (failed.status, failed.error) == ("failed", "tired")
        assert [call.request for call in agents.calls if call.agent.type == "undo"] == [
            {"step": "d"}, {"step": "b", "text": "hi"}, {"step": "a", "text": "hi"},
        ]  # fmt: skip
        assert [(each.id, each.status) for each in failed.steps] == [
            ("a", "undone"), ("b", "undone"), ("c", "done"), ("d", "undone"),
        ]  # fmt: skip
        assert agents.keys[-3:] == ["d:undo:0:1", "b:undo:0:1", "a:undo:0:1"]

    async def test_a_failed_run_is_taken_back_as_far_as_its_definition_says(
        self, processes: Processes, agents: FakeAgents
    ) -> None:
        for on_failure, taken in (("keep", []), ("b", ["c"]), ("undo", ["c", "b", "a"])):
            agents.work |= {"undo": echo, "tired": failing("tired")}
            agents.calls.clear()
            definition = workflow(
                undone("a"), undone("b"), undone("c"), step("d", "tired"), savepoints=["b"], on_failure=on_failure
            )
            failed = await self.run(processes, definition)
            assert failed.status == "failed"
            assert [call.request["step"] for call in agents.calls if call.agent.type == "undo"] == taken

    async def test_what_an_agent_says_takes_its_effect_back_does(
        self, processes: Processes, agents: FakeAgents
    ) -> None:
        async def act(call: Call) -> Mapping[str, Any]:
            await call.on_rollback("undo", step="first")
            await call.on_rollback("undo", step="second")
            raise AgentError("died")

        agents.work |= {"undo": echo, "act": act}
        failed = await self.run(processes, workflow(undone("a", "act")), key="r")
        assert [call.request["step"] for call in agents.calls[1:]] == ["a", "second", "first"]
        assert failed.steps[0].status == "undone"

    async def test_what_cannot_be_taken_back_is_listed_and_tried_again_when_asked(
        self, processes: Processes, agents: FakeAgents
    ) -> None:
        agents.work |= {"undo": failing(*["jammed"] * 3), "tired": failing("tired")}
        definition = workflow(undone("a"), undone("b"), step("c", "tired"))
        with anyio.fail_after(PATIENCE):
            async with processes.running(w=definition) as workflows:
                run = await workflows.run("w", INPUT, key="r")
                assert (run.status, run.stuck, run.error) == ("stuck", ("b",), "tired")
                assert [page.id for page in (await workflows.list(RunQuery(status="stuck"))).runs] == ["r"]
                outcome = await workflows.rollback("r", by="operator")
                assert outcome.status == "accepted"
                handle = await workflows.find("r")
                assert handle is not None
                run = await ended(workflows, "r", "failed")
                history = await workflows.history("r")
        assert (run.status, run.stuck) == ("failed", ())
        backs = [record for record in history if isinstance(record, RolledBack)]
        assert [(back.by, back.stuck) for back in backs] == [("", ("b",)), ("operator", ())]
        assert [record.step for record in history if isinstance(record, Undone) and not record.code] == ["a", "b"]

    async def test_a_finished_run_is_taken_back_to_a_savepoint_once(
        self, processes: Processes, agents: FakeAgents
    ) -> None:
        agents.work["undo"] = echo
        definition = workflow(undone("a"), undone("b"), undone("c"), savepoints=["a"])
        with anyio.fail_after(PATIENCE):
            async with processes.running(w=definition) as workflows:
                assert (await workflows.rollback("r")).status == "unknown"
                await workflows.run("w", INPUT, key="r")
                assert (await workflows.rollback("r", "b")).status == "refused"
                assert (await workflows.rollback("r", "a", by="op")).status == "accepted"
                await ended(workflows, "r", "cancelled")
                assert (await workflows.rollback("r", "a", by="op")).status == "accepted"
                run = await ended(workflows, "r", "cancelled")
        assert (run.status, run.error) == ("cancelled", "rolled_back")
        assert [call.request["step"] for call in agents.calls[3:]] == ["c", "b"]

    # From outside.

    async def test_a_run_is_begun_once(self, processes: Processes, agents: FakeAgents) -> None:
        with anyio.fail_after(PATIENCE):
            async with processes.running(w=workflow(step("a")), v=workflow(step("a"))) as workflows:
                first = await workflows.run("w", INPUT, key="r", owner="ann")
                again = await workflows.run("w", INPUT, key="r", owner="ann")
                others = [
                    await workflows.run("v", INPUT, key="r", owner="ann"),
                    await workflows.run("w", {"text": "other"}, key="r", owner="ann"),
                    await workflows.run("w", INPUT, key="r", owner="ben"),
                ]
        assert len(agents.calls) == 1
        assert again.started_at == first.started_at
        assert [(run.status, run.error) for run in others] == [("refused", "key_taken")] * 3

    async def test_what_cannot_begin_is_refused(self, processes: Processes) -> None:
        takes = {"type": "object", "required": ["text"]}
        async with processes.running(w=workflow(step("a"), takes=takes)) as workflows:
            unknown = await workflows.run("v", {})
            lacking = await workflows.run("w", {})
            odd = await workflows.run("w", {"text": object()})
            half: Any = "\ud800"
            no_text: Any = 1
            wrong: Sequence[Mapping[str, Any]] = [
                {"key": half}, {"session": half}, {"owner": half}, {"labels": {"a": half}}, {"labels": {"a": no_text}},
                {"key": "k" * 501}, {"session": "s" * 501}, {"labels": {"a" * 501: "b"}}, {"labels": {"a": "b" * 501}},
                {"labels": {str(number): "" for number in range(51)}},
            ]  # fmt: skip
            names = [(await workflows.run("w", {"text": "x"}, **each)).error for each in wrong]
            assert names == ["bad_input"] * len(wrong)
            handle = await workflows.start("v", {})
            async with handle.stream() as pieces:
                assert [piece async for piece in pieces] == []
            assert (await handle.query()).status == "refused"
            assert await workflows.find("nobody") is None
            assert await workflows.query("nobody") is None
            assert (await workflows.cancel("nobody")).status == "unknown"
            assert (await workflows.signal("nobody", "a", {})).status == "unknown"
        assert [run.error for run in (unknown, lacking, odd)] == ["unknown_workflow", "bad_input", "bad_input"]
        assert {run.status for run in (unknown, lacking, odd)} == {"refused"}

    async def test_whoever_waits_may_leave_and_the_run_goes_on(self, processes: Processes, agents: FakeAgents) -> None:
        begun, go = anyio.Event(), anyio.Event()

        async def slow(call: Call) -> Mapping[str, Any]:
            begun.set()
            await go.wait()
            return call.request

        agents.work["slow"] = slow
        with anyio.fail_after(PATIENCE):
            async with processes.running(w=workflow(step("a", "slow"))) as workflows:
                handle = await workflows.start("w", INPUT)
                async with anyio.create_task_group() as tasks:
                    tasks.start_soon(handle.result)
                    await begun.wait()
                    tasks.cancel_scope.cancel()
                go.set()
                assert (await handle.result()).status == "done"

    async def test_a_cancelled_run_is_taken_back(self, processes: Processes, agents: FakeAgents) -> None:
        begun = anyio.Event()

        async def slow(call: Call) -> Mapping[str, Any]:
            begun.set()
            await anyio.sleep_forever()
            return {}

        agents.work |= {"slow": slow, "undo": echo}
        with anyio.fail_after(PATIENCE):
            async with processes.running(w=workflow(undone("a"), undone("b", "slow"))) as workflows:
                handle = await workflows.start("w", INPUT)
                await begun.wait()
                run = await handle.cancel(by="ann")
                assert (await workflows.cancel(handle.id)).status == "ended"
        assert (run.status, run.error) == ("cancelled", "cancelled")
        assert [call.request["step"] for call in agents.calls[2:]] == ["b", "a"]

    async def test_runs_are_found_by_what_they_are(self, processes: Processes, agents: FakeAgents) -> None:
        agents.work["tired"] = failing("tired")
        with anyio.fail_after(PATIENCE):
            async with processes.running(w=workflow(step("a")), v=workflow(step("a", "tired"))) as workflows:
                await workflows.run("w", INPUT, key="1", session="s", owner="ann", labels={"kind": "x"})
                await workflows.run("v", INPUT, key="2", labels={"kind": "x"})
                await workflows.run("w", INPUT, key="3")

                async def found(**query: Any) -> list[str]:
                    return sorted(run.id for run in (await workflows.list(RunQuery(**query))).runs)

                assert await found() == ["1", "2", "3"]
                assert await found(status="done") == ["1", "3"]
                assert await found(labels={"kind": "x"}) == ["1", "2"]
                assert await found(owner="ann") == ["1"]
                run = await workflows.query("1")
                records = await workflows.history("1")
        assert run is not None
        assert (run.status, run.session, run.owner, run.labels) == ("done", "s", "ann", {"kind": "x"})
        assert [type(record).__name__ for record in records] == ["Started", "Done", "Ended"]

    # Waiting.

    async def test_a_step_waits_for_an_answer_of_which_the_first_counts(
        self, processes: Processes, agents: FakeAgents
    ) -> None:
        response = {"type": "object", "required": ["yes"]}
        ask = {"id": "ask", "signal": "approval", "response": response}
        definition = workflow(step("a"), ask, output={"yes": "steps.ask.yes"})
        with anyio.fail_after(PATIENCE):
            async with processes.running(w=definition) as workflows:
                handle = await workflows.start("w", INPUT, key="r")
                await standing(workflows, "r", "waiting")
                assert (await workflows.signal("r", "ask", {"no": 1}, id="1")).status == "refused"
                assert (await workflows.signal("r", "a", {"yes": 1}, id="1")).status == "refused"
                assert (await workflows.signal("r", "ask", {"yes": 1}, id="1")).status == "accepted"
                assert (await workflows.signal("r", "ask", {"yes": 2}, id="1")).status in ("twice", "ended")
                assert (await workflows.signal("r", "ask", {"yes": 3}, id="2")).status in ("twice", "ended")
                run = await handle.result()
        assert (run.status, run.output) == ("done", {"yes": 1})

    async def test_an_answer_may_come_before_it_is_waited_for(self, processes: Processes, agents: FakeAgents) -> None:
        begun, go = anyio.Event(), anyio.Event()

        async def slow(call: Call) -> Mapping[str, Any]:
            begun.set()
            await go.wait()
            return call.request

        agents.work["slow"] = slow
        definition = workflow(step("a", "slow"), {"id": "ask", "signal": "x"}, output={"yes": "steps.ask.yes"})
        with anyio.fail_after(PATIENCE):
            async with processes.running(w=definition) as workflows:
                handle = await workflows.start("w", INPUT, key="r")
                await begun.wait()
                assert (await workflows.signal("r", "ask", {"yes": 1})).status == "accepted"
                go.set()
                assert (await handle.result()).output == {"yes": 1}

    async def test_pauses_and_limits_of_waiting_go_by_the_clock(self, processes: Processes, agents: FakeAgents) -> None:
        clock = processes.clock = VirtualClock()
        definition = workflow(
            step("a"), {"id": "pause", "wait": 3600.0}, {"id": "ask", "signal": "x", "timeout": 60.0}, timeout=7200.0
        )
        with anyio.fail_after(PATIENCE):
            async with processes.running(w=definition) as workflows:
                handle = await workflows.start("w", INPUT, key="r")
                await standing(workflows, "r", "waiting")
                clock.advance(3599.0)
                await anyio.wait_all_tasks_blocked()
                assert (await handle.query()).status == "waiting"
                clock.advance(1.0)
                await step_standing(workflows, "r", "ask", "waiting")
                clock.advance(61.0)
                run = await handle.result()
        assert (run.status, run.error) == ("failed", "timeout")
        assert run.seconds == 3661.0

    # Streams.

    async def test_pieces_of_streamed_steps_come_in_order_and_again_from_any_position(
        self, processes: Processes, agents: FakeAgents
    ) -> None:
        async def tell(call: Call) -> Mapping[str, Any]:
            return {"text": await call.emit("a", "b", "c")}

        agents.work["tell"] = tell
        definition = workflow(step("x", "tell"), step("y", "tell", stream=True))
        with anyio.fail_after(PATIENCE):
            async with processes.running(w=definition) as workflows, processes.running(w=definition) as elsewhere:
                handle = await workflows.start("w", INPUT, key="r")
                pieces = await told(handle)
                there = await elsewhere.find("r")
                assert there is not None
                again = await told(there)
                rest = await told(there, after=pieces[0].position)
        assert "".join(piece.text for piece in pieces if isinstance(piece, Streamed)) == "abc"
        assert {piece.step for piece in pieces} == {"y"}
        assert again == pieces
        assert rest == pieces[1:]

    async def test_what_a_failed_attempt_told_is_retracted(self, processes: Processes, agents: FakeAgents) -> None:
        async def tell(call: Call) -> Mapping[str, Any]:
            await call.emit(f"{call.attempt}")
            if call.attempt == 1:
                raise AgentError("tired", retryable=True)
            return {"text": f"{call.attempt}"}

        agents.work["tell"] = tell
        definition = workflow(step("a", "tell", stream=True, retry=TRIED))
        with anyio.fail_after(PATIENCE):
            async with processes.running(w=definition) as workflows:
                handle = await workflows.start("w", INPUT)
                pieces = await told(handle)
        assert [(type(each), each.attempt) for each in pieces] == [(Streamed, 1), (Retracted, 1), (Streamed, 2)]

    @pytest.mark.parametrize(
        ("fallback", "status", "error"), [({}, "failed", "stream_broken"), ({"fallback": {"text": "!"}}, "done", "")]
    )
    async def test_of_what_a_person_was_told_there_is_no_other_attempt(
        self, processes: Processes, agents: FakeAgents, fallback: dict[str, Any], status: str, error: str
    ) -> None:
        released = anyio.Event()

        async def tell(call: Call) -> Mapping[str, Any]:
            await call.emit("once upon")
            await released.wait()
            raise AgentError("tired", retryable=True)

        agents.work["tell"] = tell
        definition = workflow(step("a", "tell", stream=True, retry=TRIED, **fallback))
        with anyio.fail_after(PATIENCE):
            async with processes.running(w=definition) as workflows:
                handle = await workflows.start("w", INPUT)
                async with handle.stream() as pieces:
                    async for piece in pieces:
                        assert isinstance(piece, Streamed)
                        assert await handle.release(piece, 4)
                        released.set()
                run = await handle.result()
        assert (run.status, run.error) == (status, error)
        assert agents.keys == ["a:1"]

    async def test_what_was_retracted_is_not_released(self, processes: Processes, agents: FakeAgents) -> None:
        retracted, go = anyio.Event(), anyio.Event()

        async def tell(call: Call) -> Mapping[str, Any]:
            if call.attempt == 1:
                await call.emit("x")
                await retracted.wait()
                raise AgentError("tired", retryable=True)
            await go.wait()
            return {"text": await call.emit("y")}

        agents.work["tell"] = tell
        with anyio.fail_after(PATIENCE):
            async with processes.running(w=workflow(step("a", "tell", stream=True, retry=TRIED))) as workflows:
                handle = await workflows.start("w", INPUT)
                async with handle.stream() as pieces:
                    first = await anext(aiter(pieces))
                    assert isinstance(first, Streamed)
                    retracted.set()
                    assert isinstance(await anext(aiter(pieces)), Retracted)
                    assert not await handle.release(first, 1)
                    go.set()
                    second = await anext(aiter(pieces))
                    assert isinstance(second, Streamed)
                    assert second.text == "y"
                assert (await handle.result()).status == "done"

    @pytest.mark.parametrize("release", [0, 4, 10])
    async def test_who_tells_a_step_on_is_handed_what_stands_of_it(
        self, processes: Processes, agents: FakeAgents, release: int
    ) -> None:
        """Nothing is told twice, nor retracted, though what is told then was made up anew."""
        heard: list[str] = []

        async def tell(call: Call) -> Mapping[str, Any]:
            heard.append(call.released)
            if call.released:
                return {"text": await call.emit(call.released, "another time")}
            await call.emit("once ", "upon ")
            await anyio.sleep_forever()
            raise AssertionError("it is cancelled")

        agents.work["tell"] = tell
        definition = workflow(step("a", "tell", stream=True), output={"text": "steps.a.text"})
        read: list[Streamed | Retracted] = []
        with anyio.fail_after(PATIENCE):
            async with processes.running(w=definition) as first:
                handle = await first.start("w", INPUT, key="r")
                async with handle.stream() as pieces:
                    while "".join(piece.text for piece in read if isinstance(piece, Streamed)) != "once upon ":
                        read.append(await anext(aiter(pieces)))
                last = read[-1]
                assert isinstance(last, Streamed)
                assert not release or await handle.release(last, release)
            async with processes.running(w=definition) as heir:
                found = await heir.find("r")
                assert found is not None
                read += await told(found, after=last.position)
                run = await found.result()
        assert heard == ["", "once upon "]
        assert all(isinstance(piece, Streamed) for piece in read)
        assert "".join(piece.text for piece in read if isinstance(piece, Streamed)) == "once upon another time"
        assert (run.status, run.output) == ("done", {"text": "once upon another time"})

    async def test_a_slow_reader_slows_the_step_and_one_that_leaves_does_not(
        self, processes: Processes, agents: FakeAgents
    ) -> None:
        processes.settings = Settings(lease=1.0, grace=0.1, window=4)
        emitted = 0
        full = anyio.Event()

        async def tell(call: Call) -> Mapping[str, Any]:
            nonlocal emitted
            for _ in range(200):
                await call.emit("x" * 5000)  # Too large to wait with others.
                emitted += 1
                if emitted > 3:
                    full.set()
                await anyio.lowlevel.checkpoint()
            return {"text": "x" * 1_000_000}

        agents.work["tell"] = tell
        with anyio.fail_after(PATIENCE):
            async with processes.running(w=workflow(step("a", "tell", stream=True))) as workflows:
                handle = await workflows.start("w", INPUT)
                async with handle.stream() as pieces:
                    await anext(aiter(pieces))
                    await full.wait()
                    await anyio.wait_all_tasks_blocked()
                    assert emitted < 100
                assert (await handle.result()).status == "done"
        assert emitted == 200

    # What leaves a run.

    async def test_what_a_definition_publishes_is_published_once(
        self, processes: Processes, agents: FakeAgents
    ) -> None:
        says = {"name": "w.said", "data": {"what": "output.text"}}
        await self.run(processes, workflow(step("a", publish=[says]), step("b")), key="r", owner="ann")
        [said] = [event for event in processes.events if isinstance(event, WorkflowSaid)]
        assert (said.name, said.id, said.data, said.owner) == ("w.said", "r:a:0", {"what": "hi"}, "ann")

    async def test_a_run_tells_its_story_in_events(self, processes: Processes, agents: FakeAgents) -> None:
        agents.work["tired"] = failing("tired", "tired", "tired")
        definition = workflow(step("a"), step("b", "tired", retry=TRIED))
        await self.run(processes, definition, key="r", session="s", owner="ann")
        assert [type(event).__name__ for event in processes.events] == [
            "RunStarted", "StepStarted", "StepFinished", "StepStarted", "StepStarted", "StepStarted", "StepFinished",
            "RunFinished",
        ]  # fmt: skip
        first, *_, last = processes.events
        assert isinstance(first, RunStarted)
        assert isinstance(last, RunFinished)
        assert (last.status, last.error) == ("failed", "tired")
        steps = [event for event in processes.events if isinstance(event, StepFinished)]
        assert [(event.step.id, event.percent, event.step.attempt) for event in steps] == [("a", 50, 1), ("b", 50, 3)]
        told = [event for event in processes.events if hasattr(event, "owner")]
        assert {(event.run, event.session, event.owner) for event in told} == {("r", "s", "ann")}  # type: ignore[attr-defined]

    # Several processes.

    async def test_a_run_is_answered_cancelled_and_read_from_anywhere(
        self, processes: Processes, agents: FakeAgents
    ) -> None:
        ask = {"id": "ask", "signal": "x"}
        definition = workflow(step("a"), ask, output={"yes": "steps.ask.yes"})
        with anyio.fail_after(PATIENCE):
            async with processes.running(w=definition) as here, processes.running(w=definition) as there:
                await here.start("w", INPUT, key="1")
                await here.start("w", INPUT, key="2")
                first, second = await there.find("1"), await there.find("2")
                assert first is not None
                assert second is not None
                assert (await there.signal("1", "ask", {"yes": 1})).status == "accepted"
                assert (await first.result()).output == {"yes": 1}
                assert (await second.cancel(by="ann")).status == "cancelled"

    # What an operator asks.

    async def test_a_paused_run_goes_on_where_it_was_once_it_is_resumed(
        self, processes: Processes, agents: FakeAgents, journal: Journal
    ) -> None:
        begun = anyio.Event()

        async def slow(call: Call) -> Mapping[str, Any]:
            if not begun.is_set():
                begun.set()
                await anyio.sleep_forever()
            return call.request

        agents.work["slow"] = slow
        definition = workflow(step("a"), step("b", "slow"), step("c"), output={"text": "steps.c.text"})
        with anyio.fail_after(PATIENCE):
            async with processes.running(w=definition) as workflows:
                handle = await workflows.start("w", INPUT, key="r")
                await begun.wait()
                assert (await workflows.resume("r")).status == "twice"
                assert (await workflows.pause("r", by="ann")).status == "accepted"
                await until(journal, "r", "paused")
                assert (await workflows.pause("r")).status == "twice"
                assert agents.keys == ["a:1", "b:1"]
                assert (await workflows.resume("r", by="ann")).status == "accepted"
                run = await handle.result()
        assert (run.status, run.output) == ("done", {"text": "hi"})
        assert agents.keys == ["a:1", "b:1", "b:1", "c:1"]

    async def test_a_paused_run_can_be_answered_and_cancelled(self, processes: Processes, journal: Journal) -> None:
        asked = workflow(step("a"), {"id": "yes", "signal": "person"})
        with anyio.fail_after(PATIENCE):
            async with processes.running(w=asked) as workflows:
                for key in "rs":
                    handle = await workflows.start("w", INPUT, key=key)
                    while (await handle.query()).status != "waiting":
                        await anyio.lowlevel.checkpoint()
                    await workflows.pause(key)
                    await until(journal, key, "paused")
                assert (await workflows.signal("r", "yes", {"ok": True})).status == "accepted"
                assert (await workflows.query("r")).status == "paused"  # type: ignore[union-attr]
                await workflows.resume("r")
                assert (await workflows.cancel("s")).status == "accepted"
                ends = [await (await workflows.find(key)).result() for key in "rs"]  # type: ignore[union-attr]
        assert [run.status for run in ends] == ["done", "cancelled"]

    async def test_a_pause_does_not_count_for_a_runs_time_limit(self, journal: Journal, agents: FakeAgents) -> None:
        clock = VirtualClock()
        processes = Processes(journal, agents, clock=clock, settings=QUICKLY)
        definition = workflow({"id": "yes", "signal": "person"}, timeout=10.0)
        with anyio.fail_after(PATIENCE):
            async with processes.running(w=definition) as workflows:
                handle = await workflows.start("w", INPUT, key="r")
                while (await handle.query()).status != "waiting":
                    await anyio.lowlevel.checkpoint()
                await workflows.pause("r")
                await until(journal, "r", "paused")
                clock.advance(60.0)
                await workflows.resume("r")
                while (await handle.query()).status != "waiting":
                    await anyio.lowlevel.checkpoint()
                clock.advance(9.0)
                await anyio.wait_all_tasks_blocked()
                assert (await handle.query()).status == "waiting"
                clock.advance(2.0)
                run = await handle.result()
        assert (run.status, run.error) == ("failed", "timeout")

    @pytest.mark.parametrize("on_failure", ["keep", "undo", "a"])
    async def test_a_failed_run_that_is_tried_again_does_what_it_has_not(
        self, processes: Processes, agents: FakeAgents, on_failure: str
    ) -> None:
        agents.work |= {"tired": failing("tired", "tired", retryable=False), "undo": echo}
        definition = workflow(
            undone("a"), undone("b"), step("c", "tired", retry=TRIED), on_failure=on_failure, savepoints=["a"],
            output={"a": "steps.a.text", "b": "steps.b.text", "c": "steps.c.text"},
        )  # fmt: skip
        with anyio.fail_after(PATIENCE):
            async with processes.running(w=definition) as workflows:
                handle = await workflows.start("w", INPUT, key="r")
                for _ in range(2):
                    assert (await handle.result()).status == "failed"
                    agents.calls.clear()
                    assert (await workflows.retry("r", by="ann")).status == "accepted"
                    while (await workflows.query("r")).status == "failed":  # type: ignore[union-attr]
                        await anyio.lowlevel.checkpoint()
                    handle = await workflows.find("r")  # type: ignore[assignment]
                run = await handle.result()
                assert (await workflows.retry("r")).status == "ended"
        assert (run.status, run.percent, run.output) == ("done", 100, {"a": "hi", "b": "hi", "c": "hi"})
        # What was taken back is done again, by another key.
        again = {"keep": [], "a": ["b:3"], "undo": ["a:3", "b:3"]}[on_failure]
        assert agents.keys == [*again, "c:3"]

    async def test_a_run_that_kills_whoever_has_it_is_set_aside_until_it_is_resumed(
        self, journal: Journal, agents: FakeAgents
    ) -> None:
        begun, kills = anyio.Event(), True

        async def killer(call: Call) -> Mapping[str, Any]:
            if kills:
                begun.set()
                await anyio.sleep_forever()
            return call.request

        agents.work["killer"] = killer
        settings = Settings(lease=0.5, grace=0.2, takeovers=2)
        definition = workflow(step("a"), step("b", "killer"))
        processes = Processes(journal, agents, settings=settings)
        with anyio.fail_after(PATIENCE):
            for number in range(3):
                begun = anyio.Event()
                connection = Cut(journal, 1000, stored=False)
                async with processes.running(cast("Journal", connection), w=definition) as workflows:
                    if not number:
                        await workflows.start("w", INPUT, key="r")
                    await begun.wait()
                    connection.broken.set()
            async with processes.running(w=definition) as workflows:
                while (await workflows.query("r")).status != "set-aside":  # type: ignore[union-attr]
                    await anyio.lowlevel.checkpoint()
                kills = False
                assert (await workflows.resume("r", by="ann")).status == "accepted"
                handle = await workflows.find("r")
                assert handle is not None
                while (run := await handle.query()).status != "done":
                    await anyio.lowlevel.checkpoint()
        assert run.error == ""
        assert agents.keys == ["a:1", "b:1", "b:1", "b:1", "b:1"]

    async def test_a_run_that_was_set_aside_can_be_taken_back(self, journal: Journal, agents: FakeAgents) -> None:
        begun = anyio.Event()

        async def killer(call: Call) -> Mapping[str, Any]:
            begun.set()
            await anyio.sleep_forever()
            return call.request

        agents.work |= {"killer": killer, "undo": echo}
        settings = Settings(lease=0.5, grace=0.2, takeovers=1)
        definition = workflow(step("a", undo={"agent": "undo", "input": {"text": "output.text"}}), step("b", "killer"))
        processes = Processes(journal, agents, settings=settings)
        with anyio.fail_after(PATIENCE):
            for number in range(2):
                begun = anyio.Event()
                connection = Cut(journal, 1000, stored=False)
                async with processes.running(cast("Journal", connection), w=definition) as workflows:
                    if not number:
                        await workflows.start("w", INPUT, key="r")
                    await begun.wait()
                    connection.broken.set()
            async with processes.running(w=definition) as workflows:
                while (await workflows.query("r")).status != "set-aside":  # type: ignore[union-attr]
                    await anyio.lowlevel.checkpoint()
                assert (await workflows.rollback("r", by="ann")).status == "accepted"
                while (run := await workflows.query("r")).status != "cancelled":  # type: ignore[union-attr]
                    await anyio.lowlevel.checkpoint()
        assert run is not None
        assert {each.id: each.status for each in run.steps} == {"a": "undone", "b": "cancelled"}
        assert [call.agent.type for call in agents.calls][-1] == "undo"

    async def test_who_stops_leaves_its_runs_to_others(self, processes: Processes, agents: FakeAgents) -> None:
        begun = anyio.Event()

        async def slow(call: Call) -> Mapping[str, Any]:
            if not begun.is_set():
                begun.set()
                await anyio.sleep_forever()
            await call.on_rollback("undo", step="b")
            return call.request

        agents.work["slow"] = slow
        definition = workflow(step("a"), step("b", "slow"), output={"text": "steps.b.text"})
        with anyio.fail_after(PATIENCE):
            async with processes.running() as heir:  # It doesn't know the definition, and finishes the run.
                async with processes.running(w=definition) as first:
                    await first.start("w", INPUT, key="r")
                    await begun.wait()
                handle = await heir.find("r")
                assert handle is not None
                run = await handle.result()
                history = await heir.history("r")
        assert (run.status, run.output) == ("done", {"text": "hi"})
        assert agents.keys == ["a:1", "b:1", "b:1"]
        assert [type(record) for record in history[:-1]] == [
            Started, Done, Started, Left, TakenOver, UndoAdded, Done,
        ]  # fmt: skip


async def told(handle: Any, after: int = 0) -> list[Streamed | Retracted]:
    """Read all pieces of a run."""
    async with handle.stream(after) as pieces:
        return [piece async for piece in pieces]


async def standing(workflows: Workflows, run: str, status: str) -> Run:
    """Wait until a run stands so."""
    while True:
        found = await workflows.query(run)
        if found is not None and found.status == status:
            return found
        await anyio.sleep(0.005)


async def step_standing(workflows: Workflows, run: str, step: str, status: str) -> None:
    """Wait until a step of a run stands so."""
    while True:
        found = await workflows.query(run)
        if found is not None and any((each.id, each.status) == (step, status) for each in found.steps):
            return
        await anyio.sleep(0.005)


async def ended(workflows: Workflows, run: str, status: str) -> Run:
    """Wait until a run that was taken back has come to that end."""
    return await standing(workflows, run, status)
