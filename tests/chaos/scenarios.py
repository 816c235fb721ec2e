"""What is played: each scenario short for the suite, and long for ``make chaos``."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec.structs import replace

from .run import Plan

_ALWAYS = ("--appendonly", "yes", "--appendfsync", "always")
_EVERYSEC = ("--appendonly", "yes", "--appendfsync", "everysec")
# Under everysec Redis may keep what it has answered in its own memory for up to 2 s, while an fsync takes that long; a
# master's replicas may be behind by as much as the link is.
_BEHIND = 3.0

SHORT: Mapping[str, Plan] = {
    "one consumer": Plan(consumers=(1,), messages=300),
    "three consumers": Plan(consumers=(1, 4, 4), messages=300),
    "consumers killed": Plan(faults=("kill-consumer",) * 5, fails=0.05, work=0.02),
    "consumers stopped": Plan(faults=("stop-consumer",) * 2, consumers=(1, 1), work=0.03, lasts=1.0),
    "Redis killed, always": Plan(faults=("kill-redis",) * 2, options=_ALWAYS, work=0.02),
    "Redis killed, everysec": Plan(faults=("kill-redis",) * 2, options=_EVERYSEC, work=0.02, lossy=_BEHIND),
    "Sentinel, replicas awaited": Plan(
        topology="sentinel", faults=("kill-redis",), options=_EVERYSEC, wait_replicas=1, lossy=_BEHIND
    ),
    "Sentinel": Plan(topology="sentinel", faults=("kill-redis",), lossy=_BEHIND),
    "Cluster, replicas awaited": Plan(
        topology="cluster", faults=("kill-redis",), options=_EVERYSEC, wait_replicas=1, lossy=_BEHIND
    ),
    "Cluster": Plan(topology="cluster", faults=("kill-redis",), lossy=_BEHIND),
}
POISON = Plan(kills=1, retries=3, consumers=(1, 1), messages=100, lasts=0.5, work=0.02)
"""One message in the midst of others kills whoever begins with it."""


def at_length(name: str) -> Plan:
    """Return a scenario with more of everything; whoever waits for a replica also meets a master that falls silent."""
    plan = SHORT[name]
    faults = plan.faults * 4
    if plan.faults:
        faults += ("kill-consumer", "stop-consumer", "kill-consumer")
    if plan.wait_replicas:
        faults = ("pause-redis", *plan.faults * 2, "stop-consumer", "pause-redis")
    many = 20 * plan.messages if not plan.faults else 10 * plan.messages
    return replace(
        plan, messages=many, lasts=2.5 * len(faults) or 8.0, work=plan.work / 2, faults=faults, patience=300.0
    )
