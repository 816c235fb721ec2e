"""Where the system writes what is its own, such as keys and records: a private folder, never the config's."""

from __future__ import annotations

import fcntl
import os
import secrets
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from tta_kernel import KernelError


class StateError(KernelError):
    """A file or folder of the system's own can't be used; the text says why, and the way out."""


def state_folder(environ: Mapping[str, str] = os.environ) -> Path:
    """Return the folder for what the system writes: ``TTA_STATE``, else ``tta`` in what the XDG specification says."""
    if given := environ.get("TTA_STATE"):
        return Path(given).absolute()
    # The specification has it that a relative path is to be ignored.
    base = environ.get("XDG_STATE_HOME", "")
    if not base.startswith("/"):
        return Path.home() / ".local" / "state" / "tta"
    return Path(base) / "tta"


def make_private(folder: Path) -> None:
    """Make a folder that nobody else can look into, and those above it; raise `StateError` for one that others own."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        found = folder.stat()
    except OSError as exc:
        raise StateError(f"{folder}: {exc.strerror}; set TTA_STATE to a folder that can be written") from exc
    if found.st_uid not in (0, os.geteuid()):
        raise StateError(f"{folder}: belongs to somebody else; set TTA_STATE to a folder of your own")
    if found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise StateError(f"{folder}: others can write to it; run: chmod 700 {folder}")


def check_private(file: Path) -> None:
    """Raise `StateError` for a file that others can read or write, or that is somebody else's; none at all is fine."""
    try:
        found = file.stat()
    except FileNotFoundError:
        return
    except OSError as exc:
        raise StateError(f"{file}: {exc.strerror}") from exc
    if not stat.S_ISREG(found.st_mode):
        raise StateError(f"{file}: is no file")
    if found.st_uid not in (0, os.geteuid()):
        raise StateError(f"{file}: belongs to somebody else, who can change it; make it your own")
    if found.st_mode & 0o077:
        raise StateError(f"{file}: others can read it; run: chmod 600 {file}")


def write_private(file: Path, data: bytes) -> None:
    """Replace a file, or make it, for its owner alone: after a crash there is the old one or the new one, and whole."""
    fresh = file.with_name(f".{file.name}.{secrets.token_hex(8)}")
    try:
        with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as out:
            out.write(data)
            out.flush()
            os.fsync(out.fileno())
        fresh.replace(file)
        sync_folder(file.parent)
    except OSError as exc:
        fresh.unlink(missing_ok=True)
        raise StateError(f"{file}: {exc.strerror}") from exc


def sync_folder(folder: Path) -> None:
    """Let the names in a folder outlive a loss of power."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def locked(file: Path) -> Iterator[None]:
    """Keep other processes out meanwhile; ``file`` is for this alone, and ends up empty. It blocks: use a thread."""
    try:
        descriptor = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as exc:
        raise StateError(f"{file}: {exc.strerror}") from exc
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
