"""Run a tool in a process of its own, which has what it may have and nothing else, and leaves nothing behind.

A supervisor (`tta_tools.isolation`) sees to each call. It holds one worker to its limits, kills it with all that it
started, and only then hands on what came of it.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
import tempfile
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated, Any, Literal

import anyio
import msgspec
from msgspec import Meta, Struct

from tta_kernel import Size

from .declaring import OnProgress
from .forking import ForkServer
from .model import Code, NotCalled, Progress, Reference, ToolError
from .runners import Job

_log = logging.getLogger(__name__)
_MIB = 1 << 20
_STARTING = 30.0
_ENDING = 5.0
"""Seconds that a supervisor has, beyond its call's limit, to kill everything and to say so."""
_FRAMES = 1 << 20
"""Bytes of all lines but the result."""

Hold = Literal["landlock", "namespaces"]
Folder = Annotated[Path, Meta(extra={"path": True})]


class IsolationConfig(Struct, frozen=True, forbid_unknown_fields=True):
    """What a tool in a process of its own may have, unless it says less.

    ``children``: how many run at once; others wait, up to their time limit. ``memory``: bytes beyond what Python takes,
    for each of its processes and for all together. ``disk``: bytes in its own folder. ``processes``: how many a tool
    with the flag `process` may start. ``environment``: the variables that it sees. ``folder``: where its own folder is
    made. ``need``: what the kernel of this machine must have, or such tools are `unavailable`; otherwise it is used
    where it is there.
    """

    children: Annotated[int, Meta(ge=1, le=256)] = 4
    memory: Annotated[Size, Meta(ge=_MIB, le=2**50)] = 512 * _MIB
    disk: Annotated[Size, Meta(ge=0, le=2**50)] = 64 * _MIB
    open_files: Annotated[int, Meta(ge=16, le=65536)] = 64
    processes: Annotated[int, Meta(ge=1, le=4096)] = 16
    environment: tuple[str, ...] = ("PATH", "LD_LIBRARY_PATH", "LANG", "LC_ALL", "LC_CTYPE", "TZ")
    folder: Folder | None = None
    need: tuple[Hold, ...] = ()


class Support(Struct, frozen=True):
    """What the kernel has to hold a process with: the edition of Landlock (0: none), and namespaces."""

    landlock: int = 0
    namespaces: bool = False


class _Ended(Struct, frozen=True):
    """The last line of a supervisor."""

    ended: str
    status: int | None = None
    left: int = 0
    cpu: float = 0.0
    memory: int = 0


class _Failure(Struct, frozen=True):
    """How a worker says that its tool failed."""

    kind: str
    type: str = ""
    at: str = ""
    code: str = ""
    detail: str = ""
    retryable: bool = False


_TOLD: Mapping[str, Code] = {
    code: code
    for code in ("denied", "failed", "invalid_arguments", "not_found", "too_large", "unavailable", "timed_out")
}
"""What a tool may say of its own call; all else is for whoever runs it to say."""


@asynccontextmanager
async def isolation(config: IsolationConfig, support: Support | None = None) -> AsyncIterator[InProcess]:
    """Run tools in processes of their own until the ``async with`` ends; ``support``: use that alone of the kernel."""
    runner = InProcess(config, support)
    try:
        yield runner
    finally:
        await runner.aclose()


