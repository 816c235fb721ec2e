"""What the registry is told of the agents of this process, and what it gives back: their state."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import anyio
import msgspec

from tta_kernel import Context, as_failure
from tta_messages import SHUTDOWN_TIMEOUT

from .local import LocalAgents
from .model import AgentCard, AgentDeregistered, AgentId, AgentRegistered, AgentRegistry, RegistryError, Report
from .served import Served


class Registration:
    """Enters what ``process`` serves in the registry, and takes it out again; says so by events."""

    def __init__(self, ctx: Context, registry: AgentRegistry, local: LocalAgents, process: str) -> None:
        self._ctx, self._log, self._registry, self._local = ctx, ctx.log, registry, local
        self._process = process

    async def restore(self, agent: Any, id: AgentId) -> bool:
        """Give an agent back what it reported before a restart; False if it has no state to keep."""
        if not (hasattr(agent, "export_state") and hasattr(agent, "import_state")):
            return False
        if (state := await self._registry.state(id)) is not None:
            try:
                agent.import_state(msgspec.msgpack.decode(state))
            except BaseException as exc:  # noqa: BLE001 - a stranger's code, or a stranger's bytes
                as_failure(exc)
                self._log.warning("agent %s begins anew: its state raised %s", id, type(exc).__name__)
                await self._registry.refuse_state(id, f"its agent raised {type(exc).__name__}")
        return True

    async def enter(self, served: Served, *, with_state: bool) -> AgentCard:
        """Register an instance, and return its card; ``with_state``: what it exports is reported each time, too."""

        def report() -> Report:
            return self._report(served, with_state=with_state)

        card = report().card
        await self._registry.register(card, report)
        self._ctx.publish(AgentRegistered(agent=card))
        return card

    def _report(self, served: Served, *, with_state: bool) -> Report:
        """Say how an instance is, now that the registry looks; its status is published where it is another by now."""
        self._local.publish_status(served)
        spec = served.agent.spec
        card = AgentCard(
            served.id, spec.description, spec.capabilities, served.status, served.registered_at, self._process,
            served.shared, served.running, served.limit, spec.timeout, served.resources,
            agent_version=spec.version, statistics=served.statistics(),
        )  # fmt: skip
        if not with_state:
            return Report(card)
        agent: Any = served.agent
        try:
            return Report(card, msgspec.msgpack.encode(agent.export_state()))
        except BaseException as exc:  # noqa: BLE001 - a stranger's code
            as_failure(exc)
            self._log.warning("agent %s reports no state: it raised %s", served.id, type(exc).__name__)
            return Report(card)

    async def leave(self, entered: Sequence[Served]) -> Sequence[Served]:
        """Take instances out; return those whose name no other process has by now."""
        gone: list[Served] = []

        async def leave_one(served: Served) -> None:
            try:
                if await self._registry.deregister(served.id, self._process):
                    gone.append(served)
            except RegistryError as exc:
                self._log.warning("agent %s is left to its time to live: %s", served.id, exc)

        # Together: many that each wait for a registry that is away would hold up the stop.
        with anyio.move_on_after(SHUTDOWN_TIMEOUT, shield=True):
            async with anyio.create_task_group() as tasks:
                for served in entered:
                    tasks.start_soon(leave_one, served)
        for served in entered:
            self._ctx.publish(AgentDeregistered(agent=served.id))
        return gone

    async def served_elsewhere(self, type: str) -> bool:
        """Whether another process serves this type, too, and well."""
        try:
            cards = await self._registry.discover(type)
        except RegistryError:
            return False
        return any(card.shared and card.process != self._process for card in cards)
