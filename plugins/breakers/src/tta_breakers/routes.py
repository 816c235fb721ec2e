"""What is asked for over HTTP: which breakers are open, and opening and closing them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Annotated, Any

import msgspec

from tta_http import NOT_FOUND, UNAVAILABLE, Paged, Part, Principal, Route, part_of

from .breakers import Breakers
from .model import LONGEST_NAME, BreakerInfo, BreakersError, Status

Name = Annotated[str, msgspec.Meta(min_length=1, max_length=LONGEST_NAME)]
BREAKER = BreakerInfo("agent:narrative-generator", "open", failures=5, opens=1, reason="5 calls in a row have failed")


class BreakerList(Part[BreakerInfo], frozen=True):
    """Breakers of all processes that were used lately, by name."""


class AskBreakers(Paged, frozen=True, forbid_unknown_fields=True):
    """Which breakers: those of one status, or all."""

    status: Status | None = None


class Act(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A breaker to be closed."""

    name: Name


class Trip(Act, frozen=True, forbid_unknown_fields=True):
    """A breaker to be opened, and why: that is shown to operators, so it holds nothing of a person's."""

    reason: Annotated[str, msgspec.Meta(min_length=1, max_length=200)] = "it was opened by hand"


class Done(msgspec.Struct, frozen=True):
    """All processes know, or are about to hear; ``changed``: it was otherwise before."""

    changed: bool


def breaker_routes(breakers: Callable[[], Breakers]) -> Sequence[Route]:
    """Return the routes."""

    async def listed(request: AskBreakers, principal: Principal) -> BreakerList:
        every = await _told(breakers().list())
        found = {each.name: each for each in every if request.status in (None, each.status)}
        names, cursor = part_of([*found], request)
        return BreakerList([found[name] for name in names], cursor)

    async def demand(name: str) -> None:
        if name not in {each.name for each in await _told(breakers().list())}:
            raise NOT_FOUND("no breaker of that name was used lately")

    async def reset(request: Act, principal: Principal) -> Done:
        await demand(request.name)
        return Done(await _told(breakers().reset(request.name, by=principal.name)))

    async def trip(request: Trip, principal: Principal) -> Done:
        await demand(request.name)  # It would be a new one, of any name, that nobody asks.
        return Done(await _told(breakers().trip(request.name, request.reason, by=principal.name)))

    return [
        Route(
            method="GET", path="/breakers", permission="breakers:read", request=AskBreakers, response=BreakerList,
            summary="List the breakers of all processes.", handler=listed, example=BreakerList([BREAKER]),
        ),
        Route(
            method="POST", path="/breakers/{name}/reset", permission="breakers:reset", request=Act, response=Done,
            summary="Close a breaker in all processes, and forget its failures.", handler=reset,
            problems=(NOT_FOUND,), example=Done(changed=True),
        ),
        Route(
            method="POST", path="/breakers/{name}/trip", permission="breakers:trip", request=Trip, response=Done,
            summary="Open a breaker in all processes, as if calls had failed.", handler=trip,
            problems=(NOT_FOUND,), example=Done(changed=True),
        ),
    ]  # fmt: skip


async def _told(answer: Awaitable[Any]) -> Any:
    try:
        return await answer
    except BreakersError as exc:
        raise UNAVAILABLE(f"the store of breakers can't be used: {exc}") from None
