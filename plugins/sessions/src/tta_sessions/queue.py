"""The queue of a session, as functions of what is in it: a store that reads and writes in one step needs no more."""

from __future__ import annotations

from math import inf

import msgspec

from .model import Admission, Held, SessionBusy, SessionFenced, is_text

QUEUE = 10
"""How many turns of a session wait at most."""
_INTEGERS = range(-(2**63), 2**63)
Queue = tuple[Admission, ...]
"""The turns of a session, in the order in which they are answered."""


def check_admission(admission: Admission, ttl: float) -> None:
    """Raise a TypeError, which quotes nothing, where an admission couldn't be stored or answered."""
    names = (admission.session, admission.user, admission.run, admission.text, admission.holder)
    if not all(map(is_text, names)):
        raise TypeError("an admission holds texts that can be stored; this one doesn't")
    if not (admission.run and admission.text and admission.holder):
        raise TypeError("an admission has a run, a text and a holder; this one lacks one of them")
    if admission.seed is not None and admission.seed not in _INTEGERS:
        raise TypeError("the seed of an admission has at most 64 bits; this one's has more")
    if not 0 <= ttl < inf:
        raise ValueError(f"a ttl is a number of seconds, and not {ttl}")


def enter(queue: Queue, admission: Admission, now: float, ttl: float) -> tuple[Queue, Admission]:
    """Return the queue with a turn at its end, and that turn."""
    found = _find(queue, admission.run)
    if found is not None:
        return queue, found
    if len(queue) >= QUEUE:
        raise SessionBusy(f"{QUEUE} turns of the session wait, and no more may")
    entered = msgspec.structs.replace(admission, at=now, until=now + ttl)
    return (*queue, entered), entered


def hold(queue: Queue, run: str, holder: str, now: float, ttl: float, told: int = 0) -> tuple[Queue, Held]:
    """Return the queue after somebody asked for a turn, and what they got."""
    found = _find(queue, run)
    first = queue[0] if queue else None
    if found is None:
        return queue, Held("gone", first)
    if found.holder != holder and (found is not first or found.until > now):
        return queue, Held("waits", first)
    held = msgspec.structs.replace(found, holder=holder, until=now + ttl, told=max(found.told, told))
    queue = tuple(held if entry is found else entry for entry in queue)
    return queue, Held("held" if found is first else "waits", queue[0])


def leave(queue: Queue, admission: Admission) -> Queue:
    """Return the queue without its first turn, which must be that one."""
    if not queue or (queue[0].run, queue[0].holder) != (admission.run, admission.holder):
        raise SessionFenced("the turn isn't the first of its session, or is held by somebody else")
    return queue[1:]


def without(queue: Queue, run: str, holder: str, now: float) -> Queue:
    """Return the queue without a turn, unless that is held by somebody else."""
    found = _find(queue, run)
    if found is None or (found.holder != holder and found.until > now):
        return queue
    return tuple(entry for entry in queue if entry is not found)


def aged(queue: Queue, now: float, life: float) -> Queue:
    """Return the queue with the texts that may still be kept: those of the last ``life`` seconds."""
    return tuple(entry if now - entry.at <= life else msgspec.structs.replace(entry, text="") for entry in queue)


def _find(queue: Queue, run: str) -> Admission | None:
    return next((entry for entry in queue if entry.run == run), None)
