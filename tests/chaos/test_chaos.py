"""Short runs of what ``make chaos`` plays at length: real processes, a real Redis, and a nemesis that kills both."""

from __future__ import annotations

from pathlib import Path

import pytest
from msgspec.structs import replace

from .history import read
from .run import Outcome, run
from .scenarios import POISON, SHORT


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


async def judged(name: str, folder: Path) -> Outcome:
    outcome = await run(SHORT[name], 1, folder)
    assert outcome.verdict.wrong == []
    assert outcome.verdict.accepted == SHORT[name].messages
    return outcome


@pytest.mark.parametrize("name", ["one consumer", "three consumers"])
async def test_each_message_is_handled_once_and_in_order_while_nobody_crashes(name: str, tmp_path: Path) -> None:
    outcome = await judged(name, tmp_path)
    assert outcome.end.stats.delivered == outcome.end.stats.acknowledged == 300


@pytest.mark.parametrize("name", ["consumers killed", "consumers stopped"])
async def test_what_a_consumer_held_goes_to_another_when_it_vanishes(name: str, tmp_path: Path) -> None:
    outcome = await judged(name, tmp_path)
    assert outcome.end.stats.recovered > 0
    assert outcome.verdict.handled == 400
    assert outcome.verdict.late == 0, "what was taken away meanwhile is not begun"


async def test_a_message_that_kills_its_consumers_ends_as_a_dead_letter_and_takes_no_other_along(
    tmp_path: Path,
) -> None:
    outcome = await run(POISON, 1, tmp_path)
    assert outcome.verdict.wrong == []
    assert outcome.end.dead == {"producer0.0.19": "retries"}


async def test_a_redis_that_is_killed_and_started_again_loses_nothing(tmp_path: Path) -> None:
    outcome = await judged("Redis killed, always", tmp_path)
    assert len(outcome.faults) == 2
    assert outcome.verdict.lost == 0


async def test_no_server_is_killed_before_each_process_has_found_it(tmp_path: Path) -> None:
    scenario = replace(SHORT["Redis killed, always"], consumers=(1, 1), start_delay=1.5, faults=("kill-redis",))
    outcome = await run(scenario, 1, tmp_path)
    (fault,) = outcome.faults
    first, *_ = read(tmp_path / "consumer1-1.jsonl")
    assert first.wall < fault.at


async def test_a_redis_that_syncs_each_second_loses_nothing_but_what_waited_for_that(tmp_path: Path) -> None:
    outcome = await judged("Redis killed, everysec", tmp_path)
    assert len(outcome.faults) == 2
    # What is lost, if the disk was slow, was accepted at most 3 s before: else the checker calls it wrong.


@pytest.mark.slow
@pytest.mark.parametrize("name", ["Sentinel", "Sentinel, replicas awaited", "Cluster", "Cluster, replicas awaited"])
async def test_a_failover_loses_nothing_that_a_replica_had(name: str, tmp_path: Path) -> None:
    outcome = await judged(name, tmp_path)
    assert len(outcome.faults) == 1
    if SHORT[name].wait_replicas:
        assert outcome.verdict.lost == 0
    # Otherwise it may, and the table in docs/messages.md says how much that was.
