"""Going about: a step in some direction, or a whole walk to a place that the player can name."""

from __future__ import annotations

from msgspec import structs

from tta_world import (
    DIRECTIONS,
    Character,
    Command,
    Deed,
    Entity,
    Exit,
    Place,
    Thing,
    blocked,
    carried,
    here,
    known,
    people,
    ways,
)

from .handling import act
from .looking import describe
from .paths import company_near, nearest, route
from .refusing import lacking, neighbours, refuse
from .turn import Turn, found, slot

PER_STEP = 6
"""Minutes of story time that one way takes."""


def go(turn: Turn, command: Command) -> Deed:
    """Go in a direction, to a place, to somebody, or through something."""
    entity = slot(command, "place", "person", "thing", "target", "direction")
    if entity is None:
        return refuse(command, "what", outcome="unclear", nearby=neighbours(turn))
    if entity.kind == "direction":
        return _by_direction(turn, command, entity.id or entity.text)
    if entity.kind == "several" and not entity.id:
        return _to_any(turn, command, entity)
    what = found(turn, entity)
    if isinstance(what, Place):
        manner = slot(command, "manner")
        if what.id == turn.world.player.at and manner is not None:
            return Deed(name="stroll", place=what.id)
        if "hidden" in what.traits and what.id not in known(turn.world):
            return lacking(turn, command, entity)
        return _to_place(turn, command, what.id)
    if isinstance(what, Character):
        return _to_person(turn, command, what)
    if isinstance(what, Thing):
        return _to_thing(turn, command, what)
    if entity.options or (not entity.id and entity.text in ("there", "here", "it", "that")):
        return lacking(turn, command, entity)
    return refuse(command, "unknown-place", words=entity.text, nearby=neighbours(turn))


def _to_any(turn: Turn, command: Command, entity: Entity) -> Deed:
    """Go to somebody, whoever is nearest; or somewhere to be at ease, if possible a new one."""
    world = turn.world
    if slot(command, "person") is entity:
        if people(world):
            return refuse(command, "here", outcome="already", person=people(world)[0].id)
        goal = company_near(world)
    else:
        restful = [p.id for p in world.places.values() if {"restful"} <= set(p.traits) and "hidden" not in p.traits]
        fresh = [id for id in restful if id not in world.player.visits]
        goal = nearest(world, fresh) or nearest(world, restful)
    if not goal:
        return refuse(command, "unknown-place", words=entity.text, nearby=neighbours(turn))
    return structs.replace(_to_place(turn, command, goal), manner="")


def back(turn: Turn, command: Command) -> Deed:
    """Go back to where the player came from."""
    before = turn.world.player.before
    if not before:
        return refuse(command, "no-exit", nearby=neighbours(turn), direction="back")
    return _to_place(turn, command, before)


def leave(turn: Turn, command: Command) -> Deed:
    """Leave the place by the obvious way."""
    entity = slot(command, "place", "thing", "person")
    if entity is not None and entity.id and entity.id != turn.world.player.at:
        what = found(turn, entity)
        if isinstance(what, Thing):
            if what.at == "player":
                return refuse(command, "needs", thing=what.id)
            return Deed(name="stand", thing=what.id)
    exits = ways(turn.world)
    out = [e for e in exits if e.direction == "out"]
    rest = [e for e in exits if e.to == turn.world.player.before] or exits
    return _walk(turn, command, (out or rest)[:1])


def climb(turn: Turn, command: Command) -> Deed:
    """Climb something, or up, or down."""
    entity = slot(command, "thing", "target")
    what = found(turn, entity)
    if isinstance(what, Thing) and turn.can_see(what.id):
        if texts := turn.story.things[what.id].does.get("climb"):
            turn.tell("effect", what.id, texts, "climb")
            return Deed(name="climb", thing=what.id)
        if "door" in what.traits:
            return go(turn, command)
        return refuse(command, "fixed", thing=what.id)
    place = slot(command, "place")
    direction = slot(command, "direction")
    if place is not None and place.id:
        return go(turn, command)
    # A ladder or a step that the text mentions needn't be a thing of its own.
    wanted = direction.id if direction is not None else "up"
    if any(e.direction == wanted for e in ways(turn.world)):
        return _by_direction(turn, command, wanted)
    if entity is not None:
        return lacking(turn, command, entity)
    return _by_direction(turn, command, wanted)


def _by_direction(turn: Turn, command: Command, direction: str) -> Deed:
    exits = ways(turn.world)
    chosen = [e for e in exits if e.direction == direction]
    if not chosen and direction in ("on", "forward"):
        ahead = [e for e in exits if e.to != turn.world.player.before]
        fresh = [e for e in ahead if e.to not in turn.world.player.visits]
        chosen = fresh or ahead or exits
    if not chosen and direction in ("in", "out"):
        # One way in or out is no riddle, whatever direction it has.
        inner = [e for e in exits if e.door] if direction == "in" else exits
        if len({e.to for e in inner}) == 1:
            chosen = inner
    if not chosen:
        given = direction if direction in DIRECTIONS else ""
        return refuse(command, "no-exit", direction=given, words=direction, nearby=neighbours(turn))
    deed = _walk(turn, command, chosen[:1])
    return structs.replace(deed, direction=chosen[0].direction)


