"""Keys in a file that only its owner can read; whoever changes it, all processes of this machine see it."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

import anyio.to_thread
import msgspec

from tta_program.state import StateError, check_private, locked, make_private, write_private

from .memory import added, in_order, revoked, with_use
from .model import AccessError, Key

T = TypeVar("T")
_Stamp = tuple[int, int, int] | None


class _Kept(msgspec.Struct):
    """What stands in the file; a newer release may have more in it."""

    version: int
    keys: list[Key]


class FileKeys:
    """Keys of all processes of a machine that use this file.

    When they were used last stands beside it (``….used``), so that the file changes only where somebody makes or
    revokes a key.
    """

    def __init__(self, file: Path, clock: Callable[[], float] = time.time) -> None:
        self.file = file
        self.trouble = ""
        """Why the file as it is now can't be read; until it can, the keys count that were read before."""
        self._uses = file.with_name(f"{file.name}.used")
        self._lock = file.with_name(f"{file.name}.lock")
        self._clock = clock
        self._stamp: _Stamp = None
        self._keys: dict[str, Key] = {}
        self._by_digest: dict[str, Key] = {}

    def read(self) -> None:
        """Read the file, where it has changed; raise `AccessError` where it can't be used. It blocks."""
        stamp = _stamp(self.file)
        if stamp == self._stamp:
            return
        self._keep(self._load(), stamp)

    async def add(self, key: Key) -> None:
        await self._in_thread(self._change, lambda keys: added(keys, key, self._clock()))

    async def keys(self) -> Sequence[Key]:
        return await self._in_thread(self._list)

    async def revoke(self, id: str) -> bool:
        found: dict[str, Key] = {}

        def change(keys: Mapping[str, Key]) -> dict[str, Key]:
            found.update(revoked(keys, id, self._clock()))
            return {**keys, **found}

        await self._in_thread(self._change, change)
        return bool(found)

    async def find(self, digest: str) -> Key | None:
        if _stamp(self.file) != self._stamp:
            await self._in_thread(self._reread)
        return self._by_digest.get(digest)

    async def used(self, uses: Mapping[str, float]) -> None:
        await self._in_thread(self._write_uses, uses)

    def _reread(self) -> None:
        # A file that can't be read is no reason to let nobody in: the keys that were read before count.
        stamp = _stamp(self.file)
        try:
            self._keep(self._load(), stamp)
        except AccessError as exc:
            self.trouble = str(exc)
            self._stamp = stamp

    def _list(self) -> Sequence[Key]:
        self.read()
        uses = self._read_uses()
        return in_order(with_use(key, uses.get(key.id)) for key in self._keys.values())

    def _change(self, change: Callable[[Mapping[str, Key]], dict[str, Key]]) -> None:
        make_private(self.file.parent)
        with locked(self._lock):
            before = self._load()
            after = change(before)
            if after != before:
                write_private(self.file, msgspec.json.format(msgspec.json.encode(_Kept(1, [*after.values()]))) + b"\n")
            self._keep(after, _stamp(self.file))

    def _load(self) -> dict[str, Key]:
        try:
            check_private(self.file)
            found = msgspec.json.decode(self.file.read_bytes(), type=_Kept)
        except FileNotFoundError:
            return {}
        except OSError as exc:
            raise AccessError(f"{self.file}: {exc.strerror}") from exc
        except (StateError, msgspec.DecodeError) as exc:
            what = str(exc) if isinstance(exc, StateError) else f"{self.file}: holds no keys: {exc}"
            raise AccessError(what) from None
        if found.version != 1:
            raise AccessError(f"{self.file}: a newer release has written it, and this one would lose what that knows")
        return {key.id: key for key in found.keys}

    def _keep(self, keys: dict[str, Key], stamp: _Stamp) -> None:
        self._keys = keys
        self._by_digest = {key.digest: key for key in keys.values()}
        self._stamp = stamp
        self.trouble = ""

    def _read_uses(self) -> dict[str, float]:
        try:
            return msgspec.json.decode(self._uses.read_bytes(), type=dict[str, float])
        except (OSError, msgspec.DecodeError):
            return {}  # It is for people to look at: begun anew, it is right again after each key's next use.

    def _write_uses(self, uses: Mapping[str, float]) -> None:
        make_private(self.file.parent)
        with locked(self._lock):
            self.read()
            before = self._read_uses()
            merged = {id: max(before.get(id, 0.0), uses.get(id, 0.0)) for id in {*before, *uses} & self._keys.keys()}
            if merged != before:
                write_private(self._uses, msgspec.json.encode(merged))

    async def _in_thread(self, call: Callable[..., T], *args: object) -> T:
        try:
            return await anyio.to_thread.run_sync(call, *args)
        except StateError as exc:
            raise AccessError(str(exc)) from exc


def _stamp(file: Path) -> _Stamp:
    """Return what changes with each writing, and where others are let in: the time of the last change of either."""
    try:
        found = os.stat(file)  # noqa: PTH116  # half the cost, and this is asked often
    except OSError:
        return None
    return found.st_ino, found.st_ctime_ns, found.st_size
