"""What stores promise of how many sessions there are, and may be."""

from __future__ import annotations

import anyio
import pytest

from tta_sessions.model import Admission, Listed, Session, Sessions, SessionsFull


def first_turn(session: str, user: str, run: str = "1") -> Admission:
    return Admission(session, user, run, "look", "h")


class ListingContract:
    """A part of the contracts of stores: sessions are counted, and a person's are listed."""

    async def test_sessions_are_counted_and_a_persons_are_listed_by_id(self, sessions: Sessions) -> None:
        for id, user in (("b", "u"), ("a", "u"), ("c", "v"), ("d", "")):
            await sessions.commit(Session(id, user))
        last = await sessions.commit(Session("e", "u"))
        assert [await sessions.count(user) for user in ("", "u", "v", "nobody")] == [5, 3, 1, 0]
        assert [each.id for each in await sessions.list("u")] == ["a", "b", "e"]
        assert await sessions.list("u", "b") == [Listed("e", 1, last.created_at, last.updated_at)]
        assert [each.id for each in await sessions.list("u", "a", limit=1)] == ["b"]
        for user in ("", "nobody", "\udcff"):
            assert await sessions.list(user) == []

    async def test_what_was_deleted_or_forgotten_is_neither_counted_nor_listed(self, sessions: Sessions) -> None:
        for id, user in (("a", "u"), ("b", "u"), ("c", "v")):
            await sessions.commit(Session(id, user))
        await sessions.delete("a")
        assert (await sessions.count(), [each.id for each in await sessions.list("u")]) == (2, ["b"])
        await sessions.forget("u")
        assert (await sessions.count(), await sessions.count("u"), await sessions.list("u")) == (1, 0, [])


class RoomContract:
    """Subclass this for a store that takes so many sessions at most; ``crowded`` takes 3, and 2 of one person."""

    async def test_where_there_is_no_room_nothing_is_begun_and_what_is_there_goes_on(self, crowded: Sessions) -> None:
        first = await crowded.commit(Session("a", "u"))
        for id in ("b", "c"):
            await crowded.commit(Session(id, id))
        with pytest.raises(SessionsFull):
            await crowded.commit(Session("d", "d"))
        with pytest.raises(SessionsFull):
            await crowded.admit(first_turn("d", "d"), 30.0)
        assert await crowded.get("d") is None
        assert (await crowded.hold("d", "", "", 0.0)).first is None
        assert (await crowded.count(), await crowded.count("d"), await crowded.forget("d")) == (3, 0, 0)
        await crowded.admit(first_turn("a", "u"), 30.0)
        assert (await crowded.commit(first)).version == 2

    async def test_one_person_has_so_many_and_others_have_room(self, crowded: Sessions) -> None:
        for id in ("a", "b"):
            await crowded.commit(Session(id, "u"))
        with pytest.raises(SessionsFull):
            await crowded.admit(first_turn("c", "u"), 30.0)
        with pytest.raises(SessionsFull):
            await crowded.commit(Session("c", "u"))
        assert (await crowded.commit(Session("c", "v"))).version == 1

    async def test_a_turn_that_was_admitted_has_its_place(self, crowded: Sessions) -> None:
        for id in ("a", "b", "c"):
            await crowded.admit(first_turn(id, id), 30.0)
        with pytest.raises(SessionsFull):
            await crowded.admit(first_turn("d", "d"), 30.0)
        for id in ("a", "b", "c"):
            assert (await crowded.commit(Session(id, id), first_turn(id, id))).version == 1

    async def test_what_goes_makes_room(self, crowded: Sessions) -> None:
        for id in ("a", "b", "c"):
            await crowded.commit(Session(id, id))
        await crowded.delete("a")
        await crowded.commit(Session("d", "d"))
        await crowded.forget("b")
        await crowded.admit(first_turn("e", "e"), 30.0)

    async def test_of_many_at_once_no_more_get_in_than_may(self, crowded: Sessions) -> None:
        refused: list[str] = []

        async def begin(id: str) -> None:
            try:
                await crowded.commit(Session(id, id))
            except SessionsFull:
                refused.append(id)

        async with anyio.create_task_group() as tasks:
            for number in range(12):
                tasks.start_soon(begin, f"s{number}")
        assert len(refused) == 9
        assert await crowded.count() == 3
