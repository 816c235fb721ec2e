"""What a patch makes of a world is exactly the world that it was made from, and it can be undone."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tta_world import (
    Character,
    Edit,
    Exit,
    Patch,
    PatchError,
    Place,
    Player,
    Telling,
    Thing,
    World,
    diff,
    disjoint,
    patched,
)
from tta_world.patch import MAX_EDITS
from tta_world.store import same
from tta_world.testing import some_world

IDS = st.sampled_from(["hall", "loft", "roof", "lamp", "coin", "ann", "", "ä.b"])
SOME = st.lists(IDS, max_size=6).map(tuple)
KEYS = st.lists(IDS.filter(bool), unique=True, min_size=1, max_size=4)


@st.composite
def worlds(draw: st.DrawFn) -> World:
    places = draw(KEYS)
    there = st.sampled_from(places)
    things, people = draw(KEYS), draw(KEYS)
    exits = st.lists(st.builds(Exit, IDS, there, hidden=st.booleans()), max_size=2).map(tuple)
    visits = st.dictionaries(there, st.integers(1, 3), max_size=3)
    player = draw(st.builds(Player, there, visits=visits, known=SOME, posture=st.sampled_from(["standing", "sitting"])))
    return World(
        "test", draw(st.integers(0, 1)), player,
        {id: draw(st.builds(Place, st.just(id), IDS, exits=exits, traits=SOME)) for id in places},
        {id: Thing(id, "x", draw(there) if id not in places else "nowhere",
                   states=draw(SOME)) for id in things},
        {id: Character(id, "y", draw(there), told=draw(SOME)) for id in people},
        flags=draw(SOME), telling=Telling(draw(SOME), draw(SOME)), turn=draw(st.integers(0, 2)),
    )  # fmt: skip


@given(before=st.none() | worlds(), after=worlds())
def test_patched_with_the_difference_a_world_is_the_other_down_to_its_order(before: World | None, after: World) -> None:
    forth, back = diff(before, after), diff(after, before)
    sent = msgspec.msgpack.decode(msgspec.msgpack.encode(forth), type=Patch)
    made = patched(before, sent)
    assert made == after
    assert [*made.places, *made.things, *made.characters, *made.player.visits] == [
        *after.places, *after.things, *after.characters, *after.player.visits,
    ]  # fmt: skip
    undone = patched(made, msgspec.json.decode(msgspec.json.encode(back), type=Patch))
    assert undone == before
    assert bool(forth) is (before is None or not same(before, after))


@settings(max_examples=30)
@given(base=worlds(), one=worlds(), other=worlds())
def test_disjoint_changes_may_be_made_in_either_order(base: World, one: World, other: World) -> None:
    first, second = diff(base, one), diff(base, other)
    if not disjoint(first, [second]):
        return
    assert disjoint(second, [first])
    try:
        after = patched(patched(base, first), second)
    except PatchError:
        return  # Such as a thing in a place that the other has taken away: no two writers agree on that.
    assert after == patched(patched(base, second), first)


def test_a_memory_that_slides_is_told_by_what_came() -> None:
    before = some_world(telling=Telling(tuple(f"phrase-{n}" for n in range(160))))
    after = some_world(telling=Telling(tuple(f"phrase-{n}" for n in range(3, 163))))
    assert diff(before, after).edits == (
        Edit(("telling", "phrases"), ("phrase-160", "phrase-161", "phrase-162"), keep=(3, 157)),
    )
    assert patched(before, diff(before, after)) == after


WRONG: list[Edit] = [
    Edit(("things", "ghost", "at"), "hall"), Edit(("flags", "x"), 1), Edit(("things", "ghost"), gone=True),
    Edit(("player", "at"), "moon"), Edit(("turn",), "one"), Edit(("flags",), "x", keep=(0, 0)),
    Edit(("turn",), [], keep=(0, 0)), Edit(("flags",), [], keep=(-1, 1)), Edit(("flags",), [], keep=(0, 99)),
    Edit((), {"story": "x"}), Edit((), [], keep=(0, 0)),
]  # fmt: skip


@pytest.mark.parametrize("edit", WRONG, ids=str)
def test_what_makes_no_world_is_an_error_that_quotes_nothing(edit: Edit) -> None:
    with pytest.raises(PatchError) as caught:
        patched(some_world(), Patch((edit,)))
    assert "moon" not in str(caught.value)


@pytest.mark.parametrize("raw", [{"edits": [{"path": ["x"] * 9}]}, {"edits": [{"path": []}] * (MAX_EDITS + 1)}])
def test_a_patch_beyond_its_bounds_does_not_decode(raw: dict[str, Any]) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(raw, Patch)
