"""Rates and numbers of calls at once, by tool and by who calls; each process counts its own."""

from __future__ import annotations

import time
from collections import OrderedDict, deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from tta_http import Principal
from tta_tool_policy import Limits, Rate

from .model import ToolError


class _Caller:
    __slots__ = ("active", "times")

    def __init__(self) -> None:
        self.active = 0
        self.times: deque[float] = deque()
        """When it called, the last as many times as its rate allows."""


class Limiter:
    """Counts the calls of up to ``most`` pairs of a tool and a principal; the one that was idle longest goes first."""

    def __init__(self, most: int, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._most, self._monotonic = most, monotonic
        self._callers: OrderedDict[tuple[str, str, str], _Caller] = OrderedDict()

    def __len__(self) -> int:
        """Count the pairs."""
        return len(self._callers)

    @contextmanager
    def call(self, tool: str, principal: Principal, limits: Limits) -> Iterator[None]:
        """Count a call for as long as the block; raise a `ToolError` where it is one too many."""
        if limits.rate is None and limits.concurrency is None:
            yield
            return
        caller = self._caller(tool, principal)
        if limits.concurrency is not None and caller.active >= limits.concurrency:
            raise ToolError("busy", f"{tool}: {limits.concurrency} calls of it at once are the most for one caller")
        if limits.rate is not None:
            self._take(tool, caller, limits.rate)
        caller.active += 1
        try:
            yield
        finally:
            caller.active -= 1

    def _caller(self, tool: str, principal: Principal) -> _Caller:
        key = (tool, principal.kind, principal.name)
        caller = self._callers.get(key)
        if caller is None:
            if len(self._callers) >= self._most:
                self._drop_one()
            caller = self._callers[key] = _Caller()
        self._callers.move_to_end(key)
        return caller

    def _take(self, tool: str, caller: _Caller, rate: Rate) -> None:
        now = self._monotonic()
        times = caller.times
        while times and times[0] <= now - rate.per:
            times.popleft()
        if len(times) >= rate.count:
            wait = times[len(times) - rate.count] + rate.per - now
            raise ToolError("rate_limited", f"{tool}: {rate} are the most for one caller", retry_after=wait)
        times.append(now)

    def _drop_one(self) -> None:
        for key, caller in self._callers.items():
            if not caller.active:
                del self._callers[key]
                return
        raise ToolError("busy", f"calls of {self._most} callers are under way, and no more may be")
