"""No, said kindly and exactly: why not, and what there is instead."""

from __future__ import annotations

from tta_world import PLAYER, Deed, entity

from .grammar import Verbatim
from .nouns import join
from .scene import by_aspect, dark
from .voice import Voice

_COARSE = frozenset({"fuck", "fucking", "shit", "bitch", "cunt", "ass", "arse", "dick", "cock",
                     "tits", "porn", "sex", "naked", "rape", "slut", "whore", "bastard", "knife",
                     "gun", "noose", "pills", "razor", "blade", "me", "you",
                     "it", "them", "this", "that", "one"})  # fmt: skip
"""Words that aren't said back, whatever they were meant to name."""
_VAGUE = frozenset({"something", "anything", "someone", "somebody", "somewhere", "nothing", "everything", "he", "she",
                    "they", "we", "i", "it", "what", "which", "who", "how", "to", "of", "and"})  # fmt: skip
"""What begins with these is no name that could be said back."""
_GOING = frozenset({"go", "enter", "follow", "climb"})
_PERSONS = frozenset({"him", "her", "she", "he", "they"})
_NEAR = frozenset({"unknown-thing", "unknown-place", "unknown-person", "no-exit", "what",
                   "elsewhere"})  # fmt: skip


def refusal(voice: Voice, deed: Deed) -> list[str]:
    """Tell why something wasn't done."""
    own = by_aspect(deed, "refusal", "effect")
    # Told a moment ago, the story's own reason is put in plain words rather than told again.
    fresh = [d for d in own if not voice.is_stale(d)] if deed.reason != "needs" else own
    said = [s for d in fresh for s in voice.say_detail(d, deed)]
    lines = [s for d in by_aspect(deed, "line", "comfort") for s in voice.say_detail(d, deed)]
    if deed.reason == "unknown-thing":
        said = voice.say(_rule(voice, deed), _slots(voice, deed)) + said
    if not said and not (lines and deed.reason == "no-topic"):
        said = voice.say(_rule(voice, deed), _slots(voice, deed)) or voice.say("stale.refusal")
    return said + lines + ([] if own else _nearby(voice, deed))


def _rule(voice: Voice, deed: Deed) -> str:
    if deed.outcome == "unclear" and not deed.reason:
        return "refuse.unclear"
    reason = deed.reason
    names = [f"refuse.{reason}-{kind}" for kind in _kinds(voice, deed)]
    return voice.first_rule((*names, f"refuse.{reason}", "refuse.unclear"))


def _kinds(voice: Voice, deed: Deed) -> list[str]:
    """Return the finer cases of a reason, most special first."""
    reason = deed.reason
    world = voice.world
    if reason == "no-exit":
        if deed.words == "back" or deed.direction == "back":
            return ["back"]
        return [] if deed.direction else ["plain"]
    if reason in ("unknown-thing", "unknown-place"):
        return [] if speakable(deed.words) else ["plain"]
    if reason == "unknown-person":
        return ["plain"] if not speakable(deed.words) else ["where"] if deed.place else []
    if reason == "absent" and not deed.person:
        return ["somebody"] if speakable(deed.words) else ["anybody"]
    if reason == "alone" and deed.place:
        return ["near"]
    if reason == "here":
        if deed.person:
            return ["person"]
        if deed.thing:
            thing = world.things.get(deed.thing)
            near = thing is not None and thing.at != PLAYER and deed.name in _GOING
            return ["near" if near else "thing"]
        return ["place"]
    if reason == "already":
        return [{"unlock": "open", "lock": "close"}.get(deed.name, deed.name)]
    if reason == "dark":
        return [dark(voice).removeprefix("refuse.dark-")] if deed.place else []
    if reason == "elsewhere":
        if not deed.thing:
            return ["place"]
        thing = world.things.get(deed.thing)
        moved = thing is not None and "moved" in thing.states
        return ["plain"] if not deed.place else [] if moved else ["seen"]
    if reason in ("fixed", "gentle") and deed.person:
        return ["person"]
    if reason == "gentle" and deed.manner == "self":
        return ["self"]
    if reason == "useless" and not deed.target:
        return ["one"]
    if reason == "needs" and deed.words == "flame":
        return ["flame"]
    if reason == "what":
        if deed.words in _PERSONS:
            return ["person"]
        return ["go"] if deed.name in ("go", "enter", "follow") else [deed.name, "thing"]
    return []


def _slots(voice: Voice, deed: Deed) -> dict[str, object]:
    options = join([voice.nouns.the(id) for id in deed.options], "or")
    return {
        "thing": deed.thing,
        "target": deed.target,
        "person": deed.person,
        "owner": deed.person,
        "place": deed.place or voice.world.player.at,
        "direction": deed.direction,
        "words": Verbatim(deed.words),
        "options": options,
    }


def speakable(words: str) -> bool:
    """Tell whether the player's word for something can be said back without harm or clumsiness."""
    parts = words.split()
    if _COARSE & {part.lower() for part in parts}:
        return False
    if parts and parts[0].lower() in _VAGUE:
        return False
    plain = all(part.replace("-", "").isalpha() for part in parts)
    return bool(parts) and len(parts) <= 3 and len(words) <= 24 and plain and words.isascii()


def _nearby(voice: Voice, deed: Deed) -> list[str]:
    """Name something at hand that might do instead, now and then."""
    if deed.reason not in _NEAR or not deed.nearby or voice.roll("near", 3) != 0:
        return []
    id = deed.nearby[voice.roll("which", len(deed.nearby))]
    found = entity(voice.world, id)
    if found is None or "scenery" in found.traits:
        return []
    if id in voice.world.places:
        return voice.say("near.place", {"near": id})
    kind = "person" if id in voice.world.characters else "thing"
    return voice.say(f"near.{kind}", {"near": id})
