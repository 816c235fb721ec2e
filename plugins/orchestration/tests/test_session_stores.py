"""A store of sessions that misbehaves, whoever wrote it: the turn ends in time, and the next one is played."""

from __future__ import annotations

import logging
import time
from collections.abc import Awaitable, Callable
from typing import Any

import anyio
import pytest

from tta_kernel.testing.strangers import LIMIT, Outcome, Stranger, strangers
from tta_orchestration.guard import NotKept, SessionGuard
from tta_orchestration.queue import TurnQueue
from tta_sessions import Admission, Session
from tta_sessions.memory import MemorySessions

LONG = 10.0
Call = Callable[[SessionGuard], Awaitable[Any]]


class Odd(MemorySessions):
    """Sessions in memory; as often as ``times`` says, a call does what a stranger does."""

    def __init__(self, stranger: Stranger, times: int) -> None:
        super().__init__(time.time, ttl=1000, limit=10)
        self._stranger, self._left = stranger, times

    def get(self, id: str) -> Any:
        return self._stranger() if self._is_odd() else super().get(id)

    def commit(self, session: Session, admission: Admission | None = None) -> Any:
        return self._stranger() if self._is_odd() else super().commit(session, admission)

    def admit(self, admission: Admission, ttl: float) -> Any:
        return self._stranger() if self._is_odd() else super().admit(admission, ttl)

    def hold(self, session: str, run: str, holder: str, ttl: float, told: int = 0) -> Any:
        return self._stranger() if self._is_odd() else super().hold(session, run, holder, ttl, told)

    def drop(self, session: str, run: str, holder: str) -> Any:
        return self._stranger() if self._is_odd() else super().drop(session, run, holder)

    def _is_odd(self) -> bool:
        self._left -= 1
        return self._left >= 0


def guarded(stranger: Stranger, *, times: int) -> SessionGuard:
    return SessionGuard(Odd(stranger, times), logging.getLogger("tta.test"), lambda event: None, limit=LIMIT)


async def read(guard: SessionGuard) -> object:
    return (await guard.read("a", "u")).session


async def commit(guard: SessionGuard) -> object:
    return await guard.commit(Session("a", "u"), "run", unread=False)


@pytest.mark.boundary("tta_sessions.Sessions")
@pytest.mark.parametrize("call", [read, commit])
@pytest.mark.parametrize("stranger", strangers("async", returns=Session), ids=str)
async def test_whatever_a_store_does_the_turn_has_its_session_or_knows_that_it_is_not_kept(
    stranger: Stranger, call: Call
) -> None:
    guard = guarded(stranger, times=4)
    with anyio.fail_after(LONG):
        if stranger.outcome is Outcome.STOP:
            with pytest.raises((KeyboardInterrupt, BaseExceptionGroup)):
                await call(guard)
            return
        part = ""
        try:
            found = await call(guard)
        except NotKept as exc:
            part = exc.failure.part
            found = None
        if part:
            assert part == f"sessions.{'get' if call is read else 'commit'}"
        else:
            # None is an answer to `get`: there is no such session.
            assert found is None or isinstance(found, Session)
            assert found is not None or call is read
            # Who is late may have the answer, after all.
            assert stranger.outcome is not Outcome.FAILURE or stranger.name == "returns None"
    well = guarded(stranger, times=0)
    assert isinstance(await commit(well), Session)


async def part_or_answer(call: Awaitable[object]) -> str:
    """Name what a call returned, or the part of the system that failed it."""
    try:
        return type(await call).__name__
    except NotKept as exc:
        return exc.failure.part


@pytest.mark.boundary("tta_sessions.Sessions")
@pytest.mark.parametrize("stranger", strangers("async", returns=Admission), ids=str)
async def test_whatever_a_store_does_a_turn_is_admitted_or_its_player_knows_that_it_is_not(stranger: Stranger) -> None:
    entry = Admission("a", "u", "1", "look", "h")
    log = logging.getLogger("tta.test")
    sessions = Odd(stranger, times=3)
    guard = SessionGuard(sessions, log, lambda event: None, limit=LIMIT)
    queue = TurnQueue(sessions, guard, log, limit=LIMIT, ttl=1.0, patience=1.0)
    with anyio.fail_after(LONG):
        if stranger.outcome is Outcome.STOP:
            with pytest.raises((KeyboardInterrupt, BaseExceptionGroup)):
                await queue.admit(entry)
            return
        assert await part_or_answer(queue.admit(entry)) in ("sessions.admit", "Admission")
        assert await part_or_answer(queue.ask(entry)) in ("sessions.admit", "Held")
        for _ in range(3):
            await queue.drop(entry)
        assert (await queue.admit(entry)).run == "1"
        assert (await queue.ask(entry)).status == "held"


@pytest.mark.parametrize("call", [read, commit])
async def test_another_one_s_session_is_none(call: Call) -> None:
    async def another() -> Session:
        return Session("b", "somebody", 1, context={"turn": 3})

    with pytest.raises(NotKept) as caught:
        await call(guarded(Stranger("another one's", Outcome.FAILURE, another), times=9))
    assert caught.value.failure.code == "failed"
