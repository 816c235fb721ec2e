"""What a player means: the words of one turn, read as commands, feelings and questions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

from msgspec import Meta, Struct

from .wire import MAX_COMMANDS, MAX_ENTITIES, VERSION, Id, Line, Share

COMMANDS: tuple[str, ...] = (
    # Going about.
    "go", "back", "enter", "leave", "climb", "follow",
    # The senses.
    "look", "examine", "search", "read", "listen", "smell", "touch", "taste",
    # Hands.
    "take", "drop", "put", "give", "show", "open", "close", "lock", "unlock", "light",
    "extinguish", "use", "push", "pull", "turn", "clean", "fill", "throw", "wear", "eat", "drink",
    "plant", "water", "ring", "play", "write", "knock", "swim",
    # Company.
    "greet", "talk", "ask", "tell", "say", "thank", "apologise", "farewell", "pet", "hug",
    "help-with", "introduce",
    # Oneself.
    "feel", "share", "wonder", "rest", "sleep", "sit", "stand", "wait", "breathe", "sing", "dance",
    "cry", "laugh", "think", "decline", "hesitate",
    # Questions to the story.
    "where", "who", "what", "time", "weather", "suggest", "may", "must",
    # About the game.
    "help", "about", "recap", "inventory", "whereami", "save", "quit", "repeat", "undo", "restart", "score",
    # Out of the story, to people.
    "reach-out",
    # Neither here nor there.
    "yes", "no", "harm", "impossible", "nothing", "unclear",
)  # fmt: skip
"""Every command name that a parser may give and a world must be able to answer."""

FEELINGS: tuple[str, ...] = (
    "sadness", "fear", "anger", "tiredness", "loneliness", "overwhelm", "shame", "numbness",
    "despair", "grief", "worry", "longing", "boredom", "confusion", "relief", "calm", "joy", "gratitude",
    "hope", "love", "pride", "curiosity",
)  # fmt: skip
"""Feelings are named as a person would name them to a friend; they are no diagnosis."""

HEAVY = frozenset({"sadness", "fear", "anger", "tiredness", "loneliness", "overwhelm", "shame",
                   "numbness", "despair", "grief", "worry", "longing", "confusion"})  # fmt: skip
"""The feelings that want company rather than cheering up."""

EntityKind = Literal["place", "thing", "character", "direction", "topic", "speech", "name", "words", "several"]


class Entity(Struct, frozen=True, omit_defaults=True):
    """Something that the player named, and what it is in this world, if it is anything."""

    text: Line
    """As the player put it, normalised."""
    kind: EntityKind = "words"
    id: Id = ""
    """Which place, thing, character or direction; empty if this world knows none by that name."""
    confidence: Share = 1.0
    options: Annotated[tuple[Id, ...], Meta(max_length=8)] = ()
    """The ids between which the words leave it open; then ``id`` is empty."""


class Feeling(Struct, frozen=True, omit_defaults=True):
    """A feeling that the player spoke of."""

    name: Id
    """One of `FEELINGS`."""
    text: Line = ""
    strength: Share = 0.5
    present: bool = True
    """False where the player said that it is not, or no longer, there."""


class Command(Struct, frozen=True, omit_defaults=True):
    """One thing that the player wants to do."""

    name: Id
    """One of `COMMANDS`."""
    slots: Annotated[Mapping[Id, Entity], Meta(max_length=8)] = {}
    """By role: ``thing``, ``target``, ``place``, ``person``, ``direction``, ``topic``, ``speech``,
    ``name``, ``manner`` (in, under, behind, …) or ``wish`` (what was declined)."""
    confidence: Share = 1.0


class Intent(Struct, frozen=True):
    """One turn's input, understood: ``name``, ``slots`` and ``confidence`` are the first command's.

    ``hints`` help a workflow to route: ``meta`` (about the game), ``feeling``, ``heavy`` (words of
    great pain; annotated, never judged), ``speech``, ``question``, ``compound``, ``cut`` (more
    commands than are carried out), ``truncated`` (only the beginning of the text was read),
    ``unresolved`` (something named that this world doesn't know), ``guess`` (below the
    parser's threshold).
    """

    name: Id = "nothing"
    confidence: Share = 0.0
    slots: Annotated[Mapping[Id, Entity], Meta(max_length=8)] = {}
    commands: Annotated[tuple[Command, ...], Meta(max_length=MAX_COMMANDS)] = ()
    """All of them, in the order in which they are to be done."""
    entities: Annotated[tuple[Entity, ...], Meta(max_length=MAX_ENTITIES)] = ()
    feelings: Annotated[tuple[Feeling, ...], Meta(max_length=8)] = ()
    text: Annotated[str, Meta(max_length=2000)] = ""
    """The player's words after normalisation, as far as they were read."""
    hints: Annotated[tuple[Id, ...], Meta(max_length=12)] = ()
    version: int = VERSION
