"""Stand between TTA and one worker: hold it to its limits, and let nothing of it stay.

The request is a line of JSON on standard input, which then stays open: when it ends, so does everything here. Standard
output, which is the same socket, gets the worker's lines, and last a line of its own, ``e``: how it ended, and what it
used.
"""

from __future__ import annotations

import json
import math
import os
import select
import stat
import time
from collections.abc import Mapping
from typing import Any

from . import linux, worker
from .processes import Descendants, memory_of_this, reap

_LOOK = 0.02
"""Seconds between two looks at what the worker and its children use."""
_KILLING = 3.0
_REPORT = 4096
_REPORTS = 1 << 19
"""Bytes of one report of progress, and of all that are handed on."""


def main() -> None:
    """Do what standard input says."""
    request = json.loads(_line())
    if request.get("probe"):
        ended: Mapping[str, Any] = {"landlock": linux.landlock_version(), "namespaces": _has_namespaces()}
    else:
        ended = _Supervisor(request).run()
    _send(b"e" + json.dumps(ended).encode() + b"\n")


def _line() -> bytes:
    read = b""
    while not read.endswith(b"\n"):
        piece = os.read(0, 1 << 16)
        if not piece:
            os._exit(0)
        read += piece
    return read


def _send(data: bytes) -> None:
    while data:
        data = data[os.write(1, data) :]


def _has_namespaces() -> bool:
    """Try it in a child: who has entered them can't leave."""
    child = os.fork()
    if not child:
        status = 1
        try:
            linux.enter_namespaces(network=False)
            first = os.fork()
            if not first:
                os._exit(0 if os.getpid() == 1 else 1)
            status = os.waitstatus_to_exitcode(os.waitpid(first, 0)[1])
        finally:
            os._exit(status)
    return os.waitpid(child, 0)[1] == 0


class _Supervisor:
    def __init__(self, request: Mapping[str, Any]) -> None:
        self._request = request
        self._descendants = Descendants()
        self._lines = b""
        self._reported = 0
        self._answer = b""
        self._status: int | None = None
        self._own_memory = memory_of_this()[1]
        self._cpu = 0.0
        self._memory = 0

    def run(self) -> Mapping[str, Any]:
        linux.adopt_orphans()
        if self._request["namespaces"]:
            linux.enter_namespaces(network=self._request["network"])
        ours, theirs = os.pipe()
        child = os.fork()
        if not child:
            worker.work(self._request, theirs)
        os.close(theirs)
        try:
            ended = self._watch(child, ours)
        finally:
            left = self._descendants.kill(_KILLING)
        if self._answer:
            _send(self._answer)
        return {"ended": ended, "status": self._status, "left": left, "cpu": self._cpu, "memory": self._memory}

    def _watch(self, child: int, ours: int) -> str:
        """Wait for the first thing that ends it, and name that."""
        end = time.monotonic() + self._request["timeout"]
        exited = os.pidfd_open(child)
        poll = select.poll()
        for file in (0, ours, exited):
            poll.register(file, select.POLLIN)
        # Most calls have ended by then.
        look = time.monotonic() + _LOOK
        while True:
            ready = {file for file, _ in poll.poll(_LOOK * 1000)}
            if 0 in ready:
                return "cancelled"
            if ours in ready and not self._read(ours):
                # Closed, by its end or by the tool.
                poll.unregister(ours)
            if self._answer:
                return "answered"
            if len(self._lines) > self._request["output"] + 1000:
                return "output"
            if exited in ready and ours not in ready:
                self._status = reap().get(child)
                return "exited"
            now = time.monotonic()
            if now > end:
                return "time"
            if now > look:
                look = now + _LOOK
                if exceeded := self._exceeded():
                    return exceeded

    def _read(self, ours: int) -> bool:
        """Take what the worker has written; its last line is its answer."""
        piece = os.read(ours, 1 << 16)
        *lines, self._lines = (self._lines + piece).split(b"\n")
        for line in lines:
            if line[:1] in (b"r", b"f"):
                self._answer = line + b"\n"
            elif line[:1] == b"p":
                self._report(line + b"\n")
        return bool(piece)

    def _report(self, line: bytes) -> None:
        """Hand it on, unless that could wait for whoever reads: meanwhile nobody would hold the worker."""
        if len(line) > _REPORT or self._reported > _REPORTS:
            return
        # A stream can be written to once three quarters of its buffer are free, which is more than a line.
        if select.select((), (1,), (), 0)[1]:
            self._reported += len(line)
            _send(line)

    def _exceeded(self) -> str:
        found = self._descendants()
        # What Python and TTA take is in this process, too, and mostly the same memory.
        self._memory = max(self._memory, sum(max(0, each.memory - self._own_memory) for each in found))
        self._cpu = max(self._cpu, sum(each.cpu for each in found))
        if len(found) > self._request["processes"] + 1:
            return "processes"
        if self._memory > self._request["memory"]:
            return "memory"
        if self._cpu > self._request["cpu"]:
            return "cpu"
        if _size(self._request["folder"], self._request["disk"]) > self._request["disk"]:
            return "disk"
        return ""


def _size(folder: str, limit: int) -> float:
    """Return about how many bytes stand below a folder, each entry a page more; it stops counting at ``limit``.

    What can't be looked at is endless: a tool could lock a folder, or build one deeper than a path can be.
    """
    total = 0
    folders = [folder]
    while folders:
        try:
            with os.scandir(folders.pop()) as entries:
                for entry in entries:
                    found = entry.stat(follow_symlinks=False)
                    total += found.st_blocks * 512 + 4096
                    if stat.S_ISDIR(found.st_mode):
                        folders.append(entry.path)
                    if total > limit:
                        return total
        except FileNotFoundError:
            continue
        except OSError:
            return math.inf
    return total
