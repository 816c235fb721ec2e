"""A whole turn: the commands of an intent, one after the other, applied to a world."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from msgspec import structs

from tta_world import Change, Command, Deed, Intent, World

from . import asking, being, handling, looking, moving, talking
from .create import reconcile
from .passing import attend, deltas, notice, nudges, pass_beats, pass_time
from .refusing import refuse
from .rules import follow_rule
from .story import load
from .turn import Turn, slot

Handler = Callable[[Turn, Command], Deed]

HANDLERS: Mapping[str, Handler] = {
    "go": moving.go, "enter": moving.go, "follow": moving.go, "back": moving.back,
    "leave": moving.leave, "climb": moving.climb,
    "look": looking.look, "examine": looking.examine, "search": looking.search,
    "read": looking.read, "listen": looking.sense, "smell": looking.sense,
    "touch": looking.sense, "taste": looking.sense,
    "take": handling.take, "drop": handling.drop, "put": handling.put, "give": handling.give,
    "show": handling.give, "open": handling.open_, "close": handling.open_,
    "lock": handling.open_, "unlock": handling.open_, "light": handling.light,
    "extinguish": handling.light, "use": handling.use, "push": handling.act,
    "pull": handling.act, "turn": handling.act, "clean": handling.act, "fill": handling.act,
    "throw": handling.act, "wear": handling.act, "eat": handling.act, "drink": handling.act,
    "plant": handling.act, "water": handling.act, "ring": handling.act, "play": handling.act,
    "write": handling.act, "knock": handling.act, "swim": handling.act,
    "greet": talking.greet, "talk": talking.talk, "ask": talking.ask, "tell": talking.tell,
    "say": talking.tell, "thank": talking.courtesy, "apologise": talking.courtesy,
    "farewell": talking.courtesy, "pet": talking.courtesy, "hug": talking.courtesy,
    "help-with": talking.help_with, "introduce": talking.introduce,
    "share": being.share, "rest": being.rest, "sit": being.rest, "wait": being.rest,
    "breathe": being.rest, "think": being.simply, "sleep": being.sleep, "stand": being.simply,
    "sing": being.simply, "dance": being.simply, "cry": being.simply, "laugh": being.simply,
    "yes": being.simply, "no": being.simply, "nothing": being.simply, "unclear": being.simply,
    "decline": being.decline, "hesitate": being.decline,
    "harm": being.gentle, "impossible": being.impossible, "improvise": being.improvise,
    "where": asking.where, "who": asking.who, "what": asking.what, "wonder": asking.wonder,
    "whereami": asking.whereami, "repeat": asking.repeat, "inventory": asking.inventory,
    "about": asking.about, "may": asking.about, "must": asking.about,
    "time": asking.about, "weather": asking.about, "suggest": asking.suggest,
    "recap": asking.about, "reach-out": asking.about,
    "help": asking.about, "save": asking.about, "quit": asking.about, "undo": asking.about,
    "restart": asking.about, "score": asking.about,
}  # fmt: skip
"""What carries out each command. A name that isn't here is beyond this story."""

_INDEPENDENT = frozenset({"feel", "share", "breathe", "rest", "sit", "wait", "think", "cry", "laugh", "sing", "dance",
                    "listen", "thank", "apologise", "farewell", "say", "sleep"})  # fmt: skip
"""What is done all the same where something before it could not be."""
_WEIGHT = ("feel", "go", "give", "light", "use", "take", "open", "ask", "talk", "greet")


def apply(world: World, intent: Intent) -> tuple[World, Change]:
    """Carry out what the player means; return the world afterwards and what changed in it.

    Pure, and total: whatever the intent, there is a change that can be told.
    """
    story = load(world.story)
    world = reconcile(story, world)
    turn = Turn(story, world)
    # The first place is seen on the first turn, whatever the player does.
    if turn.opening:
        turn.arrived = True
        looking.describe(turn, "first")
        first = Deed(name="go", path=(world.player.at,), place=world.player.at, arrived=True,
                     details=turn.take_details())  # fmt: skip
        notice(turn)
        turn.arrived = False
        deeds = [first]
    else:
        deeds = []
    commands = intent.commands or (Command(name=intent.name, slots=intent.slots, confidence=intent.confidence),)
    left: tuple[str, ...] = ()
    discoveries: list[str] = []
    rest = list(commands)
    while rest:
        command = rest.pop(0)
        place = slot(command, "place")
        if turn.opening and _is_opening(turn, command):
            continue
        if command.name == "search" and place is not None and place.id != turn.world.player.at:
            there = _perform(turn, Command(name="go", slots={"place": place}), intent)
            if there.arrived:
                discoveries += notice(turn)
                deeds.append(there)
        deed = _perform(turn, command, intent)
        turn.did.append(deed.name)
        discoveries += notice(turn)
        attend(turn, deed)
        deeds.append(deed)
        if deed.outcome in ("refused", "unclear"):
            left += tuple(c.name for c in rest if c.name not in _INDEPENDENT)
            rest = [c for c in rest if c.name in _INDEPENDENT]
    pass_time(turn, deeds)
    drift = turn.take_details()
    beats, ending = pass_beats(turn)
    discoveries += notice(turn)
    turn.update(turn=world.turn + 1)
    main = _main(deeds)
    change = Change(
        kind=main.name,
        outcome=main.outcome,
        deeds=tuple(deeds),
        left=left,
        place_before=world.player.at,
        place_after=turn.world.player.at,
        first_visit=any(deed.arrived and not deed.again for deed in deeds),
        discoveries=tuple(dict.fromkeys(discoveries))[:48],
        beats=beats,
        drift=drift[:4],
        nudges=nudges(turn),
        deltas=deltas(world, turn.world),
        turn=turn.world.turn,
        ending=ending,
    )
    return turn.world, change


def _is_opening(turn: Turn, command: Command) -> bool:
    """Tell whether a first command is what the beginning of the story does by itself."""
    place = slot(command, "place")
    stays = place is not None and place.id == turn.world.player.at
    return command.name in ("look", "whereami", "nothing", "leave") or (command.name in ("go", "enter") and stays)


def _perform(turn: Turn, command: Command, intent: Intent) -> Deed:
    if command.name == "feel":
        deed = being.feel(turn, command, intent)
    elif (ruled := follow_rule(turn, command)) is not None:
        deed = ruled
    elif handler := HANDLERS.get(command.name):
        deed = handler(turn, command)
    else:
        deed = refuse(command, "impossible")
    return structs.replace(deed, details=(*deed.details, *turn.take_details())[:32])


def _main(deeds: list[Deed]) -> Deed:
    """Choose the deed that the turn is about: the last one, unless an earlier one weighs more."""
    refused = [d for d in deeds if d.outcome in ("refused", "unclear")]
    if refused:
        return refused[-1]
    done = deeds[1:] or deeds
    ranked = sorted(done, key=lambda d: _WEIGHT.index(d.name) if d.name in _WEIGHT else 99)
    return ranked[0]
