"""The senses: what a place, a thing or a person is like, and what a search brings to light."""

from __future__ import annotations

from tta_world import (
    PLAYER,
    Character,
    Command,
    Deed,
    Place,
    Thing,
    World,
    here,
    holder,
    lit,
    people,
    shows,
    visible,
)

from .create import placed
from .refusing import bare, lacking, refuse
from .turn import Turn, found, slot


def describe(turn: Turn, texts: str) -> None:
    """Tell of the place where the player is: by its ``first``, ``again`` or ``look`` texts."""
    world = turn.world
    place = here(world)
    prose = turn.story.places[place.id]
    if not lit(world):
        turn.tell("place", place.id, prose.dark, "dark")
        return
    turn.tell("place", place.id, getattr(prose, texts), texts)
    for number, note in enumerate(prose.notes):
        if turn.all_hold(note.when):
            turn.tell("note", place.id, note.texts, str(number))
    for person in people(world):
        if not (turn.arrived and "companion" in person.traits):
            turn.tell("doing", person.id, turn.story.people[person.id].doing)
    for thing in visible(world):
        if thing.at != PLAYER and untouched(turn, thing):
            turn.tell("lies", thing.id, turn.story.things[thing.id].lies)


def untouched(turn: Turn, thing: Thing) -> bool:
    """Tell whether a thing is still where the story put it."""
    first = placed(turn.story.things[thing.id].at, turn.world.seed, thing.id)
    return thing.at == first and "moved" not in thing.states


def surroundings(world: World) -> str:
    """Name the kind of place that this is, for texts that fit many places."""
    traits = here(world).traits
    if not lit(world):
        return "dark"
    return next((trait for trait in ("sea", "outdoors") if trait in traits), "indoors")


def look(turn: Turn, command: Command) -> Deed:
    """Look about."""
    describe(turn, "look")
    return Deed(name="look", place=turn.world.player.at)


def examine(turn: Turn, command: Command) -> Deed:
    """Look closely at a thing, a person, or a place from afar."""
    entity = slot(command, "thing", "person", "place", "target")
    aim = slot(command, "manner")
    if entity is None and aim is not None and aim.text == "self":
        return Deed(name="self")
    if entity is None:
        return look(turn, command)
    what = found(turn, entity)
    if isinstance(what, Place):
        return _regard_place(turn, command, what)
    if what is None or not turn.can_see(what.id):
        return lacking(turn, command, entity)
    if isinstance(what, Character):
        turn.tell("look", what.id, turn.story.people[what.id].look)
        return Deed(name=command.name, person=what.id)
    turn.tell("look", what.id, turn.story.things[what.id].look)
    inside = tuple(t.id for t in turn.world.things.values() if t.at == what.id and shows(what))
    manner = "inside" if "container" in what.traits and shows(what) else ""
    return Deed(name=command.name, thing=what.id, nearby=inside[:8], manner=manner)


def _regard_place(turn: Turn, command: Command, place: Place) -> Deed:
    if place.id == turn.world.player.at:
        return look(turn, command)
    far = turn.story.places[place.id].far
    if far and "landmark" in place.traits and "outdoors" in here(turn.world).traits:
        turn.tell("far", place.id, far)
        return Deed(name="examine", place=place.id)
    for exit in here(turn.world).exits:
        if exit.to == place.id and not exit.hidden:
            return Deed(name="examine", place=place.id, direction=exit.direction, manner="next")
    entity = slot(command, "place", "thing", "target", "person")
    return lacking(turn, command, entity)


def search(turn: Turn, command: Command) -> Deed:
    """Search a place or a thing; a searched container is opened, too."""
    world = turn.world
    at = world.player.at
    text = turn.story.places[at].search
    pending = text is not None and turn.all_hold(text.when)
    entity = slot(command, "thing", "target", "person", "place")
    what = found(turn, entity)
    manner = slot(command, "manner")
    missing = ""
    if entity is not None and (what is None or not turn.can_see(what.id)):
        if manner is None or manner.text != "for":
            return lacking(turn, command, entity)
        # Looking for what isn't here is still looking about.
        missing = bare(entity.text)
        what = None
    if isinstance(what, Character):
        return examine(turn, command)
    if isinstance(what, Thing) and ("container" in what.traits or not pending):
        if "container" in what.traits and "open" not in what.states:
            turn.set_state(what.id, "open")
            turn.tell("effect", what.id, turn.story.things[what.id].does.get("open", ()))
        return examine(turn, command)
    if not lit(world):
        return refuse(command, "dark")
    if text is not None and pending:
        turn.tell("effect", at, text.texts)
        turn.apply(text.effects)
    elif text is not None and text.again:
        turn.tell("effect", at, text.again)
    else:
        kind = "outdoors" if "outdoors" in here(world).traits else "indoors"
        turn.tell("effect", at, turn.story.threads.search[kind], kind)
    loose = [t for t in visible(world) if holder(world, t.id) == at]
    nearby = tuple(t.id for t in loose if "scenery" not in t.traits)
    return Deed(name="search", place=at, nearby=nearby[:4], words=missing[:60])


def sense(turn: Turn, command: Command) -> Deed:
    """Listen, smell, touch or taste: the whole place, or one thing of it."""
    entity = slot(command, "thing", "person", "target", "place")
    what = found(turn, entity)
    if entity is None or (isinstance(what, Place) and what.id == turn.world.player.at):
        return _sense_place(turn, command)
    if isinstance(what, Place) or what is None or not turn.can_see(what.id):
        return lacking(turn, command, entity)
    if isinstance(what, Character):
        turn.tell("doing", what.id, turn.story.people[what.id].doing)
        return Deed(name=command.name, person=what.id)
    turn.tell("sense", what.id, turn.story.things[what.id].does.get(command.name, ()), command.name)
    return Deed(name=command.name, thing=what.id)


def _sense_place(turn: Turn, command: Command) -> Deed:
    place = here(turn.world)
    prose = turn.story.places[place.id]
    own = {"listen": prose.listen, "smell": prose.smell}.get(command.name, ())
    common = turn.story.threads.senses.get(command.name, {})
    kind = surroundings(turn.world)
    fallback = common.get("indoors" if kind == "dark" else kind, ())
    if own:
        turn.tell("sense", place.id, own, command.name)
    else:
        turn.tell("sense", kind, fallback, command.name)
    return Deed(name=command.name, place=place.id)


def read(turn: Turn, command: Command) -> Deed:
    """Read something; where nothing is named, whatever here can be read."""
    entity = slot(command, "thing", "target", "place")
    what = found(turn, entity)
    if entity is None:
        readable = [t for t in visible(turn.world) if "readable" in t.traits]
        what = readable[0] if readable else None
        if what is None:
            return lacking(turn, command, None)
    if not isinstance(what, Thing) or not turn.can_see(what.id):
        return lacking(turn, command, entity)
    if not turn.tell("effect", what.id, turn.story.things[what.id].does.get("read", ()), "read"):
        turn.tell("look", what.id, turn.story.things[what.id].look)
    return Deed(name="read", thing=what.id)
