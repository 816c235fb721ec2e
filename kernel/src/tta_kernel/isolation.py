"""Where a stranger's code is called: what it lets out is its failure, unless somebody of ours asked for it."""

from __future__ import annotations

import math
from collections.abc import Iterator

import anyio

from .errors import KernelError, raised_at


class Escaped(KernelError):
    """A stranger's code let out what is no `Exception`: an exit, or a cancellation that nobody here asked for."""


def is_foreign_cancellation(exc: BaseException) -> bool:
    """Say whether ``exc`` is a cancellation that nobody asked of the running task.

    An awaited future that was cancelled, or a library's own time-out, raises the class that a cancelled scope
    raises. It passes ``except Exception``, and task groups drop it: a consumer would end, and nobody hear of it.
    Ask where it was caught, in the task and within the scopes that the stranger's code ran in. A group is foreign
    if all in it is.
    """
    return all(_is_foreign(each) for each in _leaves(exc))


def as_failure(exc: BaseException) -> Exception:
    """Return what a stranger's code raised as its failure; raise it where it isn't for others to stop.

    That is `KeyboardInterrupt`, and a cancellation that somebody did ask for. Whatever else is no `Exception`
    becomes `Escaped`, which says where it was raised, and doesn't quote it.
    """
    if isinstance(exc, Exception):
        return exc
    foreign = is_foreign_cancellation(exc)
    for each in _leaves(exc):
        if isinstance(each, KeyboardInterrupt) or (_is_cancellation(each) and not _is_foreign(each)):
            raise exc
    what = "was cancelled, though nobody here asked for that" if foreign else f"raised {type(exc).__name__}"
    failure = Escaped(f"{what}, at {raised_at(exc)}")
    failure.__cause__ = exc
    return failure


def _leaves(exc: BaseException) -> Iterator[BaseException]:
    """Yield the exceptions of a group, and of the groups in it; any other is alone."""
    if not isinstance(exc, BaseExceptionGroup):
        yield exc
        return
    for each in exc.exceptions:
        yield from _leaves(each)


def _is_cancellation(exc: BaseException) -> bool:
    return isinstance(exc, (_of_asyncio(), _raised_here()))


def _is_foreign(exc: BaseException) -> bool:
    """Say whether it is a cancellation that comes neither from a scope nor from whoever holds the task."""
    if not _is_cancellation(exc):
        return False
    if not isinstance(exc, _raised_here()):
        return True
    if anyio.current_effective_deadline() == -math.inf:
        return False
    if not isinstance(exc, _of_asyncio()):
        return True
    # A program that knows no scopes cancels a task itself, and asyncio counts how often.
    import asyncio

    task = asyncio.current_task()
    return task is None or not task.cancelling()


def _of_asyncio() -> type[BaseException]:
    """Return what asyncio raises, on whichever event loop a stranger lets it out."""
    from asyncio import CancelledError  # noqa: TID251  # Imported late: only a failure needs it.

    return CancelledError


def _raised_here() -> type[BaseException] | tuple[()]:
    """Return what a cancelled scope of this event loop raises; without a loop, nothing."""
    try:
        return anyio.get_cancelled_exc_class()
    except RuntimeError:  # anyio before 4.12 raises that of sniffio
        return ()
