"""Where a stranger's code is called: what it lets out is its failure, unless somebody of ours asked for it."""

from __future__ import annotations

import math

import anyio

from .errors import KernelError, raised_at


class Escaped(KernelError):
    """A stranger's code let out what can't be told as it is, or answered what isn't due; the text is ours."""


def as_failure(exc: BaseException) -> Exception:
    """Return what a stranger's code raised as its failure; raise it where it isn't for others to stop.

    An awaited future that was cancelled, or a library's own time-out, raises the class that a cancelled scope
    raises. It passes ``except Exception``, and task groups drop it: a consumer would end, and nobody hear of it.
    So ask where it was caught, in the task and within the scopes that the stranger's code ran in.

    What isn't is `KeyboardInterrupt`, and a cancellation that somebody did ask for. Whatever else is no `Exception`, or
    can't be shown, becomes `Escaped`, which says where it was raised, and doesn't quote it.
    """
    if isinstance(exc, Exception) and _has_text(exc):
        return exc
    if is_interrupt(exc):
        raise exc
    for leaf in filter(_is_ours, _leaves(exc)):
        # One of them is as good as all: asyncio's scopes take no group for a cancellation.
        raise leaf
    return escaped(exc)


def escaped(exc: BaseException) -> Escaped:
    """Tell what can't be told as it is."""
    exc = ungrouped(exc)
    failure = Escaped(f"let out {type(exc).__name__}, which nobody here asked for, at {raised_at(exc)}")
    failure.__cause__ = exc
    return failure


def ungrouped(exc: BaseException) -> BaseException:
    """Return an error that has no siblings without the groups that task groups put around it."""
    while isinstance(exc, BaseExceptionGroup) and len(exc.exceptions) == 1:
        exc = exc.exceptions[0]
    return exc


def describe(exc: BaseException, module: str, depth: int = 3) -> str:
    """Say what a stranger's code raised, and where in the package of its ``module``; the root cause comes first.

    It quotes messages: not for what may hold a person's text.
    """
    shown = as_failure(exc)
    # Their repr has no path, and all of the text.
    text = f"{type(exc).__name__}: {exc}" if isinstance(shown, OSError | UnicodeError) else repr(shown)
    # Not all of a long one: it goes into the plugin's reason, its health and the log.
    told = f"{text[:1000]} at {raised_at(exc, module)}"
    cause = exc.__cause__ or exc.__suppress_context__ or exc.__context__
    # Not without end: causes may form a circle.
    if depth and isinstance(cause, Exception):
        return f"{describe(cause, module, depth - 1)}, so {told}"
    return told


def is_interrupt(exc: BaseException) -> bool:
    """Say whether ``exc`` is `KeyboardInterrupt`, or a group with one in it: then all is to stop, in order."""
    return any(isinstance(leaf, KeyboardInterrupt) for leaf in _leaves(exc))


def _leaves(exc: BaseException) -> list[BaseException]:
    """Return all that a group holds, however deeply: `subgroup` recurses, and can be overridden."""
    found = [exc]
    for each in found:
        if isinstance(each, BaseExceptionGroup):
            found += each.exceptions
    return found


def _has_text(exc: BaseException) -> bool:
    """Say whether it can be shown with its notes, as logs and trio's task groups do without asking."""
    try:
        return f"{exc} {exc!r} {''.join(getattr(exc, '__notes__', ()))}" != ""
    except BaseException as worse:  # noqa: BLE001 - `as_failure` raises what must go on
        as_failure(worse)
        return False


def _is_ours(exc: object) -> bool:
    """Say whether it is a cancellation that comes from a scope, or from whoever holds the task."""
    try:
        if not isinstance(exc, anyio.get_cancelled_exc_class()):
            return False
    except RuntimeError:  # There is no event loop; anyio before 4.12 raises that of sniffio.
        return False
    if anyio.current_effective_deadline() == -math.inf:
        return True
    # A program that knows no scopes cancels a task itself, and asyncio counts how often.
    import asyncio

    task = asyncio.current_task() if isinstance(exc, asyncio.CancelledError) else None  # noqa: TID251
    return bool(task and task.cancelling())
