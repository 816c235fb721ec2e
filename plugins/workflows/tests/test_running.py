"""Many runs at once, runs that are ended anywhere, and a journal that is away, full or damaged."""

from __future__ import annotations

import gc
import random
import time
import weakref
from collections.abc import AsyncIterator, Mapping
from typing import Any, cast

import anyio
import anyio.lowlevel
import pytest

from tta_agents import AgentId
from tta_capabilities import Capabilities, MatchCriteria
from tta_kernel import correlation_id
from tta_messages import Message, Messages, MessagesConfig
from tta_messages.memory import MemoryMessages
from tta_workflows.clock import Alarms
from tta_workflows.engine import Settings
from tta_workflows.intake import Intake, SignalRun, StartRun
from tta_workflows.journal import Commit, Journal, JournalCorrupt, JournalError, Journalled, Lease, RunHead, RunQuery
from tta_workflows.memory import MemoryJournal
from tta_workflows.plan import make_plan
from tta_workflows.records import Asked, Done, Started
from tta_workflows.runs import StepFinished, Streamed, WorkflowsUnavailable
from tta_workflows.testing import Call, Cut, FakeAgents, Processes, VirtualClock, echo, failing, workflow

STEP = {"id": "a", "agent": "echo", "input": {"text": "input.text"}}
SHORT = Settings(lease=0.3, grace=0.0)


@pytest.fixture
def processes() -> Processes:
    return Processes(MemoryJournal(time.time), FakeAgents({"echo": echo}), settings=SHORT)


@pytest.fixture
async def patience() -> AsyncIterator[None]:
    with anyio.fail_after(30):
        yield


async def settled(handle: Any, status: str) -> None:
    while (await handle.query()).status != status:  # noqa: ASYNC110 - it looks at what another process writes
        await anyio.sleep(0.005)


async def test_a_thousand_waits_that_are_answered_twice_in_random_order_are_none_misrouted(
    processes: Processes,
) -> None:
    asks = [{"id": f"w{n}", "signal": "x", "needs": []} for n in range(1000)]
    definition = workflow(*asks, output={f"w{n}": f"steps.w{n}.n" for n in range(1000)})
    answers = [n for n in range(1000) for _ in range(2)]
    random.Random(3).shuffle(answers)
    with anyio.fail_after(50):
        async with processes.running(w=definition) as workflows:
            handle = await workflows.start("w", {}, key="r")
            outcomes = [(await workflows.signal("r", f"w{n}", {"n": n}, id="only")).status for n in answers]
            run = await handle.result()
    assert run.output == {f"w{n}": n for n in range(1000)}
    assert outcomes.count("accepted") == 1000
    assert set(outcomes) <= {"accepted", "twice", "ended"}


async def test_once_a_run_is_over_no_step_of_it_is_said_to_go_on() -> None:
    async def forever(call: Call) -> Mapping[str, Any]:
        await anyio.sleep_forever()
        raise AssertionError

    agents = FakeAgents({"tired": failing("tired"), "broken": failing("broken"), "forever": forever})
    alone = Processes(MemoryJournal(time.time), agents, settings=SHORT)
    steps = (
        {"id": "works", "agent": "forever"},
        {"id": "again", "agent": "tired", "needs": [], "retry": {"attempts": 2, "delay": 60}},
        {"id": "asks", "signal": "x", "needs": []},
        {"id": "fails", "agent": "broken", "needs": []},
        {"id": "later", "agent": "broken"},
    )
    with anyio.fail_after(10):
        async with alone.running(w=workflow(*steps)) as workflows:
            run = await workflows.run("w", {})
    assert [(step.id, step.status) for step in run.steps] == [
        ("works", "cancelled"), ("again", "cancelled"), ("asks", "cancelled"), ("fails", "failed"),
        ("later", "pending"),
    ]  # fmt: skip


