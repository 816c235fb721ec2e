"""Slots for calls: who waits goes by strategy, and by share; all of it by a clock that is counted."""

from __future__ import annotations

import logging
import random
from collections.abc import Sequence
from typing import Any

import anyio
import pytest

from tta_agents import AgentError
from tta_kernel.testing import Outcome, Stranger, strangers
from tta_workflows.lanes import Answer, Ticket
from tta_workflows.plan import make_plan
from tta_workflows.pools import Pool, Pools, PoolSettings
from tta_workflows.predictions import Predictions
from tta_workflows.strategies import Strategy, Waiting
from tta_workflows.testing import workflow

LOG = logging.getLogger("tta.workflows-local")


def pool(
    limit: int = 1, *, queue: int = 1000, reserved: bool = False, strategies: dict[str, Strategy] | None = None,
    weights: dict[str, float] | None = None,
) -> Pool:  # fmt: skip
    settings = {"p": PoolSettings(limit, queue, reserved)}
    found = Pools(settings, LOG, strategies=strategies, weights=weights).of("", "p")
    assert found is not None
    return found


class Callers:
    """Callers of a pool who say in which order they got a slot."""

    def __init__(self, pool: Pool) -> None:
        self.pool = pool
        self.began: list[str] = []
        self.gave_up: list[str] = []

    def come(
        self, name: str, *, key: str = "", strategy: str = "fifo", now: float = 0.0, gives_up: bool = False, **seen: Any
    ) -> Ticket:
        seen = {"workflow": "w", "created": now, "arrived": now, **seen}
        seen.setdefault("turn", self.pool.turn(seen["workflow"]))

        def answer(what: Answer) -> None:
            (self.began if what == "slot" else self.gave_up).append(name)

        ticket = Ticket(Waiting(**seen), key=key, strategy=strategy, gives_up=gives_up, answer=answer)
        assert self.pool.add(ticket, now)
        return ticket

    def go_through(self, now: float = 0.0) -> list[str]:
        """Let one after the other end, and return in which order they began."""
        while self.pool.taken:
            self.pool.give_back(now)
        return self.began


def busy(limit: int = 1, **more: Any) -> Callers:
    """Make a pool all of whose slots are taken."""
    found = pool(limit, **more)
    for _ in range(limit):
        assert found.take()
    assert not found.take()
    return Callers(found)


def test_a_free_slot_is_taken_at_once_and_given_back() -> None:
    found = pool(2)
    assert [found.take() for _ in range(3)] == [True, True, False]
    found.give_back(0.0)
    assert (found.taken, found.take()) == (1, True)


def test_nobody_passes_by_those_who_wait() -> None:
    callers = busy(2)
    callers.come("first")
    callers.pool.give_back(0.0)
    assert callers.began == ["first"]
    assert not callers.pool.take()


STRATEGIES = {
    "fifo": ["a", "b", "c", "d"],
    "priority": ["c", "a", "b", "d"],
    "fastest-first": ["d", "c", "b", "a"],
    "deadline": ["b", "c", "d", "a"],
    "load-balanced": ["a", "c", "b", "d"],
}


@pytest.mark.parametrize(("strategy", "order"), STRATEGIES.items(), ids=STRATEGIES)
def test_each_strategy_has_its_order(strategy: str, order: Sequence[str]) -> None:
    callers = busy()
    more: dict[str, Any] = {"strategy": strategy}
    callers.come("a", **more, arrived=1.0, rest=9.0, deadline=90.0)
    callers.come("b", **more, arrived=2.0, rest=7.0, deadline=30.0)
    callers.come("c", **more, arrived=3.0, rest=5.0, deadline=40.0, priority=5, workflow="other")
    callers.come("d", **more, arrived=4.0, rest=1.0, deadline=50.0)
    assert callers.go_through() == order


def test_of_equal_priority_the_nearer_deadline_goes_first() -> None:
    callers = busy()
    callers.come("in an hour", strategy="deadline", priority=5, deadline=3600.0)
    callers.come("in a minute", strategy="deadline", priority=5, deadline=60.0)
    assert callers.go_through() == ["in a minute", "in an hour"]


def test_who_cannot_make_a_deadline_any_more_goes_last() -> None:
    callers = busy()
    callers.come("lost", strategy="deadline", deadline=5.0, rest=3.0)
    callers.come("can be made", strategy="deadline", deadline=9.0, rest=3.0)
    assert callers.go_through(now=4.0) == ["can be made", "lost"]


