"""Whether a run may begin: not beyond what a process holds, not more often than its rate, and only as it may be."""

from __future__ import annotations

import time
from typing import Any

import anyio
import pytest

from tta_messages import Message, MessagesConfig, QueueSettings
from tta_messages.memory import MemoryMessages
from tta_workflows.admission import Rates
from tta_workflows.definition import Rate
from tta_workflows.engine import Settings
from tta_workflows.executor import Executor
from tta_workflows.intake import Intake, StartRun
from tta_workflows.memory import MemoryJournal
from tta_workflows.pools import PoolSettings
from tta_workflows.testing import Call, FakeAgents, Processes, workflow

STEP = {"id": "a", "agent": "slow", "input": {"text": "input.text"}}
HI = {"text": "hi"}


@pytest.fixture
def processes() -> Processes:
    async def slow(call: Call) -> dict[str, Any]:
        await anyio.sleep_forever()
        raise AssertionError

    return Processes(MemoryJournal(time.time), FakeAgents({"slow": slow}), settings=Settings(lease=2.0, grace=0.1))


def limited(processes: Processes, runs: int) -> Processes:
    processes.settings = Settings(lease=2.0, grace=0.1, runs=runs)
    return processes


async def error_of(workflows: Executor, name: str = "w", **more: Any) -> str:
    handle = await workflows.start(name, HI, **more)
    return (await handle.query()).error


async def test_beyond_what_a_process_holds_a_run_is_refused_until_another_is_over(processes: Processes) -> None:
    async with limited(processes, 2).running(w=workflow(STEP)) as workflows:
        handles = [await workflows.start("w", HI) for _ in range(2)]
        refused = await workflows.run("w", HI)
        assert (refused.status, refused.error) == ("refused", "overloaded")
        await handles[0].cancel()
        assert await error_of(workflows) == ""


async def test_a_message_for_which_there_is_no_room_comes_again_with_all_that_it_says(processes: Processes) -> None:
    config = MessagesConfig(defaults=QueueSettings(retries=1000, backoff_base=0.01, backoff_factor=1.0))
    messages = MemoryMessages(config, {StartRun.TYPE: StartRun}, publish=lambda event: None)
    with anyio.fail_after(20):
        async with limited(processes, 1).running(w=workflow(STEP)) as workflows, anyio.create_task_group() as tasks:
            first = await workflows.start("w", HI)
            tasks.start_soon(Intake(workflows, messages, "runs", concurrency=1).run)
            wanted = StartRun("w", HI, priority=2, deadline=2e9, fairness="team")
            await messages.send(Message.to("runs", StartRun.TYPE, wanted, id="r"))
            while not (await messages.stats("runs"))["runs"].retried:  # noqa: ASYNC110 - it is on its way back
                await anyio.sleep(0.005)
            await first.cancel()
            while (found := await processes.journal.read("r")) is None:  # noqa: ASYNC110 - and comes again
                await anyio.sleep(0.005)
            tasks.cancel_scope.cancel()
    assert found is not None
    assert (found.head.priority, found.head.deadline, found.head.fairness) == (2, 2e9, "team")


async def test_runs_that_only_wait_for_an_answer_keep_nobody_out(processes: Processes) -> None:
    definitions = {"asks": workflow({"id": "a", "signal": "yes"}), "w": workflow(STEP)}
    async with limited(processes, 1).running(None, **definitions) as workflows:
        for _ in range(3):
            await workflows.start("asks", HI)
        assert await error_of(workflows) == ""
        assert await error_of(workflows) == "overloaded"


async def test_a_reserved_pool_admits_its_workflow_in_any_case(processes: Processes) -> None:
    processes.pools = {"crisis": PoolSettings(1, reserved=True)}
    rate = {"limit": 1, "every": 3600}
    definitions = {"w": workflow(STEP), "help": workflow(STEP, execution={"pool": "crisis", "rate": rate})}
    async with limited(processes, 1).running(None, **definitions) as workflows:
        assert await error_of(workflows) == ""
        assert await error_of(workflows) == "overloaded"
        assert [await error_of(workflows, "help") for _ in range(3)] == ["", "", ""]


async def test_more_runs_than_a_rate_allows_are_refused_by_their_key(processes: Processes) -> None:
    definition = workflow(STEP, execution={"rate": {"limit": 2, "every": 3600, "key": "owner"}})
    async with processes.running(w=definition) as workflows:
        assert [await error_of(workflows, owner="ann") for _ in range(3)] == ["", "", "rate_limited"]
        assert await error_of(workflows, owner="bob") == ""


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        ({"priority": "high"}, "its priority is no whole number from -1000000 to 1000000"),
        ({"priority": 10**9}, "its priority is no whole number from -1000000 to 1000000"),
        ({"deadline": float("nan")}, "its deadline is no time in seconds since the epoch"),
        ({"deadline": -1.0}, "its deadline is no time in seconds since the epoch"),
        ({"deadline": None}, "its deadline is no time in seconds since the epoch"),
        ({"fairness": "x" * 201}, "its fairness is no text of up to 200 characters"),
    ],
    ids=str,
)
async def test_what_can_be_no_priority_deadline_or_fairness_is_refused(
    processes: Processes, wrong: dict[str, Any], why: str
) -> None:
    async with processes.running(w=workflow(STEP)) as workflows:
        refused = await workflows.run("w", HI, **wrong)
    assert (refused.status, refused.error, refused.detail) == ("refused", "bad_input", why)


async def test_how_a_run_was_started_is_known_to_whoever_takes_it_over(processes: Processes) -> None:
    async with processes.running(w=workflow(STEP)) as workflows:
        await workflows.start("w", HI, key="r", priority=3, deadline=2e9, fairness="team")
    found = await processes.journal.read("r")
    assert found is not None
    assert (found.head.priority, found.head.deadline, found.head.fairness) == (3, 2e9, "team")


# Token buckets, by a clock that is counted.

RATE = Rate(limit=3, every=6.0)


def test_a_full_bucket_is_a_burst_and_then_tokens_come_evenly() -> None:
    rates = Rates()
    taken = [at for at in (each / 2 for each in range(40)) if rates.allow("k", RATE, at)]
    assert taken == [0.0, 0.5, 1.0, *(float(at) for at in range(2, 20, 2))]


def test_in_no_window_begin_more_than_twice_as_many_as_a_rate_says() -> None:
    rates = Rates()
    taken = [at for at in (each / 100 for each in range(10_000)) if rates.allow("k", RATE, at)]
    assert len(taken) == pytest.approx(3 + 100 / 2, abs=1)
    assert max(sum(start <= at < start + 6 for at in taken) for start in taken) <= 6


def test_of_too_many_keys_those_are_forgotten_that_lose_least() -> None:
    rates = Rates(most=10)
    for _ in range(3):
        rates.allow("spent", RATE, 0.0)
    for number in range(50):
        rates.allow(str(number), RATE, 0.0)
    assert not rates.allow("spent", RATE, 0.0)
