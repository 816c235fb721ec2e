"""What is told of a turn that leaves the world as it is, from what was meant alone."""

from __future__ import annotations

from tta_world import Change, Deed, Intent, World


def change_from(intent: Intent | None, world: World) -> Change:
    """Return what a world builder would say of an intent that changes nothing; without one, how things stand."""
    commands = intent.commands if intent is not None else ()
    deeds = []
    for command in commands:
        manner = command.slots.get("manner")
        deeds.append(Deed(name=command.name, place=world.player.at, manner=manner.text[:48] if manner else ""))
    deeds = deeds or [Deed(name="recap", place=world.player.at)]
    return Change(
        kind=deeds[-1].name, outcome="done", deeds=tuple(deeds), place_before=world.player.at,
        place_after=world.player.at, turn=world.turn,
    )  # fmt: skip
