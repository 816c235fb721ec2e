"""A store of somebody else's: whatever it does instead of answering is an `AccessError`, in time."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, ParamSpec, TypeVar

import anyio

from tta_kernel import as_failure, raised_at
from tta_kernel.shapes import fits

P = ParamSpec("P")
R = TypeVar("R")
LIMIT = 5.0
"""Seconds in which a store has answered."""


async def asked(
    error: type[Exception],
    limit: float,
    wanted: Any,
    call: Callable[P, Awaitable[R]],
    /,
    *args: P.args,
    **kwargs: P.kwargs,
) -> R:
    """Return what a store's method answers, a ``wanted``; else raise an ``error`` that quotes nothing of it."""
    what = getattr(call, "__qualname__", type(call).__name__)
    failed: Exception
    try:
        with anyio.move_on_after(limit) as scope:
            answer = await call(*args, **kwargs)
        if scope.cancel_called:  # even where an answer came, too late
            failed = error(f"{what} did not answer within {limit:g} s")
        elif fits(answer, wanted):
            return answer
        else:
            failed = error(f"{what} answered with {type(answer).__name__}, where {wanted} is due")
    except BaseException as exc:
        failure = as_failure(exc)
        if isinstance(failure, error):
            raise
        failed = error(f"{what} raised {type(exc).__name__} at {raised_at(exc)}")
        failed.__cause__ = failure
    raise failed
