"""What the rules have no answer to: a model proposes changes, and the rules make each of them, or refuse all."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cache
from typing import Annotated, Literal

import msgspec
from msgspec import Meta, Struct, structs

from tta_llm import ChatRequest, LanguageModel
from tta_llm.prompts import Prompt, Section, load
from tta_llm.standby import Unanswered, whole
from tta_world import Change, Command, Entity, EntityKind, Intent, World, carried, here, people, visible, ways
from tta_world.wire import MAX_COMMANDS

from .engine import apply

IMPROVISE = "improvise"
"""The command with which every proposal begins, and which is all of one that changes nothing."""
_LONGEST = 6000
_TOKENS = 300
What = Literal["moved", "opened", "closed", "unlocked", "lit", "put-out", "worn", "went"]
_COMMANDS: dict[str, str] = {
    "opened": "open", "closed": "close", "unlocked": "unlock", "lit": "light", "put-out": "extinguish", "worn": "wear",
}  # fmt: skip
_Name = Annotated[str, Meta(max_length=80)]


class Proposed(Struct, frozen=True, forbid_unknown_fields=True):
    """One change: ``what`` became of a ``thing``, and where ``to`` it, or the player, went."""

    what: What
    thing: _Name = ""
    to: _Name = ""


class Proposal(Struct, frozen=True, forbid_unknown_fields=True):
    """A model's answer; it has no words of its own, so that it can say nothing that hasn't happened."""

    possible: bool
    changes: Annotated[tuple[Proposed, ...], Meta(max_length=4)] = ()
    minutes: Annotated[int, Meta(ge=0, le=60)] = 5


@cache
def prompt() -> Prompt:
    """Return the instructions."""
    return load("tta_world_builder", "propose")


def is_at_a_loss(change: Change) -> bool:
    """Say whether the rules called something impossible."""
    return any(deed.reason == "impossible" for deed in change.deeds)


async def propose(
    llm: LanguageModel, world: World, intent: Intent, *, request: ChatRequest, within: float
) -> tuple[Proposal, str]:  # fmt: skip
    """Return what a model would let happen, and its name; raise `Unanswered`."""
    asked = structs.replace(
        request, messages=prompt().messages(_sections(world, intent), most=_LONGEST), schema=Proposal,
        max_tokens=_TOKENS, temperature=0.0,
    )  # fmt: skip
    reply = await whole(llm, asked, within=within)
    try:
        # A Struct that somebody made is checked by nobody.
        return msgspec.convert(msgspec.to_builtins(reply.output), Proposal), reply.model
    except (msgspec.ValidationError, TypeError, ValueError, OverflowError, RecursionError):
        raise Unanswered("invalid_output") from None


def accepted(world: World, intent: Intent, proposal: Proposal) -> tuple[World, Change] | None:
    """Carry a proposal out in place of what the rules called impossible; None where they refuse any part of it.

    Each change is the command that brings it about, and goes the way of all commands: so nothing happens that a player
    who asked for it in so many words couldn't do.
    """
    if not proposal.possible:
        return None
    instead = [Command(name=IMPROVISE, slots={"topic": Entity(text=str(proposal.minutes))})]
    for proposed in proposal.changes:
        command = _command(world, proposed)
        if command is None:
            return None
        instead.append(command)
    commands: list[Command] = []
    for command in intent.commands or (Command(name=intent.name, slots=intent.slots),):
        if _is_beyond(world, intent, command):
            commands += instead
            instead = []
        else:
            commands.append(command)
    if instead or len(commands) > MAX_COMMANDS:
        return None
    after, change = apply(world, structs.replace(intent, name=commands[0].name, commands=tuple(commands)))
    if any(deed.outcome in ("refused", "unclear") for deed in change.deeds):
        return None
    return after, change


def _is_beyond(world: World, intent: Intent, command: Command) -> bool:
    alone = structs.replace(intent, name=command.name, slots=command.slots, commands=(command,))
    return is_at_a_loss(apply(world, alone)[1])


def _command(world: World, proposed: Proposed) -> Command | None:
    """Return the command that brings a change about; None where it is about what isn't at hand."""
    if proposed.what == "went":
        place = _found(world, proposed.to or proposed.thing, "place")
        return Command(name="go", slots={"place": place}) if place is not None else None
    thing = _found(world, proposed.thing, "thing")
    if thing is None:
        return None
    if proposed.what != "moved":
        return Command(name=_COMMANDS[proposed.what], slots={"thing": thing})
    to = proposed.to.strip().casefold()
    if to in ("you", "player", "me"):
        return Command(name="take", slots={"thing": thing})
    if to in ("here", "ground", "floor", here(world).id, here(world).name.casefold()):
        return Command(name="drop", slots={"thing": thing})
    if (person := _found(world, to, "character")) is not None:
        return Command(name="give", slots={"thing": thing, "person": person})
    if (target := _found(world, to, "thing")) is not None:
        return Command(name="put", slots={"thing": thing, "target": target, "manner": Entity(text="in")})
    return None


def _found(world: World, name: str, kind: EntityKind) -> Entity | None:
    """Return what is at hand by that name."""
    wanted = name.strip().casefold()
    for id, names in _at_hand(world, kind):
        if wanted and wanted in {id.casefold(), *(each.casefold() for each in names)}:
            return Entity(text=names[0], kind=kind, id=id)
    return None


def _at_hand(world: World, kind: EntityKind) -> Iterator[tuple[str, Sequence[str]]]:
    """Yield the id and the names of each thing, person or place that a change may be about."""
    match kind:
        case "thing":
            for thing in visible(world):
                yield thing.id, (thing.name, *thing.aliases)
        case "character":
            for person in people(world):
                yield person.id, (person.name, *person.aliases)
        case _:
            for exit in ways(world):
                place = world.places[exit.to]
                yield place.id, (place.name, *place.aliases)


def _sections(world: World, intent: Intent) -> list[Section]:
    held = carried(world)
    around = [thing for thing in visible(world) if thing not in held]
    return [
        Section("Where the player is", (here(world).name, *here(world).traits)),
        Section("What the player carries", tuple(_described(thing.name, thing.states) for thing in held)),
        Section("What is in reach", tuple(_described(thing.name, thing.states) for thing in around)),
        Section("Who is here", tuple(person.name for person in people(world))),
        Section("Places next door", tuple(world.places[exit.to].name for exit in ways(world))),
        Section("What the player wants to do", (intent.text[:1000],), needed=True),
    ]


def _described(name: str, states: Sequence[str]) -> str:
    shown = [state for state in states if state not in ("moved", "hidden")]
    return f"{name}: {', '.join(shown)}" if shown else name
