"""What a deployment may say of the turns it plays."""

from __future__ import annotations

from typing import Annotated

import msgspec

from tta_kernel import PositiveDuration


class Config(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which workflow plays a turn, and what bounds it.

    ``allow_unchecked``: tell a story that nobody has checked, where no plugin checks text; no deployment that people
    play in should. ``check_in_every``: after so many turns a person may be asked again whether what they wrote is about
    them.
    ``max_text``: how many characters the story reads. ``history``: how many turns a session keeps.
    ``session_timeout``: how long, in seconds, reading or committing a session may take, and ``world_timeout`` one call
    of the store of worlds, without which a story goes on from what the session has. ``workflow_timeout``: how long
    all of a workflow may; its own limit is mostly shorter. ``read_timeout``: how long the reader of a stream may take
    for what was released, until it gets no more. ``hold``: how long, in seconds, a turn is left alone whose process
    doesn't say that it is still at it; then others go on with it. ``queue_timeout``: how long a turn waits for those
    before it. ``first_sentence``: after how many seconds without one the player is told that it takes a while, and
    agents that haven't begun answer by their rules. ``summary_timeout``: how long whoever writes summaries may take
    for one; then it is made by rules.
    """

    workflow: str = "turn"
    allow_unchecked: bool = False
    check_in_every: Annotated[int, msgspec.Meta(ge=1, le=1000)] = 5
    max_text: Annotated[int, msgspec.Meta(ge=100, le=1_000_000)] = 4000
    history: Annotated[int, msgspec.Meta(ge=1, le=1_000_000)] = 50
    session_timeout: Annotated[PositiveDuration, msgspec.Meta(le=3600)] = 10.0
    world_timeout: Annotated[PositiveDuration, msgspec.Meta(le=3600)] = 2.0
    workflow_timeout: PositiveDuration = 600.0
    read_timeout: Annotated[PositiveDuration, msgspec.Meta(le=3600)] = 60.0
    hold: Annotated[PositiveDuration, msgspec.Meta(le=3600)] = 10.0
    queue_timeout: PositiveDuration = 120.0
    first_sentence: Annotated[PositiveDuration, msgspec.Meta(le=3600)] = 2.0
    summary_timeout: Annotated[PositiveDuration, msgspec.Meta(le=3600)] = 30.0
