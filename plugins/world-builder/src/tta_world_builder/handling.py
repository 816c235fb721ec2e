"""Hands: taking, putting down, giving, opening, lighting, and using one thing with another."""

from __future__ import annotations

from msgspec import structs

from tta_world import (
    ABROAD,
    PLAYER,
    Character,
    Command,
    Deed,
    Place,
    Thing,
    carried,
    here,
    holder,
    lit,
    people,
    shows,
    visible,
)

from .asking import ask_about
from .looking import describe, examine, read, sense
from .paths import company_near
from .refusing import at_fault, lacking, refuse
from .turn import HANDS, Turn, found, slot


def take(turn: Turn, command: Command) -> Deed:
    """Take something that can be carried."""
    entity = slot(command, "thing", "target", "person", "place")
    what = found(turn, entity)
    if isinstance(what, Place):
        return refuse(command, "impossible")
    if isinstance(what, Character) and turn.can_see(what.id):
        return refuse(command, "fixed", person=what.id)
    if not isinstance(what, Thing) or not turn.can_see(what.id):
        # Somebody here may have it, and be glad to be asked.
        return ask_about(turn, command) or lacking(turn, command, entity)
    if what.at == PLAYER:
        return refuse(command, "here", outcome="already", thing=what.id)
    if "portable" not in what.traits:
        if turn.tell("effect", what.id, turn.story.things[what.id].does.get("take", ()), "take"):
            return Deed(name="act", thing=what.id)
        return refuse(command, "fixed", thing=what.id)
    if what.at in turn.world.characters:
        return refuse(command, "owned", thing=what.id, person=what.at)
    if len(carried(turn.world)) >= HANDS:
        return refuse(command, "full", thing=what.id)
    source = what.at if what.at in turn.world.things else ""
    turn.move(what.id, PLAYER)
    return Deed(name="take", thing=what.id, target=source)


def drop(turn: Turn, command: Command) -> Deed:
    """Put something down."""
    entity = slot(command, "thing")
    if at_fault(turn, command, entity):
        return lacking(turn, command, entity)
    what = found(turn, entity)
    if not isinstance(what, Thing) or holder(turn.world, what.id) != PLAYER:
        return refuse(command, "not-carried", thing=what.id if isinstance(what, Thing) else "")
    turn.move(what.id, turn.world.player.at)
    return Deed(name="drop", thing=what.id)


def put(turn: Turn, command: Command) -> Deed:
    """Put one thing into, on or beside another."""
    target = found(turn, slot(command, "target", "place", "person"))
    entity = slot(command, "thing")
    what = found(turn, entity)
    if isinstance(target, Character):
        return give(turn, command)
    if target is None and slot(command, "target") is None:
        return drop(turn, command)
    if not isinstance(what, Thing) or not turn.can_see(what.id):
        return lacking(turn, command, entity)
    if holder(turn.world, what.id) != PLAYER:
        return refuse(command, "not-carried", thing=what.id)
    if isinstance(target, Place) and target.id == turn.world.player.at:
        return drop(turn, command)
    if not isinstance(target, Thing) or not turn.can_see(target.id) or target.id == what.id:
        if isinstance(target, Thing) and target.id == what.id:
            return refuse(command, "useless", thing=what.id, target=target.id)
        return lacking(turn, command, slot(command, "target", "place"))
    if "container" in target.traits:
        if "open" not in target.states:
            turn.set_state(target.id, "open")
        turn.move(what.id, target.id)
        return Deed(name="put", thing=what.id, target=target.id, manner="in")
    if target.at in (PLAYER, ABROAD):
        return refuse(command, "useless", thing=what.id, target=target.id)
    turn.move(what.id, target.id if shows(target) else turn.world.player.at)
    return Deed(name="put", thing=what.id, target=target.id, manner="by")


