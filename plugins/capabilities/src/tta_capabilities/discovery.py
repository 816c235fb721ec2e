"""Auto-discovery: how what agents can do gets from the registry into the index, and how far it is."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping, Sequence
from logging import Logger

import anyio
import anyio.lowlevel

from tta_agents import (
    AgentCard,
    AgentDeregistered,
    AgentId,
    AgentRegistered,
    AgentRegistry,
    Agents,
    AgentStatusChanged,
    Capability,
    RegistryError,
)  # fmt: skip

from .config import Config
from .index import CapabilityIndex
from .matching import CapabilitySet, Discovered, DiscoveryStatus

_FIRST_LOOK = 2.0
_AT_ONCE = 50
"""How many cards are indexed until others may run."""
_UNUSABLE = re.compile(r"[^a-z0-9_-]+")


class Discovery:
    """Keeps the index as `Agents` and the registry are, in the way that the config says.

    Which agents are served in this process is asked of ``agents`` before each answer, so that nobody has to wait until
    an event has gone round; those of other processes come from the registry, and from its events. Whoever leaves or
    degrades is taken out at once, whatever the strategy.
    """

    def __init__(
        self, agents: Agents, registry: AgentRegistry, index: CapabilityIndex, config: Config, log: Logger, *,
        clock: Callable[[], float] = time.time,
    ) -> None:  # fmt: skip
        self._agents, self._registry, self._index = agents, registry, index
        self._config, self._log, self._clock = config, log, clock
        self._known: dict[AgentId, Discovered] = {}
        self._served: Sequence[AgentCard] = ()
        self._own: Mapping[AgentId, AgentCard] = {}
        self._left: set[AgentId] = set()
        self._reading = anyio.Lock()
        self._registry_away = False
        self._pending = anyio.Event()
        self._pending.set()  # Whoever was there before.

    def catch_up(self) -> None:
        """Take in which agents of this process have come or gone since; costs a comparison where none has."""
        served = self._agents.served()
        if served is self._served:
            return
        before, self._served = self._own, served
        self._own = {card.id: card for card in served}
        for id in before.keys() - self._own.keys():
            self._forget(id)
        for id, card in self._own.items():
            if before.get(id) is not card:
                self._arrive(card)

    def discovered(self) -> Sequence[Discovered]:
        self.catch_up()
        return sorted(self._known.values(), key=lambda each: str(each.agent_id))

    async def begin(self) -> None:
        """Look for the first time, where that is immediate; a registry that is away holds up no start for long."""
        if self._config.strategy == "immediate":
            with anyio.move_on_after(_FIRST_LOOK):
                await self._keep_up()

    async def run(self) -> None:
        """Discover for as long as it runs; ends at once where discovery is manual."""
        config = self._config
        if config.strategy == "manual":
            return
        while True:
            if config.strategy == "delayed":
                with anyio.move_on_after(config.interval):
                    await self._pending.wait()
                await anyio.sleep(config.delay)
                self._pending = anyio.Event()
            else:
                await anyio.sleep(config.interval)
            await self._keep_up()

    async def _keep_up(self) -> None:
        try:
            await self.refresh()
        except (RegistryError, TimeoutError) as exc:
            if not self._registry_away:
                self._log.warning("capabilities stay as they were last known: %s", _why(exc))
            self._registry_away = True
        else:
            self._registry_away = False

    async def refresh(self, agent: AgentId | None = None) -> None:
        """Ask the registry about one agent, or all, now; RegistryError or TimeoutError when it never answers."""
        error: RegistryError | TimeoutError = TimeoutError()
        for attempt in range(self._config.retries + 1):
            if attempt:
                await anyio.sleep(self._config.retry_delay)
            try:
                with anyio.fail_after(self._config.timeout):
                    async with self._reading:
                        await (self._read_all() if agent is None else self._read(agent))
                return
            except (RegistryError, TimeoutError) as exc:
                error = exc
        for id in [agent] if agent is not None else list(self._known):
            if id not in self._index:
                self._note(id, "failed", _why(error))
        raise error

    async def on_registered(self, event: AgentRegistered) -> None:
        """Hear of an agent that is served from now on."""
        self.catch_up()
        card = event.agent
        if card.process != self._agents.process and self._reachable(card):
            self._left.discard(card.id)
            self._arrive(card)

    async def on_deregistered(self, event: AgentDeregistered) -> None:
        """Hear of an agent that is no longer served."""
        self.catch_up()
        if event.agent in self._own:  # An event of before it came back.
            return
        if self._reading.locked():
            self._left.add(event.agent)
        self._forget(event.agent)

    async def on_status(self, event: AgentStatusChanged) -> None:
        """Hear that an agent is degraded, or well again."""
        self.catch_up()
        self._index.update(event.agent, degraded=event.after == "degraded")

    async def _read_all(self) -> None:
        self.catch_up()
        known = set(self._known)
        for id in known:
            if id not in self._index:
                self._note(id, self._before(id, "discovering"))
        self._left.clear()
        cards = await self._registry.list()
        # Whoever came while the registry answered may not be in its answer, and whoever left may be.
        self.catch_up()
        cards = [card for card in cards if self._reachable(card)]
        for number, card in enumerate(cards, start=1):
            if card.id not in self._left:
                self._take(card)
            if number % _AT_ONCE == 0:
                await anyio.lowlevel.checkpoint()
        for id in known - {card.id for card in cards} - self._own.keys():
            self._forget(id)

    async def _read(self, agent: AgentId) -> None:
        self.catch_up()
        if agent not in self._index:
            self._note(agent, self._before(agent, "discovering"))
        self._left.clear()
        card = await self._registry.get(agent)
        self.catch_up()
        if card is None or not self._reachable(card) or agent in self._left:
            self._forget(agent)
        else:
            self._take(card)

    def _arrive(self, card: AgentCard) -> None:
        if self._config.strategy == "immediate":
            self._take(card)
        elif card.id not in self._index:
            self._note(card.id, self._before(card.id, "pending"))
            self._pending.set()

    def _take(self, card: AgentCard) -> None:
        if card.id.type in self._config.disabled:
            self._index.remove(card.id)
            self._note(card.id, "disabled")
            return
        try:
            self._index.put(capabilities_of(card))
        except ValueError as exc:
            self._index.remove(card.id)
            self._note(card.id, "failed", str(exc))
            self._log.warning("capabilities of agent %s can't be used: %s", card.id, exc)
        else:
            self._note(card.id, "registered")

    def _forget(self, id: AgentId) -> None:
        self._index.remove(id)
        self._known.pop(id, None)

    def _note(self, id: AgentId, status: DiscoveryStatus, error: str = "") -> None:
        known = self._known.get(id)
        if known is None or (known.status, known.error) != (status, error):
            self._known[id] = Discovered(agent_id=id, status=status, since=self._clock(), error=error)

    def _before(self, id: AgentId, status: DiscoveryStatus) -> DiscoveryStatus:
        return "disabled" if id.type in self._config.disabled else status

    def _reachable(self, card: AgentCard) -> bool:
        if card.process == self._agents.process:
            return card.id in self._own  # The registry may have it a little longer than it can be called.
        return card.shared or not card.process


def capabilities_of(card: AgentCard) -> CapabilitySet:
    """Return what an agent can do, and how it is; one that declares nothing can do what its type is called."""
    declared = card.capabilities or inferred(card)
    return CapabilitySet(
        agent_id=card.id, capabilities=declared, load_factor=min(1.0, card.load), degraded=card.status == "degraded"
    )


def inferred(card: AgentCard) -> tuple[Capability, ...]:
    """Return a capability named after the agent's type, marked as inferred, or none where no name can be made."""
    name = _UNUSABLE.sub("_", card.id.type.lower()).lstrip("0123456789_-")[:128]
    return (Capability(name, description=card.description, metadata={"inferred": True}),) if name else ()


def _why(exc: RegistryError | TimeoutError) -> str:
    return str(exc) or "the registry did not answer in time"
