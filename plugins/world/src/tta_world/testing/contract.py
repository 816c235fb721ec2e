"""What every store of worlds promises."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack

import anyio
import msgspec
import pytest

from tta_world import graph
from tta_world.graph import NODE_KINDS, RELATION_KINDS, RelationKind
from tta_world.model import World
from tta_world.patch import Edit, Patch, diff, disjoint, patched
from tta_world.store import DEEPEST, Applied, Conflict, Head, Snapshot, WorldRefused, WorldStore, same

from .sample import after_turn, moved, moving, some_world

Passing = tuple[WorldStore, Callable[[], Awaitable[None]]]
"""A store, and what lets a time pass: the one for which a world lives, or the one for which it is read only once."""
NEW = diff(None, some_world())
NOT_A_WORLD = [
    Patch((Edit(("player", "at"), "nowhere to be found"),)),
    Patch((Edit(("things", "ghost"), gone=True),)),
    Patch((Edit(("turn", "x"), 1),)),
    Patch((Edit((), gone=True),)),
    Patch((Edit(("flags",), ["a"], keep=(5, 5)),)),
]
NAMES = ["a b", "ä:{b}", "*", "a\nb", "a", "A", "a/b", "a\x00b", "\u00e9", "e\u0301", "'\"`$}", "x" * 301]
WRITERS = 6


class WorldContract:
    """Subclass this, and give three fixtures, each an empty store.

    ``worlds`` keeps four changes of a world, of at most 100,000 bytes, and takes three subscribers. ``ending`` is what
    lets a world end, and ``cached`` what ends the time for which one that was read isn't read anew.
    """

    rounds = 20
    """How often several writers meet at one world."""

    async def test_a_change_makes_the_next_version_and_is_read_back_as_it_was(self, worlds: WorldStore) -> None:
        first = some_world()
        second = after_turn(moved(first, "coin", "player"))
        assert await worlds.apply("s", 0, NEW, "t1", owner="anna") == Applied(1)
        assert await worlds.apply("s", 1, diff(first, second), "t2", owner="anna") == Applied(2)
        stored, head = await worlds.get("s"), await worlds.head("s")
        assert stored is not None
        assert same(stored.world, second)
        assert stored.head == head
        assert (head.session, head.version, head.turn, head.owner) == ("s", 2, "t2", "anna")

    async def test_a_world_that_nobody_has_made_is_none(self, worlds: WorldStore) -> None:
        assert [await worlds.head("s"), await worlds.get("s"), await worlds.snapshot("s")] == [None] * 3
        assert [[*await worlds.history("s")], [*await worlds.entities("s")], [*await worlds.relations("s")]] == [[]] * 3
        assert [[*await worlds.neighbours("s", "ann")], [*await worlds.path("s", "ann", "bob")]] == [[]] * 2
        assert not await worlds.delete("s")

    async def test_a_turn_is_made_once_whatever_it_expects(self, worlds: WorldStore) -> None:
        world = some_world()
        await worlds.apply("s", 0, NEW, "t1")
        patch = diff(world, after_turn(world))
        await worlds.apply("s", 1, patch, "t2")
        await worlds.apply("s", 2, moving(world, "coin", "player"), "t3")
        assert await worlds.apply("s", 1, patch, "t2") == Applied(2, again=True)
        assert await worlds.apply("s", 3, patch, "t2") == Applied(2, again=True)
        head = await worlds.head("s")
        assert head is not None
        assert head.version == 3

    async def test_a_conflict_says_what_has_changed_so_that_its_caller_can_merge(self, worlds: WorldStore) -> None:
        world = some_world()
        await worlds.apply("s", 0, NEW, "t1")
        theirs = moving(world, "coin", "player")
        await worlds.apply("s", 1, theirs, "t2")
        ours = diff(world, after_turn(world))
        answer = await worlds.apply("s", 1, ours, "t3")
        assert isinstance(answer, Conflict)
        assert (answer.version, [(each.version, each.base, each.turn, each.patch) for each in answer.since]) == (
            2, [(2, 1, "t2", theirs)],
        )  # fmt: skip
        assert disjoint(ours, [each.patch for each in answer.since])
        assert await worlds.apply("s", answer.version, ours, "t3") == Applied(3)
        merged = await worlds.get("s")
        assert merged is not None
        assert same(merged.world, after_turn(moved(world, "coin", "player")))

    async def test_a_conflict_with_what_is_no_longer_kept_says_only_the_version(self, worlds: WorldStore) -> None:
        await self.play(worlds, 6)
        for expected in (0, 1, 7, 99):
            assert await worlds.apply("s", expected, NEW, f"x{expected}") == Conflict(6)

    async def test_earlier_versions_are_kept_as_many_as_may_be(self, worlds: WorldStore) -> None:
        made = await self.play(worlds, 6)
        history = await worlds.history("s")
        assert [(each.version, each.base, each.turn) for each in history] == [
            (number, number - 1, f"t{number}") for number in (3, 4, 5, 6)
        ]
        assert [each.version for each in await worlds.history("s", after=4, limit=1)] == [5]
        assert [each.version for each in await worlds.history("s", limit=2)] == [3, 4]
        for number in (2, 3, 4, 5, 6):
            stored = await worlds.get("s", number)
            assert stored is not None
            assert same(stored.world, made[number - 1])
            assert stored.head.version == number
            # Of the oldest one only what came after it is kept.
            assert stored.head.turn == (f"t{number}" if number > 2 else "")
        assert [await worlds.get("s", number) for number in (0, 1, 7)] == [None] * 3
        assert same(patched(made[1], history[0].patch) or made[0], made[2])

    @pytest.mark.parametrize("patch", NOT_A_WORLD)
    async def test_what_makes_no_world_is_refused_and_changes_nothing(self, worlds: WorldStore, patch: Patch) -> None:
        await worlds.apply("s", 0, NEW, "t1")
        before = await worlds.snapshot("s")
        with pytest.raises(WorldRefused):
            await worlds.apply("s", 1, patch, "t2")
        assert await worlds.snapshot("s") == before

    async def test_what_is_too_large_or_has_no_name_or_another_owner_is_refused(self, worlds: WorldStore) -> None:
        await worlds.apply("s", 0, NEW, "t1", owner="anna")
        huge = diff(None, some_world(flags=("x" * 48,) * 128, beats=tuple("y" * 100_000)))
        refused = [
            ("s", 1, NEW, "t2", "ben"), ("s", 1, NEW, "t1", "ben"), ("", 0, NEW, "t2", ""), ("r", 0, NEW, "", ""),
            ("\udcff", 0, NEW, "t2", ""), ("r", 0, NEW, "\udcff", ""), ("r", 0, NEW, "t2", "\udcff"),
            ("r", 0, NEW, "t" * 301, ""), ("r", 0, huge, "t2", ""), ("r", 0, Patch(), "t2", ""),
        ]  # fmt: skip
        for session, expected, patch, turn, owner in refused:
            with pytest.raises(WorldRefused):
                await worlds.apply(session, expected, patch, turn, owner=owner)
        assert await worlds.head("r") is None

    async def test_a_snapshot_brings_a_world_and_what_led_to_it_where_there_is_none(self, worlds: WorldStore) -> None:
        made = await self.play(worlds, 3, owner="anna")
        snapshot = await worlds.snapshot("s")
        assert snapshot is not None
        assert await worlds.restore(snapshot) == Applied(3, again=True)
        await worlds.delete("s")
        assert await worlds.restore(snapshot) == Applied(3)
        earlier = await worlds.get("s", 2)
        assert earlier is not None
        assert same(earlier.world, made[1])
        assert await worlds.apply("s", 2, NEW, "t3", owner="anna") == Applied(3, again=True)
        assert await worlds.apply("s", 3, diff(made[2], after_turn(made[2])), "t4", owner="anna") == Applied(4)

    async def test_of_two_worlds_the_one_of_a_higher_version_stays(self, worlds: WorldStore) -> None:
        made = await self.play(worlds, 3)
        other = some_world(weather="rainy")
        for version in (1, 3):
            assert await worlds.restore(Snapshot(Head("s", version, "x"), other)) == Conflict(3)
        assert await worlds.restore(Snapshot(Head("s", 3, "x"), made[2])) == Applied(3, again=True)
        assert await worlds.restore(Snapshot(Head("s", 8, "x"), other)) == Applied(8)
        found = await worlds.get("s")
        assert found is not None
        assert same(found.world, other)
        assert [(each.version, each.base) for each in await worlds.history("s", after=3)] == [(8, 3)]
        before = await worlds.get("s", 3)
        assert before is not None
        assert same(before.world, made[2])
        with pytest.raises(WorldRefused):
            await worlds.restore(Snapshot(Head("s", 0, "x"), other))
        with pytest.raises(WorldRefused):
            await worlds.restore(Snapshot(Head("s", 9, "x", "ben"), other))

    async def test_the_world_is_asked_as_a_graph(self, worlds: WorldStore) -> None:
        world = some_world()
        await worlds.apply("s", 0, NEW, "t1")
        assert [*await worlds.entities("s")] == [*graph.nodes(world)]
        assert [*await worlds.entities("s", ["character"])] == [*graph.nodes(world, ["character"])]
        assert {*await worlds.relations("s")} == {*graph.relations(world)}
        assert {*await worlds.relations("s", ["told", "at"], of="ann")} == {
            *graph.relations(world, ["told", "at"], of="ann")
        }
        kinds: list[tuple[RelationKind, ...]] = [(), ("exit",), ("at", "holds"), ("told", "heard", "knows")]
        for chosen in kinds:
            for depth in (1, 2, 3):
                for id in ("ann", "player", "island", "topic:storm", "nobody"):
                    found = await worlds.neighbours("s", id, depth, chosen)
                    assert [*found] == [*graph.neighbours(world, id, depth, chosen)]
            for end in ("coin", "bob", "island", "ann", "nobody", "cellar"):
                for start in ("ann", "roof", "hall"):
                    way = await worlds.path("s", start, end, chosen)
                    shortest = graph.path(world, start, end, chosen, longest=DEEPEST)
                    assert [*way[:1], *way[-1:], len(way)] == [*shortest[:1], *shortest[-1:], len(shortest)]
        assert {node.kind for node in await worlds.entities("s")} == {*NODE_KINDS}
        assert {each.kind for each in await worlds.relations("s")} == {*RELATION_KINDS}
        for depth in (0, DEEPEST + 1):
            with pytest.raises(ValueError, match="depth"):
                await worlds.neighbours("s", "ann", depth)

    async def test_the_graph_is_that_of_the_world_after_each_change(self, worlds: WorldStore) -> None:
        world = (await self.play(worlds, 1))[0]
        fewer = {id: thing for id, thing in world.things.items() if id != "hatch"}
        friend = msgspec.structs.replace(world.characters["bob"], at="hall", told=(), heard=("hope",))
        after = msgspec.structs.replace(
            moved(world, "coin", "ann"), characters={**world.characters, "bob": friend}
        )  # fmt: skip
        after = msgspec.structs.replace(after, things={**fewer, "coin": after.things["coin"]})
        await worlds.apply("s", 1, diff(world, after), "t2")
        assert {*await worlds.relations("s")} == {*graph.relations(after)}
        assert [*await worlds.entities("s")] == [*graph.nodes(after)]
        assert [*await worlds.neighbours("s", "bob", 2)] == [*graph.neighbours(after, "bob", 2)]

    async def test_what_was_read_is_read_anew_after_a_change_or_a_while(self, cached: Passing) -> None:
        worlds, pass_time = cached
        world = some_world()
        await worlds.apply("s", 0, NEW, "t1")
        await pass_time()
        first, second = await worlds.get("s"), await worlds.get("s")
        assert first is not None
        assert second is not None
        assert (first.cached, second.cached) == (False, True)
        after = after_turn(world)
        assert await worlds.apply("s", 1, diff(world, after), "t2") == Applied(2)
        third = await worlds.get("s")
        assert third is not None
        assert same(third.world, after)
        await pass_time()
        fourth = await worlds.get("s")
        assert fourth is not None
        assert not fourth.cached
        await worlds.delete("s")
        assert await worlds.get("s") is None

    async def test_a_subscriber_hears_of_what_comes_and_a_slow_one_of_the_latest(self, worlds: WorldStore) -> None:
        world = (await self.play(worlds, 1))[0]
        async with worlds.subscribe("s") as heads:
            await worlds.apply("s", 1, moving(world, "coin", "player"), "t2")
            assert (await anext(heads)).version == 2
            await worlds.apply("s", 2, moving(world, "coin", "ann"), "t3")
            await worlds.apply("s", 3, moving(world, "coin", "loft"), "t4")
            assert (await anext(heads)).turn == "t4"
            async with anyio.create_task_group() as group:
                group.start_soon(worlds.delete, "s")
                with anyio.fail_after(60):
                    assert await anext(heads) == Head("s", 0)

    async def test_no_more_than_so_many_subscribe(self, worlds: WorldStore) -> None:
        async with AsyncExitStack() as stack:
            for _ in range(3):
                await stack.enter_async_context(worlds.subscribe("s"))
            with pytest.raises(WorldRefused):
                await stack.enter_async_context(worlds.subscribe("s"))
        async with worlds.subscribe("s"):
            pass

    async def test_forgetting_a_person_leaves_the_others(self, worlds: WorldStore) -> None:
        for session, owner in (("a", "u"), ("b", "u"), ("c", "v"), ("d", "")):
            await worlds.apply(session, 0, NEW, f"t-{session}", owner=owner)
        assert [await worlds.forget(user) for user in ("u", "u", "", "x")] == [2, 0, 0, 0]
        assert [await worlds.head(session) is not None for session in "abcd"] == [False, False, True, True]
        assert [bool(await worlds.snapshot(session)) for session in "abcd"] == [False, False, True, True]
        assert await worlds.apply("a", 0, NEW, "t-a", owner="w") == Applied(1)

    async def test_any_text_is_a_name_and_two_names_are_two_worlds(self, worlds: WorldStore) -> None:
        for number, name in enumerate(NAMES):
            await worlds.apply(name, 0, diff(None, some_world(seed=number)), name[:300])
        for number, name in enumerate(NAMES):
            stored = await worlds.get(name)
            assert stored is not None
            assert (stored.head.session, stored.world.seed) == (name, number)

    async def test_a_world_ends_a_while_after_its_last_change(self, ending: Passing) -> None:
        worlds, pass_time = ending
        await worlds.apply("s", 0, NEW, "t1", owner="anna")
        await pass_time()
        assert [await worlds.head("s"), await worlds.get("s"), await worlds.snapshot("s")] == [None] * 3
        assert await worlds.apply("s", 0, NEW, "t1", owner="ben") == Applied(1)

    async def test_of_several_writers_each_time_exactly_one_wins(self, worlds: WorldStore) -> None:
        """A lost update would be a version that two writers have made, or a turn that counts and isn't there."""
        await worlds.apply("s", 0, NEW, "begin")
        for number in range(self.rounds):
            answers: list[Applied | Conflict] = []

            async def write(writer: int, turn: int, answers: list[Applied | Conflict]) -> None:
                patch = Patch((Edit(("flags",), [f"w{writer}"]), Edit(("turn",), turn)))
                answers.append(await worlds.apply("s", turn, patch, f"t{turn}-{writer}"))

            async with anyio.create_task_group() as group:
                for writer in range(WRITERS):
                    group.start_soon(write, writer, number + 1, answers)
            won = [each for each in answers if isinstance(each, Applied)]
            assert won == [Applied(number + 2)]
        head = await worlds.head("s")
        assert head is not None
        assert head.version == self.rounds + 1

    async def play(self, worlds: WorldStore, turns: int, *, owner: str = "") -> list[World]:
        """Let so many changes be made, by turns t1, t2 and so on; return the world after each."""
        made = [some_world()]
        await worlds.apply("s", 0, NEW, "t1", owner=owner)
        for number in range(1, turns):
            at = ("player", "ann", "loft")[number % 3]
            after = after_turn(moved(made[-1], "coin", at))
            await worlds.apply("s", number, diff(made[-1], after), f"t{number + 1}", owner=owner)
            made.append(after)
        return made
