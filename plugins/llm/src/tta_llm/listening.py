"""Listening to a backend's model: whatever that does, there is an answer in time, or an `LlmError`."""

from __future__ import annotations

import math
from collections.abc import AsyncGenerator
from typing import Any, cast

import anyio
import anyio.lowlevel

from tta_kernel import as_failure, raised_at

from .errors import CODES, Code, LlmError
from .models import Delta, ModelCall, Models, is_delta
from .settings import Limits

_CLOSE = 2.0
"""Seconds that closing a connection may take, whoever is cancelled."""
_LONGEST_DETAIL = 300
"""Characters of what a backend says of itself."""


async def listen(models: Models, call: ModelCall, limits: Limits, until: float) -> AsyncGenerator[Delta, None]:
    """Ask a model, and yield what it says, until it says why it ends; ``until`` is when all must be over.

    Only the time that the model takes counts, and not what its reader does between two pieces; what says nothing, such
    as keep-alives, buys no time. No cancel scope is open where it yields.
    """
    given: Any = None
    try:
        given = _begun(models, call)
        left, what = limits.first, f"no first piece within {limits.first:g} s"
        said, yielded = 0, anyio.current_time()
        while True:
            asked = anyio.current_time()
            until += asked - yielded
            delta = await _next(given, min(asked + left, until), call.model, what)
            said += len(delta.text) + sum(len(each.arguments) + len(each.name) for each in delta.tool_calls)
            if said > call.most:
                raise LlmError("too_large", f"model {call.model}: the answer has more than {call.most} characters")
            yielded = anyio.current_time()
            left -= yielded - asked
            if delta.text or delta.tool_calls:
                left, what = limits.idle, f"nothing more for {limits.idle:g} s"
            yield delta
            if delta.finish is not None:
                return
    finally:
        await _close(given)


def _begun(models: Models, call: ModelCall) -> Any:
    try:
        return models.stream(call)
    except BaseException as exc:  # noqa: BLE001 - `as_failure` raises what must go on
        failure = as_failure(exc)
        raise told(failure, exc, f"model {call.model}") from failure


async def _next(given: Any, until: float, model: str, what: str) -> Delta:
    error: LlmError | None = None
    with anyio.CancelScope(deadline=until):
        # A stranger that never waits would keep the event loop for itself.
        await anyio.lowlevel.checkpoint()
        try:
            delta = await anext(given)
        except StopAsyncIteration:
            error = LlmError("broken_stream", f"model {model}: the stream ended without saying why")
        except BaseException as exc:  # noqa: BLE001 - `as_failure` raises what must go on
            failure = as_failure(exc)
            error = told(failure, exc, f"model {model}")
            error.__cause__ = failure
        else:
            if is_delta(delta):
                return cast(Delta, delta)
            error = LlmError("unavailable", f"model {model}: answered with {type(delta).__name__}", retryable=False)
    raise error or LlmError("timed_out", f"model {model}: {what}")


def told(failure: Exception, exc: BaseException, whose: str) -> LlmError:
    """Return a backend's own error, as far as it is right; nothing of what anything else says."""
    if isinstance(failure, LlmError) and failure.code in CODES:
        after = failure.retry_after
        is_time = isinstance(after, int | float) and not isinstance(after, bool) and 0 <= after < math.inf
        return LlmError(
            cast(Code, failure.code), f"{whose}: {str(failure.detail)[:_LONGEST_DETAIL]}",
            retryable=failure.retryable is True, retry_after=after if is_time else None,
            reached=failure.reached is not False,
        )  # fmt: skip
    return LlmError(
        "unavailable", f"{whose}: its backend raised {type(exc).__name__} at {raised_at(exc)}", retryable=False
    )  # fmt: skip


async def _close(given: Any) -> None:
    close = getattr(given, "aclose", None)
    if close is None:
        return
    with anyio.move_on_after(_CLOSE, shield=True):
        try:
            await close()
        except BaseException as exc:  # noqa: BLE001 - `as_failure` raises what must go on; it is over anyway
            as_failure(exc)
