"""Oneself: feeling, resting, waiting, breathing, and saying a thing to nobody in particular."""

from __future__ import annotations

from tta_world import (
    HEAVY,
    Character,
    Command,
    Deed,
    Feeling,
    Intent,
    Thing,
    Weather,
    World,
    here,
    people,
    visible,
)

from .looking import surroundings
from .refusing import refuse
from .talking import remember_feelings
from .turn import Turn, found, slot

_PLAIN = 0.5
"""How strong a feeling is that was only named."""
_MINUTES = {"wait": 15, "rest": 30, "sit": 8, "breathe": 2, "sing": 4, "dance": 4, "think": 10}


_UNTIL = {
    "dawn": "dawn", "sunrise": "dawn", "morning": "morning", "tomorrow": "morning",
    "noon": "midday", "midday": "midday", "afternoon": "afternoon", "evening": "dusk",
    "dusk": "dusk", "sunset": "dusk", "night": "night", "tonight": "night",
    "nightfall": "night", "dark": "night", "midnight": "night",
}  # fmt: skip


def feel(turn: Turn, command: Command, intent: Intent) -> Deed:
    """Answer a feeling: somebody who is here does, or else the place itself."""
    # Of `not sad any more, just empty` it is the emptiness that is there to be answered.
    feelings = sorted(intent.feelings, key=lambda f: not f.present) or [Feeling(name="confusion")]
    names = tuple(f.name if f.present else f"-{f.name}" for f in feelings)
    main = names[0]
    earlier = turn.world.player.feelings
    kept = [f for f in earlier if f.removeprefix("-") not in {n.removeprefix("-") for n in names}]
    turn.update_player(feelings=(*kept, *names)[-8:])
    named = found(turn, slot(command, "person"))
    company = [c for c in people(turn.world) if c == named] or people(turn.world)
    person = _comforter(company, main)
    heavy = main in HEAVY
    if person is not None:
        text = turn.story.people[person.id]
        lines = text.heavy if heavy else text.bright
        # A feeling that has gone is answered with the pleasure of it.
        turn.tell("comfort", person.id, lines, "heavy" if heavy else "bright")
        remember_feelings(turn, person, names)
    else:
        _answer(turn, main)
    if turn.opening is False and not main.startswith("-"):
        _lean(turn, main)
    return Deed(
        name="feel",
        feelings=names[:8],
        person=person.id if person else "",
        strength=max(f.strength for f in feelings),
        # What is said in its own words, or more strongly, is a new telling.
        again=main in earlier[-2:] and max(f.strength for f in feelings) <= _PLAIN,
    )


def grieving(world: World) -> bool:
    """Tell whether what the player spoke of last was heavy, and hasn't been said to be over."""
    return bool(world.player.feelings) and world.player.feelings[-1] in HEAVY


def _comforter(company: list[Character], main: str) -> Character | None:
    """Choose who answers; for heavy feelings an animal is as good as anybody."""
    if not company:
        return None
    return min(company, key=lambda c: (("animal" in c.traits) != (main in HEAVY), c.id))


def _answer(turn: Turn, main: str) -> None:
    comforts = turn.story.threads.comforts
    own = comforts.get(main) or comforts.get(_kin(main)) or comforts["default"]
    kind = surroundings(turn.world)
    order = {
        "sea": ("sea", "outdoors"), "dark": ("dark", "indoors"),
        "outdoors": ("outdoors",), "indoors": ("indoors",),
    }[kind]  # fmt: skip
    fitting = [text for trait in order for text in own.get(trait, ())]
    if not fitting:
        own = comforts["default"]
        fitting = [text for trait in order for text in own.get(trait, ())]
    turn.tell("comfort", "world", tuple(fitting), f"{_kin(main)}-{order[0]}")


def _kin(feeling: str) -> str:
    """Name a feeling whose answer fits as well."""
    return {
        "relief": "calm", "hope": "calm", "pride": "joy", "love": "gratitude", "curiosity": "joy",
        "grief": "sadness",
    }.get(feeling, feeling)  # fmt: skip


def _lean(turn: Turn, main: str) -> None:
    """Let the weather lean a little towards what was said, where it can be seen."""
    wanted: Weather | None = turn.story.threads.leanings.get(main)
    if wanted and wanted != turn.world.weather and "outdoors" in here(turn.world).traits:
        turn.turn_weather(wanted)