@pytest.mark.parametrize("checkpoints", range(0, 60, 3))
async def test_a_run_that_is_cancelled_anywhere_leaves_no_task_and_no_lease(
    processes: Processes, checkpoints: int
) -> None:
    async def slow(call: Call) -> Mapping[str, Any]:
        for _ in range(5):
            await anyio.lowlevel.checkpoint()
        return call.request

    processes.agents.work |= {"slow": slow, "undo": echo}
    steps = [
        {"id": id, "agent": "slow", "needs": needs, "undo": {"agent": "undo"}}
        for id, needs in (("a", []), ("b", ["a"]), ("c", ["a"]), ("d", ["b", "c"]))
    ]
    journal = cast("MemoryJournal", processes.journal)
    with anyio.fail_after(20):
        async with processes.running(None, w=workflow(*steps)) as workflows:
            handle = await workflows.start("w", {}, key="r")
            for _ in range(checkpoints):
                await anyio.lowlevel.checkpoint()
            run = await handle.cancel(by="ann")
            assert run.status in ("cancelled", "done")
            if run.status == "cancelled":
                acted = {key.split(":")[0] for key in processes.agents.keys if "undo" not in key}
                undone = {key.split(":")[0] for key in processes.agents.keys if "undo" in key}
                begun = {each.step for each in await workflows.history("r") if isinstance(each, Started)}
                # What the journal has as begun may have acted, for all that anybody else knows.
                assert acted <= undone == begun
    assert list(await journal.claim(await journal.join("next", 60.0), 10)) == []


async def test_what_is_cancelled_while_it_begins_or_stops_leaves_nothing(processes: Processes) -> None:
    for checkpoints in range(20):
        async with anyio.create_task_group() as tasks:

            async def use() -> None:
                async with processes.running(None, w=workflow(STEP)) as workflows:
                    await workflows.run("w", {"text": "hi"})

            tasks.start_soon(use)
            for _ in range(checkpoints):
                await anyio.lowlevel.checkpoint()
            tasks.cancel_scope.cancel()
    journal = cast("MemoryJournal", processes.journal)
    lease = await journal.join("next", 60.0)
    for run in await journal.claim(lease, 100):  # Others go on with it at once: its lease was given up.
        assert await journal.read(run) is not None


class Away(MemoryJournal):
    """A journal that is away for its next calls."""

    def __init__(self) -> None:
        super().__init__(time.time)
        self.away = 0

    async def commit(self, lease: Lease, commit: Commit) -> int:
        if self.away:
            self.away -= 1
            raise JournalError("away")
        return await super().commit(lease, commit)

    async def create(self, lease: Lease, head: RunHead, *first: Any) -> tuple[Journalled, bool]:
        if self.away:
            self.away -= 1
            if self.away % 2:  # It arrived, and only its answer is lost.
                await super().create(lease, head, *first)
            raise JournalError("away")
        return await super().create(lease, head, *first)


async def test_runs_wait_for_a_journal_that_is_away(processes: Processes, caplog: pytest.LogCaptureFixture) -> None:
    journal = processes.journal = Away()
    with anyio.fail_after(20):
        async with processes.running(None, w=workflow(STEP, {**STEP, "id": "b"})) as workflows:
            handle = await workflows.start("w", {"text": "hi"})
            journal.away = 3
            assert (await handle.result()).status == "done"
    assert "runs wait, while their journal can't be reached: away" in caplog.text


@pytest.mark.parametrize("away", [1, 2], ids=["lost", "answer lost"])
async def test_what_could_not_begin_may_begin_again_by_its_key(processes: Processes, away: int) -> None:
    journal = processes.journal = Away()
    with anyio.fail_after(20):
        async with processes.running(None, w=workflow(STEP)) as workflows:
            journal.away = away
            refused = await workflows.run("w", {"text": "hi"}, key="r")
            assert (refused.status, refused.error) == ("refused", "unavailable")
            journal.away = 0
            assert (await workflows.run("w", {"text": "hi"}, key="r")).status == "done"
    assert len(set(processes.agents.keys)) == 1