def test_who_has_something_in_place_gives_up_where_the_deadline_cannot_be_made() -> None:
    callers = busy()
    callers.come("becomes late", strategy="deadline", deadline=5.0, rest=3.0, gives_up=True)
    callers.come("late already", strategy="deadline", deadline=2.0, rest=3.0, gives_up=True)
    callers.come("in time", strategy="deadline", deadline=20.0, rest=3.0, gives_up=True)
    assert callers.go_through(now=4.0) == ["in time"]
    assert callers.gave_up == ["late already", "becomes late"]
    assert callers.pool.waiting == 0


def test_workflows_of_different_strategies_take_turns() -> None:
    callers = busy()
    for number in range(3):
        callers.come(f"f{number}", strategy="fifo", arrived=float(number))
    for number in range(3):
        callers.come(f"p{number}", strategy="priority", priority=number)
    assert callers.go_through() == ["f0", "p2", "f1", "p1", "f2", "p0"]


def test_a_full_queue_refuses_and_one_that_leaves_makes_room() -> None:
    callers = busy(queue=2)
    first = callers.come("a")
    callers.come("b")
    refused = Ticket(first.waiting, key="", strategy="fifo", gives_up=False, answer=lambda _: None)
    assert not callers.pool.add(refused, 0.0)
    callers.pool.remove(first)
    callers.come("c")
    assert callers.go_through() == ["b", "c"]


def test_a_reserved_pool_refuses_nobody() -> None:
    callers = busy(queue=1, reserved=True)
    callers.come("waits")
    callers.come("goes beyond the limit")
    assert (callers.began, callers.pool.taken) == (["goes beyond the limit"], 2)
    callers.pool.give_back(0.0)
    assert callers.pool.waiting == 1
    assert callers.go_through() == ["goes beyond the limit", "waits"]


# Shares.


def share_of_the_first(callers: Callers, count: int, name: str) -> float:
    began = [each.partition(" ")[0] for each in callers.go_through()[:count]]
    return began.count(name) / count


def test_a_flood_takes_its_share_and_no_more() -> None:
    callers = busy()
    for number in range(500):
        callers.come(f"flood {number}", key="flood")
    for number in range(100):
        callers.come(f"ann {number}", key="ann", now=1.0)
        callers.come(f"bob {number}", key="bob", now=1.0)
    assert share_of_the_first(callers, 150, "flood") == pytest.approx(1 / 3, abs=0.05)


def test_a_weight_gives_a_larger_share() -> None:
    callers = busy(weights={"premium": 3.0})
    for number in range(200):
        callers.come(f"premium {number}", key="premium")
        callers.come(f"plain {number}", key="plain")
    assert share_of_the_first(callers, 100, "premium") == pytest.approx(0.75, abs=0.06)


def test_nobody_saves_up_a_share_while_away() -> None:
    callers = busy()
    for number in range(300):
        callers.come(f"ann {number}", key="ann")
    for _ in range(200):
        callers.pool.give_back(0.0)
    for number in range(100):
        callers.come(f"bob {number}", key="bob", now=1.0)
    callers.began.clear()
    assert share_of_the_first(callers, 40, "bob") == pytest.approx(0.5, abs=0.1)


def test_within_a_share_the_strategy_decides_also_for_who_floods() -> None:
    callers = busy()
    for number in range(20):
        callers.come(f"flood {number}", key="flood", strategy="priority")
    callers.come("urgent", key="flood", strategy="priority", priority=9)
    assert callers.go_through()[0] == "urgent"


@pytest.mark.parametrize("seed", range(30))
def test_whoever_comes_and_goes_nobody_is_lost_and_no_slot_is(seed: int) -> None:
    dice = random.Random(seed)
    callers, now = busy(3, queue=50), 0.0
    waiting: dict[str, Ticket] = {}
    came = left = 0
    for number in range(600):
        now += dice.random()
        what = dice.random()
        if what < 0.5 and callers.pool.waiting < 50:
            came += 1
            waiting[str(number)] = callers.come(
                str(number), key=dice.choice("abcdef"), strategy=dice.choice(list(STRATEGIES)), now=now,
                deadline=now + dice.random() * 50, rest=dice.random() * 9, gives_up=dice.random() < 0.2,
                priority=dice.randint(0, 3),
            )  # fmt: skip
        elif what < 0.6 and (still := [each for each in waiting if each not in callers.began + callers.gave_up]):
            left += 1
            callers.pool.remove(waiting.pop(dice.choice(still)))
        elif callers.pool.taken:
            callers.pool.give_back(now)
        assert callers.pool.taken <= 3
        assert callers.pool.taken == 3 or not callers.pool.waiting, "a slot is free, and somebody waits"
    callers.go_through(now)
    assert callers.pool.waiting == 0
    assert len(callers.began) + len(callers.gave_up) + left == came


