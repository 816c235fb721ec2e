"""What any store of tools must do, as a class of tests to subclass."""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any

import anyio
import pytest
from msgspec.structs import replace

from tta_tools.figures import BOUNDS, Figures
from tta_tools.model import Approval, Reference, ToolExample, ToolParameter, ToolSpec
from tta_tools.store import Claim, NoSuchApproval, ToolStore, ToolStoreError

Passing = tuple[ToolStore, Callable[[float], Awaitable[None]]]
"""A store, and how to let so many of its seconds pass."""
AT = 1_790_000_000.0


def spec(name: str = "dice", version: str = "1.0.0", **more: Any) -> ToolSpec:
    """Make a declaration with a bit of everything."""
    fields: dict[str, Any] = {
        "description": "Roll dice.",
        "parameters": (
            ToolParameter(name="count", description="How many.", schema={"type": "integer", "minimum": 1}),
            ToolParameter(name="odds", required=False, schema={"type": "array", "items": {"type": "number"}}),
        ),
        "returns_schema": {"type": "array", "items": {"type": "integer"}},
        "capabilities": ("chance",),
        "reference": Reference(callable="tta_x.dice:roll", bound={"sides": 6, "names": ["ü", None, True]}),
        "timeout": 2.5,
        "examples": (ToolExample(parameters={"count": 2}),),
        "related_tools": ("coin.flip",),
        **more,
    }
    return ToolSpec(name=name, version=version, **fields)


def approval(id: str = "a-1", binding: str = "b-1", **more: Any) -> Approval:
    """Make an approval that waits for a human, for an hour from `AT`."""
    fields: dict[str, Any] = {
        "tool": "dice", "version": "1.0.0", "arguments": "0f" * 32, "requester": "key:ci", "session": "s-1",
        "owner": "anna", "rule": "ask-first", "asked_at": AT, "expires_at": AT + 3600, **more,
    }  # fmt: skip
    return Approval(id=id, binding=binding, **fields)


async def claim(store: ToolStore, key: str = "k", by: str = "t", **more: Any) -> Claim:
    """Claim a call's key, for a minute."""
    fields: dict[str, Any] = {"lease": 60.0, "ttl": 600.0, "again": False, "owner": "anna", **more}
    return await store.claim(key, fields.pop("fingerprint", "f"), by, **fields)