async def test_a_run_that_grows_too_large_fails_and_is_taken_back(processes: Processes) -> None:
    processes.journal = MemoryJournal(time.time, records=10)
    processes.agents.work["undo"] = echo
    step = {**STEP, "undo": {"agent": "undo"}}
    many = workflow(*({**step, "id": f"s{n}"} for n in range(20)))
    with anyio.fail_after(20):
        async with processes.running(None, w=many, v=workflow(STEP)) as workflows:
            failed = await workflows.run("w", {"text": "hi"})
            assert (await workflows.run("v", {"text": "hi"})).status == "done"
    assert (failed.status, failed.error) == ("failed", "too_large")
    undone = [key for key in processes.agents.keys if "undo" in key]
    assert len(undone) >= 4


async def test_a_run_that_cannot_be_read_is_set_aside_and_the_others_go_on(
    processes: Processes, caplog: pytest.LogCaptureFixture
) -> None:
    class Damaged(MemoryJournal):
        async def read(self, run: str, after: int = 0) -> Journalled | None:
            if run == "damaged":
                raise JournalCorrupt("a record of it can't be read")
            return await super().read(run, after)

    journal = processes.journal = Damaged(time.time)
    lease = await journal.join("dead", 60.0)
    for id, definition in (("damaged", "d"), ("unknown", "e")):
        await journal.create(lease, RunHead(id, "w", definition, 1000.0))
    await journal.leave(lease)
    with anyio.fail_after(20):
        async with processes.running(None, w=workflow(STEP)) as workflows:
            assert (await workflows.run("w", {"text": "hi"})).status == "done"
            for id in ("damaged", "unknown"):
                handle = await workflows.find(id)
                assert handle is not None
                await settled(handle, "set-aside")
                assert (await handle.result()).status == "set-aside"
    assert "run damaged is set aside, and a human must look: a record of it can't be read" in caplog.text
    assert "nobody has the definition that it was begun with" in caplog.text


async def test_a_process_whose_lease_is_over_stops_its_runs_and_holds_new_ones(processes: Processes) -> None:
    now = 1000.0
    processes.journal = MemoryJournal(lambda: now)
    stopped, again = anyio.Event(), anyio.Event()

    async def slow(call: Call) -> Mapping[str, Any]:
        if len(processes.agents.calls) > 1:
            await again.wait()
            return call.request
        try:
            await anyio.sleep_forever()
        finally:
            stopped.set()
        return {}

    processes.agents.work["slow"] = slow
    with anyio.fail_after(20):
        async with processes.running(None, w=workflow({**STEP, "agent": "slow"})) as workflows:
            handle = await workflows.start("w", {"text": "hi"})
            async with anyio.create_task_group() as waiting:
                waiting.start_soon(handle.result)
                await anyio.wait_all_tasks_blocked()
                now += 1.0
                await stopped.wait()  # It finds out when it renews, joins anew, and takes its own run over.
                while len(processes.agents.calls) < 2:
                    await anyio.wait_all_tasks_blocked()
                again.set()
            assert (await handle.result()).status == "done"
    assert processes.agents.keys == ["a:1", "a:1"]


async def test_who_takes_over_works_for_the_same_correlation(processes: Processes) -> None:
    seen: list[str] = []
    begun = anyio.Event()

    async def slow(call: Call) -> Mapping[str, Any]:
        seen.append(correlation_id.get())
        if not begun.is_set():
            begun.set()
            await anyio.sleep_forever()
        return call.request

    processes.agents.work["slow"] = slow
    definition = workflow({**STEP, "agent": "slow"})
    with anyio.fail_after(20):
        async with processes.running(None, w=definition) as first:
            token = correlation_id.set("turn-1")
            await first.start("w", {"text": "hi"}, key="r")
            correlation_id.reset(token)
            await begun.wait()
        async with processes.running(None, w=definition) as heir:
            handle = await heir.find("r")
            assert handle is not None
            await handle.result()
    assert seen == ["turn-1", "turn-1"]


