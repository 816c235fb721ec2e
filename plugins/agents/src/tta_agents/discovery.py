"""Auto-discovery: how what agents can do gets from the registry into the index, and how far it is."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Sequence
from logging import Logger
from typing import Annotated, Literal

import anyio
import anyio.lowlevel
import msgspec

from tta_kernel import Duration

from .capabilities import Capability
from .index import CapabilityIndex
from .matching import CapabilitySet, Discovered, DiscoveryStatus
from .model import (
    AgentCard,
    AgentDeregistered,
    AgentId,
    AgentRegistered,
    AgentRegistry,
    AgentStatusChanged,
    RegistryError,
)  # fmt: skip

Wait = Annotated[Duration, msgspec.Meta(ge=0, le=100 * 365 * 86_400)]
Pause = Annotated[Duration, msgspec.Meta(ge=0.01, le=100 * 365 * 86_400)]
"""Between two things of which the second must not follow at once, for ever."""
_FIRST_LOOK = 2.0
_AT_ONCE = 50
"""How many cards are indexed until others may run."""
_UNUSABLE = re.compile(r"[^a-z0-9_-]+")


class DiscoverySettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """When capabilities are discovered; times in seconds.

    ``immediate``: an agent that is registered in this process at once, all others every ``interval``.
    ``delayed``: only ``delay`` after it, together with whatever else has come by then. ``heartbeat``: only
    every ``interval``. ``manual``: only on `Capabilities.refresh`.
    """

    strategy: Literal["immediate", "delayed", "heartbeat", "manual"] = "immediate"
    delay: Wait = 5.0
    interval: Pause = 10.0
    timeout: Pause = 30.0
    """How long the registry may take to answer."""
    retries: Annotated[int, msgspec.Meta(ge=0, le=100)] = 3
    retry_delay: Wait = 5.0
    disabled: tuple[str, ...] = ()
    """Types of agents that are never discovered."""


class Discovery:
    """Keeps the index as the registry is, in the way that the settings say.

    Whoever leaves or degrades is taken out at once, whatever the strategy.
    """

    def __init__(
        self, registry: AgentRegistry, index: CapabilityIndex, settings: DiscoverySettings, log: Logger, *,
        process: str = "", clock: Callable[[], float] = time.time,
    ) -> None:  # fmt: skip
        self._registry, self._index, self._settings, self._log = registry, index, settings, log
        self._process, self._clock = process, clock
        self._known: dict[AgentId, Discovered] = {}
        self._left: set[AgentId] = set()
        self._reading = anyio.Lock()
        self._ailing = False
        self._came = anyio.Event()
        self._came.set()  # Whoever was there before.

    def discovered(self) -> Sequence[Discovered]:
        return sorted(self._known.values(), key=lambda each: str(each.agent_id))

    async def begin(self) -> None:
        """Look for the first time, where that is immediate; a registry that is away holds up no start for long."""
        if self._settings.strategy == "immediate":
            with anyio.move_on_after(_FIRST_LOOK):
                await self._keep_up()

    async def run(self) -> None:
        """Discover for as long as it runs; ends at once where discovery is manual."""
        settings = self._settings
        if settings.strategy == "manual":
            return
        while True:
            if settings.strategy == "delayed":
                with anyio.move_on_after(settings.interval):
                    await self._came.wait()
                await anyio.sleep(settings.delay)
                self._came = anyio.Event()
            else:
                await anyio.sleep(settings.interval)
            await self._keep_up()

    async def _keep_up(self) -> None:
        try:
            await self.refresh()
        except (RegistryError, TimeoutError) as exc:
            if not self._ailing:
                self._log.warning("capabilities stay as they were last known: %s", _why(exc))
            self._ailing = True
        else:
            self._ailing = False

    async def refresh(self, agent: AgentId | None = None) -> None:
        """Ask the registry about one agent, or all, now; RegistryError or TimeoutError when it never answers."""
        error: RegistryError | TimeoutError = TimeoutError()
        for attempt in range(self._settings.retries + 1):
            if attempt:
                await anyio.sleep(self._settings.retry_delay)
            try:
                with anyio.fail_after(self._settings.timeout):
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
        card = event.agent
        if not self._reachable(card):
            return
        self._left.discard(card.id)
        if self._settings.strategy == "immediate":
            self._take(card)
        elif card.id not in self._index:
            self._note(card.id, self._before(card.id, "pending"))
            self._came.set()

    async def on_deregistered(self, event: AgentDeregistered) -> None:
        """Hear of an agent that is no longer served."""
        if self._reading.locked():
            self._left.add(event.agent)
        self._forget(event.agent)

    async def on_status(self, event: AgentStatusChanged) -> None:
        """Hear that an agent is degraded, or well again."""
        self._index.update(event.agent, degraded=event.after == "degraded")

    async def _read_all(self) -> None:
        known = set(self._known)
        for id in known:
            if id not in self._index:
                self._note(id, self._before(id, "discovering"))
        self._left.clear()
        cards = [card for card in await self._registry.list() if self._reachable(card)]
        # Whoever came while the registry answered may not be in its answer, and whoever left may be.
        for number, card in enumerate(cards, start=1):
            if card.id not in self._left:
                self._take(card)
            if number % _AT_ONCE == 0:
                await anyio.lowlevel.checkpoint()
        for id in known - {card.id for card in cards}:
            self._forget(id)

    async def _read(self, agent: AgentId) -> None:
        if agent not in self._index:
            self._note(agent, self._before(agent, "discovering"))
        self._left.clear()
        card = await self._registry.get(agent)
        if card is None or not self._reachable(card) or agent in self._left:
            self._forget(agent)
        else:
            self._take(card)

    def _take(self, card: AgentCard) -> None:
        if card.id.type in self._settings.disabled:
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
        return "disabled" if id.type in self._settings.disabled else status

    def _reachable(self, card: AgentCard) -> bool:
        return card.shared or card.process in ("", self._process)


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