def give(turn: Turn, command: Command) -> Deed:
    """Give or show something to somebody; what isn't theirs by the story they hand back."""
    entity = slot(command, "thing")
    receiver = slot(command, "person", "target")
    if receiver is None or found(turn, receiver) is None:
        company = sorted(people(turn.world), key=lambda c: "animal" in c.traits)
        speaking = [c for c in company if "animal" not in c.traits]
        company = speaking if len(speaking) == 1 else company
        if receiver is None and len(company) == 1:
            person = company[0]
        elif receiver is None:
            if not company:
                return refuse(command, "alone", outcome="unclear", place=company_near(turn.world))
            return refuse(command, "what", outcome="unclear")
        else:
            return lacking(turn, command, receiver)
    else:
        target = found(turn, receiver)
        if not isinstance(target, Character):
            if isinstance(target, Thing) and isinstance(found(turn, entity), Thing):
                thing = entity.id if entity else ""
                return refuse(command, "useless", thing=thing, target=target.id)
            return lacking(turn, command, receiver)
        person = target
    if person.at != turn.world.player.at:
        return lacking(turn, command, receiver)
    if at_fault(turn, command, entity):
        return lacking(turn, command, entity)
    what = found(turn, entity)
    if not isinstance(what, Thing) or holder(turn.world, what.id) != PLAYER:
        return refuse(command, "not-carried", thing=what.id if isinstance(what, Thing) else "")
    turn.tell("effect", person.id, turn.story.people[person.id].gift, "gift")
    return Deed(name="show", thing=what.id, person=person.id)


def open_(turn: Turn, command: Command) -> Deed:
    """Open, close, lock or unlock something."""
    entity = slot(command, "thing", "target", "place")
    what = found(turn, entity)
    if isinstance(what, Place):
        doors = [e.door for e in here(turn.world).exits if e.door and e.to == what.id]
        what = turn.world.things[doors[0]] if doors else what
    if isinstance(what, Place) or (entity is None and command.name in ("open", "unlock")):
        return refuse(command, "what", outcome="unclear", nearby=tuple(turn.at_hand()))
    at_door = isinstance(what, Thing) and any(e.door == what.id for e in here(turn.world).exits)
    if not isinstance(what, Thing) or not (at_door or turn.can_see(what.id)):
        return lacking(turn, command, entity)
    text = turn.story.things[what.id]
    if not {"door", "container"} & set(what.traits):
        if command.name == "open" and turn.tell("effect", what.id, text.does.get("open", ())):
            return Deed(name="act", thing=what.id)
        return refuse(command, "useless", thing=what.id)
    if command.name in ("close", "lock"):
        if "open" not in what.states:
            return refuse(command, "already", outcome="already", thing=what.id)
        # Doors here are closed, never locked again: nobody is ever shut out.
        turn.set_state(what.id, remove=("open",))
        return Deed(name="close", thing=what.id)
    if "open" in what.states:
        return refuse(command, "already", outcome="already", thing=what.id)
    if "locked" in what.states:
        if text.key not in [thing.id for thing in carried(turn.world)]:
            turn.tell("refusal", what.id, text.does.get("locked", ()), "locked")
            return refuse(command, "locked", thing=what.id)
        turn.set_state(what.id, "open", remove=("locked",))
        turn.tell("effect", what.id, text.does.get("unlock", ()), "unlock")
        return Deed(name="unlock", thing=what.id, target=text.key)
    turn.set_state(what.id, "open")
    turn.tell("effect", what.id, text.does.get("open", ()), "open")
    inside = tuple(t.id for t in turn.world.things.values() if t.at == what.id)
    return Deed(name="open", thing=what.id, nearby=inside[:8])


def light(turn: Turn, command: Command) -> Deed:
    """Light a lamp, for which a flame must be at hand, or put it out."""
    entity = slot(command, "thing", "target")
    lamps = [t for t in carried(turn.world) if "lamp" in t.traits]
    what = found(turn, entity) if entity is not None else (lamps[0] if lamps else None)
    if isinstance(what, Thing) and "flame" in what.traits:
        what = lamps[0] if lamps else what
    if not isinstance(what, Thing) or not turn.can_see(what.id):
        return lacking(turn, command, entity)
    if "lamp" not in what.traits:
        return refuse(command, "useless", thing=what.id)
    burning = "lit" in what.states
    if burning == (command.name == "light"):
        return refuse(command, "already", outcome="already", thing=what.id)
    does = turn.story.things[what.id].does
    if burning:
        turn.set_state(what.id, remove=("lit",))
        turn.tell("effect", what.id, does.get("extinguish", ()), "extinguish")
        if not lit(turn.world):
            describe(turn, "look")
        return Deed(name="extinguish", thing=what.id)
    if not any("flame" in t.traits for t in visible(turn.world)):
        return refuse(command, "needs", thing=what.id, words="flame")
    dark = not lit(turn.world)
    turn.set_state(what.id, "lit")
    turn.tell("effect", what.id, does.get("light", ()), "light")
    if dark:
        describe(turn, "first")
    return Deed(name="light", thing=what.id)


