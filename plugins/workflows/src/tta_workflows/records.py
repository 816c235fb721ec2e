"""What a run's journal holds: one record for each thing that has happened, in the order of their commits."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import msgspec

# Records lie in a store that two releases share during an upgrade: unknown fields are ignored, new ones have defaults.
# A step is named by its path: ``story``, within a sub-workflow ``tell/story``, the third round of a repeat ``tell#3``.


class Record(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag=str.lower, omit_defaults=True):
    """One entry; ``at`` in seconds since the epoch. Its index in the journal, from 1, is its commit sequence."""

    at: float


class Started(Record, frozen=True):
    """An attempt at a step is about to begin: from now on it may have acted."""

    step: str
    attempt: int = 1
    agent: str = ""


class Piece(Record, frozen=True):
    """A part of a streamed text; ``number`` counts from 1 within its attempt, and is that of the last part in it."""

    step: str
    attempt: int
    number: int
    text: str


class Released(Record, frozen=True):
    """A person was told this much of an attempt's text: its first ``length`` characters."""

    step: str
    attempt: int
    length: int


class UndoAdded(Record, frozen=True):
    """An attempt said what takes back the effect that it is about to have."""

    step: str
    attempt: int
    number: int
    agent: str
    arguments: Mapping[str, Any] = {}


class Done(Record, frozen=True):
    """A step is done; ``agent`` is who did it, as ``type:instance@version``."""

    step: str
    attempt: int = 1
    output: Mapping[str, Any] = {}
    agent: str = ""
    seconds: float = 0.0


class Skipped(Record, frozen=True):
    """A step was left out: its condition (``when``), a step that it needs (``needs``), or its error (``error``)."""

    step: str
    why: Literal["when", "needs", "error"]


class Failed(Record, frozen=True):
    """An attempt failed, with an `AgentError`'s code; the next one is due at ``again``, or there is none (0)."""

    step: str
    attempt: int
    code: str
    detail: str = ""
    again: float = 0.0
    seconds: float = 0.0


class Degraded(Record, frozen=True):
    """A step gave up, and its fallback is its output."""

    step: str
    code: str
    output: Mapping[str, Any] = {}


class Undone(Record, frozen=True):
    """An effect was taken back, or, with a code and without another attempt to come, couldn't be: it is stuck.

    ``number`` is that of an `UndoAdded`, or 0 for the undo of the step's definition.
    """

    step: str
    number: int = 0
    attempt: int = 1
    code: str = ""
    detail: str = ""
    again: float = 0.0


class Signal(Record, frozen=True):
    """Somebody answered what the step of that path waits for; the first answer counts."""

    step: str
    data: Mapping[str, Any] = {}
    id: str = ""
    by: str = ""


class Timer(Record, frozen=True):
    """A step's pause ends at ``due``, in seconds since the epoch."""

    step: str
    due: float


class Asked(Record, frozen=True):
    """Somebody wants something of the run: its end, or that it be taken back to a savepoint (all where that is empty).

    ``pause``: nothing of it goes on until ``resume``, which also lets a run go on that was set aside. ``retry``: one
    that has failed or was cancelled goes on where it was; what was taken back is done again.
    """

    what: Literal["cancel", "rollback", "pause", "resume", "retry"]
    savepoint: str = ""
    id: str = ""
    by: str = ""


class RolledBack(Record, frozen=True):
    """Taking back has ended: to which savepoint, for whom and why, and what could not be undone."""

    savepoint: str = ""
    by: str = ""
    why: str = ""
    stuck: tuple[str, ...] = ()


class TakenOver(Record, frozen=True):
    """Another process goes on with the run, since the one before has vanished, or has left it."""

    process: str = ""


class Left(Record, frozen=True):
    """A process that stops in order leaves the run to others."""


class Ended(Record, frozen=True):
    """The run is over; what it returns is picked from the steps' outputs."""

    status: Literal["done", "failed", "cancelled"]
    code: str = ""


AnyRecord = (
    Started | Piece | Released | UndoAdded | Done | Skipped | Failed | Degraded | Undone | Signal | Timer | Asked
    | RolledBack | TakenOver | Left | Ended
)  # fmt: skip

CLOSING = Failed | Skipped | Undone | Asked | RolledBack | TakenOver | Left | Ended
"""What brings a run to its end, or says whose it is: taken beyond a journal's limits, up to twice as much.

So a full run can end.
"""
