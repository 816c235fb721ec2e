"""The world of a story: where everything is and how it stands, without the prose."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

from msgspec import Meta, Struct

from .wire import (
    MAX_BEATS,
    MAX_CHARACTERS,
    MAX_EXITS,
    MAX_FLAGS,
    MAX_PHRASES,
    MAX_PLACES,
    MAX_SAID,
    MAX_THINGS,
    VERSION,
    Id,
    Ids,
    Line,
    Name,
    Names,
    Traits,
)

PLAYER = "player"
"""Where the things are that the player carries."""

ABROAD = "abroad"
"""Where the backdrops are, such as the sea: seen from every place that has one of their traits."""

NOWHERE = "nowhere"
"""Where the things are that are used up, or not yet made."""

DIRECTIONS: tuple[str, ...] = (
    "north", "northeast", "east", "southeast", "south", "southwest", "west", "northwest",
    "up", "down", "in", "out",
)  # fmt: skip

Weather = Literal["clear", "breezy", "cloudy", "misty", "rainy"]


class Exit(Struct, frozen=True, omit_defaults=True):
    """A way out of a place."""

    direction: Id
    to: Id
    way: Line = ""
    """How the way looks from here, as a clause: ``steps go down to the harbour``."""
    door: Id = ""
    """The thing that stands in the way and must be open."""
    hidden: bool = False
    needs_light: bool = False
    """The way is walked only with a light at hand."""


class Place(Struct, frozen=True, omit_defaults=True):
    """Somewhere to be.

    Traits: ``outdoors``, ``sea`` (in sight of it), ``dark``, ``landmark`` (known and seen from
    afar), ``restful``, ``hidden`` (not known until it is found), ``wet``, ``windowless``,
    ``plural`` (the dunes).
    """

    id: Id
    name: Name
    preposition: Name = "at"
    aliases: Names = ()
    traits: Traits = ()
    exits: Annotated[tuple[Exit, ...], Meta(max_length=MAX_EXITS)] = ()


class Thing(Struct, frozen=True, omit_defaults=True):
    """Something to see or to hold.

    Traits: ``portable``, ``scenery`` (not listed), ``container``, ``surface``, ``door``, ``lamp``
    (gives light when lit), ``flame``, ``glow`` (seen in the dark), ``readable``, ``edible``,
    ``drinkable``, ``seat``, ``wearable``, ``animal``, ``plural`` (the nets), ``some`` (some
    bread), ``the`` (always definite), ``backdrop``. States: ``open``, ``locked``, ``lit``,
    ``hidden``, ``worn``, ``moved`` and whatever a story adds.
    """

    id: Id
    name: Name
    at: Id
    """The one place where it is: a place, a container, a character, or one of `PLAYER`, `ABROAD`,
    `NOWHERE`."""
    aliases: Names = ()
    traits: Traits = ()
    states: Traits = ()


class Character(Struct, frozen=True, omit_defaults=True):
    """Somebody to meet. Traits: ``animal``, ``she``, ``he``, ``they``, ``companion`` (follows)."""

    id: Id
    name: Name
    at: Id
    aliases: Names = ()
    traits: Traits = ()
    met: bool = False
    told: Ids = ()
    """The topics that this one has spoken of to the player."""
    heard: Ids = ()
    """The topics and feelings that the player told this one; never the player's own words."""


class Focus(Struct, frozen=True, omit_defaults=True):
    """What ``it``, ``they`` and ``there`` mean just now."""

    thing: Id = ""
    character: Id = ""
    place: Id = ""


class Player(Struct, frozen=True, omit_defaults=True):
    """Where the player stands, and what lies behind."""

    at: Id
    before: Id = ""
    """Where the player came from: what ``back`` means."""
    name: Name = ""
    visits: Annotated[Mapping[Id, int], Meta(max_length=MAX_PLACES)] = {}
    known: Annotated[tuple[Id, ...], Meta(max_length=MAX_PLACES)] = ()
    """Places that the player has heard of or seen from afar."""
    seen: Annotated[tuple[Id, ...], Meta(max_length=MAX_THINGS + MAX_CHARACTERS)] = ()
    feelings: Annotated[tuple[Id, ...], Meta(max_length=8)] = ()
    """The latest feelings spoken of, newest last; one that has passed begins with ``-``."""
    posture: Literal["standing", "sitting", "lying"] = "standing"
    focus: Focus = Focus()


class Telling(Struct, frozen=True):
    """What a narrator must remember in order not to repeat itself; agents keep nothing."""

    phrases: Annotated[tuple[Id, ...], Meta(max_length=MAX_PHRASES)] = ()
    """Keys of phrasings used lately, newest last."""
    said: Annotated[tuple[Id, ...], Meta(max_length=MAX_SAID)] = ()
    """Digests of the sentences of the turn before."""


class World(Struct, frozen=True):
    """A whole world as it stands after ``turn`` turns."""

    story: Id
    """Which story's text belongs to it."""
    seed: int
    player: Player
    places: Annotated[Mapping[Id, Place], Meta(max_length=MAX_PLACES)]
    things: Annotated[Mapping[Id, Thing], Meta(max_length=MAX_THINGS)] = {}
    characters: Annotated[Mapping[Id, Character], Meta(max_length=MAX_CHARACTERS)] = {}
    flags: Annotated[tuple[Id, ...], Meta(max_length=MAX_FLAGS)] = ()
    beats: Annotated[tuple[Id, ...], Meta(max_length=MAX_BEATS)] = ()
    """The turns of the story that have happened, in order."""
    minutes: int = 0
    """Story time since the midnight before the story began."""
    weather: Weather = "clear"
    weather_since: int = 0
    """The turn in which the weather last changed."""
    turn: int = 0
    telling: Telling = Telling()
    edition: Id = ""
    """Which edition of the story's text it was made from; a later one adds and removes things."""
    version: int = VERSION

    def __post_init__(self) -> None:
        """Refuse a world that contradicts itself, so that no reader need fear one."""
        holders = {PLAYER, ABROAD, NOWHERE, *self.places, *self.things, *self.characters}
        if self.player.at not in self.places:
            raise ValueError(f"the player is at {self.player.at!r}, which there isn't")
        for id, thing in self.things.items():
            if thing.at not in holders or thing.at == id:
                raise ValueError(f"thing {id!r} is at {thing.at!r}, which there isn't")
        for id, character in self.characters.items():
            if character.at not in self.places:
                raise ValueError(f"character {id!r} is at {character.at!r}, which there isn't")
        for id, place in self.places.items():
            if any(exit.to not in self.places for exit in place.exits):
                raise ValueError(f"place {id!r} has a way to somewhere that there isn't")
