"""What is asked for over HTTP: the last events, and the next ones."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import anyio
import msgspec

from tta_http import UNAVAILABLE, Handler, Route
from tta_kernel import as_failure
from tta_kernel.errors import overdue

from .model import LONGEST_WAIT, Entry, Events, Page, Where

PATIENCE = 5.0
"""Seconds that a store may take for an answer, besides those for which it is to wait."""


class Ask(msgspec.Struct, frozen=True):
    """``after`` is what the last answer's ``next`` said, with its ``epoch``; without it the newest events are meant.

    With an ``epoch`` that has ended all that is kept is told. Without one, nobody can tell what came between: the page
    is empty, and its ``next`` below ``after``.

    ``kind`` may stand several times, and end in a star. Where there is no such event, the answer waits up to ``wait``
    seconds for one.
    """

    after: Annotated[int, msgspec.Meta(ge=0, le=2**53)] | None = None
    epoch: Annotated[str, msgspec.Meta(max_length=64)] = ""
    kind: Annotated[tuple[Annotated[str, msgspec.Meta(max_length=100)], ...], msgspec.Meta(max_length=50)] = ()
    session: Annotated[str, msgspec.Meta(max_length=200)] = ""
    owner: Annotated[str, msgspec.Meta(max_length=200)] = ""
    limit: Annotated[int, msgspec.Meta(ge=1, le=1000)] = 100
    wait: Annotated[float, msgspec.Meta(ge=0, le=LONGEST_WAIT)] = 0.0


_EXAMPLE = Page(
    "9f3a01c2",
    [
        Entry(
            81_234,
            "agents.called",
            1_790_000_000.123,
            "agents",
            "s-1",
            "p-1",
            fields={"agent": {"type": "narrative-generator", "instance": "a"}, "code": "", "seconds": 0.031},
            sizes={"key": 40},
        )
    ],
    next=81_234,
    oldest=76_235,
    newest=81_234,
)


def routes_of(handler: Handler) -> Sequence[Route]:
    """Declare the route that this handler answers."""
    return (
        Route(
            method="GET",
            path="/events",
            permission="events:read",
            summary="the last events, or those after a number; it waits for the next one where that is asked for",
            request=Ask,
            response=Page,
            handler=handler,
            timeout=LONGEST_WAIT + 2 * PATIENCE,
            example=_EXAMPLE,
        ),
    )


async def answer(events: Events, ask: Ask, *, patience: float = PATIENCE) -> Page:
    """Read what is asked for, from whatever keeps it; raises `HttpProblem`."""
    where = Where(ask.kind, ask.session, ask.owner)
    try:
        with anyio.move_on_after(ask.wait + patience) as limit:
            found = await events.read(ask.after, epoch=ask.epoch, where=where, limit=ask.limit, wait=ask.wait)
        if limit.cancel_called:  # even where an answer came, too late
            raise overdue(f"no answer within {ask.wait + patience:g} s", patience)
        return msgspec.json.decode(msgspec.json.encode(found), type=Page)
    except BaseException as exc:  # noqa: BLE001 - a stranger's store; `as_failure` raises what must go on
        raise UNAVAILABLE(f"the events can't be read: {type(as_failure(exc)).__name__}") from None
