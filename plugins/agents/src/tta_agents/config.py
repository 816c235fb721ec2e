"""What an operator may say about agents: who is announced to other processes, under what names, how much at once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Annotated, Any

import msgspec

from tta_kernel import Duration
from tta_messages import QueueSettings

Pause = Annotated[Duration, msgspec.Meta(ge=0.01)]
"""Between two things of which the second must not follow at once, for ever."""
Count = Annotated[int, msgspec.Meta(ge=1, le=10**9)]


class Instance(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One name under which an agent is served, and the resources that it would like; the card carries them."""

    name: Annotated[str, msgspec.Meta(min_length=1)]
    resources: Mapping[str, Any] = {}


class CallQueue(QueueSettings, frozen=True, forbid_unknown_fields=True):
    """How calls wait; a dead one holds what a person wrote, and is worth a look today, not next week."""

    dead_ttl: Duration = 3600.0

    def settings(self) -> QueueSettings:
        """Return it as messages take it."""
        return QueueSettings(**msgspec.structs.asdict(self))


class AgentSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One type of agent: ``auto_register`` counts only where the plugin's own says yes, too."""

    auto_register: bool = True
    instances: tuple[Instance, ...] = ()
    concurrency: Count | None = None
    queue: CallQueue | None = None

    def __post_init__(self) -> None:
        names = Counter(instance.name for instance in self.instances)
        if twice := sorted(name for name, count in names.items() if count > 1):
            raise ValueError(f"two instances have one name: {', '.join(twice)}")


class RemoteAgent(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An agent of another deployment: what one of this one would declare; ``timeout`` bounds one call."""

    description: str = ""
    timeout: Pause | None = None


class Config(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Times in seconds."""

    reply_window: Duration = 600.0
    """How long a reply is kept for a call with the same key."""
    replies_kept: Count = 1024
    auto_register: bool = False
    """Whether the agents of this process are announced to others, and take their calls."""
    agents: Mapping[str, AgentSettings] = {}
    remote: Mapping[str, RemoteAgent] = {}
    """Agents that other deployments serve, by their type."""
    concurrency: Count = 16
    """How many calls of other processes one instance works on at once."""
    visibility: Pause = 15.0
    """How long after its process died a call goes on at another."""
    call_limit: Pause = 60.0
    """How long a call of another process's agent may take if its caller has set no deadline."""
    poll_interval: Pause = 2.0
    """How often a waiting caller makes sure that somebody serves what it waits for."""
    drain: Duration = 3.0
    """How long calls may go on when their agent stops; then they are given back."""
    degraded_after: Count = 5
    """How many calls in a row an agent fails until it is degraded."""
    degraded_for: Duration = 30.0
    queue: CallQueue = CallQueue()
    """How calls of an agent's type wait, unless ``agents`` says otherwise for it."""
