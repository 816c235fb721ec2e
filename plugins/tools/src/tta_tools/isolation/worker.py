"""Call one tool once, in a process that is held, and write down what came of it.

What it writes are lines: ``p`` and how far it is, as often as the tool reports that; then ``r`` and its result, or
``f`` and how it failed. That holds nothing of what an exception says: it could be a person's text, or a secret.
"""

from __future__ import annotations

import errno
import importlib
import inspect
import json
import os
import resource
import signal
import sys
from collections.abc import Mapping
from typing import Any, NoReturn

import anyio

from tta_tools.model import NotCalled, ToolError
from tta_tools.plain import NotPlain, plain

from . import linux
from .processes import memory_of_this

_PROGRESS = 500
"""Characters of one report, and how many reports there may be."""
_THREADS = 64
_SYSTEM = (
    "/usr", "/lib", "/lib64", "/bin", "/sbin", "/proc/self", "/proc/cpuinfo", "/proc/meminfo", "/dev/urandom",
    "/dev/random", "/dev/zero", "/etc/ld.so.cache", "/etc/localtime", "/etc/timezone", "/etc/mime.types",
)  # fmt: skip
_OF_NETWORKS = ("/etc/ssl", "/etc/pki", "/etc/ca-certificates", "/etc/hosts", "/etc/resolv.conf", "/etc/nsswitch.conf")


def work(request: Mapping[str, Any], out: int) -> NoReturn:
    """Hold this process, call the tool, write to ``out``, and end."""
    try:
        try:
            _hold(request, out)
            answer = _call(request, out)
        except BaseException as exc:  # noqa: BLE001 - whatever a tool lets out is how it failed, SystemExit too
            answer = b"f" + _failure(exc)
        _write(out, answer + b"\n")
    finally:
        # Nothing of the tool's runs any more: no `atexit`, no thread. And never into what the supervisor does.
        os._exit(0)


def _hold(request: Mapping[str, Any], out: int) -> None:
    """Take from this process what the tool may not have; this can't be taken back."""
    folder = request["folder"]
    os.environ.update(dict.fromkeys(("HOME", "TMPDIR", "TMP", "TEMP"), folder))
    os.chdir(folder)
    os.setsid()
    _close_all_but(out)
    limits = {
        resource.RLIMIT_AS: memory_of_this()[0] + request["memory"],
        resource.RLIMIT_CORE: 0,
        resource.RLIMIT_FSIZE: request["disk"],
        resource.RLIMIT_NOFILE: request["files"],
        # The supervisor looks at the time of all processes together; this is for one that nobody looks at.
        resource.RLIMIT_CPU: int(request["cpu"]) + 2,
    }
    if request["namespaces"]:
        # Who is outside of the namespace doesn't count, threads do. It doesn't hold root: the supervisor looks, too.
        limits[resource.RLIMIT_NPROC] = request["processes"] + _THREADS
    for limit, value in limits.items():
        hard = resource.getrlimit(limit)[1]
        value = value if hard == resource.RLIM_INFINITY else min(value, hard)
        resource.setrlimit(limit, (value, value))
    if request["landlock"]:
        everything = ("/",) if request["filesystem"] else ()
        networks = _OF_NETWORKS if request["network"] else ()
        python = (sys.prefix, sys.base_prefix, sys.exec_prefix, *sys.path, *request["path"])
        linux.restrict(
            writable=(folder, "/dev/null", *everything),
            readable=(*_SYSTEM, *networks, *python),
            execute=request["process"],
            network=request["network"],
        )
    linux.gain_nothing()
    linux.die_with_parent(signal.SIGKILL)


def _close_all_but(out: int) -> None:
    nowhere = os.open(os.devnull, os.O_RDWR)
    for standard in (0, 1, 2):
        os.dup2(nowhere, standard)
    os.closerange(3, out)
    os.closerange(out + 1, os.sysconf("SC_OPEN_MAX"))


def _call(request: Mapping[str, Any], out: int) -> bytes:
    sys.path += [each for each in request["path"] if each not in sys.path]
    try:
        tool: Any = importlib.import_module(request["module"])
        for name in request["qualname"].split("."):
            tool = getattr(tool, name)
        call = tool.call
    except (ImportError, AttributeError) as exc:
        raise _Unavailable from exc
    result = call(request["arguments"], _Progress(out))
    if inspect.isawaitable(result):
        result = anyio.run(_awaited, result)
    try:
        _, text = plain(result)
    except NotPlain as exc:
        raise _Invalid from exc
    if len(text) > request["output"]:
        return b'f{"kind":"output"}'
    return b"r" + text


async def _awaited(result: Any) -> Any:
    return await result


class _Unavailable(Exception):
    """The tool isn't where its reference says."""


class _Invalid(Exception):
    """The result isn't JSON."""


class _Progress:
    """Report to whoever waits; what is too long is cut, and what is too much is dropped."""

    def __init__(self, out: int) -> None:
        self._out = out
        self._left = _PROGRESS

    def __call__(self, progress: Any) -> None:
        if self._left > 0:
            self._left -= 1
            report = {"text": str(progress.text)[:_PROGRESS], "fraction": progress.fraction}
            _write(self._out, b"p" + json.dumps(report, ensure_ascii=False).encode() + b"\n")


def _failure(exc: BaseException) -> bytes:
    """Say how it failed, in a few words that are ours."""
    kinds: dict[type[BaseException], str] = {_Unavailable: "unavailable", _Invalid: "invalid", MemoryError: "memory"}
    failure: dict[str, Any] = {"kind": kinds.get(type(exc), "raised")}
    if isinstance(exc, OSError) and exc.errno == errno.EFBIG:
        failure["kind"] = "disk"
    told = exc.__cause__ if isinstance(exc, _Unavailable | _Invalid) else exc
    failure["type"] = type(told).__name__[:100]
    failure["at"] = _place(told)
    if isinstance(exc, ToolError):
        kind = "not-called" if isinstance(exc, NotCalled) else "told"
        failure |= {"kind": kind, "code": exc.code, "detail": exc.detail[:500], "retryable": exc.retryable is True}
    return json.dumps(failure).encode()


def _place(exc: BaseException | None) -> str:
    """Return module and line of the innermost frame that is no part of Python or of this package."""
    place = ""
    trace = exc.__traceback__ if exc else None
    while trace:
        module = str(trace.tb_frame.f_globals.get("__name__"))
        if module.partition(".")[0] not in sys.stdlib_module_names and not module.startswith(str(__package__)):
            place = f"{module[:200]}:{trace.tb_lineno}"
        trace = trace.tb_next
    return place


def _write(out: int, data: bytes) -> None:
    try:
        while data:
            data = data[os.write(out, data) :]
    except OSError:
        # The tool has closed it: then there is no answer, and the supervisor says so.
        os._exit(1)
