"""What is asked for over HTTP: which agents are alive, where, and how they do."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Annotated

import msgspec
from msgspec.structs import replace

from tta_http import NOT_FOUND, UNAVAILABLE, Nothing, Paged, Part, Principal, Route, part_of

from .model import AgentCard, AgentId, AgentRegistry, Agents, RegistryError, Statistics

READ = "agents:read"
Name = Annotated[str, msgspec.Meta(min_length=1, max_length=256)]


class AgentView(msgspec.Struct, frozen=True):
    """A living agent: its card, how long ago it was heard of, and how it has done in its process."""

    address: str
    local: bool
    age: float
    card: AgentCard
    statistics: Statistics | None = None


class AgentList(Part[AgentView], frozen=True):
    """Agents of all processes, by address."""


class AskAgents(Paged, frozen=True, forbid_unknown_fields=True):
    """Which agents: those of one type, or all."""

    type: Annotated[str, msgspec.Meta(max_length=256)] = ""


class AskAgent(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One agent by its address, ``type:instance``."""

    id: Name


class Discovery(msgspec.Struct, frozen=True):
    """How many agents are alive, by process and by type; ``here`` is this process."""

    here: str
    processes: Mapping[str, int]
    types: Mapping[str, int]
    degraded: Sequence[str] = ()


class Known:
    """What the routes ask: the registry, guarded, and the agents of this process."""

    def __init__(self, registry: AgentRegistry, agents: Agents, clock: Callable[[], float]) -> None:
        self._registry = registry
        self._agents = agents
        self._clock = clock

    async def cards(self, type: str = "") -> Mapping[str, AgentCard]:
        """Return the cards by address."""
        try:
            return {str(card.id): card for card in await self._registry.list(type or None)}
        except RegistryError as exc:
            raise UNAVAILABLE(f"the registry of agents can't be read: {exc}") from None

    async def card(self, address: str) -> AgentCard:
        """Return one card."""
        type, _, instance = address.partition(":")
        try:
            card = await self._registry.get(AgentId(type, instance)) if type and instance else None
        except RegistryError as exc:
            raise UNAVAILABLE(f"the registry of agents can't be read: {exc}") from None
        if card is None:
            raise NOT_FOUND("no agent of that address is alive; it reads type:instance")
        return card

    def view(self, card: AgentCard) -> AgentView:
        """Show a card, with what is known beside it."""
        address = str(card.id)
        statistics = self._agents.statistics().get(address) or card.statistics
        age = max(0.0, self._clock() - card.seen_at) if card.seen_at else 0.0
        shown = replace(card, statistics=None)  # They stand beside it, and once.
        return AgentView(address, card.process == self._agents.process, age, shown, statistics)

    @property
    def here(self) -> str:
        """The name of this process."""
        return self._agents.process


def agent_routes(known: Callable[[], Known]) -> Sequence[Route]:
    """Return the routes."""

    async def agents(request: AskAgents, principal: Principal) -> AgentList:
        cards = await known().cards(request.type)
        addresses, cursor = part_of([*cards], request)
        return AgentList([known().view(cards[address]) for address in addresses], cursor)

    async def agent(request: AskAgent, principal: Principal) -> AgentView:
        return known().view(await known().card(request.id))

    async def discovery(request: Nothing, principal: Principal) -> Discovery:
        cards = await known().cards()
        processes: dict[str, int] = {}
        types: dict[str, int] = {}
        for card in cards.values():
            processes[card.process] = processes.get(card.process, 0) + 1
            types[card.id.type] = types.get(card.id.type, 0) + 1
        degraded = sorted(address for address, card in cards.items() if card.status == "degraded")
        return Discovery(known().here, processes, types, degraded)

    card = AgentCard(AgentId("narrative-generator", "a"), "tells what happens", process="p-1", seen_at=1_790_000_000.0)
    view = AgentView("narrative-generator:a", local=True, age=1.5, card=card, statistics=Statistics(calls=20, p95=0.05))
    return [
        Route(
            method="GET", path="/agents", permission=READ, request=AskAgents, response=AgentList, handler=agents,
            summary="List the agents that are alive, in all processes.", example=AgentList([view]),
        ),
        Route(
            method="GET", path="/agents/{id}", permission=READ, request=AskAgent, response=AgentView, handler=agent,
            summary="Show one agent: its card, its last heartbeat, how it does.", problems=(NOT_FOUND,), example=view,
        ),
        Route(
            method="GET", path="/discovery", permission=READ, response=Discovery, handler=discovery,
            summary="Count the agents that are alive, by process and by type.",
            example=Discovery("p-1", {"p-1": 3}, {"narrative-generator": 1}),
        ),
    ]  # fmt: skip
