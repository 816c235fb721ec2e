"""What a session keeps for the checks and for whoever is in distress, beside its story."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from tta_crisis import Exchange
from tta_safety import STATE, Verdict
from tta_safety.support import Support
from tta_sessions import Flags

KEY = "safety"
"""Where it stands in a session's context."""
_STATES = 50
"""Of how many checks a state is kept."""


class Kept(msgspec.Struct, frozen=True):
    """What lies in a session: each check's state, where a conversation stands, and the last turn with a check-in.

    ``doubt`` is the kind of crisis that this one asked about.
    """

    states: Mapping[str, bytes] = {}
    support: Support | None = None
    checked_in: int = 0
    doubt: str = ""

    def pack(self) -> dict[str, Any]:
        """Return it in builtins."""
        states = {name: state for name, state in list(self.states.items())[:_STATES] if len(state) <= STATE}
        return dict(msgspec.to_builtins(msgspec.structs.replace(self, states=states)))


class Standing(msgspec.Struct, frozen=True):
    """Where a person stands when they write something: the turn, their flags, what is kept, and what was said last."""

    turn: int = 0
    flags: Flags = Flags()
    kept: Kept = Kept()
    recent: Sequence[Exchange] = ()


def kept_in(context: Mapping[str, Any]) -> Kept:
    """Return what a session keeps; nothing where that is damaged: a check that forgets is better than none."""
    try:
        return msgspec.convert(context.get(KEY) or {}, Kept)
    except msgspec.ValidationError:
        return Kept()


def in_brief(verdict: Verdict) -> dict[str, Any]:
    """Return what a session's history may hold of a verdict: nothing of what was written, nor where in it."""
    return {
        "status": verdict.status, "level": verdict.level, "risk": verdict.risk, "kinds": list(verdict.kinds),
        "rules": list(verdict.rules),
    }  # fmt: skip
