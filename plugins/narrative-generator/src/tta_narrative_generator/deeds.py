"""What was done, and what was not: every deed put into sentences."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from tta_safety.support import reach_out
from tta_world import Change, Deed, carried, here, period

from .feeling import cry, feel
from .grammar import Verbatim
from .nouns import join
from .recap import recap
from .refusals import refusal, speakable
from .scene import (
    Paragraphs,
    arrival,
    by_aspect,
    company,
    passing,
    sight,
    way_from_here,
)
from .voice import Voice

Teller = Callable[[Voice, Deed], list[str]]
_OWN = ("effect", "line", "look", "sense", "comfort", "far", "refusal", "place", "doing")


def tell(voice: Voice, deed: Deed, change: Change) -> Paragraphs:
    """Tell a deed in paragraphs."""
    if deed.arrived:
        stays = deed is [d for d in change.deeds if d.arrived][-1]
        return arrival(voice, deed, change) if stays else passing(voice, deed)
    if deed.name == "feel":
        return [feel(voice, deed)]
    already = deed.outcome == "already" and bool(deed.reason) and deed.name != "where"
    if deed.outcome in ("refused", "unclear") or already:
        return [refusal(voice, deed)]
    if deed.name == "look":
        return sight(voice, deed)
    if teller := _TELLERS.get(deed.name):
        return [teller(voice, deed)]
    return [_told(voice, deed) or voice.say(_rule(voice, deed), slots(voice, deed))]


def slots(voice: Voice, deed: Deed) -> dict[str, object]:
    """Return what a deed's sentences may speak of."""
    world = voice.world
    return {
        "thing": deed.thing,
        "target": deed.target,
        "person": deed.person,
        "place": deed.place or world.player.at,
        "nearby": list(deed.nearby),
        "name": Verbatim(world.player.name),
        "direction": deed.direction,
    }


def _told(voice: Voice, deed: Deed) -> list[str]:
    """Tell what the story itself has to say of this."""
    said: list[str] = []
    for detail in by_aspect(deed, *_OWN):
        said += voice.say_detail(detail, deed)
    return said


def _rule(voice: Voice, deed: Deed) -> str:
    known = [f"{deed.name}.{deed.manner}"] if deed.manner else []
    known += [f"{deed.name}.done"]
    if deed.thing:
        known += [f"{deed.name}.thing", f"{deed.name}.plain"]
    else:
        known += [f"{deed.name}.alone", f"{deed.name}.place"]
    return voice.first_rule((*known, "act.done"))


def _take(voice: Voice, deed: Deed) -> list[str]:
    name = "take.from" if deed.target else "take.done"
    return _told(voice, deed) or voice.say(name, slots(voice, deed))


def _put(voice: Voice, deed: Deed) -> list[str]:
    name = "put.in" if deed.manner == "in" else "put.by"
    return _told(voice, deed) or voice.say(name, slots(voice, deed))


def _open(voice: Voice, deed: Deed) -> list[str]:
    said = _told(voice, deed) or voice.say("open.done", slots(voice, deed))
    thing = voice.world.things.get(deed.thing)
    if thing is not None and "container" in thing.traits:
        name = "inside.some" if deed.nearby else "inside.none"
        said += voice.say(name, slots(voice, deed))
    return said


def _examine(voice: Voice, deed: Deed) -> list[str]:
    if deed.manner == "next":
        way = {"way": way_from_here(voice, deed.place)}
        return voice.say("examine.near", way)
    said = _told(voice, deed) or voice.say("examine.plain", slots(voice, deed))
    if deed.manner == "inside":
        name = "inside.some" if deed.nearby else "inside.none"
        said += voice.say(name, slots(voice, deed))
    return said


def _search(voice: Voice, deed: Deed) -> list[str]:
    said = _told(voice, deed)
    if deed.words:
        kind = "missing" if speakable(deed.words) else "missing-plain"
        said += voice.say(f"search.{kind}", {"words": Verbatim(deed.words)})
    if deed.nearby:
        said += voice.say("search.found", slots(voice, deed))
    return said


def _show(voice: Voice, deed: Deed) -> list[str]:
    return voice.say("show.done", slots(voice, deed)) + _told(voice, deed)


def _speak(voice: Voice, deed: Deed) -> list[str]:
    known = all(voice.recently_told(detail) for detail in by_aspect(deed, "line"))
    said = voice.say("again.line") if deed.again and known and deed.name == "ask" else []
    told = _told(voice, deed)
    if told:
        return said + told
    kind = "thing" if deed.thing else "alone"
    name = voice.first_rule((f"{deed.name}.{kind}", "share.alone"))
    return voice.say(name, slots(voice, deed))


def _wonder(voice: Voice, deed: Deed) -> list[str]:
    return voice.say_anew("wonder.heavy", "quiet") if deed.manner == "heavy" else _speak(voice, deed)


def _introduce(voice: Voice, deed: Deed) -> list[str]:
    person = voice.world.characters.get(deed.person)
    kind = "alone" if person is None else "animal" if "animal" in person.traits else "heard"
    return voice.say(f"introduce.{kind}", slots(voice, deed))


def _oneself(voice: Voice, deed: Deed) -> list[str]:
    """Tell of singing, laughing, … and of who joins in."""
    return voice.say(_rule(voice, deed), slots(voice, deed)) + _told(voice, deed)


def _sleep(voice: Voice, deed: Deed) -> list[str]:
    kind = "outdoors" if "outdoors" in here(voice.world).traits else "indoors"
    return voice.say(f"sleep.{kind}")


