"""What can be set of messages on Redis."""

from __future__ import annotations

from typing import Annotated

import msgspec

from tta_kernel import Duration, PositiveDuration
from tta_messages import BackendConfig


class Config(BackendConfig, frozen=True, forbid_unknown_fields=True):
    """How sends travel together, and how many replicas must have them before they count."""

    batch: Annotated[int, msgspec.Meta(ge=1, le=1000)] = 10
    """How many messages of different senders travel together, at most."""
    linger: Annotated[Duration, msgspec.Meta(le=60)] = 0.1
    """How long, at most, a message waits for the answer to those before it."""
    wait_replicas: Annotated[int, msgspec.Meta(ge=0, le=16)] = 0
    wait_timeout: Annotated[PositiveDuration, msgspec.Meta(le=60)] = 1.0
