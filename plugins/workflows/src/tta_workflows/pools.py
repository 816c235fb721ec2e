"""Slots for calls of an agent: so many at once, and who waits for one gets it by strategy and by share."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Mapping
from typing import Annotated

import anyio
import msgspec

from tta_agents import AgentError
from tta_kernel import Figure, suggest

from .fairness import Shares
from .journal import RunHead
from .lanes import Answer, Lanes, Ticket
from .plan import Plan
from .predictions import Predictions
from .strategies import STRATEGIES, Order, Strategy, Waiting

log = logging.getLogger("tta.workflows-local")
Count = Annotated[int, msgspec.Meta(ge=1, le=10**6)]


FIGURES = (
    Figure("workflows.taken", "calls that have a slot of a pool", label="pool"),
    Figure("workflows.waiting", "calls that wait for a slot of a pool", label="pool"),
)


class PoolSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How many calls a pool has at once, and how many may wait for a slot.

    ``reserved``: it is for the workflows that name it, which nothing else holds up: neither a limit on runs, nor a
    breaker, nor that too many wait, since then a call begins beyond the limit.
    """

    limit: Count
    queue: Count = 1000
    reserved: bool = False


class Pool:
    """So many calls at once; who finds all slots taken waits, and gets the slot that is given back.

    Nothing here awaits but `wait`, and no time passes but what it is told: so a simulation runs what processes run.
    """

    def __init__(
        self, name: str, settings: PoolSettings, orders: Callable[[str], Order], weights: Mapping[str, float]
    ) -> None:  # fmt: skip
        self.name, self.settings = name, settings
        self.taken = 0
        self.waiting = 0
        self._orders = orders
        self._shares = Shares(weights)
        self._lanes: dict[str, Lanes] = {}
        self._turns: deque[str] = deque()
        """The strategies that calls here have, which take turns."""
        self._next_turn: dict[str, int] = {}
        self._turn = 0
        """The turn of what began last, by which workflows take turns."""

    def take(self) -> bool:
        """Take a slot at once, where one is free and nobody waits."""
        if self.waiting or self.taken >= self.settings.limit:
            return False
        self.taken += 1
        return True

    def turn(self, workflow: str) -> int:
        """Give a call of a workflow its turn: each workflow has one call in each, beginning with the present one."""
        turn = max(self._turn, self._next_turn.get(workflow, 0))
        self._next_turn[workflow] = turn + 1
        return turn

    def add(self, ticket: Ticket, now: float) -> bool:
        """Let a call wait until it is answered; False where no more may."""
        if self.waiting >= self.settings.queue:
            if not self.settings.reserved:
                return False
            self.taken += 1
            ticket.answer("slot")
            return True
        if ticket.is_given_up(now):
            ticket.answer("late")
            return True
        lanes = self._lanes.get(ticket.strategy)
        if lanes is None:
            lanes = self._lanes[ticket.strategy] = Lanes(self._orders(ticket.strategy), self._shares)
            self._turns.append(ticket.strategy)
        lanes.add(ticket, now)
        self.waiting += 1
        self._shares.comes(ticket.key)
        self._hand_out(now)
        return True

    def remove(self, ticket: Ticket) -> None:
        """Let a call wait no more that was not answered."""
        self._lanes[ticket.strategy].remove(ticket)
        self._shares.leaves(ticket.key)
        self.waiting -= 1

    def give_back(self, now: float) -> None:
        """Give back a slot, for whose turn it is."""
        self.taken -= 1
        if self.waiting:
            self._hand_out(now)

    async def wait(
        self, waiting: Waiting, time: Callable[[], float], *, key: str, strategy: str, gives_up: bool
    ) -> None:  # fmt: skip
        """Return with a slot, or raise an `AgentError`: ``overloaded`` where too many wait, ``late`` where it is.

        Whoever is cancelled has none.
        """
        answered = anyio.Event()
        said: list[Answer] = []

        def answer(what: Answer) -> None:
            said.append(what)
            answered.set()

        ticket = Ticket(waiting, key=key, strategy=strategy, gives_up=gives_up, answer=answer)
        if not self.add(ticket, time()):
            raise AgentError("overloaded", f"{self.waiting} calls wait for {self.name} already", retryable=True)
        try:
            await answered.wait()
        except BaseException:
            if not said:
                self.remove(ticket)
            elif said == ["slot"]:
                self.give_back(time())
            raise
        if said == ["late"]:
            raise AgentError("late", f"its run can't make its deadline any more, as {self.name} is busy")

    def _hand_out(self, now: float) -> None:
        while self.waiting and self.taken < self.settings.limit:
            ticket = self._next(now)
            self.waiting -= 1
            has_slot = not ticket.is_given_up(now)
            if has_slot:
                self.taken += 1
                self._turn = max(self._turn, ticket.waiting.turn)
                self._shares.begins(ticket.key)
            self._shares.leaves(ticket.key)
            ticket.answer("slot" if has_slot else "late")

    def _next(self, now: float) -> Ticket:
        while True:
            for _ in range(len(self._turns)):
                strategy = self._turns[0]
                self._turns.rotate(-1)
                if (ticket := self._lanes[strategy].next(now)) is not None:
                    return ticket
            # All who wait are ahead of their shares, and nobody else wants the slot.
            places = [lanes.first_place() for lanes in self._lanes.values()]
            self._shares.go_on_to(min(place for place in places if place is not None))