class ToolStoreContract:
    """Subclass this, and give three fixtures, each an empty implementation whose clock stands at about `AT`, or later.

    ``store`` takes many; ``small`` takes two of each kind, and 1,000 bytes of results; ``passing`` is a `Passing`.
    """

    async def test_a_tool_comes_back_as_it_was_registered(self, store: ToolStore) -> None:
        registered = await store.register(spec())
        assert registered.new
        found = await store.get("dice", "1.0.0")
        assert found == registered.spec
        assert found is not None
        assert (found.status, found.last_used_at) == ("active", 0.0)
        assert found.created_at > 0
        assert replace(found, created_at=0.0, seen_at=0.0) == spec()
        assert found.signature == spec().signature
        assert await store.get("dice", "1.0.1") is None
        assert await store.get("dices", "1.0.0") is None

    async def test_the_first_registration_wins_however_many_come_at_once(self, store: ToolStore) -> None:
        made = []

        async def register(number: int) -> None:
            made.append(await store.register(spec(description=f"Number {number}.")))

        async with anyio.create_task_group() as tasks:
            for number in range(20):
                tasks.start_soon(register, number)
        assert Counter(each.new for each in made) == {True: 1, False: 19}
        assert {each.spec.description for each in made} == {made[0].spec.description}
        assert [each.id for each in (await store.page()).specs] == ["dice:1.0.0"]

    async def test_versions_are_told_with_their_status(self, store: ToolStore) -> None:
        for version in ("1.9.0", "1.10.0", "2.0.0-rc.1"):
            await store.register(spec(version=version))
        await store.register(spec("dice.loaded"))
        assert await store.deprecate("dice", "1.9.0")
        assert await store.versions("dice") == {"1.9.0": "deprecated", "1.10.0": "active", "2.0.0-rc.1": "active"}
        assert await store.versions("nothing") == {}
        found = await store.get("dice", "1.9.0")
        assert found is not None
        assert found.status == "deprecated"
        assert not await store.deprecate("dice", "9.9.9")

    async def test_what_somebody_deprecated_stays_so_when_it_is_registered_again(self, store: ToolStore) -> None:
        await store.register(spec())
        await store.deprecate("dice", "1.0.0")
        again = await store.register(spec())
        assert (again.new, again.spec.status) == (False, "deprecated")

    async def test_pages_hold_each_tool_once_whatever_their_length(self, store: ToolStore) -> None:
        names = [f"kg.query_{number}" for number in range(7)]
        for name in [*names, "dice", "kgx"]:
            await store.register(spec(name))
        found: list[str] = []
        cursor = ""
        while True:
            page = await store.page("kg.", cursor, 3)
            assert len(page.specs) <= 3
            found += [each.name for each in page.specs]
            cursor = page.cursor
            if not cursor:
                break
        assert sorted(found) == names
        assert len((await store.page(limit=100)).specs) == 9
        assert list((await store.page("none")).specs) == []

    async def test_a_use_is_noted_and_never_goes_back(self, store: ToolStore) -> None:
        await store.register(spec())
        assert await store.touch("dice", "1.0.0", used_at=AT + 5000.5)
        assert await store.touch("dice", "1.0.0", used_at=AT + 4000, seen_at=AT + 6000)
        found = await store.get("dice", "1.0.0")
        assert found is not None
        assert found.last_used_at == AT + 5000.5
        assert found.seen_at >= AT + 6000
        assert not await store.touch("dice", "2.0.0", used_at=AT)

    async def test_the_idle_are_deprecated_and_later_pruned(self, passing: Passing) -> None:
        store, sleep = passing
        begun = (await store.register(spec("old"))).spec.created_at
        await store.register(spec("used"))
        await store.register(spec("seen"))
        await sleep(0.2)
        now = begun + 0.15
        await store.touch("used", "1.0.0", used_at=now + 1)
        await store.touch("seen", "1.0.0", seen_at=now + 1)
        cleaned = await store.cleanup(deprecate_before=now, prune_before=now)
        assert (cleaned.deprecated, cleaned.pruned) == (("old:1.0.0",), ())
        found = await store.get("old", "1.0.0")
        assert found is not None
        assert (found.status, found.idle) == ("deprecated", True)
        cleaned = await store.cleanup(deprecate_before=now, prune_before=now - 1)
        assert (cleaned.deprecated, cleaned.pruned) == ((), ())
        cleaned = await store.cleanup(deprecate_before=now, prune_before=now)
        assert (cleaned.deprecated, cleaned.pruned) == ((), ("old:1.0.0",))
        assert await store.get("old", "1.0.0") is None
        assert sorted(each.name for each in (await store.page()).specs) == ["seen", "used"]
        assert (await store.register(spec("old"))).new

    async def test_what_was_idle_is_active_once_it_is_registered_again(self, store: ToolStore) -> None:
        registered = await store.register(spec())
        late = registered.spec.created_at + 1
        await store.cleanup(deprecate_before=late, prune_before=0)
        other = await store.register(spec(capabilities=("other",)))
        assert other.spec.status == "deprecated"
        again = await store.register(spec())
        assert (again.new, again.spec.status, again.spec.idle) == (False, "active", False)
        assert await store.versions("dice") == {"1.0.0": "active"}

    async def test_changes_are_told_by_name(self, store: ToolStore) -> None:
        before = await store.changes(0)
        await store.register(spec())
        await store.register(spec())
        await store.register(spec("coin"))
        await store.deprecate("dice", "1.0.0")
        after = await store.changes(before.number)
        assert after.number > before.number
        assert after.names is None or sorted({*after.names}) == ["coin", "dice"]
        assert (await store.changes(after.number)).names == ()
        assert (await store.changes(after.number + 1000)).names is None

    async def test_whoever_waits_for_a_change_is_woken_by_it(self, store: ToolStore) -> None:
        number = (await store.changes(0)).number
        assert (await store.changes(number, wait=0.01)).names == ()
        with anyio.fail_after(20):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(store.register, spec())
                changes = await store.changes(number, wait=20)
        assert changes.number > number
        assert changes.names in (None, ("dice",))

    async def test_one_builds_and_the_others_are_told_who(self, store: ToolStore) -> None:
        ours = await store.claim_build("sig", by="one", ttl=30)
        assert ours.token
        theirs = await store.claim_build("sig", by="two", ttl=30)
        assert (theirs.token, theirs.tool, theirs.by) == ("", "", "one")
        assert 0 < theirs.left <= 30
        assert (await store.claim_build("other", by="two", ttl=30)).token
        assert await store.finish_build("sig", "wrong", spec()) is None
        registered = await store.finish_build("sig", ours.token, spec())
        assert registered is not None
        assert registered.new
        assert (await store.claim_build("sig", by="two", ttl=30)).tool == "dice:1.0.0"
        assert (await store.get("dice", "1.0.0")) == registered.spec

    async def test_a_build_that_fails_leaves_nothing(self, store: ToolStore) -> None:
        ours = await store.claim_build("sig", by="one", ttl=30)
        assert await store.finish_build("sig", ours.token, None) is None
        again = await store.claim_build("sig", by="two", ttl=30)
        assert again.token not in ("", ours.token)
        assert list((await store.page()).specs) == []
        assert await store.finish_build("sig", ours.token, spec()) is None
        assert await store.get("dice", "1.0.0") is None

    async def test_a_build_of_one_that_died_is_the_next_one_s(self, passing: Passing) -> None:
        store, sleep = passing
        ours = await store.claim_build("sig", by="one", ttl=0.3)
        assert await store.renew_build("sig", ours.token, ttl=0.5)
        await sleep(0.6)
        assert not await store.renew_build("sig", ours.token, ttl=0.5)
        theirs = await store.claim_build("sig", by="two", ttl=30)
        assert theirs.token
        assert await store.finish_build("sig", ours.token, spec(description="Too late.")) is None
        assert await store.finish_build("sig", theirs.token, spec()) is not None

    async def test_what_was_built_and_is_gone_is_built_anew(self, store: ToolStore) -> None:
        ours = await store.claim_build("sig", by="one", ttl=30)
        await store.finish_build("sig", ours.token, spec())
        await store.deprecate("dice", "1.0.0")
        assert (await store.claim_build("sig", by="two", ttl=30)).token

    async def test_a_call_is_claimed_once_and_its_result_is_kept(self, store: ToolStore) -> None:
        assert (await claim(store, by="t-1")).state == "claimed"
        running = await claim(store, by="t-2")
        assert running.state == "running"
        assert 0 < running.left <= 60
        assert (await claim(store, by="t-2", fingerprint="g")).state == "other"
        assert not await store.keep("k", "t-2", b"x", ttl=600)
        assert await store.keep("k", "t-1", b"\x00result", ttl=600)
        assert not await store.keep("k", "t-1", b"y", ttl=600)
        assert await claim(store, by="t-3") == Claim(state="kept", value=b"\x00result")
        assert (await claim(store, by="t-3", fingerprint="g")).state == "other"
        assert (await claim(store, "k-2", "t-3")).state == "claimed"

    async def test_a_claim_that_is_given_back_is_free(self, store: ToolStore) -> None:
        await claim(store, by="t-1")
        assert not await store.release("k", "t-2")
        assert await store.release("k", "t-1")
        assert not await store.release("k", "t-1")
        assert (await claim(store, by="t-2", fingerprint="g")).state == "claimed"

    async def test_a_call_whose_process_died_is_in_doubt_unless_it_may_be_made_again(self, passing: Passing) -> None:
        store, sleep = passing
        await claim(store, by="t-1", lease=0.2)
        await sleep(0.3)
        assert (await claim(store, by="t-2")).state == "in_doubt"
        assert (await claim(store, by="t-2", again=True)).state == "claimed"
        assert not await store.keep("k", "t-1", b"late", ttl=600)
        assert await store.keep("k", "t-2", b"right", ttl=600)

    async def test_a_key_is_forgotten_after_its_time(self, passing: Passing) -> None:
        store, sleep = passing
        await claim(store, "k-1", lease=0.1, ttl=0.3)
        await claim(store, "k-2")
        await store.keep("k-2", "t", b"x", ttl=0.3)
        await store.put("c", b"x", ttl=0.3, owner="")
        await sleep(0.5)
        assert (await claim(store, "k-1", fingerprint="g")).state == "claimed"
        assert (await claim(store, "k-2", fingerprint="g")).state == "claimed"
        assert await store.fetch("c") is None

    async def test_results_for_others_are_found_by_their_key(self, store: ToolStore) -> None:
        assert await store.fetch("c") is None
        await store.put("c", b"one", ttl=60, owner="anna")
        await store.put("c", b"two", ttl=60, owner="anna")
        assert await store.fetch("c") == b"two"
        assert (await claim(store, "c")).state == "claimed"

    async def test_an_approval_is_asked_for_once(self, store: ToolStore) -> None:
        now = await self.now(store)
        first = approval("a-1", asked_at=now, expires_at=now + 600)
        assert await store.ask(first) == first
        assert await store.ask(replace(first, id="a-2")) == first
        other = approval("a-3", "b-2", asked_at=now + 1, expires_at=now + 600)
        assert await store.ask(other) == other
        page = await store.approvals(limit=1)
        assert [each.id for each in page.approvals] == ["a-3"]
        assert [each.id for each in (await store.approvals("pending", page.cursor)).approvals] == ["a-1"]
        assert await store.approval("a-2") is None

    async def test_an_approval_is_taken_once(self, store: ToolStore) -> None:
        now = await self.now(store)
        await store.ask(approval(asked_at=now, expires_at=now + 600))
        assert await store.take("b-1", at=now) is None
        decided = await store.decide("a-1", approved=True, by="dr b", at=now + 1)
        assert (decided.status, decided.by, decided.decided_at) == ("approved", "dr b", now + 1)
        assert await store.decide("a-1", approved=False, by="dr c", at=now + 2) == decided
        taken = []

        async def take() -> None:
            taken.append(await store.take("b-1", at=now + 3))

        async with anyio.create_task_group() as tasks:
            for _ in range(10):
                tasks.start_soon(take)
        assert [each.status for each in taken if each is not None] == ["taken"]
        again = await store.ask(approval("a-2", asked_at=now, expires_at=now + 600))
        assert (again.id, again.status) == ("a-2", "pending")
        with pytest.raises(NoSuchApproval):
            await store.decide("a-9", approved=True, by="dr b", at=now)

    async def test_an_approval_that_was_given_back_is_taken_again(self, store: ToolStore) -> None:
        now = await self.now(store)
        await store.ask(approval(asked_at=now, expires_at=now + 600))
        assert not await store.give_back("a-1")
        decided = await store.decide("a-1", approved=True, by="dr b", at=now)
        assert not await store.give_back("a-1")
        assert not await store.give_back("a-9")
        assert await store.take("b-1", at=now) is not None
        assert await store.give_back("a-1")
        assert await store.approval("a-1") == decided
        assert await store.take("b-1", at=now) is not None
        assert await store.take("b-1", at=now) is None

    async def test_an_approval_stays_taken_where_another_was_asked_for(self, store: ToolStore) -> None:
        now = await self.now(store)
        await store.ask(approval(asked_at=now, expires_at=now + 600))
        await store.decide("a-1", approved=True, by="dr b", at=now)
        assert await store.take("b-1", at=now) is not None
        await store.ask(approval("a-2", asked_at=now, expires_at=now + 600))
        assert not await store.give_back("a-1")
        assert await store.take("b-1", at=now) is None

    async def test_a_refusal_stays_until_it_expires(self, store: ToolStore) -> None:
        now = await self.now(store)
        await store.ask(approval(asked_at=now, expires_at=now + 600))
        await store.decide("a-1", approved=False, by="dr b", at=now)
        assert (await store.ask(approval("a-2", asked_at=now, expires_at=now + 600))).status == "refused"
        assert await store.take("b-1", at=now) is None

    async def test_an_approval_expires(self, passing: Passing) -> None:
        store, sleep = passing
        now = await self.now(store)
        await store.ask(approval(asked_at=now, expires_at=now + 0.3))
        await store.decide("a-1", approved=True, by="dr b", at=now)
        assert await store.take("b-1", at=now + 0.3) is None
        await sleep(0.5)
        assert await store.take("b-1", at=now + 0.5) is None
        assert await store.approval("a-1") is None
        assert list((await store.approvals()).approvals) == []

    async def test_figures_of_several_processes_add_up(self, store: ToolStore) -> None:
        now = await self.now(store)
        times = (0,) * 10 + (2,) + (0,) * (len(BOUNDS) - 11) + (1,)
        one = Figures(
            successes=2, failures={"failed": 1}, cached=3, seconds=0.5, times=times, last_used_at=now
        )  # fmt: skip
        two = Figures(successes=1, failures={"failed": 1, "denied": 2}, seconds=0.25, times=(1,), last_used_at=now - 9)
        await store.count({"dice:1.0.0": one, "coin:1.0.0": two})
        await store.count({"dice:1.0.0": two})
        found = await store.figures()
        assert found == {"dice:1.0.0": one.plus(two), "coin:1.0.0": Figures().plus(two)}
        assert found["dice:1.0.0"].failures == {"failed": 2, "denied": 2}

    async def test_a_person_is_forgotten_and_nobody_else(self, store: ToolStore) -> None:
        now = await self.now(store)
        for owner in ("anna", "bert", ""):
            await claim(store, f"k-{owner}", owner=owner)
            await store.keep(f"k-{owner}", "t", b"x", ttl=600)
            await claim(store, f"r-{owner}", owner=owner)
            await store.put(f"c-{owner}", b"x", ttl=600, owner=owner)
            await store.ask(approval(f"a-{owner}", f"b-{owner}", owner=owner, asked_at=now, expires_at=now + 600))
        assert await store.forget("") == 0
        assert await store.forget("anna") == 4
        assert await store.forget("anna") == 0
        assert (await claim(store, "k-anna")).state == "claimed"
        assert (await claim(store, "r-anna")).state == "claimed"
        assert await store.fetch("c-anna") is None
        assert await store.approval("a-anna") is None
        assert (await claim(store, "k-bert", owner="bert")).state == "kept"
        assert await store.fetch("c-") == b"x"
        assert {each.owner for each in (await store.approvals()).approvals} == {"bert", ""}

    async def test_there_is_a_bound_to_everything(self, small: ToolStore) -> None:
        now = await self.now(small)
        await small.register(spec("tool_1"))
        for number in range(2):
            await small.ask(approval(f"a-{number}", f"b-{number}", asked_at=now, expires_at=now + 600))
            assert (await claim(small, f"k-{number}")).state == "claimed"
        with pytest.raises(ToolStoreError, match="no more may"):
            await small.register(spec("tool_2"))
        with pytest.raises(ToolStoreError, match="no more may"):
            await small.ask(approval("a-2", "b-2", asked_at=now, expires_at=now + 600))
        with pytest.raises(ToolStoreError, match="no more may"):
            await claim(small, "k-2")
        assert not (await small.register(spec("tool_1"))).new
        for number in range(3):
            await small.put(f"c-{number}", b"x" * 400, ttl=60, owner="")
        assert await small.fetch("c-2") is not None
        assert await small.fetch("c-0") is None

    async def now(self, store: ToolStore) -> float:
        """Return what a store's clock shows, as far as it can be seen."""
        return (await store.register(spec("clock"))).spec.seen_at or AT
