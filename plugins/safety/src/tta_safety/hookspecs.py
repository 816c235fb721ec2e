"""The hook that is asked before a text goes on."""

from __future__ import annotations

from tta_kernel import hookspec

from .model import Channel, Verdict


@hookspec(timeout=2.0, together=True)
async def check_text(text: str, channel: Channel, session: str) -> Verdict:
    """Judge a text on its way to the agents (``player``) or to the player (``story``).

    Whoever raises, is late or isn't running has failed, and the player gets the supportive fallback.
    """
    raise AssertionError("a specification is never called")
