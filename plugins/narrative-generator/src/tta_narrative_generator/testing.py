"""What every narrator keeps to, whoever writes its pages: subclass `NarrationContract` with a fixture ``tell``."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from msgspec import Struct, structs

from tta_world import Change, Deed, Detail, Exit, Place, Player, Thing, World

from .plugin import In, Out
from .sentences import sentences


class Told(Struct, frozen=True):
    """What came of a request: the answer, and the pieces in which its text was told."""

    out: Out
    pieces: tuple[str, ...]


Tell = Callable[..., Awaitable[Told]]
"""Tells a request, ``released`` being what stands from an earlier call."""

BEAT = Detail("beat", "b", ("The bell rings twice. “There,” says nobody at all.\n\nThen it is quiet.",))
ARRIVAL = Detail("beat", "arrival", ("The bus puts you down. It drives off.",))


def island(**values: Any) -> World:
    """Make a small world in which something may happen."""
    pier = Place("pier", "pier", "on", (), ("outdoors",), (Exit("north", "inn", "a path leads to the inn"),))
    inn = Place("inn", "old inn", "in", (), (), (Exit("out", "pier", "the door opens on the pier"),))
    chest = Thing("chest", "iron chest", "pier", (), ("scenery", "container"), ("locked",))
    apple = Thing("apple", "apple", "pier", (), ("portable",))
    return World(
        story="island", seed=1, player=Player(at="pier", visits={"pier": 2}), places={"pier": pier, "inn": inn},
        things={"chest": chest, "apple": apple}, minutes=600, **values,
    )  # fmt: skip


def happened(*deeds: Deed, **values: Any) -> Change:
    """Make a change of deeds."""
    main = deeds[0] if deeds else Deed("wait")
    return Change(main.name, main.outcome, deeds, place_before="pier", place_after="pier", **values)


CHANGES = {
    "nothing": happened(Deed("wait")),
    "taken": happened(Deed("take", thing="apple")),
    "refused": happened(Deed("open", outcome="refused", reason="locked", thing="chest")),
    "felt": happened(Deed("feel", feelings=("sadness",))),
    "beat": happened(Deed("wait"), beats=(BEAT,)),
    "arrival": happened(Deed("look"), beats=(ARRIVAL,)),
    "both": happened(Deed("look"), beats=(ARRIVAL, BEAT)),
}


class NarrationContract:
    """What holds of every narrator."""

    @pytest.fixture
    def tell(self) -> Tell:
        """Return what tells a request; for the subclass to say."""
        raise NotImplementedError

    @pytest.mark.parametrize("name", CHANGES)
    async def test_the_pieces_joined_are_the_text_and_there_is_one(self, tell: Tell, name: str) -> None:
        told = await tell(In(island(), CHANGES[name]))
        assert "".join(told.pieces) == told.out.text
        assert told.out.text.strip()
        assert told.out.text == told.out.text.strip()

    @pytest.mark.parametrize("name", ["beat", "arrival", "both"])
    async def test_a_turn_of_the_story_is_told_as_the_story_has_it(self, tell: Tell, name: str) -> None:
        text = (await tell(In(island(), CHANGES[name]))).out.text
        change = CHANGES[name]
        assert text.startswith(ARRIVAL.texts[0]) == (ARRIVAL in change.beats)
        assert text.endswith(BEAT.texts[0].replace("\n\n", " ").rpartition(" Then")[2]) == (BEAT in change.beats)
        assert all(sentence in text for beat in change.beats for sentence in sentences(beat.texts[0]))

    @pytest.mark.parametrize("name", CHANGES)
    async def test_what_stands_comes_first_and_nothing_is_told_twice(self, tell: Tell, name: str) -> None:
        request = In(island(), CHANGES[name])
        first = await tell(request)
        for number in range(1, len(first.pieces) + 1):
            stands = "".join(first.pieces[:number])
            again = await tell(request, released=stands)
            assert again.out.text.startswith(stands)
            assert "".join(again.pieces) == again.out.text
            told = [sentence for part in again.out.text.split("\n\n") for sentence in sentences(part)]
            assert len(told) == len(set(told))
            assert told[-1][-1] in ".!?…”"

    async def test_of_the_world_only_what_is_to_be_remembered_changes(self, tell: Tell) -> None:
        world = island()
        out = (await tell(In(world, CHANGES["taken"]))).out
        assert structs.replace(out.world, telling=world.telling) == world
        assert out.world.telling.said
