"""Questions to the story itself: where, who, what, what now; and the talk about the game."""

from __future__ import annotations

from tta_world import (
    ABROAD,
    PLAYER,
    Character,
    Command,
    Deed,
    Entity,
    Place,
    Thing,
    carried,
    known,
    lit,
    people,
    visible,
    ways,
)

from .being import grieving, share
from .looking import describe, examine
from .paths import company_near, nearest, route
from .refusing import lacking, neighbours, refuse
from .talking import ask
from .turn import Turn, found, slot

_LEADING = frozenset({"go", "goes", "lead", "leads", "leading", "end", "ends"})
_COMMON = frozenset({"the", "a", "an", "to", "in", "into", "on", "off", "out", "up", "down", "at", "it", "goes",
                     "leads", "and", "of", "through", "from", "go", "lead", "back", "where", "does"})  # fmt: skip


def where(turn: Turn, command: Command) -> Deed:
    """Tell the way to a place, a person or a thing, as far as the player can know it."""
    entity = slot(command, "place", "person", "thing", "target", "topic")
    if entity is None:
        return whereami(turn, command)
    what = found(turn, entity)
    world = turn.world
    if isinstance(what, Place):
        return _way(turn, command, what.id)
    if isinstance(what, Character):
        if what.at == world.player.at:
            return Deed(name="where", person=what.id, outcome="already", reason="here")
        if what.met or what.id in world.player.seen or what.at in known(world):
            return _way(turn, command, what.at, person=what.id)
        return refuse(command, "unknown-person", words=entity.text)
    if isinstance(what, Thing):
        if turn.can_see(what.id):
            holder = what.at if what.at in world.characters else ""
            return Deed(
                name="where", thing=what.id, outcome="already", reason="here", person=holder,
                place=what.at,
            )  # fmt: skip
        if (deed := ask_about(turn, command)) is not None:
            return deed
        if what.at == ABROAD:
            # The sea is wherever it can be seen from.
            open_to = [p.id for p in world.places.values() if set(p.traits) & set(what.traits) and p.id in known(world)]
            landmarks = [id for id in open_to if "landmark" in world.places[id].traits]
            if near := nearest(world, landmarks) or nearest(world, open_to):
                return _way(turn, command, near)
        if what.id in world.player.seen and what.at in world.places:
            return _way(turn, command, what.at, thing=what.id)
        if turn.tell("far", what.id, turn.story.things[what.id].whereabouts):
            # What everybody here would tell one.
            return Deed(name="act", thing=what.id)
    if (deed := ask_about(turn, command)) is not None:
        return deed
    return lacking(turn, command, entity)


def _way(turn: Turn, command: Command, place: str, *, person: str = "", thing: str = "") -> Deed:
    world = turn.world
    if place == world.player.at:
        return Deed(name="where", outcome="already", reason="here", place=place, thing=thing)
    steps = route(world, world.player.at, place)
    hidden = "hidden" in world.places[place].traits and place not in known(world)
    if steps is None or hidden:
        return refuse(command, "unknown-way", place=place, person=person, thing=thing,
                      words=world.places[place].name)  # fmt: skip
    return Deed(
        name="where",
        place=place,
        person=person,
        thing=thing,
        direction=steps[0].direction,
        path=tuple(step.to for step in steps),
    )


def ask_about(turn: Turn, command: Command) -> Deed | None:
    """Put a question to whoever is here, if they have anything to say about it."""
    speakers = [c for c in people(turn.world) if "animal" not in c.traits]
    if not speakers:
        return None
    before = turn.world
    details = turn.take_details()
    deed = ask(turn, command)
    if deed.outcome == "refused":
        turn.take_details()
        turn.restart(before, details)
        return None
    answer = turn.take_details()
    turn.restart(turn.world, (*details, *answer))
    return deed