async def test_a_step_finds_who_can_do_it_when_it_begins(processes: Processes) -> None:
    class Finder:
        async def match(self, criteria: MatchCriteria, strategy: str, *, max_results: int) -> Any:
            if criteria.capability_name != "echoing":
                return []

            class Match:
                agent_id = AgentId("echo", "one")

            return [Match()]

    able = workflow({"id": "a", "capability": "echoing", "input": {"text": "input.text"}})
    unable = workflow({"id": "a", "capability": "flying", "retry": {"attempts": 2, "delay": 0.0}})
    with anyio.fail_after(20):
        async with processes.running(None, w=able) as workflows:
            assert (await workflows.run("w", {"text": "hi"})).error == "not_served"
        processes.capabilities = cast("Capabilities", Finder())
        async with processes.running(None, w=able, v=unable) as workflows:
            done = await workflows.run("w", {"text": "hi"})
            failed = await workflows.run("v", {"text": "hi"})
    assert done.status == "done"
    assert [str(call.agent) for call in processes.agents.calls] == ["echo:one"]
    assert (failed.status, failed.error, failed.steps[0].attempt) == ("failed", "not_served", 2)


async def test_nobody_wakes_up_for_an_alarm_that_was_cancelled() -> None:
    slept: list[float] = []

    class Watched(VirtualClock):
        async def sleep_until(self, due: float) -> None:
            slept.append(due)
            await super().sleep_until(due)

    clock = Watched(now=0.0)
    alarms, rang = Alarms(clock), anyio.Event()
    numbers = [alarms.set(due, rang.set) for due in (10.0, 11.0, 12.0)]
    alarms.set(20.0, rang.set)
    with anyio.fail_after(10):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(alarms.run)
            await anyio.wait_all_tasks_blocked()
            for number in numbers:
                alarms.cancel(number)
            clock.advance(10.0)
            await anyio.wait_all_tasks_blocked()
            assert slept == [10.0, 20.0]
            clock.advance(10.0)
            await rang.wait()
            tasks.cancel_scope.cancel()


async def test_what_another_process_asks_during_the_last_step_is_seen_to(processes: Processes) -> None:
    async def last(call: Call) -> Mapping[str, Any]:
        asked = Asked(at=time.time(), what="cancel", id="c", by="ann")
        assert await processes.journal.append("r", asked, id="c") == "added"
        return call.request

    processes.agents.work |= {"last": last, "undo": echo}
    definition = workflow({**STEP, "agent": "last", "undo": {"agent": "undo"}})
    async with processes.running(None, w=definition) as workflows:
        run = await (await workflows.start("w", {"text": "hi"}, key="r")).result()
        records = await workflows.history("r")
    assert (run.status, run.steps[0].status) == ("cancelled", "undone")
    assert [type(each).__name__ for each in records] == ["Started", "Asked", "Done", "Undone", "RolledBack", "Ended"]
    assert [each.step.id for each in processes.events if isinstance(each, StepFinished)] == ["a"]


async def test_a_run_that_is_over_is_freed_without_the_garbage_collector(processes: Processes) -> None:
    definition = workflow({**STEP, "timeout": 5.0}, {"id": "b", "agent": "echo", "needs": []})
    async with processes.running(None, w=definition) as workflows:
        gc.disable()
        try:
            handle = await workflows.start("w", {"text": "hi"}, key="r")
            execution = weakref.ref(workflows.execution("r"))
            assert execution() is not None
            await handle.result()
            del handle
            processes.agents.calls.clear()  # They remember whom they told of their undos.
            await anyio.wait_all_tasks_blocked()
            assert execution() is None
        finally:
            gc.enable()


