"""What a stranger's code lets out: whose it is, and what becomes of it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import anyio
import pytest

from tta_kernel import Escaped, as_failure
from tta_kernel.isolation import describe, is_interrupt

CANCELLED = asyncio.CancelledError  # noqa: TID251 - what strangers raise, on whichever event loop


async def caught(func: Callable[[], Awaitable[object]]) -> bool:
    """Say whether what ``func`` raises is its failure, where it is caught; a cancellation of ours goes on."""
    try:
        await func()
    except BaseException as exc:  # noqa: BLE001 - `as_failure` raises what must go on
        return isinstance(as_failure(exc), Escaped)
    raise AssertionError("it raised nothing")


async def forged() -> None:
    """Let a cancellation out of the scope that it was for."""
    kept: BaseException | None = None
    with anyio.CancelScope() as scope:
        scope.cancel()
        try:
            await anyio.sleep_forever()
        except anyio.get_cancelled_exc_class() as exc:
            kept = exc
    assert kept is not None
    raise kept


async def of_asyncio() -> None:
    raise CANCELLED


async def grouped() -> None:
    raise BaseExceptionGroup("two", [CANCELLED(), BaseExceptionGroup("one", [CANCELLED()])])


@pytest.mark.parametrize("func", [forged, of_asyncio, grouped])
async def test_a_cancellation_that_no_scope_asked_for_is_foreign(func: Callable[[], Awaitable[object]]) -> None:
    assert await caught(func)


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_the_cancellation_of_an_awaited_future_is_foreign() -> None:
    future: asyncio.Future[None] = asyncio.Future()
    future.cancel()
    assert await caught(lambda: future)


async def test_the_cancellation_of_a_scope_is_ours() -> None:
    with anyio.CancelScope() as scope:
        scope.cancel()
        await caught(anyio.sleep_forever)
    assert scope.cancelled_caught


async def test_a_time_limit_that_is_over_is_ours() -> None:
    with anyio.move_on_after(0.01) as scope:
        await caught(anyio.sleep_forever)
    assert scope.cancelled_caught


async def test_a_cancelled_task_group_is_ours() -> None:
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(caught, anyio.sleep_forever)
        await anyio.wait_all_tasks_blocked()
        tasks.cancel_scope.cancel()
    assert tasks.cancel_scope.cancelled_caught


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_a_task_that_its_holder_cancels_is_ours() -> None:
    task = asyncio.Task(caught(anyio.sleep_forever))
    await anyio.wait_all_tasks_blocked()
    task.cancel()
    with pytest.raises(CANCELLED):
        await task


def test_where_no_event_loop_runs_nobody_cancels() -> None:
    assert isinstance(as_failure(CANCELLED()), Escaped)


def test_an_exception_is_the_failure_itself() -> None:
    exc = ValueError()
    assert as_failure(exc) is exc


@pytest.mark.parametrize("kind", [SystemExit, GeneratorExit, BaseException, CANCELLED])
async def test_whatever_else_is_raised_becomes_a_failure_that_says_where(kind: type[BaseException]) -> None:
    try:
        raise kind("what a person wrote")
    except BaseException as exc:  # noqa: BLE001 - that is what is tested
        failure = as_failure(exc)
    assert isinstance(failure, Escaped)
    assert isinstance(failure.__cause__, kind)
    assert "test_isolation.py:" in str(failure)
    assert "person" not in str(failure)


async def test_an_exit_within_a_group_becomes_a_failure() -> None:
    assert isinstance(as_failure(BaseExceptionGroup("", [SystemExit(), ValueError()])), Escaped)


def within(depth: int, exc: BaseException) -> BaseException:
    for _ in range(depth):
        exc = BaseExceptionGroup("", [exc])
    return exc


def test_groups_may_be_nested_more_deeply_than_python_can_follow() -> None:
    assert isinstance(as_failure(within(5000, SystemExit())), Escaped)
    assert isinstance(as_failure(within(5000, ValueError())), Escaped)
    assert is_interrupt(within(5000, KeyboardInterrupt()))
    assert "ValueError" in describe(within(5000, ValueError()), "")


@pytest.mark.parametrize("notes", [42, [42], None, "a text"], ids=repr)
def test_notes_that_are_none_can_be_told(notes: Any) -> None:
    exc = ValueError("no tide")
    exc.__notes__ = notes
    failure = as_failure(exc)
    assert "".join(getattr(failure, "__notes__", ())) in ("", "a text")


def test_a_long_message_is_told_in_part() -> None:
    assert len(describe(ValueError("x" * 1_000_000), "")) < 1100


async def test_an_interrupt_is_nobodys_failure() -> None:
    with pytest.raises(KeyboardInterrupt):
        as_failure(KeyboardInterrupt())
    with pytest.raises(BaseExceptionGroup):
        as_failure(BaseExceptionGroup("", [KeyboardInterrupt(), ValueError()]))


async def test_a_cancellation_of_ours_goes_on() -> None:
    with anyio.CancelScope() as scope:
        scope.cancel()
        try:
            await anyio.sleep_forever()
        except BaseException as exc:
            as_failure(exc)
            raise AssertionError("it was kept") from exc
    assert scope.cancelled_caught


async def test_a_group_of_nothing_but_our_cancellations_ends_its_scope() -> None:
    with anyio.CancelScope() as scope:
        scope.cancel()
        try:
            await anyio.sleep_forever()
        except anyio.get_cancelled_exc_class() as exc:
            as_failure(BaseExceptionGroup("odd", [exc, BaseExceptionGroup("odd", [exc])]))
    assert scope.cancelled_caught
