"""Where one is: the place, its light, who and what is there, and the ways that lead on."""

from __future__ import annotations

from tta_world import (
    DIRECTIONS,
    PLAYER,
    Change,
    Deed,
    Detail,
    here,
    holder,
    lit,
    people,
    period,
    visible,
    ways,
)

from .nouns import join
from .voice import Voice

_COMPASS = frozenset(DIRECTIONS[:8])
Paragraphs = list[list[str]]


def by_aspect(deed: Deed, *aspects: str) -> list[Detail]:
    """Return the deed's details of these aspects, in their order."""
    return [detail for detail in deed.details if detail.aspect in aspects]


def arrival(voice: Voice, deed: Deed, change: Change) -> Paragraphs:
    """Tell how the player gets somewhere, and what it is like there."""
    effects = [s for d in by_aspect(deed, "effect") for s in voice.say_detail(d, deed)]
    going = _going(voice, deed)
    place, things = _sight(voice, deed, first=not deed.again)
    for detail in by_aspect(deed, "stays", "follows", "rejoins"):
        things += voice.say_detail(detail, deed)
    things += _barred(voice, deed)
    if not deed.reason:
        things += _ways(voice, deed, everything=not deed.again)
    return [going + effects + place, things]


def passing(voice: Voice, deed: Deed) -> Paragraphs:
    """Tell of a place that the player has left again within the turn."""
    said = [s for d in by_aspect(deed, "effect") for s in voice.say_detail(d, deed)]
    if deed.again:
        return [said + voice.say("move.to", {"place": deed.place})]
    for detail in by_aspect(deed, "place", "note", "doing"):
        said += voice.say_detail(detail, deed)
    return [said]


def sight(voice: Voice, deed: Deed) -> Paragraphs:
    """Tell what one sees on looking about."""
    place, things = _sight(voice, deed, first=False)
    return [place, things + _ways(voice, deed, everything=True)]


def _sight(voice: Voice, deed: Deed, *, first: bool) -> tuple[list[str], list[str]]:
    place: list[str] = []
    for detail in by_aspect(deed, "place"):
        place += voice.say_detail(detail, deed)
    if lit(voice.world) and (not first or voice.roll("colour", 3) == 0):
        place += colour(voice, often=2 if deed.arrived else 3)
    for detail in by_aspect(deed, "note")[:2]:
        place += voice.say_detail(detail, deed)
    things: list[str] = []
    for detail in by_aspect(deed, "doing")[:3]:
        things += voice.say_detail(detail, deed)
    for detail in by_aspect(deed, "lies")[:3]:
        things += voice.say_detail(detail, deed)
    return place, things + _loose(voice, deed)


def colour(voice: Voice, often: int) -> list[str]:
    """Say how the hour and the weather look from here, about once in so many times."""
    if voice.roll("colour-often", often) != 0:
        return []
    world = voice.world
    traits = here(world).traits
    if {"dark", "windowless"} & set(traits):
        return []
    kind = next((trait for trait in ("sea", "outdoors") if trait in traits), "indoors")
    if kind == "sea" and "outdoors" not in traits:
        kind = "indoors"
    base = f"colour.{kind}.{world.weather}"
    name = f"{base}.{period(world)}"
    if not voice.has_rule(name):
        name = f"{base}.any"
    return voice.say(name) if voice.has_rule(name) and voice.has_unused(name) else []


def _going(voice: Voice, deed: Deed) -> list[str]:
    """Say how one went; the first sight of a place often speaks for itself."""
    path = list(deed.path)
    if deed.manner == "asked":
        return voice.say("move.asked", {"place": deed.place})
    slots: dict[str, object] = {"place": deed.place, "direction": deed.direction}
    if len(path) > 1:
        slots["route"] = join([voice.nouns.the(id) for id in path[:-1][-3:]])
        return voice.say("move.far" if len(path) > 2 else "move.near", slots)
    if not deed.again:
        return []
    if deed.name == "back":
        return voice.say("move.back", slots)
    # What is told of a return says by itself that one has come.
    return []


def _barred(voice: Voice, deed: Deed) -> list[str]:
    """Say what kept one from going on."""
    refusals = [s for d in by_aspect(deed, "refusal") for s in voice.say_detail(d, deed)]
    if not deed.reason or refusals:
        return refusals
    if deed.reason == "dark":
        return voice.say(dark(voice))
    return voice.say(voice.first_rule((f"refuse.{deed.reason}", "refuse.no-exit-plain")))


def dark(voice: Voice) -> str:
    """Name the rule for a way that is too dark: there may be a lantern at hand, unlit."""
    carried = [t for t in voice.world.things.values() if t.at == PLAYER and "lamp" in t.traits]
    return "refuse.dark-lantern" if carried else "refuse.dark-way"


def _loose(voice: Voice, deed: Deed) -> list[str]:
    """Name the things that lie about and have no text of their own."""
    told = {detail.about for detail in deed.details}
    world = voice.world
    ids = [
        thing.id
        for thing in visible(world)
        if holder(world, thing.id) == world.player.at and "scenery" not in thing.traits and thing.id not in told
    ]
    if not ids:
        return []
    moved = [id for id in ids if "moved" in world.things[id].states]
    if len(ids) == 1 and moved and world.things[ids[0]].at in world.places:
        return voice.say("scene.left", {"thing": ids[0]})
    return voice.say("scene.loose", {"loose": ids[:5]})


def _ways(voice: Voice, deed: Deed, *, everything: bool) -> list[str]:
    """Say where one might go on to: all of it at first, and later what is still unknown."""
    world = voice.world
    if not lit(world):
        return []
    seen: set[str] = set()
    clauses: list[tuple[str, str]] = []
    for exit in ways(world):
        fresh = exit.to not in world.player.visits
        if exit.to in seen or not exit.way or (not everything and not fresh):
            continue
        if exit.to == world.player.before and deed.arrived and len(ways(world)) > 1:
            continue
        seen.add(exit.to)
        clauses.append((exit.direction, exit.way))
    if not clauses or (not everything and voice.roll("ways", 5) < 2):
        return []
    clauses = clauses if everything else clauses[:2]
    said: list[str] = []
    manner = voice.roll("manner", 2)
    for start in range(0, len(clauses), 2):
        pair = [_way(direction, way, manner + at) for at, (direction, way) in enumerate(clauses[start : start + 2])]
        said += voice.say_verbatim(", and ".join(pair) + ".")
    return said


def _way(direction: str, way: str, manner: int) -> str:
    if direction not in _COMPASS:
        return way
    return f"{'to the ' if manner % 2 == 0 else ''}{direction}{'ward' if manner % 2 else ''} {way}"


def way_from_here(voice: Voice, place: str) -> str:
    """Return the clause for the first step towards a place that is next door."""
    exit = next((e for e in ways(voice.world) if e.to == place and e.way), None)
    if exit is None:
        return "there's a way"
    return exit.way + (f", to the {exit.direction}" if exit.direction in _COMPASS else "")


def company(voice: Voice) -> list[str]:
    """Return the ids of who is here."""
    return [person.id for person in people(voice.world)]
