"""What one turn did to the world, with all that a narrator needs in order to tell it."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct

from .wire import MAX_COMMANDS, VERSION, Id, Ids, Line, Prose, Share

Outcome = Literal["done", "already", "refused", "unclear"]

REASONS: tuple[str, ...] = (
    "no-exit",       # there is no way in that direction
    "unknown-way",   # the place exists, but the way there isn't known yet
    "unknown-place", "unknown-thing", "unknown-person",  # nothing of that name; see `words`
    "here",          # already at that place, or already in hand
    "already",       # already so: lit, open, shut
    "locked", "closed", "dark", "empty",
    "elsewhere",     # it exists and is known, but not here
    "absent",        # the person exists and is known, but isn't here
    "alone",         # nobody is here to talk to
    "fixed",         # it belongs where it is
    "owned",         # somebody's own; ask for it
    "keep",          # better not thrown away
    "full",          # no hand free, or no room in there
    "not-carried",
    "useless",       # these two have nothing to do with each other
    "needs",         # something is missing; a detail says what
    "ambiguous",     # see `options`
    "no-topic",      # the person has nothing to say about that
    "gentle",        # this world has no harm in it
    "impossible",    # beyond what this story can do
    "what",          # the command lacks its object
    "said-no",       # the player declined
)  # fmt: skip
"""Why something was refused: a narrator has a kind sentence for each of them."""


class Detail(Struct, frozen=True, omit_defaults=True):
    """A piece of the story's own prose. The narrator tells exactly one of the alternatives.

    Aspects: ``place`` (what one sees on arriving), ``note`` (a place's state), ``look`` (a thing),
    ``lies`` (a thing where it was first put), ``doing`` (a character's occupation), ``line``
    (something said, with its quotation marks), ``effect`` (what an action brought about),
    ``refusal`` (why not), ``sense``, ``comfort`` (how somebody or something answers a feeling),
    ``far`` (a landmark seen from here), ``beat``, ``drift`` (weather and light), ``nudge`` (an
    open thread of the story), ``way``.
    """

    aspect: Id
    about: Id
    texts: Annotated[tuple[Prose, ...], Meta(min_length=1, max_length=12)]
    key: Id = ""
    """Tells two details of the same aspect and subject apart."""


class Deed(Struct, frozen=True, omit_defaults=True):
    """One command carried out, or not. All names are ids; empty where they don't apply."""

    name: Id
    """The command's name."""
    outcome: Outcome = "done"
    reason: Id = ""
    """One of `REASONS`, unless done."""
    thing: Id = ""
    target: Id = ""
    person: Id = ""
    place: Id = ""
    direction: Id = ""
    manner: Id = ""
    topic: Id = ""
    words: Line = ""
    """What the player called something that this world doesn't know."""
    path: Ids = ()
    """The places walked through, ending where the player now is."""
    options: Annotated[tuple[Id, ...], Meta(max_length=8)] = ()
    nearby: Annotated[tuple[Id, ...], Meta(max_length=8)] = ()
    """Things, people or places at hand that might do instead."""
    feelings: Annotated[tuple[Id, ...], Meta(max_length=8)] = ()
    """Feelings spoken of; one that has passed begins with ``-``."""
    strength: Share = 0.5
    again: bool = False
    """The same was done, told, asked or felt before."""
    arrived: bool = False
    """The player now stands somewhere else than before, and sees it."""
    details: Annotated[tuple[Detail, ...], Meta(max_length=32)] = ()


class Delta(Struct, frozen=True):
    """One value that changed: ``path`` is dotted, as in ``things.kite.at``."""

    path: Annotated[str, Meta(max_length=120)]
    before: Line
    after: Line


class Change(Struct, frozen=True):
    """What one turn changed. ``kind`` and ``outcome`` are those of the deed that matters most."""

    kind: Id
    outcome: Outcome
    deeds: Annotated[tuple[Deed, ...], Meta(max_length=MAX_COMMANDS + 2)] = ()
    left: Annotated[tuple[Id, ...], Meta(max_length=MAX_COMMANDS)] = ()
    """Names of the commands not begun, because one before them was refused."""
    place_before: Id = ""
    place_after: Id = ""
    first_visit: bool = False
    discoveries: Annotated[tuple[Id, ...], Meta(max_length=48)] = ()
    """Things and people seen for the first time."""
    beats: Annotated[tuple[Detail, ...], Meta(max_length=6)] = ()
    """Turns of the story, to be told after the deeds."""
    drift: Annotated[tuple[Detail, ...], Meta(max_length=4)] = ()
    nudges: Annotated[tuple[Detail, ...], Meta(max_length=6)] = ()
    """Open threads, most pressing first. None of them is urgent."""
    deltas: Annotated[tuple[Delta, ...], Meta(max_length=96)] = ()
    turn: int = 0
    ending: bool = False
    """The story's arc has just closed; the world stays open."""
    version: int = VERSION
