"""The plugin: samples, their figures, and whoever asks for them."""

from __future__ import annotations

import platform
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Annotated, Any

from msgspec import Meta, Struct

from tta_http import Route
from tta_kernel import Context, Duration, Figure, Plugin, hookimpl
from tta_program import Subcommands

from .disks import Disks
from .model import RESOURCES, Sample
from .routes import routes_of
from .sampling import Sampling, sampler

FIGURES = (
    Figure("resources.memory", "memory under the smallest limit that holds here", unit="bytes", label="kind"),
    Figure("resources.used", "fraction of what there is, under the fullest limit", unit="ratio", label="resource"),
    Figure("resources.cores", "cores that this process may use"),
    Figure("resources.stalled", "time that some tasks waited, in the last 10 s", unit="ratio", label="resource"),
    Figure("resources.disk", "free on file systems", unit="bytes", label="path"),
    Figure("resources.killed", "processes of the cgroup that were killed for memory", "counter"),
    Figure("resources.throttled", "waits of the cgroup for its next period", "counter"),
    Figure("resources.errors", "what couldn't be read in the last sample"),
)


class Config(Struct, frozen=True, forbid_unknown_fields=True):
    """A sample every ``metrics_interval``; the last ``history`` are kept. ``disks``: paths in file systems to look at.

    ``node`` names what is shared by all processes here, the host by default.
    """

    metrics_interval: Annotated[Duration, Meta(ge=0.1)] = 1.0
    history: Annotated[int, Meta(ge=2, le=100_000)] = 3600
    disks: Annotated[tuple[str, ...], Meta(max_length=32)] = ("/",)
    node: Annotated[str, Meta(max_length=200)] = ""


class ResourcesPlugin(Plugin[Config]):
    """Looks at what there is for as long as it runs."""

    provides = (RESOURCES,)

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        self.node = config.node or platform.node() or "localhost"

    @asynccontextmanager
    async def lifespan(self, ctx: Context) -> AsyncIterator[None]:
        found = sampler()
        try:
            config = self.config
            self._sampling = Sampling(
                found, Disks(config.disks), interval=config.metrics_interval, size=config.history
            )  # fmt: skip
            ctx.start_soon(self._sampling.run)
            if config.disks:
                ctx.start_soon(self._sampling.look_at_disks)
            ctx.provide(RESOURCES, self._sampling)
            yield
        finally:
            found.close()

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
        return figures_of(self._sampling.last())


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
