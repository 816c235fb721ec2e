"""What a sentence may not say of a world: that a door is open which isn't, that somebody is here who isn't, …

It knows the plain ways to say so, not all of them. What it lets through changes nothing in the world all the same.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from tta_world import Change, Character, Place, Thing, World, carried, visible

_NOT = re.compile(
    r"n[’']t\b|\b(?:not|no|never|nothing|without|stays?|remains?|still|locked|shut|closed|refuses?|almost|nearly|as if|"
    r"as though|like|would|could|might|may|can|wants?|try|tries|imagine|remember|think|picture|dream|once|if|were)\b",
    re.IGNORECASE,
)
"""With one of these a part of a sentence speaks of what isn't so, or may be."""
_NO_MORE = re.compile(
    r"\bno longer (?:locked|shut|closed)\b|\b(?:no one|nobody|nothing else|not only)\b", re.IGNORECASE
)
"""What looks like it, and isn't: said of a door that opens, it doesn't make it less open."""
_PARTS = re.compile(r"[;:—–]|,? (?:but|yet)\b|, (?:and|then|so)\b", re.IGNORECASE)
"""Where a sentence goes on to something else, of which a word of denial before says nothing."""
_ACTS = (
    r"(?:says?|asks?|nods?|smiles?|laughs?|answers?|whispers?|looks?|turns?|waits?|walks?|comes?|stands?|sits?|hands?|"
    r"gives?|takes?|offers?|waves?|leans?|appears?|arrives?|joins?|follows?|watches|touches|grins?|sighs?|murmurs?)"
)
_OPENS = r"(?:opens?|swings? open|is open|stands open|creaks open|springs open|gives way|unlocks?|is unlocked)"
_BURNS = r"(?:burns?|glows?|shines?|is lit|flares?|comes? alight)"
_TAKES = r"(?:take|pick up|pocket|grab|snatch|gather up|slip|tuck)"
_GOES = r"(?:walk|step|go|climb|run|come|arrive|enter|reach|head|cross|descend|slip|wander|stroll|return)"


def contradicts(sentence: str, world: World, change: Change) -> bool:
    """Say whether a sentence tells of what hasn't happened in this world."""
    text = _NO_MORE.sub("", " ".join(sentence.split()))
    return any(_is_untrue(part, world, change) for part in _PARTS.split(text))


def mentions(sentence: str, phrases: Iterable[str]) -> bool:
    """Say whether a sentence speaks of one of these, in the singular or the plural."""
    return any(_says(sentence, rf"{re.escape(phrase.strip())}s?") for phrase in phrases if phrase.strip())


def _is_untrue(text: str, world: World, change: Change) -> bool:
    if _NOT.search(text):
        return False
    return (
        any(_acts(text, person) for person in _elsewhere(world))
        or any(_is_opened(text, thing) or _is_lit(text, thing) for thing in visible(world))
        or any(_is_taken(text, thing) for thing in _out_of_hand(world, change))
        or any(_is_reached(text, place) for place in _unreached(world, change))
    )


def _acts(text: str, person: Character) -> bool:
    name = _names(person)
    return _says(text, rf"{name}(?: \w+ly)? {_ACTS}") or _says(text, rf"{_ACTS} {name}")


def _is_opened(text: str, thing: Thing) -> bool:
    if not {"door", "container"} & set(thing.traits) or "open" in thing.states:
        return False
    name = _names(thing)
    return _says(text, rf"{name}(?:,? \w+){{0,3}}[ ,]+{_OPENS}") or _says(text, rf"(?:open|unlock)s?(?: up)? {name}")


def _is_lit(text: str, thing: Thing) -> bool:
    if "lamp" not in thing.traits or "lit" in thing.states:
        return False
    name = _names(thing)
    return _says(text, rf"{name}(?: \w+){{0,3}} {_BURNS}") or _says(text, rf"(?:light|kindle)s? {name}")


def _is_taken(text: str, thing: Thing) -> bool:
    name = _names(thing)
    taken = _says(text, rf"you(?: \w+ly)? {_TAKES} (?:\w+ ){{0,2}}{name}")
    return taken or _says(text, rf"(?:gives|hands|offers) you (?:\w+ ){{0,2}}{name}")


def _is_reached(text: str, place: Place) -> bool:
    return _says(text, rf"you(?: \w+ly)? {_GOES} (?:\w+ ){{0,3}}{_names(place)}")


def _elsewhere(world: World) -> list[Character]:
    return [person for person in world.characters.values() if person.at != world.player.at]


def _out_of_hand(world: World, change: Change) -> list[Thing]:
    """Return the things that the player neither has nor dealt with in this turn."""
    held = {thing.id for thing in carried(world)}
    handled = {id for deed in change.deeds for id in (deed.thing, deed.target) if deed.outcome != "refused"}
    return [t for t in world.things.values() if t.id not in held | handled and "portable" in t.traits]


def _unreached(world: World, change: Change) -> list[Place]:
    reached = {world.player.at, change.place_before}
    for deed in change.deeds:
        reached |= {*deed.path, deed.place}
    return [place for place in world.places.values() if place.id not in reached]


def _names(found: Thing | Character | Place) -> str:
    names: Sequence[str] = sorted((found.name, *found.aliases), key=len, reverse=True)
    return "(?:(?:the|a|an|your) )?(?:" + "|".join(map(re.escape, names)) + ")"


def _says(text: str, pattern: str) -> bool:
    return re.search(rf"\b{pattern}\b", text, re.IGNORECASE) is not None
