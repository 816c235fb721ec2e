"""What is played: each scenario short for the suite, and long for ``make chaos``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import msgspec
from msgspec.structs import replace

FaultName = Literal["kill-consumer", "stop-consumer", "kill-redis", "pause-redis"]


class Scenario(msgspec.Struct, frozen=True, kw_only=True):
    """Servers, processes, their work, and the faults that meet them."""

    topology: Literal["one", "sentinel", "cluster"] = "one"
    options: tuple[str, ...] = ()
    """Of each server."""
    wait_replicas: int = 0
    consumers: tuple[int, ...] = (1, 4)
    """How many handlers each consumer runs at a time."""
    start_delay: float = 0.0
    """Seconds by which each consumer starts later than the one before it, as on a busy machine."""
    messages: int = 400
    duration: float = 2.0
    """Seconds over which they are sent."""
    work: float = 0.01
    """Seconds that a handler takes on average."""
    failure_rate: float = 0.0
    """The share of messages whose handler raises once or twice."""
    poisonous: int = 0
    """How many messages kill the process that begins with them."""
    retries: int = 8
    visibility: float = 1.0
    faults: tuple[FaultName, ...] = ()
    fault_interval: float = 0.5
    loss_window: float = 0.0
    """Seconds before a server's death of which it may have forgotten what it answered."""
    timeout: float = 55.0


_ALWAYS = ("--appendonly", "yes", "--appendfsync", "always")
_EVERYSEC = ("--appendonly", "yes", "--appendfsync", "everysec")
# Under everysec Redis may keep what it has answered in its own memory for up to 2 s, while an fsync takes that long; a
# master's replicas may be behind by as much as the link is.
_BEHIND = 3.0

SHORT: Mapping[str, Scenario] = {
    "one consumer": Scenario(consumers=(1,), messages=300),
    "three consumers": Scenario(consumers=(1, 4, 4), messages=300),
    "consumers killed": Scenario(faults=("kill-consumer",) * 5, failure_rate=0.05, work=0.02),
    "consumers stopped": Scenario(faults=("stop-consumer",) * 2, consumers=(1, 1), work=0.03, duration=1.0),
    "Redis killed, always": Scenario(faults=("kill-redis",) * 2, options=_ALWAYS, work=0.02),
    "Redis killed, everysec": Scenario(faults=("kill-redis",) * 2, options=_EVERYSEC, work=0.02, loss_window=_BEHIND),
    "Sentinel, replicas awaited": Scenario(
        topology="sentinel", faults=("kill-redis",), options=_EVERYSEC, wait_replicas=1, loss_window=_BEHIND
    ),
    "Sentinel": Scenario(topology="sentinel", faults=("kill-redis",), loss_window=_BEHIND),
    "Cluster, replicas awaited": Scenario(
        topology="cluster", faults=("kill-redis",), options=_EVERYSEC, wait_replicas=1, loss_window=_BEHIND
    ),
    "Cluster": Scenario(topology="cluster", faults=("kill-redis",), loss_window=_BEHIND),
}
POISON = Scenario(poisonous=1, retries=3, consumers=(1, 1), messages=100, duration=0.5, work=0.02)
"""One message in the midst of others kills each process that begins with it."""


def at_length(name: str) -> Scenario:
    """Return a scenario with more of everything; where replicas are awaited, a master also falls silent."""
    short = SHORT[name]
    faults = short.faults * 4
    if short.faults:
        faults += ("kill-consumer", "stop-consumer", "kill-consumer")
    if short.wait_replicas:
        faults = ("pause-redis", *short.faults * 2, "stop-consumer", "pause-redis")
    messages = (10 if short.faults else 20) * short.messages
    duration = 2.5 * len(faults) or 8.0
    return replace(short, messages=messages, duration=duration, work=short.work / 2, faults=faults, timeout=300.0)
