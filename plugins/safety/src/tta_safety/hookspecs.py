"""The hook that is asked before a text goes on, and the one that is told what was made of a turn."""

from __future__ import annotations

from tta_kernel import hookspec

from .model import About, Channel, CheckedTurn, Verdict


@hookspec(timeout=0.3, together=True)
async def check_text(text: str, channel: Channel, session: str, about: About) -> Verdict:
    """Judge a text on its way to the agents (``player``), to the player (``story``), or from a ``tool``.

    A story comes sentence by sentence, each handed on alone and once, with the end of what was told
    before it in ``about.told``: what begins in one sentence and ends in the next is seen by whoever
    reads ``about.told + text``. Only ``text`` can still be kept from the player.

    An implementation may leave out any argument that it doesn't need. Whoever raises, is late or
    isn't running has failed, and the player gets the supportive fallback.
    """
    raise AssertionError("a specification is never called")


@hookspec(timeout=1.0, together=True)
async def turn_checked(turn: CheckedTurn) -> None:
    """Keep a record of what was checked in a turn, and what was done about it; asked once, after it was told.

    Whoever raises or is late has kept nothing, and a human is told.
    """
    raise AssertionError("a specification is never called")
