"""When what agents can do is found out."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from tta_kernel import Duration

Interval = Annotated[Duration, msgspec.Meta(ge=0.01)]
"""Between two things of which the second must not follow at once, for ever."""


class Config(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Times in seconds.

    ``immediate``: an agent that is registered in this process at once, all others every ``interval``.
    ``delayed``: only ``delay`` after it, together with whatever else has come by then. ``heartbeat``: only
    every ``interval``. ``manual``: only on `Capabilities.refresh`.
    """

    strategy: Literal["immediate", "delayed", "heartbeat", "manual"] = "immediate"
    delay: Duration = 5.0
    interval: Interval = 10.0
    timeout: Interval = 30.0
    """How long the registry may take to answer."""
    retries: Annotated[int, msgspec.Meta(ge=0, le=100)] = 3
    retry_delay: Duration = 5.0
    embedding_timeout: Interval = 5.0
    """How long an embedder may take until tf-idf answers in its place."""
    disabled: tuple[str, ...] = ()
    """Types of agents that are never discovered."""
