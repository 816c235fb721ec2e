"""The contract that every implementation of `Sessions` passes."""

from __future__ import annotations

import pytest

from .model import Session, SessionConflict, Sessions


class SessionsContract:
    """Subclass this, and give a fixture ``sessions`` that returns an empty implementation."""

    async def test_a_session_that_nobody_committed_is_none(self, sessions: Sessions) -> None:
        assert await sessions.get("a") is None

    async def test_a_commit_counts_the_version_and_stamps_the_times(self, sessions: Sessions) -> None:
        first = await sessions.commit(Session("a", "u", context={"turn": 1}))
        second = await sessions.commit(first)
        assert (first.version, second.version) == (1, 2)
        assert second.created_at == first.created_at <= second.updated_at
        assert await sessions.get("a") == second

    async def test_a_commit_of_an_old_version_is_a_conflict_and_changes_nothing(self, sessions: Sessions) -> None:
        first = await sessions.commit(Session("a", context={"turn": 1}))
        with pytest.raises(SessionConflict):
            await sessions.commit(Session("a", context={"turn": 9}))
        assert await sessions.get("a") == first

    async def test_a_deleted_session_is_gone_once(self, sessions: Sessions) -> None:
        await sessions.commit(Session("a"))
        assert [await sessions.delete("a"), await sessions.delete("a")] == [True, False]
        assert await sessions.get("a") is None

    async def test_forgetting_a_person_leaves_the_others(self, sessions: Sessions) -> None:
        for id, user in (("a", "u"), ("b", "u"), ("c", "v")):
            await sessions.commit(Session(id, user))
        assert await sessions.forget("u") == 2
        assert [bool(await sessions.get(id)) for id in "abc"] == [False, False, True]
