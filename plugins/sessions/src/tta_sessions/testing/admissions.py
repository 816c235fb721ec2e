"""What every store of sessions promises of the turns that wait in them."""

from __future__ import annotations

import anyio
import msgspec
import pytest

from tta_sessions.model import (
    Admission,
    Session,
    SessionBusy,
    SessionConflict,
    SessionFenced,
    Sessions,
    SessionTooLarge,
)
from tta_sessions.queue import QUEUE

TTL = 30.0


def admission(run: str, *, session: str = "a", user: str = "u", text: str = "look", holder: str = "h") -> Admission:
    return Admission(session, user, run, text, holder)


class AdmissionsContract:
    """A part of the contract of `Sessions`."""

    async def test_an_admitted_turn_is_the_first_and_its_holder_s(self, sessions: Sessions) -> None:
        wanted = Admission("a", "ü", "1", "schau ä\n", "h", seed=-(2**63))
        entered = await sessions.admit(wanted, TTL)
        assert msgspec.structs.replace(entered, at=0.0, until=0.0) == wanted
        assert entered.until - entered.at == pytest.approx(TTL, abs=0.01)
        held = await sessions.hold("a", "1", "h", TTL)
        assert held.status == "held"
        assert held.first is not None
        assert msgspec.structs.replace(held.first, until=entered.until) == entered

    async def test_the_same_run_is_admitted_once(self, sessions: Sessions) -> None:
        first = await sessions.admit(admission("1"), TTL)
        assert await sessions.admit(admission("1", text="other", holder="other"), TTL) == first
        assert await sessions.drop("a", "1", "h")
        assert (await sessions.hold("a", "1", "h", TTL)).first is None

    async def test_turns_wait_in_the_order_in_which_they_came(self, sessions: Sessions) -> None:
        for run in ("1", "2", "3"):
            await sessions.admit(admission(run, holder=run), TTL)
        order: list[str] = []
        for _ in range(3):
            held = [run for run in ("1", "2", "3") if (await sessions.hold("a", run, run, TTL)).status == "held"]
            assert len(held) == 1
            order += held
            assert await sessions.drop("a", held[0], held[0])
        assert order == ["1", "2", "3"]

    async def test_who_waits_is_told_who_is_first(self, sessions: Sessions) -> None:
        await sessions.admit(admission("1", holder="one"), TTL)
        await sessions.admit(admission("2", holder="two"), TTL)
        held = await sessions.hold("a", "2", "two", TTL)
        assert (held.status, held.first and held.first.run) == ("waits", "1")
        assert (await sessions.hold("a", "1", "two", TTL)).status == "waits", "another one who is alive holds it"
        assert (await sessions.hold("b", "1", "two", TTL)).first is None, "another session has a queue of its own"

    async def test_what_its_holder_left_is_taken_over_with_all_that_was_told(self, sessions: Sessions) -> None:
        await sessions.admit(admission("1", holder="one"), TTL)
        await sessions.hold("a", "1", "one", TTL, told=7)
        await sessions.hold("a", "1", "one", 0.0, told=3)
        taken = await sessions.hold("a", "1", "two", TTL)
        assert taken.status == "held"
        assert taken.first is not None
        assert (taken.first.holder, taken.first.told, taken.first.text) == ("two", 7, "look")
        assert (await sessions.hold("a", "1", "one", TTL)).status == "waits"
        assert not await sessions.drop("a", "1", "one")

    async def test_only_the_first_turn_is_taken_over(self, sessions: Sessions) -> None:
        await sessions.admit(admission("1", holder="one"), TTL)
        await sessions.admit(admission("2", holder="two"), 0.0)
        assert (await sessions.hold("a", "2", "three", TTL)).status == "waits"
        await sessions.drop("a", "1", "one")
        assert (await sessions.hold("a", "2", "three", TTL)).status == "held"

    async def test_a_commit_takes_its_turn_out_of_the_queue(self, sessions: Sessions) -> None:
        entered = await sessions.admit(admission("1"), TTL)
        await sessions.admit(admission("2"), TTL)
        stored = await sessions.commit(Session("a", "u", context={"turn": 1}), entered)
        assert await sessions.get("a") == stored
        after = await sessions.hold("a", "1", "h", TTL)
        assert (after.status, after.first and after.first.run) == ("gone", "2")
        with pytest.raises(SessionFenced):
            await sessions.commit(stored, entered)
        assert await sessions.get("a") == stored

    async def test_who_lost_a_turn_commits_nothing(self, sessions: Sessions) -> None:
        entered = await sessions.admit(admission("1", holder="one"), 0.0)
        taken = (await sessions.hold("a", "1", "two", TTL)).first
        with pytest.raises(SessionFenced):
            await sessions.commit(Session("a", "u"), entered)
        assert await sessions.get("a") is None
        assert (await sessions.commit(Session("a", "u"), taken)).version == 1

    async def test_who_is_not_the_first_commits_nothing(self, sessions: Sessions) -> None:
        await sessions.admit(admission("1"), TTL)
        second = await sessions.admit(admission("2"), TTL)
        with pytest.raises(SessionFenced):
            await sessions.commit(Session("a", "u"), second)
        assert await sessions.get("a") is None

    async def test_a_conflict_leaves_the_turn_where_it_is(self, sessions: Sessions) -> None:
        await sessions.commit(Session("a", "u"))
        entered = await sessions.admit(admission("1"), TTL)
        with pytest.raises(SessionConflict):
            await sessions.commit(Session("a", "u"), entered)
        assert (await sessions.hold("a", "1", "h", TTL)).status == "held"

    async def test_a_commit_without_a_turn_leaves_the_queue_alone(self, sessions: Sessions) -> None:
        await sessions.admit(admission("1"), TTL)
        await sessions.commit(Session("a", "u"))
        assert (await sessions.hold("a", "1", "h", TTL)).status == "held"

    async def test_only_so_many_turns_wait(self, sessions: Sessions) -> None:
        for number in range(QUEUE):
            await sessions.admit(admission(f"{number}"), TTL)
        with pytest.raises(SessionBusy):
            await sessions.admit(admission("more"), TTL)
        assert (await sessions.admit(admission("0"), TTL)).run == "0"
        assert await sessions.drop("a", "0", "h")
        await sessions.admit(admission("more"), TTL)

    async def test_of_many_who_want_a_turn_one_has_it(self, sessions: Sessions) -> None:
        await sessions.admit(admission("1"), 0.0)
        got: list[str] = []

        async def take(holder: str) -> None:
            if (await sessions.hold("a", "1", holder, TTL)).status == "held":
                got.append(holder)

        async with anyio.create_task_group() as tasks:
            for number in range(20):
                tasks.start_soon(take, f"holder {number}")
        assert len(got) == 1

    async def test_forgetting_a_person_reaches_their_turns_and_leaves_the_others(self, sessions: Sessions) -> None:
        mine = await sessions.admit(admission("1", session="mine"), TTL)
        await sessions.admit(admission("2", session="both"), TTL)
        await sessions.admit(admission("3", session="both", user="v"), TTL)
        await sessions.commit(Session("both", "v"))
        assert await sessions.forget("u") == 2
        assert (await sessions.hold("mine", "1", "h", TTL)).status == "gone"
        left = (await sessions.hold("both", "", "h", TTL)).first
        assert left is not None
        assert left.run == "3"
        with pytest.raises(SessionFenced):
            await sessions.commit(Session("mine", "u"), mine)
        assert await sessions.forget("u") == 0

    async def test_a_deleted_session_has_no_turns(self, sessions: Sessions) -> None:
        await sessions.commit(Session("a", "u"))
        await sessions.admit(admission("1"), TTL)
        assert await sessions.delete("a")
        assert (await sessions.hold("a", "1", "h", TTL)).first is None

    async def test_a_turn_that_is_too_large_is_not_admitted(self, small: Sessions) -> None:
        with pytest.raises(SessionTooLarge):
            await small.admit(admission("1", text="x" * 3000), TTL)
        assert (await small.hold("a", "1", "h", TTL)).first is None

    async def test_what_could_not_be_answered_is_not_admitted(self, sessions: Sessions) -> None:
        for wrong in (
            admission("1", text=""), admission("1", text="\udcff"), admission(""), admission("1", holder=""),
            admission("1", session="\udcff"), msgspec.structs.replace(admission("1"), seed=2**64),
        ):  # fmt: skip
            with pytest.raises(TypeError):
                await sessions.admit(wrong, TTL)
        assert (await sessions.hold("a", "1", "h", TTL)).first is None
        assert (await sessions.hold("\udcff", "1", "h", TTL)).first is None
        assert not await sessions.drop("\udcff", "1", "h")