async def test_the_end_of_a_step_is_stored_and_told_while_an_agent_is_looked_for(processes: Processes) -> None:
    looking, go = anyio.Event(), anyio.Event()

    class Finder:
        async def match(self, criteria: MatchCriteria, strategy: str, *, max_results: int) -> Any:
            looking.set()
            await go.wait()
            return [Found(AgentId("echo", None))]

    class Found:
        def __init__(self, agent_id: AgentId) -> None:
            self.agent_id = agent_id

    async def after(call: Call) -> Mapping[str, Any]:
        await looking.wait()
        return call.request

    processes.capabilities, processes.agents.work["after"] = cast("Capabilities", Finder()), after
    both = workflow({"id": "a", "agent": "after"}, {"id": "b", "capability": "say", "needs": []})
    with anyio.fail_after(20):
        async with processes.running(None, w=both) as workflows:
            handle = await workflows.start("w", {}, key="r")
            await processes.journal.wait("r", 1, 15.0)
            assert [type(each) for each in await workflows.history("r")] == [Started, Done]
            go.set()
            assert (await handle.result()).status == "done"
    finished = [each.step.id for each in processes.events if isinstance(each, StepFinished)]
    assert finished == ["a", "b"]


@pytest.fixture
def messages() -> MemoryMessages:
    types = {StartRun.TYPE: StartRun, SignalRun.TYPE: SignalRun, "hello": dict}
    return MemoryMessages(MessagesConfig(), types, publish=lambda event: None)


async def test_what_a_definition_sends_is_sent_once_also_by_who_takes_over(
    processes: Processes, messages: MemoryMessages
) -> None:
    class Refusing:
        def __init__(self) -> None:
            self.refused = anyio.Event()

        async def send(self, *sent: Message) -> Any:
            self.refused.set()
            raise ValueError("odd")

    refusing = Refusing()
    processes.messages = cast("Messages", refusing)
    send = {"to": "others", "type": "hello", "body": {"what": "output.text"}}
    definition = workflow({**STEP, "send": [send, send]}, {**STEP, "id": "b"})
    with anyio.fail_after(20):
        async with processes.running(None, w=definition) as first:
            await first.start("w", {"text": "hi"}, key="r", owner="ann")
            await refusing.refused.wait()
        processes.messages = messages
        async with processes.running(None, w=definition) as heir:
            handle = await heir.find("r")
            assert handle is not None
            assert (await handle.result()).status == "done"
    got = await messages.receive("others", limit=10)
    assert [(each.message.id, each.message.owner) for each in got] == [("r:a:0", "ann"), ("r:a:1", "ann")]
    assert got[0].message.decode(dict) == {"what": "hi"}


async def test_messages_begin_runs_and_answer_them(processes: Processes, messages: MemoryMessages) -> None:
    definition = workflow({"id": "ask", "signal": "x"}, output={"yes": "steps.ask.yes"})
    with anyio.fail_after(20):
        async with processes.running(None, w=definition) as workflows, anyio.create_task_group() as tasks:
            tasks.start_soon(Intake(workflows, messages, "runs", concurrency=2).run)
            start = Message.to("runs", StartRun.TYPE, StartRun("w", labels={"kind": "x"}), id="r", owner="ann")
            await messages.send(start, Message.to("runs", StartRun.TYPE, StartRun("nobody's"), id="odd"))
            while (handle := await workflows.find("r")) is None:  # noqa: ASYNC110 - a message is on its way
                await anyio.sleep(0.005)
            await messages.send(Message.to("runs", SignalRun.TYPE, SignalRun("r", "ask", {"yes": 1}), id="s"))
            run = await handle.result()
            while not (dead := await messages.dead("runs")):  # noqa: ASYNC110 - likewise
                await anyio.sleep(0.005)
            tasks.cancel_scope.cancel()
    assert (run.status, run.output, run.owner, run.labels) == ("done", {"yes": 1}, "ann", {"kind": "x"})
    assert [(letter.id, letter.error) for letter in dead] == [("odd", "refused: unknown_workflow")]


async def test_an_attempt_that_is_due_later_waits_by_the_clock_and_outlives_its_process(processes: Processes) -> None:
    clock = processes.clock = VirtualClock()
    processes.agents.work["tired"] = failing("tired")
    retry = {"attempts": 2, "delay": 600.0, "cap": 600.0, "jitter": 0.0}
    definition = workflow({**STEP, "agent": "tired", "retry": retry}, timeout=3600.0)
    with anyio.fail_after(20):
        async with processes.running(None, w=definition) as first:
            handle = await first.start("w", {"text": "hi"}, key="r")
            while not any(step.status == "retrying" for step in (await handle.query()).steps):
                await anyio.lowlevel.checkpoint()
        async with processes.running(None, w=definition) as heir:
            found = await heir.find("r")
            assert found is not None
            await anyio.wait_all_tasks_blocked()
            assert (await found.query()).status == "running"
            clock.advance(600.0)
            assert (await found.result()).status == "done"


