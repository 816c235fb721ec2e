"""What can be set of messages on Redis."""

from __future__ import annotations

from typing import Annotated

import msgspec

from tta_kernel import Duration
from tta_messages import BackendConfig


class Config(BackendConfig, frozen=True, forbid_unknown_fields=True):
    """How sends travel together, and how many replicas must have them before they count."""

    batch: Annotated[int, msgspec.Meta(ge=1, le=1000)] = 10
    """How many messages of different senders travel together, at most."""
    linger: Duration = 0.1
    """How long, at most, a message waits for the answer to those before it."""
    wait_replicas: Annotated[int, msgspec.Meta(ge=0, le=16)] = 0
    wait_timeout: Annotated[Duration, msgspec.Meta(gt=0, le=60)] = 1.0
