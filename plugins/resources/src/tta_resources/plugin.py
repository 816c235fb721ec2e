"""The plugin: samples, their figures, and whoever asks for them."""

from __future__ import annotations

import platform
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import Annotated, Any

from msgspec import Meta, Struct

from tta_http import Route
from tta_kernel import Context, Duration, Event, Figure, Health, Plugin, hookimpl
from tta_program import Subcommands

from .disks import Disks
from .events import ResourceExhausted, ResourceRecovered, ResourceWarned
from .model import LEVELS, RESOURCES, Sample
from .routes import routes_of
from .sampling import Sampling, sampler
from .thresholds import Thresholds
from .watching import Change, Watching

FIGURES = (
    Figure("resources.memory", "memory under the smallest limit that holds here", unit="bytes", label="kind"),
    Figure("resources.used", "fraction of what there is, under the fullest limit", unit="ratio", label="resource"),
    Figure("resources.cores", "cores that this process may use"),
    Figure("resources.stalled", "time that some tasks waited, in the last 10 s", unit="ratio", label="resource"),
    Figure("resources.disk", "free on file systems", unit="bytes", label="path"),
    Figure("resources.killed", "processes of the cgroup that were killed for memory", "counter"),
    Figure("resources.throttled", "waits of the cgroup for its next period", "counter"),
    Figure("resources.level", "0 well, 1 early warning, 2 warning, 3 critical", label="resource"),
    Figure("resources.full_in", "until a resource is full, as it goes on now", unit="seconds", label="resource"),
    Figure("resources.errors", "what couldn't be read in the last sample"),
)


class Config(Struct, frozen=True, forbid_unknown_fields=True):
    """A sample every ``metrics_interval``; the last ``history`` are kept. ``disks``: paths in file systems to look at.

    ``node`` names what is shared by all processes here, the host by default. ``thresholds``: when it gets tight.
    """

    metrics_interval: Annotated[Duration, Meta(ge=0.1)] = 1.0
    history: Annotated[int, Meta(ge=2, le=100_000)] = 3600
    disks: Annotated[tuple[str, ...], Meta(max_length=32)] = ("/",)
    node: Annotated[str, Meta(max_length=200)] = ""
    thresholds: Thresholds = Thresholds()


class ResourcesPlugin(Plugin[Config]):
    """Looks at what there is for as long as it runs."""

    provides = (RESOURCES,)

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        self.node = config.node or platform.node() or "localhost"

    @asynccontextmanager
    async def lifespan(self, ctx: Context) -> AsyncIterator[None]:
        self._since = time.time()
        found = sampler()
        try:
            config = self.config
            self._sampling = Sampling(
                found, Disks(config.disks), Watching(config.thresholds), interval=config.metrics_interval,
                size=config.history, changed=partial(self._tell, ctx),
            )  # fmt: skip
            ctx.start_soon(self._sampling.run)
            if config.disks:
                ctx.start_soon(self._sampling.look_at_disks)
            ctx.provide(RESOURCES, self._sampling)
            yield
        finally:
            found.close()

    def _tell(self, ctx: Context, change: Change) -> None:
        text = "%s: %s is at %.0f %% (%s)"
        said = (self.node, change.resource, change.now.used * 100, change.now.level)
        if change.now.level == "critical":
            ctx.log.error(text, *said)
        else:
            ctx.log.warning(text, *said)
        ctx.publish(event_of(self.node, change))

    @hookimpl
    def event_types(self) -> Sequence[type[Event]]:
        return (ResourceWarned, ResourceExhausted, ResourceRecovered)

    @hookimpl
    async def health(self) -> Health:
        standings = self._sampling.standings()
        tight = [f"{name} {it.used:.0%}" for name, it in standings.items() if it.level == "critical"]
        if tight:
            return Health("degraded", f"{self.node} runs out of {', '.join(tight)}", self._since)
        return Health(since=self._since)

    @hookimpl(optionalhook=True)
    def routes(self) -> Sequence[Route]:
        return routes_of(lambda: self._sampling, self.node)

    @hookimpl(optionalhook=True)
    def register_commands(self, subcommands: Subcommands) -> None:
        from . import commands  # Only a command needs them.

        commands.add(subcommands)

    @hookimpl
    def figures(self) -> Sequence[Figure]:
        return FIGURES

    @hookimpl
    async def snapshot(self) -> Mapping[str, Any]:
        standings = self._sampling.standings()
        return {
            **figures_of(self._sampling.last()),
            "resources.level": {name: LEVELS.index(it.level) for name, it in standings.items()},
            "resources.full_in": {name: it.full_in for name, it in standings.items() if it.full_in is not None},
        }


def event_of(node: str, change: Change) -> Event:
    """Return a change as it is told."""
    resource, before, now = change.resource, change.before, change.now
    match now.level:
        case "normal":
            return ResourceRecovered(node=node, resource=resource, before=before, used=now.used)
        case "critical":
            return ResourceExhausted(
                node=node, resource=resource, before=before, used=now.used, full_in=now.full_in
            )  # fmt: skip
    return ResourceWarned(
        node=node, resource=resource, level=now.level, before=before, used=now.used, full_in=now.full_in
    )  # fmt: skip


def figures_of(sample: Sample) -> Mapping[str, Any]:
    """Return a sample as `FIGURES` have it; what couldn't be read is left out."""
    found: dict[str, Any] = {"resources.errors": len(sample.errors)}
    used: dict[str, float] = {f"disk {disk.path}": disk.fraction for disk in sample.disks}
    if memory := sample.memory:
        found["resources.memory"] = {"total": memory.total, "used": memory.used, "available": memory.available}
        found["resources.killed"] = memory.kills
        used["memory"] = memory.fraction
    if processors := sample.processors:
        found["resources.cores"] = processors.cores
        found["resources.throttled"] = processors.throttled
        if processors.fraction is not None:
            used["processors"] = processors.fraction
    found["resources.used"] = used
    found["resources.stalled"] = {name: stall.some10 / 100 for name, stall in sample.stalls.items()}
    found["resources.disk"] = {disk.path: disk.free for disk in sample.disks}
    return found
