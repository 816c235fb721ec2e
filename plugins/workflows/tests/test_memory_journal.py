"""The journal in memory keeps the contract, and its bounds."""

import pytest

from tta_workflows.journal import Commit, JournalFull, RunHead, RunQuery
from tta_workflows.memory import MemoryJournal
from tta_workflows.records import Ended
from tta_workflows.testing import JournalContract, Passing


class Clock:
    """A clock that is moved by hand."""

    def __init__(self) -> None:
        self.now = 5000.0

    def __call__(self) -> float:
        return self.now

    async def pass_time(self, seconds: float) -> None:
        self.now += seconds


@pytest.mark.anyio
class TestMemoryJournal(JournalContract):
    @pytest.fixture
    def journal(self) -> MemoryJournal:
        return MemoryJournal(Clock())

    @pytest.fixture
    def small(self) -> MemoryJournal:
        return MemoryJournal(Clock(), records=30)

    @pytest.fixture
    def passing(self) -> Passing:
        clock = Clock()
        return MemoryJournal(clock), clock.pass_time

    async def test_beyond_its_limit_the_oldest_finished_run_goes_and_no_other(self) -> None:
        journal = MemoryJournal(Clock(), runs=3)
        lease = await journal.join("p", 60.0)
        for number in range(3):
            await journal.create(lease, RunHead(f"run-{number}", "turn", "d", float(number)))
        with pytest.raises(JournalFull):
            await journal.create(lease, RunHead("run-3", "turn", "d", 3.0))
        await journal.commit(lease, Commit("run-1", 1, (Ended(at=4.0, status="done"),), "done"))
        await journal.release(lease, "run-1", content=60.0, summary=60.0)
        await journal.create(lease, RunHead("run-3", "turn", "d", 3.0))
        assert [run.id for run in (await journal.list(RunQuery())).runs] == ["run-3", "run-2", "run-0"]

    async def test_what_has_ended_is_cleared_away_also_where_nobody_asks_for_it(self) -> None:
        clock = Clock()
        journal = MemoryJournal(clock)
        lease = await journal.join("p", 1e6)
        for number in range(10):
            await journal.create(lease, RunHead(f"run-{number}", "turn", "d", float(number)))
            await journal.commit(lease, Commit(f"run-{number}", 1, (Ended(at=4.0, status="done"),), "done"))
            await journal.release(lease, f"run-{number}", content=10.0, summary=50.0)
        await clock.pass_time(100.0)
        await journal.create(lease, RunHead("new", "turn", "d", 0.0))
        assert len(journal) == 1
