"""A fresh world for one player: the same seed, the same weather and the same hiding places."""

from __future__ import annotations

from zlib import crc32

from msgspec import structs

from tta_world import (
    ABROAD,
    NOWHERE,
    PLAYER,
    Character,
    Exit,
    Focus,
    Place,
    Player,
    Thing,
    Weather,
    World,
)

from .story import ExitText, Story, Texts, load, spots

_WEATHERS: tuple[Weather, ...] = ("clear", "breezy", "cloudy", "clear", "misty", "breezy")
_BEGIN = (13 * 60 + 40, 14 * 60 + 20, 15 * 60, 10 * 60 + 10)


def roll(seed: int, label: str, sides: int) -> int:
    """Roll a die that falls the same way for the same seed and label."""
    return crc32(f"{seed}/{label}".encode()) % sides


def placed(at: str | Texts, seed: int, id: str) -> str:
    """Return where a thing or character is at first."""
    choice = spots(at)
    return choice[roll(seed, id, len(choice))]


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
        minutes=_BEGIN[roll(seed, "clock", len(_BEGIN))],
        weather=_WEATHERS[roll(seed, "weather", len(_WEATHERS))],
        edition=story.edition,
    )


def reconcile(story: Story, world: World) -> World:
    """Bring a world that was kept for a while up to the story's present edition.

    What has happened stays; things and places that the story no longer has are gone, new ones are
    where they are at first.
    """
    if world.edition == story.edition:
        return world
    fresh = create(story, world.seed)
    places = {id: _kept_ways(place, world.places.get(id)) for id, place in fresh.places.items()}
    characters = {}
    for id, new in fresh.characters.items():
        old = world.characters.get(id)
        if old is not None and old.at in places:
            traits = tuple(dict.fromkeys([*new.traits, *(t for t in old.traits if t == "companion")]))
            new = structs.replace(new, at=old.at, traits=traits, met=old.met, told=old.told, heard=old.heard)
        characters[id] = new
    holders = {PLAYER, ABROAD, NOWHERE, *places, *characters, *fresh.things}
    things = {}
    for id, thing in fresh.things.items():
        before = world.things.get(id)
        if before is not None and before.at in holders:
            thing = structs.replace(thing, at=before.at, states=before.states)
        things[id] = thing
    player = world.player
    at = player.at if player.at in places else story.start
    known = {*places, *things, *characters}
    return structs.replace(
        world,
        places=places,
        things=things,
        characters=characters,
        beats=tuple(id for id in world.beats if id in {beat.id for beat in story.threads.beats}),
        player=structs.replace(
            player,
            at=at,
            before=player.before if player.before in places else "",
            visits={id: n for id, n in {at: 1, **player.visits}.items() if id in places},
            known=tuple(id for id in player.known if id in places),
            seen=tuple(id for id in player.seen if id in known),
            focus=Focus(),
        ),
        edition=story.edition,
    )


def _kept_ways(place: Place, before: Place | None) -> Place:
    """Leave the ways open that the player has found."""
    if before is None:
        return place
    found = {exit.direction for exit in before.exits if not exit.hidden}
    exits = tuple(structs.replace(exit, hidden=False) if exit.direction in found else exit for exit in place.exits)
    return structs.replace(place, exits=exits)


def _exit(direction: str, exit: ExitText) -> Exit:
    return Exit(
        direction=direction,
        to=exit.to,
        way=exit.way,
        door=exit.door,
        hidden=exit.hidden,
        needs_light=exit.needs_light,
    )
