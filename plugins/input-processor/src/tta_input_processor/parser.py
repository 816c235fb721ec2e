"""From a player's words to an intent: each clause read in turn, the likeliest reading kept."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import structs

from tta_safety.support import reaches_out
from tta_world import Command, Feeling, Intent, World

from .reader import Reader
from .text import MAX_CHARS, NormalizedText, normalize

MAX_COMMANDS = 6
THRESHOLD = 0.35
_META = frozenset({"help", "save", "quit", "undo", "restart", "score", "inventory", "repeat"})


def parse(
    text: str, world: World | None = None, *, threshold: float = THRESHOLD,
    max_commands: int = MAX_COMMANDS, max_chars: int = MAX_CHARS,
) -> Intent:  # fmt: skip
    """Read what a player wrote, with the names of this world.

    Only the first ``max_chars`` characters are read (the hint ``truncated`` says so), and at most
    ``max_commands`` commands are kept (``cut``). Below ``threshold`` the name is ``unclear``
    and the hint ``guess`` stands beside the commands that were guessed.
    """
    typed = normalize(text, max_chars)
    if reaches_out(text):
        # Whatever else was said: whoever asks for a person, or for help, gets that, and no scenery.
        wish = Command(name="reach-out")
        return Intent(name=wish.name, confidence=1.0, commands=(wish,), text=typed.text, hints=("reach-out",))
    reader = Reader(typed, world, max_commands)
    commands = reader.read()
    # Whatever else was said, despair is answered first.
    found = tuple(sorted(reader.feelings, key=lambda feeling: feeling.name != "despair")[:8])
    if not any(word[0].isalnum() or word[0] == "§" for word in typed.words) and not found:
        # Silence is silence; a lone question mark asks for help.
        commands = [Command(name="help" if "?" in typed.words else "nothing", confidence=1.0)]
    elif not commands:
        commands = [Command(name="unclear", confidence=1.0)]
    hints = _hints(typed, commands, found, reader)
    confidence = min(command.confidence for command in commands)
    name = commands[0].name
    if confidence < threshold and name not in ("unclear", "nothing"):
        hints.append("guess")
        commands = [structs.replace(commands[0], name="unclear")]
        name = "unclear"
    entities = [entity for command in commands for entity in command.slots.values()]
    return Intent(
        name=name,
        confidence=round(confidence, 3),
        slots=commands[0].slots,
        commands=tuple(commands),
        entities=tuple(dict.fromkeys(entities))[:24],
        feelings=found,
        text=typed.text,
        hints=tuple(dict.fromkeys(hints)),
    )


def _hints(typed: NormalizedText, commands: Sequence[Command], found: Sequence[Feeling], reader: Reader) -> list[str]:
    hints = []
    if commands[0].name in _META:
        hints.append("meta")
    if found:
        hints.append("feeling")
    pained = any(f.name == "despair" and f.strength >= 0.5 for f in found)
    oneself = any(c.name == "harm" and "manner" in c.slots and c.slots["manner"].text == "self" for c in commands)
    if pained or oneself:
        hints.append("heavy")
    if typed.speech:
        hints.append("speech")
    if reader.asked:
        hints.append("question")
    if len(commands) > 1:
        hints.append("compound")
    if reader.cut:
        hints.append("cut")
    if typed.truncated:
        hints.append("truncated")
    named = [entity for c in commands for role, entity in c.slots.items()
             if role in ("thing", "target", "place", "person")]  # fmt: skip
    if any(not entity.id and entity.kind == "words" for entity in named):
        hints.append("unresolved")
    return hints
