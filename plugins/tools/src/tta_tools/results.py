"""Results in memory: those that are kept for the keys of calls, and those that other calls may use again."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable

from msgspec import Struct

from .store import Claim, ToolStoreError


class _Call(Struct):
    fingerprint: str
    token: str
    lease: float
    """When it may be claimed anew."""
    until: float
    """When nothing is known of it any more."""
    owner: str
    value: bytes | None = None


class _Kept(Struct):
    value: bytes
    until: float
    owner: str


class Results:
    """At most ``most`` of each kind; those for others have ``size`` bytes in all, and so have those of keys."""

    def __init__(self, clock: Callable[[], float], *, most: int, size: int) -> None:
        self._clock, self._most, self._size = clock, most, size
        self._calls: OrderedDict[str, _Call] = OrderedDict()
        self._calls_size = 0
        self._kept: OrderedDict[str, _Kept] = OrderedDict()
        self._kept_size = 0

    def __len__(self) -> int:
        """Count both."""
        return len(self._calls) + len(self._kept)

    def claim(
        self, key: str, fingerprint: str, token: str, *, lease: float, ttl: float, again: bool, owner: str
    ) -> Claim:
        now = self._clock()
        found = self._calls.get(key)
        if found is not None and found.until > now:
            if found.fingerprint != fingerprint:
                return Claim(state="other")
            if found.value is not None:
                return Claim(state="kept", value=found.value)
            if found.lease > now:
                return Claim(state="running", left=found.lease - now)
            if not again:
                return Claim(state="in_doubt")
        self._drop_call(key)
        if len(self._calls) >= self._most:
            self._drop_old_calls(now)
        # None that holds may go: its call would be made twice.
        if len(self._calls) >= self._most:
            raise ToolStoreError(
                f"the keys of {self._most} calls are kept, and no more may be: leave keys out, or wait"
            )
        self._calls[key] = _Call(fingerprint, token, now + lease, now + ttl, owner)
        return Claim(state="claimed")

    def keep(self, key: str, token: str, value: bytes, *, ttl: float) -> bool:
        found = self._ours(key, token)
        if found is None:
            return False
        if self._calls_size + len(value) > self._size:
            self._drop_old_calls(self._clock())
        if self._calls_size + len(value) > self._size:
            raise ToolStoreError(f"results of calls with keys have {self._size} bytes, and no more may be")
        found.value, found.until = value, self._clock() + ttl
        self._calls_size += len(value)
        return True

    def release(self, key: str, token: str) -> bool:
        if self._ours(key, token) is None:
            return False
        self._drop_call(key)
        return True

    def fetch(self, key: str) -> bytes | None:
        found = self._kept.get(key)
        if found is None or found.until <= self._clock():
            self._drop_kept(key)
            return None
        return found.value

    def put(self, key: str, value: bytes, *, ttl: float, owner: str) -> None:
        self._drop_kept(key)
        if len(value) > self._size:
            return
        while self._kept and (len(self._kept) >= self._most or self._kept_size + len(value) > self._size):
            self._drop_kept(next(iter(self._kept)))
        self._kept[key] = _Kept(value, self._clock() + ttl, owner)
        self._kept_size += len(value)

    def forget(self, owner: str) -> int:
        calls = [key for key, each in self._calls.items() if each.owner == owner]
        kept = [key for key, each in self._kept.items() if each.owner == owner]
        for key in calls:
            self._drop_call(key)
        for key in kept:
            self._drop_kept(key)
        return len(calls) + len(kept)

    def _ours(self, key: str, token: str) -> _Call | None:
        found = self._calls.get(key)
        return found if found is not None and found.token == token and found.value is None else None

    def _drop_call(self, key: str) -> None:
        if (gone := self._calls.pop(key, None)) is not None:
            self._calls_size -= len(gone.value or b"")

    def _drop_kept(self, key: str) -> None:
        if (gone := self._kept.pop(key, None)) is not None:
            self._kept_size -= len(gone.value)

    def _drop_old_calls(self, now: float) -> None:
        for key in [key for key, each in self._calls.items() if each.until <= now]:
            self._drop_call(key)