class Pools:
    """The pools of a process, by name: a call goes through that of its workflow, or else of its agent."""

    def __init__(
        self, settings: Mapping[str, PoolSettings] | None = None, log: logging.Logger = log, *,
        strategies: Mapping[str, Strategy] | None = None, weights: Mapping[str, float] | None = None,
    ) -> None:  # fmt: skip
        self.predictions = Predictions()
        self._log, self._strategies, self._weights = log, {**STRATEGIES, **(strategies or {})}, weights or {}
        self._orders: dict[str, Order] = {}
        self._pools = {name: Pool(name, each, self._order, self._weights) for name, each in (settings or {}).items()}

    def __bool__(self) -> bool:
        """Whether there are any."""
        return bool(self._pools)

    def of(self, pool: str, agent: str) -> Pool | None:
        """Return the pool of a call; ``pool`` is what its workflow names, or empty."""
        return self._pools.get(pool or agent)

    def make(self, name: str, limit: int) -> Pool:
        """Make a pool beside these, in which as many may wait as like."""
        return Pool(name, PoolSettings(limit, queue=10**9), self._order, self._weights)

    def waiting(self, pool: Pool, plan: Plan, head: RunHead, now: float, path: str = "", agent: str = "") -> Waiting:
        """Return how a strategy sees a run that waits in a pool: at that step, or, without one, to begin."""
        within = plan.workflow.execution.deadline or plan.workflow.timeout
        return Waiting(
            head.workflow, head.created_at, arrived=now, deadline=head.deadline or head.created_at + within,
            priority=head.priority, call=self.predictions.call(agent), rest=self.predictions.rest(plan, path),
            turn=pool.turn(head.workflow),
        )  # fmt: skip

    def is_reserved(self, pool: str) -> bool:
        """Say whether what a workflow names is a pool that nothing holds up."""
        return pool in self._pools and self._pools[pool].settings.reserved

    def picture(self) -> Mapping[str, Mapping[str, int]]:
        """Return the figures: of each pool how many slots are taken, and how many calls wait for one."""
        return {
            "workflows.taken": {name: pool.taken for name, pool in self._pools.items()},
            "workflows.waiting": {name: pool.waiting for name, pool in self._pools.items()},
        }

    def _order(self, name: str) -> Order:
        order = self._orders.get(name)
        if order is None:
            if name not in self._strategies:
                # `tta check` objects to it; a definition that was begun elsewhere may name one all the same.
                known = suggest(name, self._strategies)
                self._log.error("no strategy is called %r, so its calls go by when they came; %s", name, known)
            order = self._orders[name] = Order(name, self._strategies.get(name, STRATEGIES["fifo"]), self._log)
        return order
