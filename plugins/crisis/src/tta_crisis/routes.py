"""What is asked for over HTTP: interventions, and a human who sees to one."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from tta_http import NOT_FOUND, UNAVAILABLE, Paged, Part, Principal, Route, cursor_after

from .model import (
    LONGEST_ID,
    Assessment,
    Crises,
    CrisisError,
    CrisisQuery,
    Intervention,
    NoSuchIntervention,
    Packet,
    Resolution,
    Status,
)  # fmt: skip

Id = Annotated[str, Meta(min_length=1, max_length=LONGEST_ID)]
EXAMPLE = Intervention(
    id="7f3a.player.suicide", kind="suicide", level="high", session="s-1", owner="anna", admission="7f3a", turn=12,
    assessment=Assessment(kind="suicide", level="high", severity=4, ideation=True, means=True, intent=True),
    protocol="crisis-high", run="crisis:7f3a.player.suicide", opened_at=1_790_000_000.0, version=1,
)  # fmt: skip


class InterventionList(Part[Intervention], frozen=True):
    """Interventions, the newest first."""


class AskInterventions(Paged, frozen=True, forbid_unknown_fields=True):
    """Which interventions: those of one status or session, or all."""

    status: Status | None = None
    session: Annotated[str, Meta(max_length=300)] = ""


class AskIntervention(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An intervention; ``text`` asks for its packet with the last turns, redacted."""

    id: Id
    text: bool = False


class InterventionView(msgspec.Struct, frozen=True):
    """An intervention, and what is handed to whoever takes over, where that was asked for."""

    intervention: Intervention
    packet: Packet | None = None


class Acknowledge(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An intervention to which whoever asks will see."""

    id: Id


class Resolve(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An intervention that is over, and how."""

    id: Id
    resolution: Resolution


def crisis_routes(crises: Callable[[], Crises | None]) -> Sequence[Route]:
    """Return the routes."""

    def running() -> Crises:
        found = crises()
        if found is None:
            raise UNAVAILABLE("what sees to crises doesn't run here")
        return found

    async def listed(request: AskInterventions, principal: Principal) -> InterventionList:
        query = CrisisQuery(
            status=request.status or "", session=request.session, cursor=request.after, most=request.limit
        )
        page = await _told(running().page(query))
        return InterventionList(page.interventions, cursor_after(page.cursor) if page.cursor else None)

    async def show(request: AskIntervention, principal: Principal) -> InterventionView:
        found = await _told(running().get(request.id))
        if found is None:
            raise NOT_FOUND("there is no intervention of this id (any more)")
        return InterventionView(found, await _told(running().packet(request.id)) if request.text else None)

    async def acknowledge(request: Acknowledge, principal: Principal) -> InterventionView:
        return InterventionView(await _told(running().acknowledge(request.id, by=principal.name)))

    async def resolve(request: Resolve, principal: Principal) -> InterventionView:
        return InterventionView(
            await _told(running().resolve(request.id, by=principal.name, resolution=request.resolution))
        )

    return [
        Route(
            method="GET", path="/crises", permission="crises:read", request=AskInterventions, handler=listed,
            response=InterventionList, summary="List interventions.", example=InterventionList([EXAMPLE]),
        ),
        Route(
            method="GET", path="/crises/{id}", permission="crises:read", request=AskIntervention, handler=show,
            response=InterventionView, reveals="text", problems=(NOT_FOUND,), example=InterventionView(EXAMPLE),
            summary="Show an intervention, and what is handed to whoever takes over.",
        ),
        Route(
            method="POST", path="/crises/{id}/acknowledge", permission="crises:acknowledge", request=Acknowledge,
            handler=acknowledge, response=InterventionView, problems=(NOT_FOUND,), example=InterventionView(EXAMPLE),
            summary="Say that you see to an intervention.",
        ),
        Route(
            method="POST", path="/crises/{id}/resolve", permission="crises:resolve", request=Resolve,
            handler=resolve, response=InterventionView, problems=(NOT_FOUND,), example=InterventionView(EXAMPLE),
            summary="Close an intervention.",
        ),
    ]  # fmt: skip


async def _told(answer: Awaitable[Any]) -> Any:
    try:
        return await answer
    except NoSuchIntervention:
        raise NOT_FOUND("there is no intervention of this id (any more)") from None
    except CrisisError:
        raise UNAVAILABLE("the store of interventions can't be used") from None
