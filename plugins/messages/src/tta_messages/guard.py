"""A backend of messages, whoever wrote it: whatever it does instead of answering is a `MessagesError`, in time."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, cast, get_args, get_origin, get_type_hints

import anyio

from tta_kernel import as_failure, check_duration, raised_at

from .model import Delivery, Messages, MessagesError, SendResult

CALL_LIMIT = 30.0
"""How long, in seconds, any call may take beyond what it may wait: no client of a store waits for so long itself."""
Check = Callable[..., bool]
"""Says whether an answer is right; it is told the call's arguments, too."""
_ONE_EACH = {"send", "ack", "release"}
"""What answers once for each of its arguments."""


def guard(messages: Messages, *, limit: float = CALL_LIMIT) -> Messages:
    """Return ``messages`` such that each call ends within ``limit`` seconds, rightly or with a `MessagesError`.

    So whoever holds one treats a backend that is broken as one that is away: it tries again, ever later, and goes on
    with all else. The error names the backend, and where in it something was raised, and quotes nothing.
    """
    return cast(
        Messages, messages if isinstance(messages, Guarded) else Guarded(messages, _CHECKS, MessagesError, limit)
    )


class Guarded:
    """Something of a stranger's, of which only the methods in ``checks`` can be called; each says what is an answer.

    Whatever else a call does, and that it takes more than ``limit`` seconds beyond its ``wait``, is an ``error``, but
    for errors that an answer may be, which ``passes`` names.
    """

    def __init__(
        self, target: object, checks: Mapping[str, Check], error: type[Exception], limit: float, *,
        passes: tuple[type[Exception], ...] = (),
    ) -> None:  # fmt: skip
        check_duration("limit", limit, positive=True)
        self._target, self._checks, self._error, self._limit = target, checks, error, limit
        self._passes = (error, *passes)
        self._name = f"{type(target).__module__}.{type(target).__qualname__}"

    def __getattr__(self, name: str) -> Callable[..., Awaitable[Any]]:
        if name not in self._checks:
            raise AttributeError(name)
        is_right, method = self._checks[name], getattr(self._target, name)
        what = f"{self._name}.{name}"

        async def call(*args: Any, **kwargs: Any) -> Any:
            limit = self._limit + kwargs["wait"] if "wait" in kwargs else self._limit
            error = None
            with anyio.CancelScope(deadline=anyio.current_time() + limit):
                try:
                    answer = await method(*args, **kwargs)
                    if is_right(answer, *args):
                        return answer
                    error = self._error(f"{what} answered with {type(answer).__name__} that is wrong")
                except BaseException as exc:
                    failure = as_failure(exc)
                    if isinstance(failure, self._passes):
                        raise
                    error = self._error(f"{what} raised {type(exc).__name__} at {raised_at(exc)}")
                    error.__cause__ = failure
            raise error or self._error(f"{what} did not answer within {limit:g} s")

        # Looked up once for each method: a call must cost next to nothing.
        setattr(self, name, call)
        return call


def _check_of_call(name: str, wanted: Any) -> Check:
    """Return what says whether a call of a method was answered."""
    fits = _check_of(wanted)
    if name in _ONE_EACH:
        return lambda answer, *args: fits(answer) and len(answer) == len(args)
    return lambda answer, *args: fits(answer)


def _check_of(wanted: Any) -> Callable[[Any], bool]:
    """Return what says whether an answer is a ``wanted``; quick, since each delivery is looked at."""
    kind, args = get_origin(wanted) or wanted, get_args(wanted)
    if wanted is type(None):
        return lambda answer: True  # Nobody looks at it.
    if kind is Sequence and args[0] is Delivery:
        return _are_deliveries
    if kind is Sequence and args[0] is SendResult:
        return _are_results
    if kind is Sequence:
        return lambda answer: isinstance(answer, Sequence) and all(isinstance(each, args[0]) for each in answer)
    if kind is Mapping:
        return lambda answer: isinstance(answer, Mapping) and all(isinstance(each, args[1]) for each in answer.values())
    return lambda answer: isinstance(answer, kind)


def _are_deliveries(answer: Any) -> bool:
    if not isinstance(answer, Sequence):
        return False
    for each in answer:  # noqa: SIM110 - it is asked of each message, and a generator would take half as long again
        if not (isinstance(each, Delivery) and math.isfinite(each.deadline)):
            return False
    return True


def _are_results(answer: Any) -> bool:
    return isinstance(answer, Sequence) and all(isinstance(each, SendResult) and _holds_right(each) for each in answer)


def _holds_right(result: Any) -> bool:
    # A frozen Struct checks nothing when it is built.
    return (
        isinstance(result.id, str)
        and isinstance(result.delivered, bool)
        and isinstance(result.error, str)
        and isinstance(result.detail, str)
    )


_CHECKS = {
    name: _check_of_call(name, get_type_hints(method)["return"])
    for name, method in vars(Messages).items()
    if not name.startswith("_")
}