def rest(turn: Turn, command: Command) -> Deed:
    """Rest, sit, wait or breathe: time goes by, kindly."""
    until = slot(command, "topic")
    if until is not None and until.text in _UNTIL:
        turn.apply((f"time {_UNTIL[until.text]}",))
    else:
        turn.spent += _MINUTES.get(command.name, 5)
    if command.name in ("rest", "sit"):
        turn.update_player(posture="sitting")
        place = here(turn.world)
        seats = [t for t in visible(turn.world) if "seat" in t.traits]
        if seats and turn.tell("effect", seats[0].id, turn.story.things[seats[0].id].does.get("sit", ()), "sit"):
            return Deed(name=command.name, thing=seats[0].id, place=place.id)
        if turn.tell("effect", place.id, turn.story.places[place.id].rest, "rest"):
            return Deed(name=command.name, place=place.id)
    return Deed(name=command.name, place=turn.world.player.at)


def sleep(turn: Turn, command: Command) -> Deed:
    """Sleep until morning; the world is kind about where."""
    turn.apply(("time dawn",))
    turn.update_player(posture="standing")
    return Deed(name="sleep", place=turn.world.player.at)


def share(turn: Turn, command: Command) -> Deed:
    """Hear what a player tells of their own life. Nothing of it is kept."""
    company = people(turn.world)
    if company:
        person = _comforter(company, "joy")
        assert person is not None
        turn.tell("line", person.id, turn.story.people[person.id].listens, "listens")
        turn.update_person(person.id, met=True)
        return Deed(name="share", person=person.id)
    _answer(turn, "default")
    return Deed(name="share", manner="heavy" if grieving(turn.world) else "")


def simply(turn: Turn, command: Command) -> Deed:
    """Do what changes nothing and is told all the same: stand, sing, cry, laugh, yes, no, …"""
    turn.spent += _MINUTES.get(command.name, 0)
    if command.name in ("stand", "dance"):
        turn.update_player(posture="standing")
    company = people(turn.world)
    if command.name == "cry":
        if company:
            person = _comforter(company, "sadness")
            assert person is not None
            turn.tell("comfort", person.id, turn.story.people[person.id].heavy, "heavy")
            return Deed(name="cry", person=person.id)
        _answer(turn, "sadness")
    if command.name in ("laugh", "sing", "dance") and company:
        person = _comforter(company, "joy")
        assert person is not None
        turn.tell("comfort", person.id, turn.story.people[person.id].bright, "bright")
        return Deed(name=command.name, person=person.id)
    if command.name == "unclear":
        return Deed(name="unclear", outcome="unclear", nearby=tuple(turn.at_hand()))
    manner = slot(command, "manner")
    return Deed(name=command.name, manner=manner.text if manner is not None else "")


def gentle(turn: Turn, command: Command) -> Deed:
    """Refuse harm, without a word of blame."""
    target = slot(command, "person", "thing", "target")
    what = found(turn, target)
    oneself = slot(command, "manner")
    manner = "self" if oneself is not None and oneself.text == "self" else ""
    person = what.id if isinstance(what, Character) and turn.can_see(what.id) else ""
    deed = refuse(command, "gentle", person=person)
    if manner:
        _answer(turn, "despair")
        return Deed(name="harm", outcome="refused", reason="gentle", manner="self")
    return deed


def impossible(turn: Turn, command: Command) -> Deed:
    """Say kindly that a thing is beyond this story."""
    thing = found(turn, slot(command, "thing"))
    if isinstance(thing, Thing) and turn.can_see(thing.id):
        return Deed(name="try", thing=thing.id)
    return refuse(command, "impossible", nearby=tuple(turn.at_hand()))


def improvise(turn: Turn, command: Command) -> Deed:
    """Do what there is no rule for and somebody proposed; the topic is how many minutes it takes."""
    minutes = slot(command, "topic")
    if minutes is not None and minutes.text.isdecimal():
        turn.spent += min(60, int(minutes.text[:3]))
    return Deed(name="improvise", place=turn.world.player.at)


def decline(turn: Turn, command: Command) -> Deed:
    """Let a no be a no."""
    entity = slot(command, "place", "thing", "person")
    wish = slot(command, "wish")
    what = found(turn, entity)
    return Deed(
        name=command.name,
        reason="said-no" if command.name == "decline" else "",
        thing=what.id if what is not None and what.id in turn.world.things else "",
        place=what.id if what is not None and what.id in turn.world.places else "",
        person=what.id if what is not None and what.id in turn.world.characters else "",
        topic=wish.id if wish is not None else "",
    )
