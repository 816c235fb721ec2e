"""What a store of sessions promises that several objects, and several processes, share."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterable
from contextlib import suppress

import anyio
import msgspec
import pytest

from tta_kernel.testing.shared import LONG, Shared, Tell
from tta_sessions.model import Session, SessionConflict, Sessions

from .contract import SingleProcessSessionsContract

ROUNDS = 300
"""How many commits of several at once are compared, at most."""
PAUSES = 200
"""How often another process is paused, at most, until it is found with a lock."""
SMALL, LARGE = "x", "x" * 50_000
_HELD_UP = 0.1
"""Seconds after which a call is taken to be held up by the paused process."""
_ENOUGH = 1.5
"""Seconds in which two processes, be it on one processor, get into each other's way some hundred times."""


async def count(sessions: Sessions, tell: Tell, text: str) -> None:
    """Commit a session's next version again and again, for ever, and tell each that was stored."""
    while True:
        try:
            tell((await commit_next(sessions, text)).version)
        except SessionConflict:
            continue


async def commit_next(sessions: Sessions, text: str = SMALL) -> Session:
    """Read the session, and commit it with its text as it must be."""
    session = await sessions.get("shared") or Session("shared", "u")
    return await sessions.commit(msgspec.structs.replace(session, context={"text": text, "all": True}))


class SessionsContract(SingleProcessSessionsContract):
    """Subclass this for a store that several processes share: it is the whole contract.

    Beside the fixtures ``sessions``, ``small`` and ``ending`` it takes ``shared``, a `Shared` that opens one empty
    store, again and again.
    """

    async def test_what_one_store_does_another_on_the_same_place_sees(self, shared: Shared[Sessions]) -> None:
        async with shared.again() as one, shared.again() as other:
            first = await one.commit(Session("a", "u", context={"turn": 1}))
            assert await other.get("a") == first, "what one store commits another must see"
            second = await other.commit(first)
            assert await one.get("a") == second, "a store that keeps a copy gives an old session"
            with pytest.raises(SessionConflict):
                await one.commit(first)
            assert await one.delete("a")
            assert await other.get("a") is None
            await one.commit(Session("b", "u"))
            assert await other.forget("u") == 1
            assert await one.get("b") is None

    async def test_of_the_commits_of_two_stores_none_is_lost(self, shared: Shared[Sessions]) -> None:
        won: list[int] = []
        async with shared.again() as one, shared.again() as other, anyio.create_task_group() as tasks:
            end = anyio.current_time() + _ENOUGH / 2
            for store in (one, other, one, other):
                tasks.start_soon(commit_until, store, won, end)
        twice = _twice(won)
        assert not twice, (
            f"{len(twice)} versions were committed twice, through two stores of one process, such as {min(twice)}: "
            "between a look at the version and the write the other store got in; a lock in a store keeps no other out"
        )
        assert won

    async def test_of_the_commits_of_two_processes_none_is_lost(self, shared: Shared[Sessions]) -> None:
        async with shared.elsewhere(count, SMALL) as one, shared.elsewhere(count, SMALL) as other:
            await one.until_told()
            await other.until_told()
            end = anyio.current_time() + _ENOUGH
            while not _twice(one.told + other.told) and anyio.current_time() < end:
                await one.until_told(len(one.told) + 1)
                await other.until_told(len(other.told) + 1)
        twice = _twice(one.told + other.told)
        assert not twice, (
            f"{len(twice)} versions were committed twice, by two processes, such as {min(twice)}, and one of the two "
            "is lost: between a look at the version and the write the other process got in; a lock within a process "
            "keeps no other out"
        )

    async def test_what_another_process_is_writing_is_never_read_in_part(self, shared: Shared[Sessions]) -> None:
        async with shared.again() as store, shared.elsewhere(count, LARGE) as other:
            await other.until_told()
            end = anyio.current_time() + _ENOUGH
            while anyio.current_time() < end:
                found = await whole(store)
                assert found is not None, (
                    "the session vanished while another process committed it: write it beside, and put it in place in "
                    "one step"
                )
                assert found.context == {"text": LARGE, "all": True}

    async def test_a_process_that_is_killed_keeps_no_lock_and_leaves_the_session_whole(
        self, shared: Shared[Sessions]
    ) -> None:
        done = anyio.Event()
        async with shared.again() as store, shared.elsewhere(count, LARGE) as other:
            await other.until_told()
            async with anyio.create_task_group() as tasks:
                for _ in range(PAUSES):
                    # Any moment will do: what is sought is one in which the process holds a lock.
                    await anyio.sleep(random.uniform(0.0, 0.01))  # noqa: S311 - no secret
                    done = anyio.Event()
                    with other.paused():
                        tasks.start_soon(commit_once, store, LARGE, [], done)
                        with anyio.move_on_after(_HELD_UP):
                            await done.wait()
                        if not done.is_set():  # It has found the one that holds a lock.
                            other.kill()
                            break
                other.kill()
                with anyio.move_on_after(LONG / 2):
                    await done.wait()
                tasks.cancel_scope.cancel()
            assert done.is_set(), (
                "a process was killed while it committed, and nobody can commit any more: its lock must end with it"
            )
            stored = await whole(store)
            assert stored is not None
            assert stored.version >= max(other.told), "a commit that was told as stored has gone with its process"


async def commit_once(store: Sessions, text: str, won: list[int], done: anyio.Event) -> None:
    """Commit the session's next version, unless somebody else was quicker."""
    with suppress(SessionConflict):
        won.append((await commit_next(store, text)).version)
    done.set()


async def commit_until(store: Sessions, won: list[int], end: float) -> None:
    """Commit the session's next version again and again, until ``end``."""
    while len(won) < ROUNDS and anyio.current_time() < end:
        await commit_once(store, SMALL, won, anyio.Event())


def _twice(versions: Iterable[int]) -> list[int]:
    return [version for version, times in Counter(versions).items() if times > 1]


async def whole(store: Sessions) -> Session | None:
    """Return the shared session, which must be readable at any time."""
    try:
        return await store.get("shared")
    except Exception as exc:
        raise AssertionError(
            f"the session can't be read while another process commits ({type(exc).__name__}: {exc}): write it "
            "beside, and put it in place in one step"
        ) from exc
