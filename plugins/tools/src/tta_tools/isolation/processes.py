"""See what a tool has started, and end it: the descendants of this process, read from ``/proc``."""

from __future__ import annotations

import os
import signal
import time
from typing import NamedTuple

_TICKS = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")


class Process(NamedTuple):
    """One process: seconds of processor time (with those of children that it waited for), and bytes in memory."""

    id: int
    parent: int
    state: str
    cpu: float
    memory: int


class Descendants:
    """All processes below this one. It must adopt orphans, or those are lost from sight."""

    def __init__(self) -> None:
        self._strangers: set[int] = set()

    def __call__(self) -> list[Process]:
        """Return those that live.

        Who is no descendant never becomes one: so a look reads the list of all processes, and of its many only those
        that are new.
        """
        ids = {int(name) for name in os.listdir("/proc") if name.isdecimal()}
        self._strangers &= ids
        seen = {each.id: each for each in map(_read, ids - self._strangers) if each}
        ours = []
        strangers = set()
        for each in seen.values():
            origin = _origin(each, seen)
            if origin == os.getpid():
                ours.append(each)
            elif origin == 0 or origin in self._strangers:
                strangers.add(each.id)
            # Else its parent has just ended, and who adopts it is to be seen next time.
        self._strangers |= strangers
        return [each for each in ours if each.state not in "ZX"]

    def kill(self, patience: float) -> int:
        """Kill them all, also what they start meanwhile, and return how many are left when ``patience`` is over."""
        end = time.monotonic() + patience
        while True:
            # A process that forks fast may be given the number of one that has just ended: look at all anew.
            self._strangers.clear()
            left = self()
            for each in left:
                _kill(each.id)
            reap()
            if not left or time.monotonic() > end:
                return len(left)
            # The dying need the processor more than who counts them.
            time.sleep(0.0005)  # noqa: TID251 - nothing tells when those end whose parent is another


def memory_of_this() -> tuple[int, int]:
    """Return how many bytes of addresses, and of memory, this process has taken."""
    with open("/proc/self/statm", "rb") as file:
        addresses, memory, *_ = file.read().split()
    return int(addresses) * _PAGE, int(memory) * _PAGE


def reap() -> dict[int, int]:
    """Take note of the children that have ended: their statuses, as `os.waitpid` gives them."""
    ended: dict[int, int] = {}
    while True:
        try:
            process, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return ended
        if not process:
            return ended
        ended[process] = status


def _origin(process: Process, seen: dict[int, Process]) -> int:
    """Return the first above a process that isn't ``seen``, or this very process."""
    here = os.getpid()
    # Not for ever: the list was read while its processes lived on, and could hold a circle.
    for _ in seen:
        above = seen.get(process.parent)
        if process.parent == here or above is None:
            break
        process = above
    return process.parent


def _kill(process: int) -> None:
    try:
        os.kill(process, signal.SIGKILL)
    except ProcessLookupError:
        return


def _read(process: int) -> Process | None:
    try:
        with open(f"/proc/{process}/stat", "rb") as file:
            text = file.read()
    except OSError:
        return None
    # The name in parentheses may hold anything, also a parenthesis.
    fields = text[text.rindex(b")") + 2 :].split()
    return Process(
        id=process,
        parent=int(fields[1]),
        state=fields[0].decode("ascii"),
        cpu=sum(map(int, fields[11:15])) / _TICKS,
        memory=int(fields[21]) * _PAGE,
    )