def use(turn: Turn, command: Command) -> Deed:
    """Use a thing for what it is plainly for, alone or with another."""
    entity = slot(command, "thing", "target")
    what = found(turn, entity)
    if isinstance(what, Character):
        return examine(turn, command)
    if not isinstance(what, Thing) or not turn.can_see(what.id):
        return lacking(turn, command, entity)
    second = slot(command, "target", "person", "place")
    if second is not None and second is not entity:
        if at_fault(turn, command, second):
            return lacking(turn, command, second)
        target = found(turn, second)
        key = isinstance(target, Thing) and turn.story.things[target.id].key == what.id
        if key:
            return open_(turn, Command(name="unlock", slots={"thing": second}))
        if isinstance(target, Thing) and "container" in target.traits:
            return put(turn, command)
        if isinstance(target, Thing) and "lamp" in target.traits and "flame" in what.traits:
            return light(turn, Command(name="light", slots={"thing": second}))
        if isinstance(target, Thing):
            return refuse(command, "useless", thing=what.id, target=target.id)
        if isinstance(target, Character):
            return give(turn, command)
    does = turn.story.things[what.id].does
    plain = Command(name="act", slots={"thing": entity}) if entity is not None else command
    if "use" not in does and "readable" in what.traits:
        return read(turn, command)
    for verb in ("use", "play", "wear", "eat", "drink", "ring", "sit", "write"):
        if verb in does:
            return act(turn, structs.replace(plain, name=verb))
    if {"lamp", "flame"} & set(what.traits):
        return light(turn, structs.replace(command, name="light"))
    if {"door", "container"} & set(what.traits):
        return open_(turn, structs.replace(command, name="open"))
    for verb in ("listen", "touch"):
        if verb in does:
            return sense(turn, structs.replace(plain, name=verb))
    return refuse(command, "useless", thing=what.id)


def act(turn: Turn, command: Command) -> Deed:
    """Do what the story has a text for: eat, wear, ring, play, turn, write, throw, swim, …"""
    entity = slot(command, "thing", "target", "place")
    what = found(turn, entity)
    person = found(turn, slot(command, "person"))
    if isinstance(person, Character) and command.name in ("push", "pull", "throw", "turn"):
        return refuse(command, "gentle", person=person.id if turn.can_see(person.id) else "")
    does = turn.story.things
    if what is None and command.name in ("write", "play", "swim"):
        # `write a poem`: the thing that is made, not the one it is made with.
        entity = None
    if entity is None:
        # The only thing here that knows of it.
        able = [t for t in visible(turn.world) if command.name in does[t.id].does]
        what = able[0] if able else None
        if what is None:
            return refuse(command, "what", outcome="unclear", nearby=tuple(turn.at_hand()))
    if isinstance(what, Character):
        return refuse(command, "fixed", person=what.id)
    if not isinstance(what, Thing) or not turn.can_see(what.id):
        wanted = ask_about(turn, command) if command.name in ("eat", "drink") else None
        return wanted or lacking(turn, command, entity)
    if what.at in turn.world.characters:
        return refuse(command, "owned", thing=what.id, person=what.at)
    if not turn.tell("effect", what.id, does[what.id].does.get(command.name, ()), command.name):
        if command.name == "throw" and slot(command, "target") is not None:
            return refuse(command, "keep", thing=what.id)
        if command.name == "throw" and what.at == PLAYER:
            return drop(turn, Command(name="drop", slots={"thing": entity} if entity else {}))
        return refuse(command, "useless", thing=what.id)
    if command.name in ("eat", "drink"):
        # There is always one more.
        turn.restore(what.id)
    if command.name == "wear":
        turn.set_state(what.id, "worn")
        turn.move(what.id, PLAYER)
    if command.name == "sit":
        turn.update_player(posture="sitting")
    return Deed(name=command.name, thing=what.id)