def _shout(voice: Voice, deed: Deed) -> list[str]:
    kind = "outdoors" if "outdoors" in here(voice.world).traits else "indoors"
    return voice.say(f"shout.{kind}")


def _decline(voice: Voice, deed: Deed) -> list[str]:
    kind = "go" if deed.topic in ("go", "enter", "climb", "follow", "back", "leave", "quit") else "plain"
    if deed.topic in ("talk", "ask", "tell", "say") and not deed.person:
        kind = "talk"
    if kind == "plain" and deed.name == "decline":
        kind = "thing" if deed.thing else "person" if deed.person else kind
    return voice.say(voice.first_rule((f"{deed.name}.{kind}", f"{deed.name}.plain")), slots(voice, deed))


def _share(voice: Voice, deed: Deed) -> list[str]:
    comfort = [said for detail in by_aspect(deed, "comfort") for said in voice.say_detail_anew(detail)]
    if deed.person:
        said = [said for detail in by_aspect(deed, *_OWN) for said in voice.say_detail_anew(detail)]
        return said or voice.say_anew("company.heavy", "quiet", slots={"person": deed.person}) or voice.say("quiet")
    kind = "heavy" if deed.manner == "heavy" else "alone"
    return voice.say_anew(f"share.{kind}", "share.alone", "quiet") + comfort or voice.say("quiet")


def _where(voice: Voice, deed: Deed) -> list[str]:
    given = slots(voice, deed)
    if deed.outcome == "already":
        if deed.thing:
            if deed.place == "player":
                return voice.say("where.carried", given)
            if deed.person:
                return voice.say("where.held", given)
            return voice.say("where.here", given)
        return voice.say("where.person_here" if deed.person else "where.place_here", given)
    given["goal"] = voice.nouns.the(deed.place)
    given["way"] = way_from_here(voice, deed.path[0]) if deed.path else "it's close by"
    between = [voice.nouns.the(id) for id in deed.path[:-1][:3]]
    given["route"] = join(between)
    if deed.person or deed.thing:
        given["goal"] = deed.place
        return voice.say("where.person" if deed.person else "where.thing", given)
    return voice.say("where.far" if between else "where.way", {**given, "Goal": given["goal"]})


def _who(voice: Voice, deed: Deed) -> list[str]:
    ids = company(voice)
    if not ids:
        return voice.say("who.near" if deed.place else "who.none", slots(voice, deed))
    return voice.say("who.some", {"people": ids}) + _told(voice, deed)


def _whereami(voice: Voice, deed: Deed) -> list[str]:
    said = voice.say("whereami.done", slots(voice, deed))
    for detail in by_aspect(deed, "place", "note", "dark"):
        said += voice.say_detail(detail, deed)
    return said


def _inventory(voice: Voice, deed: Deed) -> list[str]:
    things = carried(voice.world)
    worn = [t.id for t in things if "worn" in t.states]
    held = [t.id for t in things if "worn" not in t.states]
    said = voice.say("inventory.some", {"carried": held}) if held else []
    if worn:
        said += voice.say("inventory.worn", {"worn": worn})
    return said or voice.say("inventory.none")


def _stroll(voice: Voice, deed: Deed) -> list[str]:
    return voice.say("move.stroll", slots(voice, deed))


def _self(voice: Voice, deed: Deed) -> list[str]:
    worn = [thing.id for thing in carried(voice.world) if "worn" in thing.states]
    return (voice.say("self.worn", {"worn": worn}) if worn else []) or voice.say("self.done")


def _time(voice: Voice, deed: Deed) -> list[str]:
    return voice.say(f"time.{period(voice.world)}")


def _weather(voice: Voice, deed: Deed) -> list[str]:
    world = voice.world
    kind = "outdoors" if "outdoors" in here(world).traits else "indoors"
    base = f"colour.{kind}.{world.weather}"
    return voice.say(voice.first_rule((f"{base}.{period(world)}", f"{base}.any")))


def _suggest(voice: Voice, deed: Deed) -> list[str]:
    """Name somebody, something and a way, each time others of them."""
    world = voice.world
    said = voice.say("suggest.lead")
    people = [id for id in deed.nearby if id in world.characters]
    things = [id for id in deed.nearby if id in world.things]
    for kind, role, ids in (("person", "person", people), ("thing", "thing", things), ("way", "place", deed.options)):
        if ids and (kind != "thing" or not people or voice.roll("thing", 2) == 0):
            said += voice.say(f"suggest.{kind}", {role: ids[voice.roll(kind, len(ids))]})
    return said


def _reach_out(voice: Voice, deed: Deed) -> list[str]:
    """Name lines to call: where nobody knows the country, those that lead to one anywhere."""
    return voice.say_again(reach_out(turn=voice.world.turn))


def _help(voice: Voice, deed: Deed) -> list[str]:
    return voice.say("help.done")


_TELLERS: Mapping[str, Teller] = {
    "take": _take, "put": _put, "open": _open, "examine": _examine, "search": _search,
    "show": _show, "greet": _speak, "talk": _speak, "ask": _speak, "tell": _speak, "say": _speak,
    "thank": _speak, "apologise": _speak, "farewell": _speak,
    "introduce": _introduce, "sing": _oneself, "dance": _oneself, "laugh": _oneself, "cry": cry,
    "sleep": _sleep, "shout": _shout, "decline": _decline, "hesitate": _decline,
    "share": _share, "where": _where, "who": _who, "whereami": _whereami,
    "inventory": _inventory, "self": _self, "time": _time, "weather": _weather, "suggest": _suggest,
    "help": _help, "recap": recap, "reach-out": _reach_out, "wonder": _wonder, "stroll": _stroll,
}  # fmt: skip
