"""What a turn changes in a world goes through a patch, exactly: in real play, there and back."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tta_world import DIRECTIONS, Patch, diff, patched
from tta_world.store import digest, same

WORDS = (
    "look",
    "go",
    "take",
    "drop",
    "open",
    "light",
    "talk",
    "ask",
    "rest",
    "feel",
    "follow",
    "search",
    "put",
    "wait",
)
TURNS = st.lists(st.tuples(st.sampled_from(WORDS), st.sampled_from(DIRECTIONS), st.integers(0, 200)), max_size=8)


# The fixture makes a game; it holds nothing itself.
@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 3), turns=TURNS)
def test_each_turn_of_a_story_is_a_patch_that_can_be_undone(
    make_game: Callable[[int], Any], seed: int, turns: list[tuple[str, str, int]]
) -> None:
    game = make_game(seed)
    for word, direction, number in turns:
        world = game.world
        things, people = [*world.things], [*world.characters]
        slots = {"direction": direction} if word == "go" else {"thing": things[number % len(things)]}
        if word in ("talk", "ask", "follow"):
            slots = {"person": people[number % len(people)]}
        game.do(word, **slots)
        after = game.world
        patch = msgspec.msgpack.decode(msgspec.msgpack.encode(diff(world, after)), type=Patch)
        made = patched(world, patch)
        undone = patched(after, diff(after, world))
        assert made is not None
        assert undone is not None
        assert same(made, after)
        assert same(undone, world)
        assert digest(made) != digest(world)
        assert len(msgspec.msgpack.encode(patch)) < len(msgspec.msgpack.encode(world)) / 4
