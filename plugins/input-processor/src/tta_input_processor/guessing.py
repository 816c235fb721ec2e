"""What a player may mean where the rules can't tell: a model's guess, and of that only what the rules know, too."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct, structs

from tta_llm import ChatRequest, LanguageModel
from tta_llm.prompts import Prompt, Section, load
from tta_llm.standby import Unanswered, whole
from tta_world import COMMANDS, Command, Entity, Intent, World, carried, here, known, lit, people, visible, ways

from .names import Names
from .phrases import direction
from .text import normalize

_SPELT_OUT = frozenset({
    "save", "quit", "undo", "restart", "score", "repeat", "impossible", "nothing", "harm",
})  # fmt: skip
"""What nobody is taken to mean who hasn't said so: what ends or rewinds a story, and harm."""
INTENTS = tuple(name for name in COMMANDS if name not in _SPELT_OUT)
"""What a model may take a text for."""
HINT = "model"
"""The hint of an intent that a model has guessed."""
SURE = 0.6
"""How much a guess is trusted that the rules could follow."""
_TOPICS = frozenset({"ask", "tell", "talk", "say", "wonder", "who", "what", "share", "think"})
"""What may be about something that isn't in the world."""
_LONGEST = 4000
_MOST_NAMES = 60
_TOKENS = 200


class Guess(Struct, frozen=True, forbid_unknown_fields=True):
    """A model's answer."""

    intent: Annotated[str, Meta(max_length=48)]
    target: Annotated[str, Meta(max_length=80)] = ""
    entities: Annotated[tuple[Annotated[str, Meta(max_length=80)], ...], Meta(max_length=3)] = ()


SCHEMA: Mapping[str, Any] = {
    "type": "object",
    "properties": {
        "intent": {"enum": list(INTENTS)},
        "target": {"type": "string", "maxLength": 80},
        "entities": {"type": "array", "maxItems": 3, "items": {"type": "string", "maxLength": 80}},
    },
    "required": ["intent"],
    "additionalProperties": False,
}
"""A `Guess`, with the intents that there are."""


@cache
def prompt() -> Prompt:
    """Return the instructions."""
    return load("tta_input_processor", "understand")


def is_unsure(intent: Intent) -> bool:
    """Say whether the rules couldn't tell what a text means."""
    return intent.name == "unclear" or "guess" in intent.hints


async def guess(
    llm: LanguageModel, intent: Intent, world: World | None, recent: Sequence[str], *, request: ChatRequest,
    within: float,
) -> tuple[Intent, str]:  # fmt: skip
    """Return what a model takes the text of an unsure ``intent`` for, and its name; raise `Unanswered`.

    ``recent`` is what was told last.
    """
    asked = structs.replace(
        request, messages=prompt().messages(_sections(intent, world, recent), most=_LONGEST), schema=SCHEMA,
        max_tokens=_TOKENS, temperature=0.0,
    )  # fmt: skip
    reply = await whole(llm, asked, within=within)
    try:
        found = msgspec.convert(reply.output, Guess)
    except (msgspec.ValidationError, TypeError, ValueError, RecursionError):
        raise Unanswered("invalid_output") from None
    if found.intent not in INTENTS:
        raise Unanswered("invalid_output")
    if found.intent == "unclear":
        raise Unanswered("unclear")
    return understood(found, intent, world), reply.model


def understood(found: Guess, intent: Intent, world: World | None) -> Intent:
    """Return the intent that a guess makes of an unsure one: its names as the rules find them in this world.

    What the rules have read of feelings stays: a model has no say in that.
    """
    names = Names(world)
    slots: dict[str, Entity] = {}
    for name in (found.target, *found.entities):
        entity = _entity(name, names, found.intent)
        if entity is not None and (role := _role(entity, slots, found.intent)):
            slots[role] = entity
    command = Command(name=found.intent, slots=slots, confidence=SURE)
    hints = [hint for hint in intent.hints if hint not in ("guess", "unresolved")]
    if any(not entity.id and role != "topic" for role, entity in slots.items()):
        hints.append("unresolved")
    return structs.replace(
        intent, name=command.name, confidence=command.confidence, slots=slots, commands=(command,),
        entities=tuple(slots.values()), hints=(*hints[:11], HINT),
    )  # fmt: skip


def _entity(name: str, names: Names, verb: str) -> Entity | None:
    words = [word for word in normalize(name, 100).words if word[0].isalnum()]
    if not words:
        return None
    if len(words) == 1 and (way := direction(words[0])) is not None:
        return way
    prefer = "place" if verb in ("go", "enter", "where") else "character" if verb in _TOPICS else "thing"
    entity = names.find(words, prefer, verb)
    if entity is None or (entity.id and not names.near(entity.id)):
        # It is there, but the player can't know of it yet; a guess is no way to find it.
        return Entity(text=" ".join(words)[:200], confidence=0.3)
    return entity


def _role(entity: Entity, slots: Mapping[str, Entity], verb: str) -> str:
    """Return what an entity is to the command; nothing where all that it could be is taken."""
    roles: tuple[str, ...]
    match entity.kind:
        case "direction":
            roles = ("direction",)
        case "place":
            roles = ("place",)
        case "character":
            roles = ("person",)
        case _ if verb in _TOPICS:
            roles = ("topic",)
        case _:
            roles = ("thing", "target")
    return next((role for role in roles if role not in slots), "")


def _sections(intent: Intent, world: World | None, recent: Sequence[str]) -> list[Section]:
    return [
        Section("At hand", tuple(_at_hand(world)[:_MOST_NAMES]) if world is not None else ()),
        Section("What was told last", tuple(recent)),
        Section("What the player typed", (intent.text[:1000],), needed=True),
    ]


def _at_hand(world: World) -> list[str]:
    """Name what the player can see or knows of, what is nearest first."""
    seen = [thing.name for thing in (*carried(world), *visible(world))]
    if lit(world):
        seen = [*(person.name for person in people(world)), *seen]
    places = [here(world).name, *(world.places[exit.to].name for exit in ways(world))]
    places += [world.places[id].name for id in sorted(known(world)) if id in world.places]
    return list(dict.fromkeys([*seen, *places, *(exit.direction for exit in ways(world))]))
