"""Where a run, and what finds it again, lie in Redis; STORAGE.md says what each key holds."""

from __future__ import annotations

from typing import NamedTuple

from tta_redis import Redis

FORMAT = 1
"""What is written; a newer one is left alone."""


class RunKeys(NamedTuple):
    """The keys of one run; on a Cluster they share a slot. Scripts take them in this order."""

    run: str
    input: str
    records: str
    outgoing: str
    said: str
    waiting: str


def run_keys(redis: Redis, id: str) -> RunKeys:
    """Return the keys of a run."""
    run = redis.key("runs", tag=f"r.{id}")
    return RunKeys(
        f"{run}:run", f"{run}:input", f"{run}:records", f"{run}:outgoing", f"{run}:said", f"{run}:waiting"
    )  # fmt: skip


_SHARED = "shared"
"""The tag of what is no run's: on a Cluster it shares a slot, so that a run is entered everywhere at once."""


class Places(NamedTuple):
    """Where the leases are, the unfinished runs, and those that were reopened of late."""

    leases: str
    open: str
    vacant: str

    @classmethod
    def of(cls, redis: Redis) -> Places:
        """Return them."""
        return cls(*(redis.key("runs", part, tag=_SHARED) for part in cls._fields))


def index_key(redis: Redis, by: str, value: str = "") -> str:
    """Return the key of the index of all runs, or of those of a workflow, a session or an owner."""
    return redis.key("runs", "index", by, value, tag=_SHARED)


def definition_key(redis: Redis, definition: str) -> str:
    """Return the key of a definition."""
    return redis.key("runs", "definition", definition)


def vacancies(redis: Redis) -> str:
    """Return the channel on which all processes hear that there may be runs to claim."""
    return redis.key("runs", "vacancies")


def slot_key(redis: Redis, slot: str) -> str:
    """Return the key of a slot."""
    return redis.key("runs", "slot", slot)


def channel(redis: Redis, process: str) -> str:
    """Return the channel on which a process hears of runs that it waits for."""
    return redis.key("runs", "changed", process)
