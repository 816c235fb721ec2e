"""What every reader of a player's words keeps to: subclass `ReadingContract` with a fixture ``read``."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest

from tta_world import COMMANDS, FEELINGS, Character, Exit, Place, Player, Thing, World

from .plugin import In, Out

Read = Callable[[In], Awaitable[Out]]


def cove() -> World:
    """Make a small world with a thing, a person and a place next door, and a place that nobody knows of yet."""
    places = (
        Place("cove", "cove", "in", (), ("outdoors",), (Exit("north", "hut"), Exit("down", "cave", hidden=True))),
        Place("hut", "hut", "in", (), (), (Exit("out", "cove"),)),
        Place("cave", "smugglers' cave", "in", (), ("hidden",), (Exit("up", "cove"),)),
    )
    things = (Thing("oar", "oar", "cove", (), ("portable",)), Thing("pearl", "black pearl", "cave", (), ("portable",)))
    people = (Character("ada", "Ada", "cove", (), ("she",), met=True),)
    return World(
        story="cove", seed=1, player=Player(at="cove", visits={"cove": 1}), places={p.id: p for p in places},
        things={thing.id: thing for thing in things}, characters={person.id: person for person in people},
    )  # fmt: skip


PLAIN = (
    "take the oar", "go north", "look", "I'm sad", "I'm sad, but I take the oar", "hello Ada", "quit", "inventory",
    "ask Ada about the sea",
)  # fmt: skip
"""What needs no guess."""
ODD = ("flurb the wibble", "zzz", "qwe rty", "?", "", "oar ada oar zibble", "i oar therefore", "x" * 3000)


class ReadingContract:
    """What holds of every reader."""

    @pytest.fixture
    def read(self) -> Read:
        """Return what reads a text; for the subclass to say."""
        raise NotImplementedError

    @pytest.mark.parametrize("text", [*PLAIN, *ODD], ids=lambda text: text[:20])
    async def test_an_intent_is_of_those_that_there_are(self, read: Read, text: str) -> None:
        world = cove()
        intent = (await read(In(text, world))).intent
        assert intent.name in COMMANDS
        assert intent.commands[0].name == intent.name
        known = {*world.places, *world.things, *world.characters}
        for command in intent.commands:
            assert command.name in COMMANDS
            for entity in command.slots.values():
                assert entity.kind == "direction" or not entity.id or entity.id in known
        assert {feeling.name for feeling in intent.feelings} <= set(FEELINGS)

    @pytest.mark.parametrize("text", PLAIN)
    async def test_what_is_plain_is_read_by_rules(self, read: Read, text: str) -> None:
        from .parser import parse

        out = await read(In(text, cove()))
        assert out.intent == parse(text, cove())
        assert out.trace in ({}, {"by": "rules"})

    @pytest.mark.parametrize("text", ODD, ids=lambda text: text[:20])
    async def test_nobody_is_taken_to_end_a_story_or_to_do_harm_who_has_not_said_so(
        self, read: Read, text: str
    ) -> None:
        intent = (await read(In(text, cove()))).intent
        assert not {command.name for command in intent.commands} & {"quit", "restart", "undo", "save", "harm"}

    @pytest.mark.parametrize("text", ODD, ids=lambda text: text[:20])
    async def test_a_guess_names_nothing_that_the_player_can_not_know_of(self, read: Read, text: str) -> None:
        intent = (await read(In(text, cove()))).intent
        named = {entity.id for command in intent.commands for entity in command.slots.values()}
        assert not named & {"cave", "pearl"}
