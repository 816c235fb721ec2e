"""What somebody doesn't want, can't do, or isn't ready for yet."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import structs

from tta_world import Command, Entity

from .clauses import Clause, strip_lead_in
from .commands import Commands
from .telling import FIRST

_UNABLE = ("cannot", "think i can", "think i could", "can not", "could not", "did not", "have not")
_BODILY = frozenset(
    {"eat", "drink", "think", "talk", "rest", "sleep", "wait", "stand", "laugh", "cry", "unclear", "use"}
)
_ROLES = ("thing", "place", "person", "direction")


def read_negation(clause: Clause, rest: Clause, negation: str, commands: Commands) -> list[Command]:
    """Read a clause whose beginning says no: ``rest`` is what stands after that."""
    if not rest.words:
        return [Command(name="decline", confidence=0.8)]
    if any(words in negation for words in _UNABLE):
        return _unable(clause, rest, commands)
    lead = strip_lead_in(rest).clause
    command = commands.command(lead.words) if lead.words else None
    if command is None or command.name == "unclear":
        if lead.words and FIRST & set(clause.words):
            return [Command(name="share", confidence=0.5)]
        return [Command(name="decline", confidence=0.8 if not lead.words else 0.6)]
    if command.name == "harm":
        return [Command(name="share", confidence=0.6)]
    return [Command(name="decline", slots=_wished(command), confidence=min(0.95, command.confidence + 0.1))]


def is_declined(found: Sequence[Command]) -> bool:
    """Tell whether a clause came to a no."""
    return bool(found) and found[0].name in ("decline", "suggest")


def hesitation(command: Command) -> Command:
    """Return what is left of a wish that a `but` follows."""
    return Command(name="hesitate", slots=_wished(command), confidence=0.85)


def _wished(command: Command) -> dict[str, Entity]:
    slots = {role: entity for role, entity in command.slots.items() if role in _ROLES}
    return {**slots, "wish": Entity(text=command.name, id=command.name)}


def _unable(clause: Clause, rest: Clause, commands: Commands) -> list[Command]:
    """Read `I can't find the key`: what somebody can't do is a question about it."""
    command = commands.command(rest.words) if rest.words else None
    if command is None or (not command.slots and command.name in _BODILY):
        return [Command(name="share", confidence=0.5)]
    if command.name in ("where", "search"):
        return [structs.replace(command, name="where")]
    if command.name in ("look", "examine"):
        return [Command(name="look", confidence=0.7)]
    if "did not" in " ".join(clause.words) or "have not" in " ".join(clause.words):
        return [Command(name="share", confidence=0.5)]
    return [Command(name="suggest", slots=command.slots, confidence=0.6)]
