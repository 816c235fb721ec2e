"""What there is of memory, processors, disk and patience, as numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal, Protocol

from msgspec import Struct

from tta_kernel import Service


class Memory(Struct, frozen=True):
    """Bytes of memory: of the smallest limit that holds for this process, be it a cgroup's or the host's.

    ``used`` leaves out what the kernel gives back when it is asked (inactive file pages), as Kubernetes' working set
    does. ``available`` is the least that is left under any limit, and ``fraction`` the fullest of them: a cgroup above
    this one, or the host, may be full while this one isn't.
    """

    total: int
    used: int
    available: int
    fraction: float
    ooms: int = 0
    """How often the cgroup was out of memory since it was made."""
    kills: int = 0
    """How many processes of the cgroup were killed for it."""


class Processors(Struct, frozen=True):
    """``cores`` that this process may use (2.5: two and a half), and the fraction of them in use since the last look.

    ``fraction`` is the fullest of the cgroup's quota and the host, and None in the first sample.
    """

    cores: float
    fraction: float | None
    throttled: int = 0
    """How often the cgroup had to wait for its next period."""
    throttled_seconds: float = 0.0


class Stall(Struct, frozen=True):
    """How long work waited for a resource, as the kernel's pressure stall information (PSI) has it.

    In per cent of the last 10 and 60 seconds: ``some`` of the tasks waited, or the ``full`` lot of them.
    """

    some10: float
    some60: float
    full10: float
    full60: float


class Disk(Struct, frozen=True):
    """Bytes of the file system that holds ``path``; ``free`` is what others than root may still write."""

    path: str
    total: int
    free: int

    @property
    def fraction(self) -> float:
        """How full it is."""
        return 1.0 - self.free / self.total if self.total else 1.0


class Own(Struct, frozen=True):
    """This process: bytes of resident memory, and seconds of processor time since it began."""

    memory: int
    seconds: float


class Sample(Struct, frozen=True):
    """One look; ``at`` is in seconds since the epoch. What can't be read is None, and ``errors`` says why.

    ``stalls`` has ``cpu``, ``memory`` and ``io``, as far as the kernel tells them.
    """

    at: float
    memory: Memory | None
    processors: Processors | None
    own: Own
    stalls: Mapping[str, Stall] = {}
    disks: Sequence[Disk] = ()
    errors: Mapping[str, str] = {}


Level = Literal["normal", "early", "warning", "critical"]
LEVELS: Sequence[Level] = ("normal", "early", "warning", "critical")


class Standing(Struct, frozen=True):
    """How a resource stands: its level, which fraction is used, and in how many seconds it is full if it goes on."""

    level: Level = "normal"
    used: float = 0.0
    full_in: float | None = None


class Resources(Protocol):
    """What there is on this node."""

    def last(self) -> Sample:
        """Return the last sample."""

    def history(self, *, since: float = 0.0, most: int = 3600) -> Sequence[Sample]:
        """Return samples after ``since``, the oldest first, thinned out evenly to ``most``."""

    def standings(self) -> Mapping[str, Standing]:
        """Return how each resource stands: ``memory``, ``processors``, ``waiting for memory``, ``disk /``."""


RESOURCES = Service[Resources]("resources")
"""What there is, and who has it."""
