"""What is asked for over HTTP: what there is, and what there was in the last hour."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Annotated

from msgspec import Meta, Struct

from tta_http import Nothing, Principal, Route

from .model import Disk, Memory, Own, Processors, Resources, Sample, Stall, Standing

_GIB = 1 << 30
EXAMPLE = Sample(
    at=1_790_000_000.0,
    memory=Memory(4 * _GIB, 2 * _GIB, 2 * _GIB, 0.5),
    processors=Processors(2.0, 0.31),
    own=Own(180 << 20, 12.5),
    stalls={"cpu": Stall(1.5, 0.8, 0.0, 0.0)},
    disks=[Disk("/", 64 * _GIB, 40 * _GIB)],
)


class AskHistory(Struct, frozen=True, forbid_unknown_fields=True):
    """Samples after ``since``, in seconds since the epoch, evenly thinned out to ``most``."""

    since: Annotated[float, Meta(ge=0)] = 0.0
    most: Annotated[int, Meta(ge=1, le=3600)] = 360


class Samples(Struct, frozen=True):
    """Samples, the oldest first; ``node`` is the host that they are of."""

    node: str
    samples: Sequence[Sample]


class Now(Struct, frozen=True):
    """The last sample of a node, and how each of its resources stands."""

    node: str
    sample: Sample
    standings: Mapping[str, Standing]


def routes_of(resources: Callable[[], Resources], node: str) -> Sequence[Route]:
    """Return the routes."""

    async def now(request: Nothing, principal: Principal) -> Now:
        return Now(node, resources().last(), resources().standings())

    async def history(request: AskHistory, principal: Principal) -> Samples:
        return Samples(node, resources().history(since=request.since, most=request.most))

    return [
        Route(
            method="GET", path="/resources", permission="resources:read", request=Nothing, response=Now,
            summary="Say what there is of memory, processors and disk on this node.", handler=now,
            example=Now("story-1", EXAMPLE, {"memory": Standing("normal", 0.5, 5400.0)}),
        ),
        Route(
            method="GET", path="/resources/history", permission="resources:read", request=AskHistory,
            response=Samples, summary="List samples of the last hour, evenly thinned out.", handler=history,
            example=Samples("story-1", [EXAMPLE]),
        ),
    ]  # fmt: skip
