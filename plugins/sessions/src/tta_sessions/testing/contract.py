"""What every store of sessions promises, be it one process's own."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import anyio
import msgspec
import pytest

from tta_sessions.model import Session, SessionConflict, Sessions, SessionTooLarge

from .admissions import AdmissionsContract
from .context import ContextContract
from .flags import FlagsContract
from .room import ListingContract

Ending = tuple[Sessions, Callable[[], Awaitable[None]]]
"""An implementation, and what lets the time to live of its sessions pass."""
CONTEXTS: list[Mapping[str, Any]] = [
    {},
    {"text": "Ä \U0001f30a \x00 \n", "none": None, "deep": [{"a": [1, -1, 2**63 - 1, 0.1, True]}]},
    {"bytes": b"\xff\x00"},
    {"": "", "a b:c{d}": 1},
]
NAMES = [
    "a b", "ä:{b}", "a%7Bb", "*", "a\nb", "a_b", "a-b", "a", "A", "a/b", "../a", "a.", "a\x00b", "\u00e9", "e\u0301",
    "x" * 300, "x" * 301,
]  # fmt: skip
"""Names that end up in one place where a store makes keys, or names of files, of them carelessly."""

_ENDLESS: dict[str, Any] = {}
_ENDLESS["it"] = _ENDLESS
UNFIT: tuple[Any, ...] = (
    {"it": object()}, {1: "one"}, ["it"], None, {"it": 2**70}, {"it": "\udcff"}, {b"\xff": "it"}, _ENDLESS,
)  # fmt: skip


class SingleProcessSessionsContract(AdmissionsContract, FlagsContract, ContextContract, ListingContract):
    """Subclass this for a store that no two processes share, and give three fixtures, each an empty one.

    ``sessions`` takes 100,000 bytes a session; ``small`` takes 2,000; ``ending`` is an `Ending`.
    """

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

    async def test_forgetting_a_person_twice_or_nobody_forgets_nothing(self, sessions: Sessions) -> None:
        for id, user in (("a", "u"), ("b", "")):
            await sessions.commit(Session(id, user))
        assert [await sessions.forget(user) for user in ("u", "u", "", "v")] == [1, 0, 0, 0]
        assert [bool(await sessions.get(id)) for id in "ab"] == [False, True]

    async def test_a_person_who_comes_back_is_forgotten_again(self, sessions: Sessions) -> None:
        for _ in range(2):
            session = await sessions.commit(Session("a", "u"))
            await sessions.commit(session)
            assert await sessions.forget("u") == 1
            assert await sessions.get("a") is None

    async def test_many_sessions_of_one_person_are_forgotten(self, sessions: Sessions) -> None:
        async with anyio.create_task_group() as tasks:
            for number in range(300):
                tasks.start_soon(sessions.commit, Session(f"s{number}", "u"))
        assert await sessions.forget("u") == 300
        assert await sessions.get("s0") is None

    @pytest.mark.parametrize("context", CONTEXTS)
    async def test_a_context_comes_back_as_it_was(self, sessions: Sessions, context: Mapping[str, Any]) -> None:
        await sessions.commit(Session("a", "u", context=context))
        stored = await sessions.get("a")
        assert stored is not None
        assert stored.context == context

    @pytest.mark.parametrize("id", [*NAMES[:5], "x" * 200])
    async def test_any_name_is_a_name_of_its_own(self, sessions: Sessions, id: str) -> None:
        await sessions.commit(Session(id, id))
        assert await sessions.get(f"{id}.") is None
        assert (await sessions.get(id)) is not None
        assert await sessions.forget(id) == 1

    async def test_names_that_are_much_alike_are_two_persons_sessions(self, sessions: Sessions) -> None:
        for name in NAMES:
            there = await sessions.get(name)
            assert there is None, f"{name!r} was given the session {there.id!r}: two names lie in one place"
            await sessions.commit(Session(name, f"user {name}", context={"name": name}))
        for name in NAMES:
            found = await sessions.get(name)
            assert found is not None
            assert (found.id, found.user, found.context) == (name, f"user {name}", {"name": name})
        assert [await sessions.forget(f"user {name}") for name in NAMES] == [1] * len(NAMES)

    async def test_a_session_that_changed_hands_is_forgotten_with_its_owner_only(self, sessions: Sessions) -> None:
        first = await sessions.commit(Session("a", "u"))
        await sessions.commit(msgspec.structs.replace(first, user="v"))
        assert [await sessions.forget("u"), await sessions.forget("v")] == [0, 1]
        assert await sessions.get("a") is None

    async def test_nobody_changes_a_stored_session_but_by_commit(self, sessions: Sessions) -> None:
        context = {"turn": 1}
        await sessions.commit(Session("a", context=context))
        context["turn"] = 9
        stored = await sessions.get("a")
        assert stored is not None
        assert stored.context == {"turn": 1}

    @pytest.mark.parametrize("context", UNFIT)
    async def test_what_would_not_come_back_is_not_stored(self, sessions: Sessions, context: Any) -> None:
        kept = await sessions.commit(Session("a", "u", context={"turn": 1}))
        with pytest.raises(TypeError):
            await sessions.commit(Session("a", "u", kept.version, context=context))
        with pytest.raises(TypeError):
            await sessions.commit(Session("b", "u", context=context))
        assert await sessions.get("a") == kept
        assert await sessions.forget("u") == 1

    async def test_what_is_no_text_names_nobody(self, sessions: Sessions) -> None:
        for session in (Session("\udcff"), Session("a", "\udcff"), Session("a", created_at=float("nan"))):
            with pytest.raises(TypeError):
                await sessions.commit(session)
        assert await sessions.get("\udcff") is None
        assert not await sessions.delete("\udcff")
        assert await sessions.forget("\udcff") == 0

    async def test_of_many_commits_of_one_version_exactly_one_wins(self, sessions: Sessions) -> None:
        first = await sessions.commit(Session("a", "u"))
        won: list[Session] = []
        lost: list[SessionConflict] = []

        async def commit(number: int) -> None:
            try:
                won.append(await sessions.commit(Session("a", "u", first.version, context={"by": number})))
            except SessionConflict as conflict:
                lost.append(conflict)

        async with anyio.create_task_group() as tasks:
            for number in range(20):
                tasks.start_soon(commit, number)
        assert (len(won), len(lost)) == (1, 19)
        stored = await sessions.get("a")
        assert stored is not None
        assert (stored.version, stored.context) == (2, won[0].context)

    async def test_of_many_first_commits_exactly_one_wins(self, sessions: Sessions) -> None:
        versions: list[int] = []

        async def commit(number: int) -> None:
            with anyio.move_on_after(10):
                try:
                    versions.append((await sessions.commit(Session("a", context={"by": number}))).version)
                except SessionConflict:
                    versions.append(0)

        async with anyio.create_task_group() as tasks:
            for number in range(20):
                tasks.start_soon(commit, number)
        assert sorted(versions) == [0] * 19 + [1]

    async def test_a_session_that_is_too_large_changes_nothing(self, small: Sessions) -> None:
        first = await small.commit(Session("a", "u", context={"text": "x" * 1000}))
        with pytest.raises(SessionTooLarge, match="2000"):
            await small.commit(Session("a", "u", first.version, context={"text": "x" * 2000}))
        with pytest.raises(SessionTooLarge):
            await small.commit(Session("b", "u", context={"text": "ä" * 1000}))
        assert await small.get("a") == first
        assert await small.get("b") is None

    async def test_a_session_ends_a_while_after_its_last_commit(self, ending: Ending) -> None:
        sessions, pass_ttl = ending
        first = await sessions.commit(Session("a", "u"))
        assert await sessions.get("a") == first
        await pass_ttl()
        assert await sessions.get("a") is None
        assert await sessions.forget("u") == 0
        with pytest.raises(SessionConflict):
            await sessions.commit(first)
        assert (await sessions.commit(Session("a", "u"))).version == 1