async def test_a_run_whose_commits_are_not_waited_for_is_stored_all_the_same(processes: Processes) -> None:
    step_b = {**STEP, "id": "b", "input": {"text": "steps.a.text"}}
    definition = workflow(STEP, step_b, execution={"commits": "async"}, output={"text": "steps.b.text"})
    with anyio.fail_after(20):
        async with processes.running(None, w=definition) as workflows:
            done = await workflows.run("w", {"text": "hi"}, key="r")
            records = await workflows.history("r")
    assert done.output == {"text": "hi"}
    assert [type(record).__name__ for record in records] == ["Started", "Done", "Started", "Done", "Ended"]


async def test_what_sends_messages_does_not_begin_without_them(processes: Processes) -> None:
    send = {"to": "others", "type": "hello"}
    async with processes.running(None, w=workflow({**STEP, "send": [send]})) as workflows:
        refused = await workflows.run("w", {"text": "hi"})
    assert (refused.status, refused.error) == ("refused", "unavailable")


@pytest.mark.parametrize("broken", ["claim", "read", "definition"])
async def test_what_was_claimed_while_the_journal_broke_is_not_left_to_nobody(
    processes: Processes, broken: str
) -> None:
    class Breaking(MemoryJournal):
        left = 2

        def __getattribute__(self, name: str) -> Any:
            really = super().__getattribute__(name)
            if name != broken:
                return really

            async def call(*args: Any) -> Any:
                answer = await really(*args)
                if self.left:
                    self.left -= 1
                    raise JournalError("the answer is lost")
                return answer

            return call

    journal = Breaking(time.time)
    definition = workflow(STEP)
    plan = make_plan("w", {"w": definition})
    lease = await journal.join("dead", 60.0)
    await journal.define(plan.definition, plan.packed)
    for number in range(3):
        await journal.create(lease, RunHead(f"r{number}", "w", plan.definition, time.time(), {"text": "hi"}))
    await journal.leave(lease)
    processes.journal = journal
    with anyio.fail_after(20):
        async with processes.running(None) as workflows:
            for number in range(3):
                handle = await workflows.find(f"r{number}")
                assert handle is not None
                assert (await handle.result()).over


async def test_who_looks_while_the_journal_is_away_gets_the_services_own_error(processes: Processes) -> None:
    connection = Cut(processes.journal, 1000, stored=False)
    async with processes.running(cast("Journal", connection), w=workflow(STEP)) as workflows:
        handle = await workflows.start("w", {"text": "hi"}, key="r")
        await handle.result()
        connection.broken.set()
        piece = Streamed("a", 1, 1, "hi", 1)
        for look in (
            workflows.find("r"), workflows.query("r"), workflows.history("r"), workflows.list(RunQuery()),
            handle.release(piece, 1),
        ):  # fmt: skip
            with pytest.raises(WorkflowsUnavailable, match="the connection is cut"):
                await look


async def test_the_time_limit_of_a_definition_counts_where_it_runs_within_another(processes: Processes) -> None:
    processes.agents.work["slow"] = never
    inner = workflow({**STEP, "agent": "slow"}, timeout=0.05)
    outer = workflow({"id": "in", "workflow": "inner", "input": {"text": "input.text"}, "fallback": {"text": "!"}})
    async with processes.running(w=outer, inner=inner) as workflows:
        run = await workflows.run("w", {"text": "hi"})
    assert (run.status, run.degraded) == ("done", ("in",))


async def never(call: Call) -> Mapping[str, Any]:
    await anyio.sleep_forever()
    return {}