class InProcess:
    """Runs each call in a process of its own; `isolation` makes one."""

    def __init__(self, config: IsolationConfig, support: Support | None = None) -> None:
        self.ended: Counter[str] = Counter()
        """How often calls ended which way, by the supervisors' words."""
        self._config = config
        self._support = support
        self._places = anyio.Semaphore(config.children)
        self._server = ForkServer(config.environment)

    async def aclose(self) -> None:
        """Let nobody in any more. Whoever still waits for a call is answered, or cancels it, which kills it."""
        await self._server.aclose()

    async def __call__(self, job: Job, on_progress: OnProgress) -> Any:
        """Return what the tool returns, once nothing of it runs any more; else raise `ToolError`."""
        if job.reference is None:
            raise NotCalled("unavailable", f"{job.tool}: only a function of a module can run in a process of its own")
        with anyio.move_on_after(job.timeout) as waiting:
            await self._places.acquire()
        if waiting.cancelled_caught:
            raise NotCalled("busy", f"{job.tool}: all {self._config.children} places for isolated tools are taken")
        try:
            support = await self.support()
            if missing := [each for each in self._config.need if not getattr(support, each)]:
                raise NotCalled("unavailable", f"{job.tool}: this machine's kernel has no {' and no '.join(missing)}")
            heard = _Heard(on_progress)
            async with _own_folder(self._config.folder) as folder:
                request = self._request(job, job.reference, folder, support)
                with anyio.move_on_after(job.timeout + _ENDING):
                    await self._server.ask(request, heard, job.output + _FRAMES)
        finally:
            self._places.release()
        self.ended[heard.ended.ended] += 1
        return _result(job, heard.answer, heard.ended, self._config)

    async def support(self) -> Support:
        """Find out, once, what this machine has to hold a process with."""
        if self._support is None:
            lines: list[bytes] = []
            with anyio.move_on_after(_STARTING):
                await self._server.ask({"probe": True}, lines.append, _FRAMES)
            if not lines:
                raise NotCalled("unavailable", "isolation: the server that forks processes for tools doesn't start")
            self._support = msgspec.json.decode(lines[-1][1:], type=Support)
        return self._support

    def _request(self, job: Job, reference: Reference, folder: str, support: Support) -> Mapping[str, Any]:
        module, _, qualname = reference.callable.partition(":")
        config = self._config
        return {
            "module": module,
            "qualname": qualname,
            "arguments": {**reference.bound, **job.arguments},
            "path": [each for each in sys.path if os.path.isabs(each)],
            "folder": folder,
            "timeout": job.timeout,
            "cpu": min(job.cpu or job.timeout, job.timeout * (os.cpu_count() or 1)),
            "memory": job.memory or config.memory,
            "disk": config.disk,
            "files": config.open_files,
            "processes": config.processes if "process" in job.flags else 0,
            "output": job.output,
            **{flag: flag in job.flags for flag in ("network", "filesystem", "process")},
            "landlock": bool(support.landlock),
            "namespaces": support.namespaces,
        }


class _Heard:
    """What a supervisor has said so far."""

    def __init__(self, on_progress: OnProgress | None) -> None:
        self.answer = b""
        self.ended = _Ended("lost")
        self._on_progress = on_progress

    def __call__(self, line: bytes) -> None:
        kind, text = line[:1], line[1:]
        if kind == b"e":
            self.ended = msgspec.json.decode(text, type=_Ended)
        elif kind != b"p":
            self.answer = line
        elif self._on_progress is not None and (progress := _progress(text)) is not None:
            self._on_progress(progress)


def _progress(text: bytes) -> Progress | None:
    # A worker that a tool has taken over writes what it likes.
    try:
        return msgspec.json.decode(text, type=Progress)
    except msgspec.DecodeError:
        return None


@asynccontextmanager
async def _own_folder(parent: Path | None) -> AsyncIterator[str]:
    folder = await anyio.to_thread.run_sync(lambda: tempfile.mkdtemp(prefix="tta-tool-", dir=parent))
    try:
        yield folder
    finally:
        with anyio.CancelScope(shield=True):
            await anyio.to_thread.run_sync(remove, folder)


def remove(folder: str) -> None:
    """Delete a folder, however deep it is and whatever may be locked in it; nothing else uses it any more.

    It goes down and up by one name at a time: a path could be too long, and to recurse could be too deep.
    """
    parent, name = os.path.split(folder)
    left = [[name]]
    here = os.open(parent, os.O_RDONLY | os.O_DIRECTORY)
    while True:
        if left[-1]:
            os.chmod(left[-1][-1], 0o700, dir_fd=here)
            here = _moved(here, left[-1][-1])
            left.append(_folders(here))
            continue
        left.pop()
        if not left:
            os.close(here)
            return
        # All that was in it has gone.
        here = _moved(here, "..")
        os.rmdir(left[-1].pop(), dir_fd=here)