def _to_place(turn: Turn, command: Command, id: str) -> Deed:
    world = turn.world
    if id == world.player.at:
        return refuse(command, "here", outcome="already", place=id)
    place = world.places[id]
    heard_of = id in known(world)
    steps = route(world, world.player.at, id)
    if steps is None or ("hidden" in place.traits and not heard_of):
        return refuse(command, "unknown-way", place=id, words=place.name, nearby=neighbours(turn))
    deed = _walk(turn, command, steps)
    # Who names a place that isn't hidden finds it: this is no world for getting lost in.
    return deed if heard_of or not deed.arrived else structs.replace(deed, manner="asked")


def _to_person(turn: Turn, command: Command, person: Character) -> Deed:
    if person.at == turn.world.player.at:
        return refuse(command, "here", outcome="already", person=person.id)
    if not person.met and person.id not in turn.world.player.seen:
        name = person.name
        if person.at not in known(turn.world):
            return refuse(command, "unknown-person", words=name, nearby=neighbours(turn))
    deed = _to_place(turn, command, person.at)
    return structs.replace(deed, person=person.id)


def _to_thing(turn: Turn, command: Command, thing: Thing) -> Deed:
    for exit in ways(turn.world):
        if exit.door == thing.id:
            return _walk(turn, command, [exit])
    if turn.can_see(thing.id):
        if turn.story.things[thing.id].does.get("swim"):
            return act(turn, Command(name="swim", slots=command.slots))
        return refuse(command, "here", outcome="already", thing=thing.id)
    if thing.at in turn.world.places and thing.id in turn.world.player.seen:
        return _to_place(turn, command, thing.at)
    words = slot(command, "place", "person", "thing", "target")
    return lacking(turn, command, words)


def _walk(turn: Turn, command: Command, steps: list[Exit]) -> Deed:
    """Walk along these exits, as far as nothing bars the way."""
    start = turn.world.player.at
    path: list[str] = []
    reason = ""
    door = ""
    for step in steps:
        reason = _pass(turn, step)
        if reason:
            door = step.door
            break
        path.append(step.to)
        if path[-1] != steps[-1].to:
            turn.know(step.to)
        turn.update_player(at=step.to)
    goal = steps[-1].to
    if not path:
        if reason == "locked" and door:
            turn.tell("refusal", door, turn.story.things[door].does.get("locked", ()), "locked")
        return refuse(command, reason, thing=door, place=goal)
    turn.spent += PER_STEP * len(path)
    first = path[-1] not in turn.world.player.visits
    _arrive(turn, start, path)
    if reason == "locked" and door:
        turn.tell("refusal", door, turn.story.things[door].does.get("locked", ()), "locked")
    return Deed(
        name="go",
        direction=steps[0].direction,
        path=tuple(path[-16:]),
        place=path[-1],
        target=goal if reason else "",
        reason=reason,
        thing=door if reason else "",
        arrived=True,
        again=not first,
    )


def _pass(turn: Turn, exit: Exit) -> str:
    """Open what stands in the way, where that is possible; else say what bars it."""
    bar = blocked(turn.world, exit)
    if bar in ("closed", "locked"):
        text = turn.story.things[exit.door]
        if bar == "locked":
            if text.key not in [thing.id for thing in carried(turn.world)]:
                return bar
            turn.tell("effect", exit.door, text.does.get("unlock", ()), "unlock")
        turn.set_state(exit.door, "open", remove=("locked",))
        bar = blocked(turn.world, exit)
    return bar or ""


def _arrive(turn: Turn, start: str, path: list[str]) -> None:
    at = path[-1]
    player = turn.world.player
    before = path[-2] if len(path) > 1 else start
    first = at not in player.visits
    visits = {**player.visits, at: min(player.visits.get(at, 0) + 1, 999)}
    turn.update_player(at=at, before=before, visits=visits, posture="standing")
    turn.arrived = True
    _companions(turn, start, at)
    describe(turn, "first" if first else "again")


def _companions(turn: Turn, start: str, at: str) -> None:
    """Let whoever goes with the player come along, stay where it is dry, or join again."""
    for person in list(turn.world.characters.values()):
        if "companion" not in person.traits:
            continue
        text = turn.story.people[person.id]
        wet = "wet" in here(turn.world).traits
        if person.at == start and wet:
            turn.tell("stays", person.id, text.stays)
        elif person.at == start:
            turn.move(person.id, at)
            # Now and then is enough.
            if turn.roll("follows", 5) < 2:
                turn.tell("follows", person.id, text.follows)
        elif person.at == at:
            turn.tell("rejoins", person.id, text.rejoins)
