"""What the clauses of one text come to: each thing to be done once, and a heart poured out left in peace."""

from __future__ import annotations

from collections.abc import Sequence

from tta_world import HEAVY, Command, Entity, Feeling

_PERSONAL = frozenset({"feel", "share", "unclear", "wonder", "think", "decline", "may", "must"})
_LETTER = 5
"""With so many clauses it may be a letter rather than a command."""
_WEAK = frozenset({"share", "unclear", "yes", "no", "decline"})
_NOTHING = Entity(text="")
_NAMED = ("thing", "target", "place", "person")


def consolidate(commands: list[Command], feelings: Sequence[Feeling]) -> list[Command]:
    """Return what is to be done, in order, without what was only said on the way to it."""
    own = [c for c in commands if c.name in _PERSONAL]
    if len(commands) >= _LETTER and len(own) * 2 >= len(commands):
        # Somebody is telling of their life; what they do in it isn't done here.
        commands = own
    if any(f.present and f.name in HEAVY for f in feelings):
        # Nor is there anything to be looked for, in what a sad person says besides.
        commands = [c for c in commands if not names_nothing(c, words=2) and c.name != "suggest"] or [
            Command(name="feel", confidence=0.75)
        ]
    felt = any(c.name == "feel" for c in commands)
    strong = any(c.name not in _WEAK for c in commands)
    if any(c.name != "unclear" for c in commands):
        commands = [c for c in commands if c.name != "unclear"]
    if any(c.name == "decline" for c in commands):
        # `no, I don't` is one no.
        commands = [c for c in commands if c.name not in ("yes", "no")]
    if any(c.name == "ask" and c.slots.get("topic", _NOTHING).text == "name" for c in commands):
        # Whoever is asked for their name is greeted by that.
        commands = [c for c in commands if c.name != "greet"]
    kept: list[Command] = []
    for command in commands:
        if command.name in _WEAK and strong and not (command.name == "decline" and felt):
            continue
        if command.name in ("feel", "share", "unclear", "greet") and command.name in [c.name for c in kept]:
            continue
        if kept and command.name != "go" and _same(kept[-1], command):
            continue
        if kept and only_addresses(kept[-1:], command.slots.get("person")):
            # `Bram! I give him the twine` is one thing to do.
            kept.pop()
        kept.append(command)
    return kept


def names_nothing(command: Command, words: int = 1) -> bool:
    """Tell whether a command names, in so many words or more, what this world knows nothing of."""
    named = [entity for role, entity in command.slots.items() if role in _NAMED]
    return any(
        not entity.id and not entity.options and entity.kind == "words" and len(entity.text.split()) >= words
        for entity in named
    )


def only_addresses(last: Sequence[Command], person: Entity | None) -> bool:
    """Tell whether the command before was only the name of who is spoken to."""
    if not last or person is None or last[0].name != "talk" or set(last[0].slots) != {"person"}:
        return False
    return last[0].slots["person"].id == person.id


def _same(one: Command, other: Command) -> bool:
    """Tell whether two commands are one, whatever words they were given in."""
    return one.name == other.name and _ids(one) == _ids(other)


def _ids(command: Command) -> dict[str, str]:
    return {role: entity.id or entity.text for role, entity in command.slots.items()}
