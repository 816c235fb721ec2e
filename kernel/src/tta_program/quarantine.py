"""Optional plugins that failed start after start: they stay out until somebody releases them."""

from __future__ import annotations

import os
import stat
import tempfile
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from time import monotonic, sleep, time  # noqa: TID251 - a lock of a file has no wait with a limit
from typing import Annotated

import msgspec
from msgspec import Meta, Struct

from tta_kernel import ConfigError, Problem

from .output import encodable

TIMES = 3
"""How many starts in a row a plugin must fail to be in quarantine."""
_LARGEST = 1 << 20
"""Bytes of a file that may be one of these: 1 MiB holds thousands of plugins."""
_LONGEST = 300
"""Characters that are kept of a reason."""
_LOCK_LIMIT = 5.0
"""Seconds in which another process should have done its counting."""


class Failures(Struct, frozen=True):
    """How many starts in a row a plugin has failed, why the last time, and when, in seconds since the epoch."""

    times: Annotated[int, Meta(ge=1, le=1_000_000_000)]
    reason: str = ""
    at: float = 0.0

    @property
    def enough(self) -> bool:
        """Whether the plugin is in quarantine, if it is optional."""
        return self.times >= TIMES

    def problem(self, plugin: str) -> Problem:
        """Say why a plugin is left out."""
        what = f"is in quarantine, since it failed {self.times} starts in a row, the last one so: {self.reason}"
        hint = f"put that right, and then `tta plugins release {plugin}`"
        return Problem(f"plugin {plugin!r}", what, hint, deployment_only=True)


class _Kept(Struct):
    """What the file holds; a later release may add to it."""

    version: Annotated[int, Meta(ge=1, le=1)] = 1
    plugins: dict[str, Failures] = {}


class Quarantine:
    """The file that keeps the count, by plugin: read whole, and replaced whole under a lock."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def read(self) -> Mapping[str, Failures]:
        """Return what is kept, nothing where there is no file; raise `ConfigError` where it can't be used."""
        try:
            raw = _read_regular(self.path)
            return msgspec.json.decode(raw, type=_Kept).plugins if raw is not None else {}
        except OSError as exc:
            raise self._error(f"cannot be read: {exc.strerror or exc}", "let it be read") from None
        # UnicodeDecodeError is a ValueError; what is nested deeply ends msgspec's own recursion.
        except (msgspec.DecodeError, ValueError, RecursionError):
            raise self._error("is damaged, or of a later release, so that nobody is in quarantine") from None

    def count(self, *, started: Collection[str] = (), failed: Mapping[str, str] = {}) -> None:
        """Forget the failures of who has started, and add one, with its reason, for who has failed."""
        kept = self.read()
        if not failed and not kept.keys() & {*started}:
            return
        with self._locked():
            fresh = {name: each for name, each in self.read().items() if name not in started}
            for name, reason in failed.items():
                times = fresh[name].times + 1 if name in fresh else 1
                fresh[name] = Failures(times, encodable(reason)[:_LONGEST], time())
            self._write(fresh)

    def release(self, names: Collection[str]) -> list[str]:
        """Forget the failures of these plugins, and return those that had any."""
        with self._locked():
            kept = self.read()
            released = [name for name in names if name in kept]
            if released:
                self._write({name: each for name, each in kept.items() if name not in released})
        return released

    def _write(self, plugins: dict[str, Failures]) -> None:
        try:
            # Made with 0600: a reason may name what lies on this machine.
            number, name = tempfile.mkstemp(prefix=f".{self.path.name}.", dir=self.path.parent)
            try:
                with os.fdopen(number, "wb") as file:
                    file.write(msgspec.json.format(msgspec.json.encode(_Kept(plugins=plugins))))
                    file.flush()
                    os.fsync(file.fileno())
                os.replace(name, self.path)  # noqa: PTH105 - both are names
            except BaseException:
                os.unlink(name)  # noqa: PTH108
                raise
        except OSError as exc:
            raise self._unwritten(exc) from None

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Keep other processes from counting meanwhile; the file itself can't be locked, since it is replaced."""
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0)
            number = os.open(self.path.with_name(f"{self.path.name}.lock"), flags, 0o600)
        except OSError as exc:
            raise self._unwritten(exc) from None
        try:
            end = monotonic() + _LOCK_LIMIT
            while not _try_lock(number):
                if monotonic() > end:
                    raise self._error(f"another process has held its lock for {_LOCK_LIMIT:g} s", "end that process")
                sleep(0.01)
            yield
        finally:
            os.close(number)  # which gives the lock back

    def _unwritten(self, exc: OSError) -> ConfigError:
        return self._error(f"cannot be written: {exc.strerror or exc}", "let its folder be written")

    def _error(self, what: str, hint: str = "remove it, or put it right") -> ConfigError:
        return ConfigError(Problem(f"kernel.quarantine: {self.path}", what, hint, deployment_only=True))


def _read_regular(path: Path) -> bytes | None:
    """Read a file that is none other than one: a pipe would let everybody wait."""
    try:
        number = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))
    except FileNotFoundError:
        return None
    with os.fdopen(number, "rb") as file:
        if not stat.S_ISREG(os.fstat(number).st_mode):
            raise OSError("it is no regular file")
        raw = file.read(_LARGEST + 1)
    if len(raw) > _LARGEST:
        raise ValueError("it is too large")
    return raw


def _try_lock(number: int) -> bool:
    try:
        try:
            import fcntl
        except ImportError:  # on Windows
            import msvcrt

            msvcrt.locking(number, msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined]
        else:
            fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
