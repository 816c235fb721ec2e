"""The contract that every implementation of `Journal` passes."""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable
from typing import Any

import anyio
import pytest

from tta_workflows.definition import Retention
from tta_workflows.journal import Behind, Commit, Fenced, Journal, JournalFull, Lease, Outgoing, RunHead, RunQuery
from tta_workflows.records import Asked, Done, Ended, Failed, Piece, Released, Signal, Started

Passing = tuple[Journal, Callable[[float], Awaitable[None]]]
"""A journal, and what lets seconds pass for it."""
LONG = 60.0


def head(id: str = "run-1", *, at: float = 1000.0, **more: Any) -> RunHead:
    return RunHead(id, more.pop("workflow", "turn"), more.pop("definition", "d1"), at, **more)


def started(step: str = "a", at: float = 1001.0) -> Started:
    return Started(at=at, step=step)


async def end(journal: Journal, lease: Lease, run: str, number: int = 1) -> None:
    ended = Ended(at=1009.0, status="done")
    await journal.commit(lease, Commit(run, number, (ended,), "done"))
    await journal.release(lease, run, content=LONG, summary=LONG)


class JournalContract:
    """Subclass this, and give three fixtures, each an empty implementation.

    ``journal`` takes many runs and records; ``small`` takes, of one run, no 40 records of 1,000 characters each;
    ``passing`` is a `Passing`, whose times are at least those that are asked for.
    """

    async def test_a_run_that_nobody_created_is_none(self, journal: Journal) -> None:
        assert await journal.read("run-1") is None
        assert await journal.summary("run-1") is None
        assert list((await journal.list(RunQuery())).runs) == []

    async def test_records_come_back_in_the_order_of_their_commits(self, journal: Journal) -> None:
        lease = await journal.join("p", LONG)
        made, new = await journal.create(lease, head(input={"text": "\N{SNOWMAN}", "n": [1, None]}, labels={"a": "b"}))
        assert new
        assert (made.head, made.length, made.status) == (
            head(input={"text": "\N{SNOWMAN}", "n": [1, None]}, labels={"a": "b"}), 0, "running",
        )  # fmt: skip
        first = (started(), Done(at=1002.0, step="a", output={"x": {"y": 1.5}}), started("b"))
        assert await journal.commit(lease, Commit("run-1", 1, first, "running")) == 3
        second = (Failed(at=1003.0, step="b", attempt=1, code="timeout"), Ended(at=1003.0, status="failed"))
        assert await journal.commit(lease, Commit("run-1", 2, second, "failed")) == 5
        found = await journal.read("run-1")
        assert found is not None
        assert (tuple(found.records), found.status) == ((*first, *second), "failed")
        later = await journal.read("run-1", 3)
        assert later is not None
        assert (tuple(later.records), later.after, later.length) == (second, 3, 5)

    async def test_what_a_run_was_started_with_comes_back(self, journal: Journal) -> None:
        lease = await journal.join("p", LONG)
        wanted = head(owner="ann", session="s", priority=7, deadline=1060.5, fairness="team", correlation_id="c")
        await journal.create(lease, wanted)
        found = await journal.read("run-1")
        assert found is not None
        assert found.head == wanted

    async def test_a_run_is_created_once(self, journal: Journal) -> None:
        lease = await journal.join("p", LONG)
        other = await journal.join("q", LONG)
        await journal.create(lease, head())
        await journal.commit(lease, Commit("run-1", 1, (started(),), "running"))
        found, new = await journal.create(other, head(input={"other": True}))
        assert not new
        assert (found.head, tuple(found.records)) == (head(), (started(),))
        with pytest.raises(Fenced):
            await journal.commit(other, Commit("run-1", 1, (started("b"),), "running"))

    async def test_a_run_is_created_with_its_first_records(self, journal: Journal) -> None:
        lease = await journal.join("p", LONG)
        first = (started(), started("b"))
        _, new = await journal.create(lease, head(input={"x": 1}), first, "waiting")
        assert new
        found = await journal.read("run-1")
        assert found is not None
        assert (tuple(found.records), found.status) == (first, "waiting")
        assert await journal.commit(lease, Commit("run-1", 1, (started("c"),), "running", expected=2)) == 3
        again, new = await journal.create(lease, head(input={"x": 1}), first)
        assert (again.length, new) == (3, False)

    async def test_of_many_who_create_a_run_at_once_one_has_it(self, journal: Journal) -> None:
        made: list[bool] = []

        async def create(name: str) -> None:
            lease = await journal.join(name, LONG)
            made.append((await journal.create(lease, head()))[1])

        async with anyio.create_task_group() as tasks:
            for number in range(20):
                tasks.start_soon(create, f"p{number}")
        assert sorted(made) == [False] * 19 + [True]

    async def test_a_commit_that_is_sent_again_is_done_once(self, journal: Journal) -> None:
        lease = await journal.join("p", LONG)
        await journal.create(lease, head())
        out = Outgoing("run-1:a:1", "send", "queue", "type", {"x": 1})
        commit = Commit("run-1", 1, (started(),), "waiting", (out,))
        assert [await journal.commit(lease, commit) for _ in range(3)] == [1, 1, 1]
        found = await journal.read("run-1")
        assert found is not None
        assert (tuple(found.records), tuple(found.outgoing), found.status) == ((started(),), (out,), "waiting")

    async def test_a_commit_that_leaves_one_out_is_refused(self, journal: Journal) -> None:
        lease = await journal.join("p", LONG)
        await journal.create(lease, head())
        with pytest.raises(ValueError, match="2"):
            await journal.commit(lease, Commit("run-1", 2, (started(),), "running"))
        assert (await journal.read("run-1", 0)).length == 0  # type: ignore[union-attr]

    async def test_a_decision_from_an_older_journal_is_made_anew(self, journal: Journal) -> None:
        lease = await journal.join("p", LONG)
        await journal.create(lease, head())
        await journal.commit(lease, Commit("run-1", 1, (started(),), "running"))
        assert await journal.append("run-1", Released(at=1002.0, step="a", attempt=1, length=3)) == "added"
        again = (Started(at=1003.0, step="a", attempt=2),)
        with pytest.raises(Behind):
            await journal.commit(lease, Commit("run-1", 2, again, "running", expected=1))
        assert await journal.commit(lease, Commit("run-1", 2, again, "running", expected=2)) == 3

    async def test_who_lost_the_run_commits_nothing(self, passing: Passing) -> None:
        journal, pass_time = passing
        lease = await journal.join("p", 0.2)
        await journal.create(lease, head())
        await journal.commit(lease, Commit("run-1", 1, (started(),), "running"))
        await pass_time(0.4)
        other = await journal.join("q", LONG)
        assert list(await journal.claim(other, 10)) == ["run-1"]
        with pytest.raises(Fenced):
            await journal.commit(lease, Commit("run-1", 2, (started("late"),), "running"))
        with pytest.raises(Fenced):
            await journal.sent(lease, "run-1", [])
        with pytest.raises(Fenced):
            await journal.set_aside(lease, "run-1", "why")
        assert not await journal.renew(lease, LONG)
        assert await journal.commit(other, Commit("run-1", 1, (started("b"),), "running")) == 2
        found = await journal.read("run-1")
        assert found is not None
        assert tuple(found.records) == (started(), started("b"))

    async def test_a_renewed_lease_holds(self, passing: Passing) -> None:
        journal, pass_time = passing
        lease = await journal.join("p", 1.0)
        await journal.create(lease, head())
        for _ in range(3):
            await pass_time(0.5)
            assert await journal.renew(lease, 1.0)
        other = await journal.join("q", LONG)
        assert list(await journal.claim(other, 10)) == []
        assert not await journal.take(other, "run-1")

    async def test_who_leaves_gives_up_its_runs_at_once(self, journal: Journal) -> None:
        lease = await journal.join("p", LONG)
        for number in range(5):
            await journal.create(lease, head(f"run-{number}"))
        await end(journal, lease, "run-4")
        await journal.leave(lease)
        other = await journal.join("q", LONG)
        first = list(await journal.claim(other, 3))
        rest = list(await journal.claim(other, 3))
        assert (len(first), len(rest)) == (3, 1)
        assert sorted(first + rest) == ["run-0", "run-1", "run-2", "run-3"]
        assert list(await journal.claim(other, 3)) == []

    async def test_of_many_who_claim_a_run_one_gets_it(self, journal: Journal) -> None:
        lease = await journal.join("p", LONG)
        for number in range(30):
            await journal.create(lease, head(f"run-{number}"))
        await journal.leave(lease)
        claimed: list[str] = []

        async def claim(name: str) -> None:
            mine = await journal.join(name, LONG)
            while found := await journal.claim(mine, 4):
                claimed.extend(found)

        async with anyio.create_task_group() as tasks:
            for number in range(8):
                tasks.start_soon(claim, f"p{number}")
        assert sorted(claimed) == sorted(f"run-{number}" for number in range(30))

    async def test_a_run_that_is_over_is_taken_only_by_name(self, journal: Journal) -> None:
        lease = await journal.join("p", LONG)
        await journal.create(lease, head())
        await end(journal, lease, "run-1")
        other = await journal.join("q", LONG)
        assert list(await journal.claim(other, 10)) == []
        assert await journal.take(other, "run-1")
        assert not await journal.take(lease, "run-1")
        assert await journal.commit(other, Commit("run-1", 1, (started("undo"),), "undoing")) == 2
        assert not await journal.take(other, "run-2")

    async def test_the_last_commit_lets_go_of_a_run_once(self, passing: Passing) -> None:
        journal, pass_time = passing
        lease = await journal.join("p", LONG)
        await journal.create(lease, head())
        ended = (Done(at=1002.0, step="a"), Ended(at=1002.0, status="done"))
        last = Commit("run-1", 1, ended, "done", expected=0, release=Retention(content=0.3, summary=LONG))
        assert [await journal.commit(lease, last) for _ in range(2)] == [2, 2]
        await journal.release(lease, "run-1", content=LONG, summary=LONG)  # That is done.
        with pytest.raises(Fenced):
            await journal.commit(lease, Commit("run-1", 2, (started("late"),), "running"))
        await journal.leave(lease)
        other = await journal.join("q", LONG)
        assert list(await journal.claim(other, 10)) == []
        await pass_time(0.6)
        assert await journal.read("run-1") is None
        assert await journal.summary("run-1") is not None

    async def test_who_lost_a_run_does_not_let_go_of_it(self, journal: Journal) -> None:
        lease = await journal.join("p", LONG)
        await journal.create(lease, head())
        keep = Retention(content=LONG, summary=LONG)
        last = Commit("run-1", 1, (Ended(at=1002.0, status="done"),), "done", release=keep)
        await journal.commit(lease, last)
        other = await journal.join("q", LONG)
        assert await journal.take(other, "run-1")
        with pytest.raises(Fenced):
            await journal.commit(lease, last)
        await journal.leave(other)
        assert list(await journal.claim(await journal.join("r", LONG), 10)) == ["run-1"]

    async def test_what_has_something_to_send_is_not_let_go_of(self, journal: Journal) -> None:
        lease = await journal.join("p", LONG)
        await journal.create(lease, head())
        keep = Retention(content=LONG, summary=LONG)
        ended = (Ended(at=1002.0, status="done"),)
        out = (Outgoing("run-1:a:1", "send", "queue", "type"),)
        with pytest.raises(ValueError, match="send"):
            await journal.commit(lease, Commit("run-1", 1, ended, "done", out, release=keep))
        with pytest.raises(ValueError, match="over"):
            await journal.commit(lease, Commit("run-1", 1, (started(),), "running", release=keep))
        assert await journal.commit(lease, Commit("run-1", 1, ended, "done", release=keep)) == 1

    async def test_a_run_that_is_over_and_was_not_released_is_claimed(self, journal: Journal) -> None:
        lease = await journal.join("p", LONG)
        await journal.create(lease, head())
        await journal.commit(lease, Commit("run-1", 1, (Ended(at=1002.0, status="done"),), "done"))
        await journal.leave(lease)
        other = await journal.join("q", LONG)
        assert list(await journal.claim(other, 10)) == ["run-1"]
        await journal.release(other, "run-1", content=LONG, summary=LONG)
        assert list(await journal.claim(await journal.join("r", LONG), 10)) == []

    async def test_a_finished_run_that_is_taken_again_does_not_end_meanwhile(self, passing: Passing) -> None:
        journal, pass_time = passing
        lease = await journal.join("p", LONG)
        await journal.create(lease, head())
        await journal.commit(lease, Commit("run-1", 1, (Ended(at=1002.0, status="done"),), "done"))
        await journal.release(lease, "run-1", content=0.4, summary=0.4)
        assert await journal.take(lease, "run-1")
        await pass_time(0.8)
        assert await journal.commit(lease, Commit("run-1", 1, (started("undo"),), "undoing")) == 2

    async def test_anybody_may_say_something_once(self, journal: Journal) -> None:
        lease = await journal.join("p", LONG)
        await journal.create(lease, head())
        answer = Signal(at=1002.0, step="a", data={"yes": True}, id="s1", by="somebody")
        assert await journal.append("run-1", answer, id="s1") == "added"
        assert await journal.append("run-1", answer, id="s1") == "twice"
        assert await journal.append("run-1", answer) == "added"
        assert await journal.append("run-2", answer) == "unknown"
        await end(journal, lease, "run-1")
        assert await journal.append("run-1", answer, id="s2") == "ended"
        assert await journal.append("run-1", Asked(at=1010.0, what="rollback", by="op"), id="r1") == "added"
        found = await journal.read("run-1", 2)
        assert found is not None
        assert [type(record) for record in found.records] == [Ended, Asked]

    async def test_whoever_waits_is_woken(self, journal: Journal) -> None:
        lease = await journal.join("p", LONG)
        await journal.create(lease, head())
        with anyio.fail_after(20):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(journal.wait, "run-1", 0, 15.0)
                tasks.start_soon(journal.wait, "run-1", 0, 15.0)
                await anyio.lowlevel.checkpoint()
                await journal.commit(lease, Commit("run-1", 1, (started(),), "running"))
            await journal.wait("run-1", 0, 15.0)  # It has more already.
            await journal.wait("nobody", 0, 15.0)
            await journal.wait("run-1", 1, 0.01)

    async def test_what_leaves_a_run_is_kept_until_it_was_sent(self, journal: Journal) -> None:
        lease = await journal.join("p", LONG)
        await journal.create(lease, head())
        out = tuple(Outgoing(f"run-1:a:{n}", "publish", "", "said", {"n": n}) for n in range(3))
        await journal.commit(lease, Commit("run-1", 1, (Ended(at=1002.0, status="done"),), "done", out))
        with pytest.raises(ValueError, match="send"):
            await journal.release(lease, "run-1", content=1.0, summary=1.0)
        await journal.sent(lease, "run-1", ["run-1:a:0", "run-1:a:2"])
        found = await journal.read("run-1")
        assert found is not None
        assert tuple(found.outgoing) == (out[1],)
        await journal.sent(lease, "run-1", ["run-1:a:1", "run-1:a:1"])
        await journal.release(lease, "run-1", content=LONG, summary=LONG)

    async def test_a_run_that_is_over_ends_in_two_parts(self, passing: Passing) -> None:
        journal, pass_time = passing
        lease = await journal.join("p", LONG)
        await journal.define("d1", b"definition")
        await journal.create(lease, head(input={"secret": "text"}, session="s", labels={"a": "b"}))
        await journal.commit(lease, Commit("run-1", 1, (Ended(at=1002.0, status="failed", code="timeout"),), "failed"))
        await journal.release(lease, "run-1", content=0.3, summary=1.5)
        assert await journal.read("run-1") is not None
        await pass_time(0.6)
        assert await journal.read("run-1") is None
        assert await journal.append("run-1", Asked(at=1010.0, what="rollback")) == "unknown"
        assert not await journal.take(lease, "run-1")
        summary = await journal.summary("run-1")
        assert summary is not None
        assert (summary.status, summary.code, summary.session, summary.labels) == ("failed", "timeout", "s", {"a": "b"})
        assert (summary.created_at, summary.ended_at) == (1000.0, 1002.0)
        assert [each.id for each in (await journal.list(RunQuery())).runs] == ["run-1"]
        await pass_time(1.5)
        assert await journal.summary("run-1") is None
        assert list((await journal.list(RunQuery())).runs) == []
        assert (await journal.create(lease, head()))[1]

    async def test_a_definition_is_there_for_as_long_as_a_run_has_it(self, journal: Journal) -> None:
        lease = await journal.join("p", LONG)
        assert await journal.definition("d1") is None
        await journal.define("d1", b"\x00definition\xff")
        await journal.define("d1", b"\x00definition\xff")
        await journal.create(lease, head())
        for number in range(300):
            await journal.define(f"other-{number}", b"x")
        assert await journal.definition("d1") == b"\x00definition\xff"

    async def test_what_is_set_aside_is_claimed_by_nobody(self, journal: Journal) -> None:
        lease = await journal.join("p", LONG)
        await journal.create(lease, head())
        await journal.create(lease, head("run-2"))
        await journal.set_aside(lease, "run-1", "a record doesn't decode")
        await journal.leave(lease)
        other = await journal.join("q", LONG)
        assert list(await journal.claim(other, 10)) == ["run-2"]
        assert not await journal.take(other, "run-1")
        summary = await journal.summary("run-1")
        assert summary is not None
        assert summary.status == "set-aside"

    @pytest.mark.parametrize(
        ("query", "found"),
        [
            (RunQuery(), ["c", "b", "a"]),
            (RunQuery(workflow="turn"), ["c", "a"]),
            (RunQuery(status="done"), ["b"]),
            (RunQuery(status="running", workflow="turn"), ["c", "a"]),
            (RunQuery(session="s1"), ["b", "a"]),
            (RunQuery(owner="u"), ["c"]),
            (RunQuery(labels={"kind": "x"}), ["c", "a"]),
            (RunQuery(labels={"kind": "x", "more": "y"}), ["c"]),
            (RunQuery(workflow="nobody's"), []),
        ],
    )
    async def test_runs_are_listed_as_asked_the_newest_first(
        self, journal: Journal, query: RunQuery, found: list[str]
    ) -> None:
        lease = await journal.join("p", LONG)
        await journal.create(lease, head("a", at=1.0, session="s1", labels={"kind": "x"}))
        await journal.create(lease, head("b", at=2.0, session="s1", workflow="other"))
        await journal.create(lease, head("c", at=3.0, owner="u", labels={"kind": "x", "more": "y"}))
        await end(journal, lease, "b")
        assert [each.id for each in (await journal.list(query)).runs] == found

    async def test_a_long_list_comes_in_pages(self, journal: Journal) -> None:
        lease = await journal.join("p", LONG)
        names = [f"run {number}: {{x}}" for number in range(25)]
        for number, name in enumerate(names):
            await journal.create(lease, head(name, at=float(number // 3)))
        seen: list[str] = []
        cursor = ""
        for _ in range(10):
            page = await journal.list(RunQuery(most=7, cursor=cursor))
            assert len(page.runs) <= 7
            seen.extend(each.id for each in page.runs)
            if not (cursor := page.cursor):
                break
        assert sorted(seen) == sorted(names)
        assert len(seen) == 25

    async def test_forgetting_a_person_leaves_the_others(self, journal: Journal) -> None:
        lease = await journal.join("p", LONG)
        for id, owner in (("a", "u"), ("b", "u"), ("c", "v"), ("d", "")):
            await journal.create(lease, head(id, owner=owner))
        await end(journal, lease, "b")
        assert [await journal.forget(owner) for owner in ("u", "u", "", "w")] == [2, 0, 0, 0]
        assert [await journal.read(id) is None for id in "abcd"] == [True, True, False, False]
        assert [await journal.summary(id) is None for id in "abcd"] == [True, True, False, False]
        with pytest.raises(Fenced):
            await journal.commit(lease, Commit("a", 1, (started(),), "running"))

    async def test_a_parked_run_is_nobodys_until_it_is_reopened(self, journal: Journal) -> None:
        lease, other = await journal.join("p", LONG), await journal.join("q", LONG)
        await journal.create(lease, head())
        pause, answer = Asked(at=1002.0, what="pause"), Signal(at=1003.0, step="a", id="s1")
        assert await journal.append("run-1", pause) == "added"
        with pytest.raises(Behind):
            await journal.park(lease, "run-1", 0)
        with pytest.raises(Fenced):
            await journal.park(other, "run-1", 1)
        await journal.park(lease, "run-1", 1)
        assert (await journal.summary("run-1")).status == "paused"  # type: ignore[union-attr]
        await journal.leave(lease)
        assert list(await journal.claim(other, 10)) == []
        assert await journal.append("run-1", answer, id="s1") == "added"
        resume = Asked(at=1004.0, what="resume", id="r1")
        assert [await journal.reopen("run-1", resume, id="r1") for _ in range(2)] == ["added", "twice"]
        assert list(await journal.claim(other, 10)) == ["run-1"]
        found = await journal.read("run-1")
        assert found is not None
        assert (tuple(found.records), found.status) == ((pause, answer, resume), "running")
        assert await journal.commit(other, Commit("run-1", 1, (started(),), "running")) == 4

    async def test_what_is_set_aside_is_claimed_once_it_is_reopened(self, journal: Journal) -> None:
        lease, other = await journal.join("p", LONG), await journal.join("q", LONG)
        await journal.create(lease, head())
        await journal.set_aside(lease, "run-1", "why")
        assert list(await journal.claim(other, 10)) == []
        assert await journal.reopen("run-1", Asked(at=1004.0, what="resume")) == "added"
        assert list(await journal.claim(other, 10)) == ["run-1"]

    async def test_a_run_that_is_over_is_unfinished_once_somebody_has_it_tried_again(self, journal: Journal) -> None:
        lease, other = await journal.join("p", LONG), await journal.join("q", LONG)
        await journal.create(lease, head())
        ended = (Ended(at=1002.0, status="failed", code="tired"),)
        await journal.commit(lease, Commit("run-1", 1, ended, "failed"))
        retry = Asked(at=1004.0, what="retry")
        assert await journal.reopen("run-1", retry) == "held"
        await journal.release(lease, "run-1", content=LONG, summary=LONG)
        assert await journal.reopen("run-1", retry) == "added"
        assert await journal.reopen("run-2", retry) == "unknown"
        summary = await journal.summary("run-1")
        assert summary is not None
        assert (summary.status, summary.code, summary.ended_at) == ("running", "", 0.0)
        assert list(await journal.claim(other, 10)) == ["run-1"]
        assert await journal.append("run-1", Signal(at=1005.0, step="a", id="s1"), id="s1") == "added"
        await end(journal, other, "run-1")

    async def test_who_holds_a_run_keeps_it_whatever_is_asked(self, journal: Journal) -> None:
        lease, other = await journal.join("p", LONG), await journal.join("q", LONG)
        await journal.create(lease, head())
        assert await journal.reopen("run-1", Asked(at=1004.0, what="cancel")) == "added"
        assert list(await journal.claim(other, 10)) == []
        assert await journal.commit(lease, Commit("run-1", 1, (started(),), "running")) == 2

    async def test_of_many_who_claim_what_was_reopened_each_run_has_one(self, journal: Journal) -> None:
        lease = await journal.join("p", LONG)
        runs = [f"run-{number}" for number in range(30)]
        for run in runs:
            await journal.create(lease, head(run))
            await journal.set_aside(lease, run, "why")
        claimed: list[str] = []

        async def claim(name: str) -> None:
            mine = await journal.join(name, LONG)
            with anyio.fail_after(20):
                while len(claimed) < len(runs):
                    claimed.extend(await journal.claim(mine, 4))
                    await anyio.lowlevel.checkpoint()

        async with anyio.create_task_group() as tasks:
            for number in range(4):
                tasks.start_soon(claim, f"p{number}")
            for run in runs:
                assert await journal.reopen(run, Asked(at=1004.0, what="resume")) == "added"
        assert sorted(claimed) == sorted(runs)

    async def test_whoever_waits_for_runs_hears_of_those_that_are_left_or_reopened(self, journal: Journal) -> None:
        lease, other = await journal.join("p", LONG), await journal.join("q", LONG)
        await journal.create(lease, head())
        await journal.claim(other, 10)
        with anyio.fail_after(20):
            await journal.vacant(0.01)
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(journal.vacant, 15.0)
                await anyio.lowlevel.checkpoint()
                await journal.leave(lease)
            assert list(await journal.claim(other, 10)) == ["run-1"]
            await journal.set_aside(other, "run-1", "why")
            await journal.reopen("run-1", Asked(at=1004.0, what="resume"))
            await journal.vacant(15.0)  # Also where it came before.
            assert list(await journal.claim(other, 10)) == ["run-1"]

    async def test_a_run_that_grows_too_large_is_refused_and_stays_as_it_is(self, small: Journal) -> None:
        lease = await small.join("p", LONG)
        await small.create(lease, head())

        async def grow() -> None:
            for number in range(1, 41):
                piece = Piece(at=1001.0, step="a", attempt=1, number=number, text="x" * 1000)
                await small.commit(lease, Commit("run-1", number, (piece,), "running"))

        with pytest.raises(JournalFull):
            await grow()
        found = await small.read("run-1")
        assert found is not None
        assert 0 < found.length < 40
        with pytest.raises(JournalFull):
            await small.append("run-1", Signal(at=1002.0, step="a", data={"text": "x" * 100_000}))
        await small.commit(lease, Commit("run-1", found.length + 1, (Ended(at=1003.0, status="failed"),), "failed"))

    async def test_the_end_of_a_run_fits_beside_what_filled_it(self, small: Journal) -> None:
        lease = await small.join("p", LONG)
        await small.create(lease, head())
        text = "x" * 1000
        pieces = [Piece(at=1001.0, step="a", attempt=1, number=number, text=text) for number in range(1, 41)]

        async def fill() -> None:
            for number, piece in enumerate(pieces, 1):
                await small.commit(lease, Commit("run-1", number, (piece,), "running"))

        with pytest.raises(JournalFull):
            await fill()
        found = await small.read("run-1")
        assert found is not None
        fit = found.length
        await small.create(lease, head("run-2"), pieces[: fit - 1])
        failed = Failed(at=1002.0, step="a", attempt=1, code="timeout")
        last = Commit("run-2", 1, (pieces[fit - 1], failed, failed, failed), "running")
        assert await small.commit(lease, last) == fit + 3
        with pytest.raises(JournalFull):
            await small.create(lease, head("run-3"), pieces)
        assert await small.read("run-3") is None

    async def test_a_slot_is_held_by_as_many_runs_as_may_until_one_lets_go(self, journal: Journal) -> None:
        assert list(await journal.enter("slot", "a", 2)) == ["a"]
        assert list(await journal.enter("slot", "b", 2)) == ["a", "b"]
        assert list(await journal.enter("slot", "c", 2)) == ["a", "b"]
        assert list(await journal.enter("slot", "b", 2)) == ["a", "b"]
        assert list(await journal.enter("other", "c", 2)) == ["c"]
        await journal.exit("slot", "a")
        await journal.exit("slot", "a")
        assert list(await journal.enter("slot", "c", 2)) == ["b", "c"]

    async def test_of_many_who_want_a_slot_at_once_all_see_the_same_one(self, journal: Journal) -> None:
        seen: list[tuple[str, ...]] = []

        async def enter(run: str) -> None:
            seen.append(tuple(await journal.enter("slot", run, 1)))

        async with anyio.create_task_group() as tasks:
            for number in range(20):
                tasks.start_soon(enter, f"r{number}")
        assert len(set(seen)) == 1

    async def test_what_many_say_and_commit_at_once_is_all_there_in_one_order(self, journal: Journal) -> None:
        lease = await journal.join("p", LONG)
        await journal.create(lease, head())
        seed = random.Random(7)  # noqa: S311

        async def commit() -> None:
            for number in range(1, 51):
                await journal.commit(lease, Commit("run-1", number, (started(f"s{number}"),), "running"))

        async def say(who: int) -> None:
            for number in range(20):
                if seed.random() < 0.5:
                    await anyio.lowlevel.checkpoint()
                await journal.append(
                    "run-1", Signal(at=1.0, step=f"w{who}", id=f"{who}-{number}"), id=f"{who}-{number}"
                )

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(commit)
            for who in range(4):
                tasks.start_soon(say, who)
        found = await journal.read("run-1")
        assert found is not None
        mine = [record.step for record in found.records if isinstance(record, Started)]
        assert mine == [f"s{number}" for number in range(1, 51)]
        for who in range(4):
            said = [record.id for record in found.records if isinstance(record, Signal) and record.step == f"w{who}"]
            assert said == [f"{who}-{number}" for number in range(20)]
