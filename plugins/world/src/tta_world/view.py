"""What can be seen from where the player stands: the questions that several agents ask a world."""

from __future__ import annotations

from typing import Literal

from .model import ABROAD, PLAYER, Character, Exit, Place, Thing, World

Period = Literal["dawn", "morning", "midday", "afternoon", "dusk", "night"]
DAY = 24 * 60
_PERIODS: tuple[tuple[int, Period], ...] = (
    (5, "night"), (7, "dawn"), (11, "morning"), (14, "midday"), (18, "afternoon"), (21, "dusk"),
)  # fmt: skip


def period(world: World) -> Period:
    """Name the time of day."""
    hour = world.minutes % DAY // 60
    return next((name for end, name in _PERIODS if hour < end), "night")


def here(world: World) -> Place:
    """Return the place where the player is."""
    return world.places[world.player.at]


def entity(world: World, id: str) -> Place | Thing | Character | None:
    """Return whatever has this id."""
    return world.things.get(id) or world.characters.get(id) or world.places.get(id)


def name(world: World, id: str) -> str:
    """Return an entity's plain name without an article, or the id itself if there is none."""
    found = entity(world, id)
    return found.name if found else id


def inside(world: World, holder: str) -> list[Thing]:
    """List what is directly at this place, in this container, or with this character."""
    return [t for t in world.things.values() if t.at == holder and "hidden" not in t.states]


def holder(world: World, id: str) -> str:
    """Return where a thing is in the end: a place, a character, the player, or none of these."""
    at = world.things[id].at
    for _ in world.things:
        if at not in world.things:
            break
        at = world.things[at].at
    return at


def carried(world: World) -> list[Thing]:
    """List what the player carries."""
    return inside(world, PLAYER)


def people(world: World, place: str | None = None) -> list[Character]:
    """List who is at a place: by default, where the player is."""
    at = world.player.at if place is None else place
    return [c for c in world.characters.values() if c.at == at]


def lit(world: World, place: str | None = None) -> bool:
    """Tell whether one can see at a place: it isn't dark, or a light is burning there."""
    at = world.player.at if place is None else place
    if "dark" not in world.places[at].traits:
        return True
    near = {at, *(c.id for c in people(world, at))}
    if at == world.player.at:
        near.add(PLAYER)
    return any("lit" in t.states and "lamp" in t.traits and t.at in near for t in world.things.values())


def has_light(world: World) -> bool:
    """Tell whether the player carries a burning light."""
    return any("lit" in t.states and "lamp" in t.traits for t in carried(world))


def shows(thing: Thing) -> bool:
    """Tell whether what is in or on this thing can be seen."""
    return "surface" in thing.traits or ("container" in thing.traits and "open" in thing.states)


def visible(world: World) -> list[Thing]:
    """List the things that can be seen and reached here, carried ones first, backdrops last."""
    place = here(world)
    found = carried(world)
    if not lit(world):
        found += [thing for thing in inside(world, place.id) if "glow" in thing.traits]
    else:
        found += inside(world, place.id)
        for person in people(world):
            found += inside(world, person.id)
    index = 0
    while index < len(found):
        if shows(found[index]):
            found += inside(world, found[index].id)
        index += 1
    for thing in inside(world, ABROAD):
        if set(thing.traits) & set(place.traits):
            found.append(thing)
    return found


def ways(world: World, place: str | None = None) -> list[Exit]:
    """List the ways out that show themselves."""
    at = world.player.at if place is None else place
    return [e for e in world.places[at].exits if not e.hidden]


def blocked(world: World, exit: Exit) -> Literal["locked", "closed", "dark"] | None:
    """Say what keeps the player from taking a way just now, if anything."""
    door = world.things.get(exit.door) if exit.door else None
    if door is not None and "open" not in door.states:
        return "locked" if "locked" in door.states else "closed"
    if exit.needs_light and not has_light(world):
        return "dark"
    return None


def known(world: World) -> set[str]:
    """Return the places the player could name: visited, seen from afar, next door, heard of."""
    player = world.player
    found = set(player.visits) | set(player.known) | {player.at}
    found |= {p.id for p in world.places.values() if "landmark" in p.traits}
    for visited in [player.at, *player.visits]:
        if visited in world.places:
            found |= {e.to for e in ways(world, visited)}
    return found
