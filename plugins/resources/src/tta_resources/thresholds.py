"""From when on a resource is tight, in per cent of what there is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

from msgspec import Meta, Struct

from tta_kernel import Duration

from .model import Level

Percent = Annotated[float, Meta(gt=0, le=100)]


class Thresholds(Struct, frozen=True, forbid_unknown_fields=True):
    """``early`` is for all resources, the others for their own; ``disk_crit`` 90 is that less than 10 % are free.

    ``stall_warn`` and ``stall_crit``: per cent of the last 10 s in which everything waited for memory. ``hysteresis``:
    points by which a resource has to be below a threshold to leave its level. ``sustained``: for how long.
    """

    early: Percent = 75.0
    mem_warn: Percent = 80.0
    mem_crit: Percent = 90.0
    cpu_warn: Percent = 90.0
    cpu_crit: Percent = 95.0
    disk_warn: Percent = 85.0
    disk_crit: Percent = 90.0
    stall_warn: Percent = 5.0
    stall_crit: Percent = 20.0
    hysteresis: Annotated[float, Meta(ge=0, lt=50)] = 5.0
    sustained: Annotated[Duration, Meta(ge=0)] = 30.0

    def __post_init__(self) -> None:
        for kind in ("mem", "cpu", "disk", "stall"):
            warning, critical = getattr(self, f"{kind}_warn"), getattr(self, f"{kind}_crit")
            if warning >= critical:
                raise ValueError(f"{kind}_warn is {warning:g}, and {kind}_crit {critical:g}: the first is to be lower")

    def of(self, resource: str) -> Mapping[Level, float]:
        """Return the thresholds of a resource, the lowest first."""
        match resource.partition(" ")[0]:
            case "memory":
                warning, critical = self.mem_warn, self.mem_crit
            case "processors":
                warning, critical = self.cpu_warn, self.cpu_crit
            case "disk":
                warning, critical = self.disk_warn, self.disk_crit
            case _:
                return {"warning": self.stall_warn, "critical": self.stall_crit}
        return {"early": min(self.early, warning), "warning": warning, "critical": critical}
