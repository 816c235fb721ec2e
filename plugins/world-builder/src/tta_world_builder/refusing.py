"""Saying no honestly: what isn't here, isn't known, or can't be told apart, and what is at hand."""

from __future__ import annotations

from tta_world import (
    PLAYER,
    Command,
    Deed,
    Entity,
    Outcome,
    here,
    holder,
    known,
    lit,
    ways,
)

from .turn import Turn


def refuse(
    command: Command, reason: str, *, outcome: Outcome = "refused", thing: str = "",
    target: str = "", person: str = "", place: str = "", words: str = "",
    nearby: tuple[str, ...] = (), options: tuple[str, ...] = (), direction: str = "",
    topic: str = "",
) -> Deed:  # fmt: skip
    """Make a deed of something that wasn't done."""
    return Deed(
        name=command.name,
        outcome=outcome,
        reason=reason,
        thing=thing,
        target=target,
        person=person,
        place=place,
        words=bare(words)[:60],
        nearby=nearby[:3],
        options=options[:4],
        direction=direction,
        topic=topic,
    )


def lacking(turn: Turn, command: Command, entity: Entity | None) -> Deed:
    """Say why what the player named can't be dealt with here; call it only if that is so."""
    nearby = tuple(turn.at_hand())
    if entity is None:
        return refuse(command, "what", outcome="unclear", nearby=nearby)
    if entity.options:
        return refuse(command, "ambiguous", outcome="unclear", words=entity.text, options=entity.options)
    world = turn.world
    id = entity.id
    if not id and _PRONOUNS & set(entity.text.lower().split()[:1]):
        return refuse(command, "what", outcome="unclear", words=entity.text, nearby=nearby)
    if id in world.characters:
        person = world.characters[id]
        if person.met or id in world.player.seen:
            return refuse(command, "absent", person=id, place=person.at)
        # Pennow is small, and where somebody lives is no secret.
        findable = "hidden" not in world.places[person.at].traits and person.at != world.player.at
        at = person.at if findable else ""
        if person.name.lower() in entity.text.lower():
            return refuse(command, "unknown-person", person=id, words=person.name, place=at)
        if at:
            return refuse(command, "absent", words=entity.text, place=at)
        return refuse(command, "unknown-thing", words=entity.text, nearby=nearby)
    backdrop = id in world.things and "backdrop" in world.things[id].traits
    if id in world.things and id in world.player.seen and not backdrop:
        return refuse(command, "elsewhere", thing=id, place=_last_known(turn, id), nearby=nearby)
    if id in world.things and id not in world.player.seen and lit(world) and not _about_here(turn, id):
        # What everybody here would tell one.
        turn.tell("refusal", id, turn.story.things[id].whereabouts, "whereabouts")
    if id in world.places:
        if id in known(world):
            return refuse(command, "elsewhere", place=id)
        return refuse(command, "unknown-place", words=entity.text, nearby=neighbours(turn))
    if not lit(world):
        return refuse(command, "dark", words=entity.text)
    return refuse(command, "unknown-thing", words=entity.text, nearby=nearby)


_PRONOUNS = frozenset({"it", "them", "that", "this", "these", "those", "one", "him", "her", "she", "he", "they",
                      "there", "here"})  # fmt: skip
_BEFORE = frozenset({"the", "a", "an", "some", "any", "my", "this", "that", "those", "these", "your",
                     "his", "her", "their", "our", "its"})  # fmt: skip


def bare(words: str) -> str:
    """Take the articles off what the player called something."""
    parts = words.split()
    while len(parts) > 1 and parts[0].lower() in _BEFORE:
        parts = parts[1:]
    return " ".join(parts)


def neighbours(turn: Turn) -> tuple[str, ...]:
    """List the places next door, each once."""
    return tuple(dict.fromkeys(exit.to for exit in ways(turn.world)))


def at_fault(turn: Turn, command: Command, entity: Entity | None, *, held: bool = False) -> bool:
    """Tell whether `lacking` applies: the thing isn't at hand or, where ``held``, isn't carried."""
    if entity is None or not entity.id or not turn.can_see(entity.id):
        return True
    return held and holder(turn.world, entity.id) != PLAYER


def _about_here(turn: Turn, id: str) -> bool:
    """Tell whether somebody or something here has it, out of sight."""
    at = holder(turn.world, id)
    person = turn.world.characters.get(at)
    return here(turn.world).id == (person.at if person is not None else at)


def _last_known(turn: Turn, id: str) -> str:
    """Return the place where a thing is now, if the player has been there; else nothing."""
    world = turn.world
    at = world.things[id].at
    while at in world.things:
        at = world.things[at].at
    if at in world.characters:
        at = world.characters[at].at
    return at if at in world.player.visits and at != here(world).id else ""
