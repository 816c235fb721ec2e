"""What is remembered from turn to turn, so that what is disclosed slowly, or in pieces, adds up."""

from __future__ import annotations

from typing import Annotated

import msgspec

_FADES = 0.8
"""What remains of a risk from one turn to the next."""
_DOUBTS_FADE = 8
"""After how many turns without a doubt those before count no more."""
TAIL = 160
"""How many characters of what was written before are kept, for what begins in one turn and ends in another."""
ENOUGH = 3
"""So many doubtful turns in a row are a crisis, until somebody has looked."""


class State(msgspec.Struct, frozen=True, array_like=True):
    """What the check knew at the end of a turn.

    ``tail`` is the end of what the person wrote: it lies in the session beside the text itself, and goes with it.
    """

    version: int = 1
    risk: Annotated[float, msgspec.Meta(ge=0, le=1)] = 0.0
    severity: Annotated[int, msgspec.Meta(ge=0, le=6)] = 0
    doubts: Annotated[int, msgspec.Meta(ge=0, le=1000)] = 0
    doubted: int = 0
    """The last turn that was doubtful."""
    category: Annotated[str, msgspec.Meta(max_length=40)] = ""
    """Of what the last doubt was."""
    turn: int = 0
    tail: Annotated[str, msgspec.Meta(max_length=TAIL)] = ""

    def faded(self, turn: int) -> State:
        """Return the state as it counts in a later turn."""
        turns = max(1, min(turn - self.turn, 1000)) if turn and self.turn else 1
        doubts = self.doubts if not turn or turn - self.doubted <= _DOUBTS_FADE else 0
        return msgspec.structs.replace(self, risk=self.risk * _FADES**turns, doubts=doubts)


def read(raw: bytes) -> State:
    """Return what was remembered; nothing where that can't be read, as of another release."""
    if not raw:
        return State()
    try:
        found = msgspec.msgpack.decode(raw, type=State)
    except (msgspec.ValidationError, msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return State()
    return found if found.version == 1 else State()


def write(state: State) -> bytes:
    """Return a state as it is carried to the next turn: at most 512 bytes."""
    return msgspec.msgpack.encode(state)


def tail(text: str) -> str:
    """Return the end of a text, from the beginning of a word, as it may be kept."""
    end = text[-TAIL:].encode(errors="ignore")[-2 * TAIL :].decode(errors="ignore")
    if len(text) > TAIL:
        end = end.partition(" ")[2]
    return end[-TAIL:]
