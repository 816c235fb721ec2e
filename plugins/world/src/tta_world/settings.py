"""What a deployment may say of the worlds it keeps, wherever they lie."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

from tta_kernel import Duration, PositiveDuration, Size


class WorldConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How long, in seconds, a world lives after its last change, how large it may be, and what is kept of it.

    ``versions``: how many of its last changes are kept. ``cache``: for how many seconds a question is answered from
    what was read before. ``subscribers``: how many may wait for changes, in a process.
    """

    ttl: PositiveDuration = 30 * 86400.0
    max_size: Annotated[Size, Meta(ge=1, le=64_000_000)] = 1_000_000
    versions: Annotated[int, Meta(ge=1, le=1000)] = 20
    cache: Annotated[Duration, Meta(le=3600)] = 30.0
    subscribers: Annotated[int, Meta(ge=1, le=100_000)] = 1000
