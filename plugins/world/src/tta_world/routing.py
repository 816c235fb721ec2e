"""Which way an intent takes through a turn: who of the agents must be asked."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from .intent import Intent
from .model import World

Route = Literal["reach-out", "meta", "look", "tell", "act"]
"""``reach-out``: somebody asks for a person, or for help; ``meta``: talk about the game, which leaves the world as it
is; ``look``: a question to the world; ``tell``: what has happened so far; ``act``: everything else."""

_ALL: Mapping[Route, frozenset[str]] = {
    "meta": frozenset({
        "help", "about", "save", "quit", "undo", "restart", "score", "may", "must", "inventory", "time", "weather",
    }),
    "look": frozenset({"look", "examine", "listen", "where", "who", "what", "whereami", "suggest", "repeat"}),
    "tell": frozenset({"recap"}),
}  # fmt: skip


def route(intent: Intent, world: World | None) -> Route:
    """Return the way of an intent; one that wants several things takes the way on which all of them can be had."""
    names = {command.name for command in intent.commands} or {intent.name}
    if "reach-out" in names:
        return "reach-out"
    if world is None or not world.turn or intent.feelings:
        # The beginning of a story is told whatever is asked, and by whom the world is kept.
        return "act"
    return next((way for way, all_of_it in _ALL.items() if names <= all_of_it), "act")
