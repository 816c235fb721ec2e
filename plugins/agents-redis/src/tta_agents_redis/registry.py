"""The registry: heartbeats for the agents of this process, and a look at those of all."""

from __future__ import annotations

import math
import time
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from logging import Logger
from typing import NamedTuple

import anyio
import msgspec
from redis.exceptions import ResponseError

from tta_agents import (
    AgentCard,
    AgentDeregistered,
    AgentId,
    AgentRegistered,
    AgentStatusChanged,
    RegistryError,
    RegistrySnapshot,
    Report,
)  # fmt: skip
from tta_agents.reporting import report_of
from tta_kernel import Event
from tta_redis import Redis, RedisDown, Signal

from .store import Found, Store, check


class _Own(NamedTuple):
    card: AgentCard
    report: Callable[[], Report] | None

    def look(self, log: Logger) -> Report:
        return report_of(self.card, self.report, log)


class RedisRegistry:
    """Agents of this process are told to Redis every ``interval`` seconds, as long as `beat` runs, if they are shared.

    `watch` tells of those of other processes: that they came, went, expired, or have another status.
    Agents that aren't shared are known in this process only.
    """

    def __init__(
        self, redis: Redis, store: Store, log: Logger, publish: Callable[[Event], None], *, interval: float,
        max_state: int,
    ) -> None:  # fmt: skip
        self._redis, self._store, self._log, self._publish = redis, store, log, publish
        self._interval, self._max_state = interval, max_state
        self._own: dict[AgentId, _Own] = {}
        self._beating = anyio.Lock()
        self._urgent = anyio.Event()
        self._too_large: set[AgentId] = set()
        self._changed = anyio.Event()
        self.watching = anyio.Event()
        """Set as soon as `watch` knows what there was before."""
        self._warned_until = time.time() - interval  # what was found before is no news
        self.trouble = ""
        self.displaced: set[AgentId] = set()

    # The registry

    async def register(self, card: AgentCard, report: Callable[[], Report] | None = None) -> None:
        own = _Own(card, report)
        if card.shared:
            report_now = self._bounded(own.look(self._log))
            check(report_now.card)
            await self._store.beat({card.id: report_now}, take=True)
        self._own[card.id] = own
        self.displaced.discard(card.id)

    async def deregister(self, id: AgentId, process: str = "") -> bool:
        own = self._own.get(id)
        if own is None:
            return await self._store.leave(id, process, None)
        if process not in ("", own.card.process):
            return False
        del self._own[id]
        self.displaced.discard(id)
        if not own.card.shared:
            return True
        state = self._bounded(own.look(self._log)).state
        self._too_large.discard(id)
        # A heartbeat that has to be sent again must not come after, and bring back who has gone.
        async with self._beating:
            pass
        return await self._store.leave(id, own.card.process, state)

    async def get(self, id: AgentId) -> AgentCard | None:
        if (own := self._own.get(id)) and not own.card.shared:
            return own.look(self._log).card
        return next((found.card for found in (await self._store.look(id=id)).found), None)

    async def list(self, type: str | None = None) -> Sequence[AgentCard]:
        shared = (found.card for found in (await self._store.look(type)).found)
        return _ordered([*shared, *self._unshared(type)])

    async def discover(self, type: str | None = None) -> Sequence[AgentCard]:
        able = (card for card in await self.list(type) if card.status != "degraded")
        return sorted(able, key=lambda card: card.load)

    async def snapshot(self) -> RegistrySnapshot:
        cards = await self.list()
        return RegistrySnapshot(
            local=[card for card in cards if self._is_own(card)],
            remote=[card for card in cards if not self._is_own(card)],
        )

    async def state(self, id: AgentId) -> bytes | None:
        return await self._store.state(id)

    async def refuse_state(self, id: AgentId, reason: str) -> None:
        await self._store.refuse_state(id, reason)

    def _unshared(self, type: str | None) -> Iterable[AgentCard]:
        return (
            own.look(self._log).card
            for id, own in self._own.items()
            if not own.card.shared and type in (None, id.type)
        )  # fmt: skip

    def _is_own(self, card: AgentCard) -> bool:
        return card.id in self._own and self._own[card.id].card.process == card.process

    def _bounded(self, report: Report) -> Report:
        id, state = report.card.id, report.state
        if state is None or len(state) <= self._max_state:
            self._too_large.discard(id)
            return report
        if id not in self._too_large:
            self._too_large.add(id)
            what = "the state of agent %s is not kept while it has %d bytes: %d are allowed"
            self._log.warning(what, id, len(state), self._max_state)
        return msgspec.structs.replace(report, state=None)

    # Heartbeats

    async def on_status(self, event: AgentStatusChanged) -> None:
        """Tell others now, not at the next beat, that an agent of this process is degraded, or well again."""
        if event.agent in self._own and "degraded" in (event.before, event.after):
            self._urgent.set()

    async def beat(self) -> None:
        """Tell Redis of the agents, for ever; while it is away, try on, and then tell it anew."""
        pause = self._interval
        while True:
            with anyio.move_on_after(pause):
                await self._urgent.wait()
            self._urgent = anyio.Event()
            try:
                await self.beat_once()
            except RegistryError as exc:
                # Soon again: cards live no longer than their ttl.
                pause = min(self._interval, 1.0)
                if not self.trouble:
                    self._log.warning("agents are not announced while Redis is away: %s", exc)
                self.trouble = str(exc)
            else:
                pause = self._interval
                if self.trouble:
                    self._log.info("agents are announced again")
                self.trouble = ""

    async def beat_once(self) -> None:
        """Tell Redis of the agents now."""
        async with self._beating:
            shared = {id: self._bounded(own.look(self._log)) for id, own in self._own.items() if own.card.shared}
            answer = await self._store.beat(shared) if shared else {}
        for id, held in answer.items():
            if held or id not in self._own:
                self.displaced.discard(id)
            elif id not in self.displaced:
                self.displaced.add(id)
                self._log.warning("agent %s is served by another process under the same name: give it another", id)

    # Other processes

    async def watch(self) -> None:
        """Tell of other processes' agents, for ever: at once, and of those that vanished when their time is over."""
        seen: Mapping[AgentId, Found] | None = None
        while True:
            try:
                async with self._redis.listen(self._store.channel) as signals, anyio.create_task_group() as tasks:
                    tasks.start_soon(self._on_signals, signals)
                    while True:
                        seen = await self._look(seen)
            except* (RegistryError, RedisDown, ResponseError) as group:
                self._log.debug("no look at other processes' agents: %s", group.exceptions[0])
            await anyio.sleep(min(self._interval, 1.0))

    async def _on_signals(self, signals: AsyncIterator[Signal | None]) -> None:
        async for _ in signals:
            self._changed.set()

    async def _look(self, seen: Mapping[AgentId, Found] | None) -> Mapping[AgentId, Found]:
        self._changed = anyio.Event()
        now, found = await self._store.look()
        await self._warn_of_quarantined()
        there = {each.card.id: each for each in found if not self._is_own(each.card)}
        if seen is not None:  # What was there before us is no news.
            self._compare(seen, there, now)
        self.watching.set()
        # Expired cards are gone a moment after their time, by the server's clock.
        soonest = min((each.expires_at for each in there.values()), default=math.inf) - now + 0.005
        with anyio.move_on_after(min(max(soonest, 0.005), self._interval)):
            await self._changed.wait()
        return there

    async def _warn_of_quarantined(self) -> None:
        news = [each for each in await self._store.quarantined() if each["at"] > self._warned_until]
        for each in reversed(news[:10]):
            self._log.warning("what lay in the registry was quarantined: %s: %s", each["where"], each["reason"])
        if news:
            self._warned_until = news[0]["at"]

    def _compare(self, seen: Mapping[AgentId, Found], there: Mapping[AgentId, Found], now: float) -> None:
        for id, (card, expires_at) in seen.items():
            if id not in there and id not in self._own:
                self._publish(AgentDeregistered(agent=id, reason="expired" if expires_at <= now else "left"))
            elif id in there and there[id].card.status != card.status:
                self._publish(AgentStatusChanged(agent=id, before=card.status, after=there[id].card.status))
        for id, (card, _) in there.items():
            if id not in seen:
                self._publish(AgentRegistered(agent=card))


def _ordered(cards: Iterable[AgentCard]) -> Sequence[AgentCard]:
    return sorted(cards, key=lambda card: str(card.id))