def _moved(here: int, name: str) -> int:
    there = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=here)
    os.close(here)
    return there


def _folders(here: int) -> list[str]:
    """Delete what is no folder, and return what is."""
    with os.scandir(here) as entries:
        found = list(entries)
    folders = []
    for entry in found:
        if entry.is_dir(follow_symlinks=False):
            folders.append(entry.name)
        else:
            os.unlink(entry.name, dir_fd=here)
    return folders


def _result(job: Job, answer: bytes, ended: _Ended, config: IsolationConfig) -> Any:
    """Return what the tool returned, or raise what its end means."""
    if ended.left:
        _log.warning("%s: %d processes that it started can't be killed", job.tool, ended.left)
    if ended.ended != "answered":
        raise _error(job, ended, config)
    if answer[:1] == b"r":
        try:
            return msgspec.json.decode(answer[1:])
        except (msgspec.DecodeError, RecursionError):
            raise ToolError("invalid_result", f"{job.tool}: its result isn't JSON") from None
    try:
        failure = msgspec.json.decode(answer[1:], type=_Failure)
    except msgspec.DecodeError:
        failure = _Failure("raised")
    raise _failed(job, failure, config)


def _failed(job: Job, failure: _Failure, config: IsolationConfig) -> ToolError:
    what = f"{failure.type:.100}" + (f" at {failure.at:.200}" if failure.at else "")
    if failure.kind == "not-called" and failure.code in _TOLD:
        return NotCalled(_TOLD[failure.code], failure.detail[:500])
    if failure.kind == "told" and failure.code in _TOLD:
        return ToolError(_TOLD[failure.code], failure.detail[:500], retryable=failure.retryable)
    if failure.kind == "unavailable":
        return NotCalled("unavailable", f"{job.tool}: can't be imported in a process of its own: {what}")
    if failure.kind == "invalid":
        return ToolError("invalid_result", f"{job.tool}: its result isn't JSON: {what}")
    if failure.kind == "output":
        return _too_large(job)
    if failure.kind == "disk":
        return _out_of_disk(job, config)
    if failure.kind == "memory":
        return _out_of_memory(job, config)
    return ToolError("failed", f"{job.tool}: raised {what}")


def _error(job: Job, ended: _Ended, config: IsolationConfig) -> ToolError:
    """Say what it means that a call ended without an answer."""
    match ended.ended:
        case "time":
            return ToolError("timed_out", f"{job.tool}: took longer than {job.timeout:g} s, and was killed")
        case "cpu":
            return ToolError("timed_out", f"{job.tool}: used more processor time than it may, and was killed")
        case "memory":
            return _out_of_memory(job, config)
        case "processes":
            most = config.processes if "process" in job.flags else 0
            return ToolError("failed", f"{job.tool}: started more than {most} processes, and was killed with them")
        case "disk":
            return _out_of_disk(job, config)
        case "output":
            return _too_large(job)
        case "exited":
            return ToolError("failed", f"{job.tool}: its process ended without an answer, {_status(ended.status)}")
    return ToolError("failed", f"{job.tool}: the process that held it was lost")


def _too_large(job: Job) -> ToolError:
    return ToolError("too_large", f"{job.tool}: its result has more than {job.output} bytes")


def _out_of_disk(job: Job, config: IsolationConfig) -> ToolError:
    return ToolError("too_large", f"{job.tool}: wrote more than {config.disk} bytes to its folder")


def _out_of_memory(job: Job, config: IsolationConfig) -> ToolError:
    most = (job.memory or config.memory) // _MIB
    return ToolError(
        "failed", f"{job.tool}: needs more than {most} MiB of memory; its `memory` says how much it may have"
    )


def _status(status: int | None) -> str:
    if status is None:
        return "nobody knows how"
    if os.WIFSIGNALED(status):
        return f"by {signal.Signals(os.WTERMSIG(status)).name}"
    return f"with exit status {os.WEXITSTATUS(status)}"
