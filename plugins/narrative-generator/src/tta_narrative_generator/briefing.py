"""What a model is told of a turn: what is so in the world, what happened, and whom it is told to."""

from __future__ import annotations

from collections.abc import Sequence

from tta_llm.prompts import Section
from tta_sessions import Page, Profile
from tta_world import World, carried, here, lit, people, period, visible, ways

_STORIES = frozenset({"story", "checked-in"})
"""Outcomes of turns that a story was told in: what was said in a crisis is no part of it."""
_TOLD, _SAID = 700, 300
"""How many characters of an earlier page, and of what was typed, are told."""


def briefing(
    world: World, plain: str, *, text: str = "", history: Sequence[Page] = (), summary: str = "",
    profile: Profile | None = None, tone: str = "", themes: Sequence[str] = (), length: int = 0, so_far: str = "",
) -> list[Section]:  # fmt: skip
    """Return it in sections, of which those that may be left out come in the order of their worth.

    ``plain`` is what happened, as the rules tell it; ``so_far`` is what the player has read of the page already.
    """
    return [
        *_scene(world),
        Section("How to tell it", _manner(profile or Profile(), tone, length), needed=True),
        *_person(profile or Profile(), themes),
        Section("The story so far", (summary,) if summary else ()),
        Section("The pages before", tuple(_pages(history))),
        Section("What the player typed", (text[:2000],), needed=True),
        Section("What happened, told plainly", _paragraphs(plain), needed=True),
        Section("The page so far, which the player has read", _paragraphs(so_far), needed=True),
    ]


def _scene(world: World) -> list[Section]:
    place = here(world)
    held = carried(world)
    around = [thing for thing in visible(world) if thing not in held]
    company = people(world) if lit(world) else []
    where = f"{place.preposition} the {place.name}, {period(world)}"
    return [
        Section("Where the player is", (f"{where}, {world.weather} weather" if "outdoors" in place.traits else where,)),
        Section("Who else is here", tuple(person.name for person in company) or ("nobody",)),
        Section("What is here", tuple(_described(thing.name, thing.states) for thing in around[:24])),
        Section("What the player carries", tuple(_described(thing.name, thing.states) for thing in held)),
        Section("Ways on", tuple(f"{exit.direction}: {exit.way}" for exit in ways(world) if exit.way)),
    ]


def _paragraphs(text: str) -> tuple[str, ...]:
    return tuple(text.split("\n\n")) if text else ()


def _manner(profile: Profile, tone: str, length: int) -> tuple[str, ...]:
    return (
        f"tone: {tone or profile.tone}",
        f"pace: {profile.pace}",
        f"length: at most {length} characters",
    )


def _person(profile: Profile, themes: Sequence[str]) -> list[Section]:
    return [
        Section("What this player wants to avoid", profile.avoid, needed=True),
        Section("Themes that this player likes", tuple(themes)),
        Section("What this player would like to come to", profile.goals),
    ]


def _pages(history: Sequence[Page]) -> list[str]:
    found = []
    for page in history:
        if page.outcome in _STORIES:
            found += [f"the player typed: {page.said[:_SAID]}", f"the page: {page.told[-_TOLD:]}"]
    return found


def _described(name: str, states: Sequence[str]) -> str:
    shown = [state for state in states if state not in ("moved", "hidden")]
    return f"{name}: {', '.join(shown)}" if shown else name
