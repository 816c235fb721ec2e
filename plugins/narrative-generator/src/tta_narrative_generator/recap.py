"""What has happened so far: where one has been, whom one has met, and what one has with one."""

from __future__ import annotations

from tta_world import Deed, carried

from .nouns import join
from .voice import Voice

_MOST = 5
"""How many places or people are named; the others are said to be there."""


def recap(voice: Voice, deed: Deed) -> list[str]:
    """Tell the story so far, in a few sentences."""
    world = voice.world
    said = voice.say("recap.begun")
    been = [id for id in world.player.visits if id != world.player.at and id in world.places]
    if been:
        kind = "more" if len(been) > _MOST else "places"
        said += voice.say(f"recap.{kind}", {"places": _named(voice, been)})
    met = [person.id for person in world.characters.values() if person.met]
    if met:
        said += voice.say("recap.people", {"people": _named(voice, met)})
    if held := [thing.id for thing in carried(world)]:
        said += voice.say("inventory.some", {"carried": held})
    return said + voice.say("recap.now", {"place": world.player.at})


def _named(voice: Voice, ids: list[str]) -> str:
    return join([voice.nouns.the(id) for id in ids[-_MOST:]])