# Waiting in a task.


async def test_who_is_cancelled_while_waiting_leaves_no_slot_taken() -> None:
    found = pool()
    assert found.take()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(wait, found)
        await anyio.wait_all_tasks_blocked()
        assert found.waiting == 1
        tasks.cancel_scope.cancel()
    assert (found.waiting, found.taken) == (0, 1)


async def test_who_is_cancelled_as_the_slot_comes_keeps_it_for_nobody() -> None:
    found = pool()
    assert found.take()

    async def hold() -> None:
        await wait(found)
        found.give_back(0.0)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(hold)
        await anyio.wait_all_tasks_blocked()
        found.give_back(0.0)
        assert (found.waiting, found.taken) == (0, 1)
        tasks.cancel_scope.cancel()
    assert (found.waiting, found.taken) == (0, 0)


async def test_too_many_who_wait_are_refused_with_a_code() -> None:
    found = pool(queue=1)
    assert found.take()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(wait, found)
        await anyio.wait_all_tasks_blocked()
        with pytest.raises(AgentError) as refused:
            await wait(found)
        assert (refused.value.code, refused.value.retryable) == ("overloaded", True)
        tasks.cancel_scope.cancel()


async def wait(found: Pool) -> None:
    waiting = Waiting("w", created=0.0, arrived=0.0)
    await found.wait(waiting, lambda: 0.0, key="", strategy="deadline", gives_up=False)


# Strategies of others.


@pytest.mark.parametrize("stranger", strangers("plain", returns=float), ids=str)
def test_whatever_a_strategy_does_all_calls_begin(stranger: Stranger) -> None:
    callers = busy(strategies={"odd": stranger})
    if stranger.outcome is Outcome.STOP:
        with pytest.raises((KeyboardInterrupt, BaseExceptionGroup)):
            callers.come("a", strategy="odd")
        return
    for number, name in enumerate("ab"):
        callers.come(name, strategy="odd", arrived=float(number))
    callers.come("c", strategy="fifo", arrived=2.0)
    assert sorted(callers.go_through()) == ["a", "b", "c"]


def test_a_strategy_that_nobody_has_is_told_and_goes_by_arrival(caplog: pytest.LogCaptureFixture) -> None:
    callers = busy()
    for name in "ab":
        callers.come(name, strategy="fifi")
    assert callers.go_through() == ["a", "b"]
    assert [each.message for each in caplog.records] == [
        "no strategy is called 'fifi', so its calls go by when they came; did you mean 'fifo'?"
    ]


# Predictions.


def test_what_is_left_of_a_run_is_its_slowest_way() -> None:
    inner = workflow({"id": "x", "agent": "slow"}, {"id": "y", "agent": "quick"})
    outer = workflow(
        {"id": "a", "agent": "quick"}, {"id": "b", "agent": "slow", "needs": ["a"]},
        {"id": "c", "agent": "quick", "needs": ["a"]}, {"id": "d", "workflow": "inner", "needs": ["b", "c"]},
        {"id": "e", "agent": "quick"},
    )  # fmt: skip
    plan = make_plan("outer", {"outer": outer, "inner": inner})
    known = Predictions()
    for _ in range(3):
        known.observe("slow", 5.0)
        known.observe("quick", 1.0)
    assert known.rest(plan, "a") == 1 + 5 + (5 + 1) + 1
    assert known.rest(plan, "d/x") == 5 + 1 + 1
    assert known.rest(plan, "d/y") == 1 + 1
    assert known.rest(plan, "e") == 1


def test_a_prediction_follows_what_happens() -> None:
    known = Predictions()
    assert known.call("a") == 0.0
    known.observe("a", 1.0)
    for _ in range(50):
        known.observe("a", 2.0)
    assert known.call("a") == pytest.approx(2.0, abs=0.01)
