"""A fresh world for one player: the same seed, the same weather and the same hiding places."""

from __future__ import annotations

from zlib import crc32

from tta_world import (
    Character,
    Exit,
    Place,
    Player,
    Thing,
    Weather,
    World,
)

from .story import ExitText, Story, Texts, load, spots

_WEATHERS: tuple[Weather, ...] = ("clear", "breezy", "cloudy", "clear", "misty", "breezy")
_BEGIN = (13 * 60 + 40, 14 * 60 + 20, 15 * 60, 10 * 60 + 10)


def dice(seed: int, label: str, sides: int) -> int:
    """Throw a die that falls the same way for the same seed and label."""
    return crc32(f"{seed}/{label}".encode()) % sides


def placed(at: str | Texts, seed: int, id: str) -> str:
    """Return where a thing or character is at first."""
    choice = spots(at)
    return choice[dice(seed, id, len(choice))]


def new_world(seed: int, story: str = "coast") -> World:
    """Make a world in which nothing has happened yet."""
    return create(load(story), seed)


def create(story: Story, seed: int) -> World:
    """Make a world of this story in which nothing has happened yet."""
    places = {
        id: Place(
            id=id,
            name=text.name,
            preposition=text.preposition,
            aliases=text.aliases,
            traits=text.traits,
            exits=tuple(_exit(direction, exit) for direction, exit in text.exits.items()),
        )
        for id, text in story.places.items()
    }
    things = {
        id: Thing(
            id=id,
            name=text.name,
            at=placed(text.at, seed, id),
            aliases=text.aliases,
            traits=text.traits,
            states=text.states,
        )
        for id, text in story.things.items()
    }
    characters = {
        id: Character(
            id=id,
            name=text.name,
            at=placed(text.at, seed, id),
            aliases=text.aliases,
            traits=text.traits,
        )
        for id, text in story.people.items()
    }
    return World(
        story=story.name,
        seed=seed,
        player=Player(at=story.start, visits={story.start: 1}),
        places=places,
        things=things,
        characters=characters,
        minutes=_BEGIN[dice(seed, "clock", len(_BEGIN))],
        weather=_WEATHERS[dice(seed, "weather", len(_WEATHERS))],
    )


def _exit(direction: str, exit: ExitText) -> Exit:
    return Exit(
        direction=direction,
        to=exit.to,
        way=exit.way,
        door=exit.door,
        hidden=exit.hidden,
        needs_light=exit.needs_light,
    )