def who(turn: Turn, command: Command) -> Deed:
    """Say who somebody is."""
    entity = slot(command, "person", "thing", "topic")
    what = found(turn, entity)
    if entity is None:
        company = people(turn.world)
        for person in company:
            turn.tell("doing", person.id, turn.story.people[person.id].doing)
        near = "" if company else company_near(turn.world)
        return Deed(name="who", nearby=tuple(person.id for person in company)[:8], place=near)
    if isinstance(what, Character):
        if turn.can_see(what.id):
            turn.tell("look", what.id, turn.story.people[what.id].look)
            return Deed(name="examine", person=what.id)
        if (deed := ask_about(turn, command)) is not None:
            return deed
        if what.met or what.id in turn.world.player.seen:
            return _way(turn, command, what.at, person=what.id)
        return lacking(turn, command, entity)
    if (deed := ask_about(turn, command)) is not None:
        return deed
    if what is None and not entity.options:
        return refuse(command, "unknown-person", words=entity.text.title())
    return lacking(turn, command, entity)


def what(turn: Turn, command: Command) -> Deed:
    """Say what something is: look at it, or ask about it."""
    entity = slot(command, "thing", "place", "person", "target", "topic")
    if entity is None:
        return examine(turn, command)
    if entity.id and turn.can_see(entity.id):
        seen = Command(name="examine", slots={"thing": entity})
        return examine(turn, seen)
    return ask_about(turn, command) or examine(turn, Command(name="examine", slots={"thing": entity}))


def wonder(turn: Turn, command: Command) -> Deed:
    """Take up a question: the way itself may answer, or somebody here; else it stays in the air."""
    if (led := _where_it_leads(turn, slot(command, "topic"))) is not None:
        return led
    if slot(command, "topic") is not None and (deed := ask_about(turn, command)) is not None:
        return deed
    speakers = [c for c in people(turn.world) if "animal" not in c.traits]
    topic = slot(command, "topic")
    if grieving(turn.world) and (topic is None or not topic.id):
        # Whoever asks like that isn't after an answer, let alone a shrug.
        return share(turn, command) if speakers else Deed(name="wonder", manner="heavy")
    if speakers:
        person = speakers[0]
        turn.tell("line", person.id, turn.story.people[person.id].shrug, "shrug")
        turn.update_person(person.id, met=True)
        return Deed(name="wonder", person=person.id)
    return Deed(name="wonder")


def _where_it_leads(turn: Turn, topic: Entity | None) -> Deed | None:
    """Say where a way goes that one sees from here: `where does the lane go?`."""
    words = set(topic.text.split()) if topic is not None else set()
    if not words & _LEADING:
        return None
    for exit in ways(turn.world):
        if words & set(exit.way.lower().split()) - _COMMON:
            return Deed(name="examine", manner="next", place=exit.to)
    return None


def whereami(turn: Turn, command: Command) -> Deed:
    """Say where the player is."""
    describe(turn, "look")
    return Deed(name="whereami", place=turn.world.player.at)


def repeat(turn: Turn, command: Command) -> Deed:
    """Tell once more how things stand."""
    describe(turn, "look")
    return Deed(name="look", place=turn.world.player.at, again=True)


def inventory(turn: Turn, command: Command) -> Deed:
    """Say what the player carries."""
    return Deed(name="inventory", nearby=tuple(t.id for t in carried(turn.world))[:8])


def suggest(turn: Turn, command: Command) -> Deed:
    """Name what is at hand: somebody, something, and ways that haven't been gone yet."""
    world = turn.world
    loose = [t.id for t in visible(world) if "scenery" not in t.traits and t.at != PLAYER]
    company = [person.id for person in people(world)] if lit(world) else []
    doors = [t.id for t in visible(world) if "scenery" in t.traits and "backdrop" not in t.traits and t.at != PLAYER]
    around = neighbours(turn)
    fresh = [id for id in around if id not in world.player.visits]
    return Deed(
        name="suggest", place=world.player.at, nearby=(*company[:2], *(loose or doors)[:3]),
        options=tuple(fresh or around)[:3],
    )  # fmt: skip


def about(turn: Turn, command: Command) -> Deed:
    """Answer talk about the game: help, save, quit, undo, score, the time, the weather, …"""
    manner = slot(command, "manner")
    return Deed(name=command.name, place=turn.world.player.at, manner=manner.text if manner is not None else "")
