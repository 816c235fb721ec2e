"""The story's own rules: what a command brings about here, before the general ways are tried."""

from __future__ import annotations

from typing import cast

from tta_world import Command, Deed, Outcome

from .refusing import at_fault, lacking, refuse
from .story import Rule
from .turn import Turn, slot

# With these, a single named thing may stand for either side of a rule: `use oil` at the lamp.
_EITHER = frozenset({"use", "put", "fill", "clean", "light", "give", "show", "water", "plant",
                     "throw", "help-with", "touch"})  # fmt: skip


def follow_rule(turn: Turn, command: Command) -> Deed | None:
    """Answer a command by the first rule that speaks of it; None where no rule does."""
    first = slot(command, "thing", "place", "person")
    second = slot(command, "target", "person")
    one = first.id if first is not None else ""
    two = second.id if second is not None and second is not first else ""
    if not one and not two:
        return None
    for rule in turn.story.threads.rules:
        if command.name in rule.verbs and _speaks_of(turn, rule, command, one, two):
            return _follow(turn, rule, command)
    return None


def _speaks_of(turn: Turn, rule: Rule, command: Command, one: str, two: str) -> bool:
    sides = {rule.thing, rule.target} - {""}
    named = {one, two} - {""}
    if two or len(sides) == 1:
        return named == sides
    if named == {rule.thing} and command.name not in ("give", "show"):
        # `clean lens`; but `use matches` asks for a target that is here.
        return one != rule.target and (turn.can_see(one) and (not rule.target or _meant(turn, rule, command)))
    other = rule.thing if one == rule.target else rule.target
    return named <= sides and command.name in _EITHER and turn.can_see(other)


def _meant(turn: Turn, rule: Rule, command: Command) -> bool:
    """Tell whether a rule about two things is meant where only its first was named."""
    if command.name in ("use", "put", "throw", "touch", "give"):
        return turn.can_see(rule.target)
    return True


def _follow(turn: Turn, rule: Rule, command: Command) -> Deed:
    for entity in (slot(command, "thing"), slot(command, "target", "person")):
        needed = entity is not None and entity.id in (rule.thing, rule.target)
        stated = any(need.condition.startswith(("has ", "near ")) for need in rule.needs)
        if entity is not None and needed and not stated and at_fault(turn, command, entity):
            return lacking(turn, command, entity)
    person = next((id for id in (rule.thing, rule.target) if id in turn.world.characters), "")
    if person and not turn.can_see(person):
        return lacking(turn, command, slot(command, "person", "target", "thing"))
    things = [id for id in (rule.thing, rule.target) if id in turn.world.things]
    thing = things[0] if things else ""
    target = things[1] if len(things) > 1 else ""
    for need in rule.needs:
        if turn.all_hold((need.condition,)):
            continue
        outcome = cast("Outcome", need.outcome)
        if not turn.tell("refusal", rule.id, need.otherwise, need.condition[:40]):
            missing = slot(command, "thing", "target", "person")
            if missing is not None and turn.can_see(missing.id):
                return refuse(command, "not-carried", thing=thing)
            return lacking(turn, command, missing)
        reason = "" if outcome == "done" else "needs"
        return Deed(name=command.name, outcome=outcome, reason=reason, thing=thing,
                    target=target, person=person)  # fmt: skip
    turn.tell("effect", rule.id, rule.texts)
    if person:
        turn.update_person(person, met=True)
    turn.apply(rule.effects)
    return Deed(name=command.name, thing=thing, target=target, person=person)
