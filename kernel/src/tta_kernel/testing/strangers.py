"""Every way in which code that isn't ours misbehaves where we call it: run each boundary against all of them."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Literal

import anyio
import anyio.lowlevel

from .errors import INTERRUPTS, RAISED
from .values import example, odd_values, wrong_values

LIMIT = 0.05
"""Seconds: the time limit to hand in to what is tested. A stranger that is late takes twice as long."""

Kind = Literal["plain", "async", "lifespan", "stream"]


class Outcome(StrEnum):
    """What must become of a stranger, while whoever stands beside it goes on."""

    FAILURE = "failure"
    """It has failed, and is told with its name, and with its frame where it raised."""
    TIME_LIMIT = "time limit"
    """It has failed, because its time was over."""
    NAMED = "named while it lasts"
    """Nothing can isolate it. It lasts for twice the limit; afterwards all goes on."""
    STOP = "orderly stop"
    """Everything stops in order, and then `KeyboardInterrupt` is raised."""
    HARMLESS = "harmless"
    """It is taken as it is, or refused."""


@dataclass(frozen=True)
class Stranger:
    """One way to misbehave, as a callable; ``ids=str`` names it in pytest."""

    name: str
    outcome: Outcome
    call: Callable[[], Any]

    def __call__(self, *_: object, **__: object) -> Any:
        """Misbehave, whatever the arguments: a coroutine, a context manager or an async iterator where such is due."""
        return self.call()

    def __str__(self) -> str:
        return self.name


def strangers(kind: Kind = "async", *, returns: Any = None, answer: Any = ..., limit: float = LIMIT) -> list[Stranger]:
    """Return every way to misbehave in place of a callable.

    ``kind`` is what stands there: a ``plain`` function, constructor or factory; an ``async`` function; a
    ``lifespan``, which is an async context manager; or a ``stream``, an async generator. ``returns`` is the
    annotation of what it returns (a stream: of each piece), and None where nobody looks at it; ``answer`` is a right
    one, for those that answer too late. ``limit`` is the time limit, in seconds, that the caller has been given.
    """
    right = example(returns) if answer is ... else answer
    if kind == "plain":
        return [*_raise(), _blocks(right, limit), *_return(returns)]
    if kind == "async":
        return [*_coroutines(right, limit), *map(_awaited, _return(returns)), _not_awaited(right)]
    if kind == "lifespan":
        return [*_lifespans(_coroutines(None, limit))]
    return [*_streams(_coroutines(right, limit), right), *map(_piece, _return(returns))]


def _raise() -> Iterator[Stranger]:
    for name, make in RAISED.items():
        yield Stranger(f"raises {name}", Outcome.FAILURE, _raising(make))
    for name, make in INTERRUPTS.items():
        yield Stranger(f"raises {name}", Outcome.STOP, _raising(make))


def _raising(make: Callable[[], BaseException]) -> Callable[[], Any]:
    def odd() -> Any:
        raise make()

    return odd


def _return(returns: Any) -> Iterator[Stranger]:
    for name, make in wrong_values(returns).items():
        yield Stranger(f"returns {name}", Outcome.FAILURE, make)
    for name, make in odd_values(returns).items():
        yield Stranger(f"returns {name}", Outcome.HARMLESS, make)


def _blocks(right: object, limit: float) -> Stranger:
    def odd() -> Any:
        time.sleep(2 * limit)  # noqa: TID251 - that is its misbehaviour
        return right

    return Stranger("blocks its thread", Outcome.NAMED, odd)


def _awaited(plain: Stranger) -> Stranger:
    """Let an async function do what a plain one does."""

    async def odd() -> Any:
        return plain()

    return Stranger(plain.name, plain.outcome, odd)


def _not_awaited(right: object) -> Stranger:
    return Stranger("is no coroutine function", Outcome.FAILURE, lambda: right)


def _coroutines(right: object, limit: float) -> Iterator[Stranger]:
    yield from map(_awaited, _raise())
    yield _awaited(_blocks(right, limit))

    async def cancelled_elsewhere() -> Any:
        raise await _cancellation()

    async def after_a_while() -> Any:
        await anyio.lowlevel.checkpoint()
        raise ValueError("odd, after a while")

    async def never() -> Any:
        await anyio.sleep_forever()

    async def late() -> Any:
        with anyio.CancelScope(shield=True):
            await anyio.sleep(2 * limit)
        return right

    async def deaf() -> Any:
        end = time.monotonic() + 2 * limit
        while (left := end - time.monotonic()) > 0:
            try:
                await anyio.sleep(left)
            except anyio.get_cancelled_exc_class():
                continue
        return right

    yield Stranger("lets the cancellation of another scope out", Outcome.FAILURE, cancelled_elsewhere)
    yield Stranger("raises after a while", Outcome.FAILURE, after_a_while)
    yield Stranger("never returns", Outcome.TIME_LIMIT, never)
    yield Stranger("answers late", Outcome.TIME_LIMIT, late)
    yield Stranger("ignores cancellation", Outcome.NAMED, deaf)


async def _cancellation() -> BaseException:
    """Return what a cancelled scope has raised, after that scope has ended."""
    kept: BaseException | None = None
    with anyio.CancelScope() as scope:
        scope.cancel()
        try:
            await anyio.sleep_forever()
        except anyio.get_cancelled_exc_class() as exc:
            kept = exc
    assert kept is not None
    return kept


def _lifespans(coroutines: Iterator[Stranger]) -> Iterator[Stranger]:
    for each in coroutines:
        yield Stranger(f"start: {each}", each.outcome, _lifespan(before=each))
        yield Stranger(f"stop: {each}", each.outcome, _lifespan(after=each))

    async def never_yields() -> AsyncIterator[None]:
        for _ in ():
            yield

    async def yields_twice() -> AsyncIterator[None]:
        yield
        yield

    async def coroutine() -> None:
        pass

    def keeps() -> Any:
        return _Keeps()

    yield Stranger("start: never yields", Outcome.FAILURE, asynccontextmanager(never_yields))
    yield Stranger("start: is no context manager", Outcome.FAILURE, lambda: None)
    yield Stranger("start: yields, and is no context manager", Outcome.FAILURE, yields_twice)
    yield Stranger("stop: yields twice", Outcome.FAILURE, asynccontextmanager(yields_twice))
    yield Stranger("stop: keeps what is raised", Outcome.HARMLESS, keeps)


class _Keeps:
    """A context manager that lets nothing out."""

    async def __aenter__(self) -> None:
        pass

    async def __aexit__(self, *_: object) -> bool:
        return True


def _lifespan(before: Stranger | None = None, after: Stranger | None = None) -> Callable[[], Any]:
    @asynccontextmanager
    async def odd() -> AsyncIterator[None]:
        if before is not None:
            await before()
        try:
            yield
        finally:
            if after is not None:
                await after()

    return odd


def _streams(coroutines: Iterator[Stranger], right: object) -> Iterator[Stranger]:
    for each in coroutines:
        yield Stranger(f"at once: {each}", each.outcome, _stream(each))
        yield Stranger(f"after a piece: {each}", each.outcome, _stream(each, right))

    async def never_yields() -> AsyncIterator[Any]:
        for _ in ():
            yield

    async def yields_twice() -> AsyncIterator[Any]:
        yield right
        yield right

    async def goes_on() -> AsyncIterator[Any]:
        try:
            yield right
        finally:
            # A generator that is being closed may not yield; Python makes a RuntimeError of it.
            yield right

    yield Stranger("never yields", Outcome.HARMLESS, never_yields)
    yield Stranger("yields twice", Outcome.HARMLESS, yields_twice)
    yield Stranger("yields while it is closed", Outcome.FAILURE, goes_on)
    yield Stranger("is no iterator", Outcome.FAILURE, lambda: right)


def _stream(act: Stranger, *pieces: object) -> Callable[[], AsyncIterator[Any]]:
    async def odd() -> AsyncIterator[Any]:
        for piece in pieces:
            yield piece
        await act()
        yield act

    return odd


def _piece(plain: Stranger) -> Stranger:
    async def odd() -> AsyncIterator[Any]:
        yield plain()

    return Stranger(plain.name.replace("returns", "yields", 1), plain.outcome, odd)
