"""The keys under which people stand in the records: a file for each, so that one can be erased by itself."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

from tta_program.state import check_private, make_private, sync_folder

from .people import new_secret, place_of, pseudonym_of


class FileOwners:
    """People's keys, for all processes of a machine; its calls block, and raise OSError."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._secret: bytes | None = None

    def pseudonym(self, user: str, *, make: bool = False) -> str:
        """Return what stands for a person; empty for one who has no key, unless it is to be made."""
        file = self._file_of(user, make=make)
        key = _read(file) if file is not None else None
        if key is None and file is not None and make:
            key = _make(file)
        return pseudonym_of(key, user) if key is not None else ""

    def forget(self, user: str) -> int:
        """Erase a person's key; return how many that were."""
        file = self._file_of(user)
        if file is None or not file.exists():
            return 0
        file.unlink()
        sync_folder(self._folder)
        return 1

    def _file_of(self, user: str, *, make: bool = False) -> Path | None:
        """Return where a person's key is, or would be; None where nobody has one yet."""
        secret = self._folder / "secret"
        if self._secret is None:
            if make:
                make_private(self._folder)
            check_private(secret)
            self._secret = _read(secret) or (_make(secret) if make else None)
        return self._folder / place_of(self._secret, user) if self._secret else None


def _read(file: Path) -> bytes | None:
    try:
        return file.read_bytes()
    except FileNotFoundError:
        return None


def _make(file: Path) -> bytes:
    """Make a key, or return the one that another process has made at the same time."""
    fresh = file.with_name(f".{secrets.token_hex(8)}")
    key = new_secret()
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as out:
        out.write(key)
        out.flush()
        os.fsync(out.fileno())
    try:
        # Unlike a renaming, it fails where there is one.
        file.hardlink_to(fresh)
        sync_folder(file.parent)
    except FileExistsError:
        return file.read_bytes()
    finally:
        fresh.unlink()
    return key
