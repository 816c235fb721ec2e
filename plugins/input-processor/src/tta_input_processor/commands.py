"""One command: the verb that a few words begin with, and the reading that makes most of them."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import structs

from tta_world import Command, Entity

from .names import Names
from .phrases import direction
from .shapes import read
from .spelling import Spelling
from .verbs import Verb, begins, lexicon, spellings
from .words import ARTICLES, CARELESS, COMPASS, DIRECTIONS, LETTERS

_TRAILING = CARELESS | {"me", "do"}
_HEADING = frozenset({"back", "to", "into", "towards", "toward", "onto", "up", "down"})


class Commands:
    """Reads commands, with the names of one world."""

    def __init__(self, names: Names) -> None:
        self.names = names
        self._spelling = Spelling(spellings() | set(DIRECTIONS))

    def phrase(self, words: Sequence[str]) -> Command | None:
        """Match a whole clause with a phrase that takes nothing after it."""
        bare = list(words)
        while bare and tuple(bare) not in lexicon() and bare[-1] in _TRAILING:
            bare.pop()
        for candidate in (tuple(words), tuple(bare)):
            for verb in lexicon().get(candidate, ()):
                alone = verb.shape in ("plain", "until")
                alone = alone or (len(candidate) > 1 and verb.shape == "about")
                # `can I help?` asks somebody, not for help.
                alone = alone or (len(candidate) > 2 and verb.command == "help-with")
                if alone and not (len(candidate) == 1 and candidate[0] in DIRECTIONS):
                    slots = {"manner": Entity(text=verb.manner)} if verb.manner else {}
                    return Command(name=verb.command, slots=slots, confidence=1.0)
        if len(words) == 1 and words[0] in LETTERS:
            name = LETTERS[words[0]]
            return Command(name="repeat" if name == "again" else name, confidence=0.95)
        return None

    def direction(self, words: Sequence[str]) -> Entity | None:
        """Read words that are nothing but a direction."""
        bare = [w for w in words if w not in ARTICLES and w not in ("to", "go", "then")]
        if len(bare) != 1:
            return None
        if (found := direction(bare[0])) is not None:
            return found
        near = Spelling(COMPASS).correct(bare[0])
        if near is None or (bare[0],) in lexicon() or self.names.knows(bare):
            return None
        return structs.replace(direction(near) or Entity(text=near), confidence=0.75)

    def command(self, words: Sequence[str]) -> Command | None:
        """Read words that begin with a verb, in the way that makes most of them."""
        words = [w for at, w in enumerate(words) if at or w not in CARELESS or w in DIRECTIONS]
        if not words:
            return None
        if (way := self.direction(words)) is not None and len(words) <= 2:
            return Command(name="go", slots={"direction": way}, confidence=way.confidence)
        if (heading := self._heading(words)) is not None:
            return heading
        size = begins(words)
        factor = 1.0
        if not size:
            corrected = self._spelling.correct(words[0])
            if corrected is None or self.names.knows(words):
                return None
            words = [corrected, *words[1:]]
            size = begins(words)
            factor = 0.8
            if not size:
                return self.abbreviation(words)
        best: Command | None = None
        split = words
        for length in range(size, 0, -1):
            phrase = tuple(split[:length])
            for rank, verb in enumerate(lexicon().get(phrase, ())):
                command = self._attempt(verb, split[length:])
                value = command.confidence * factor - 0.02 * rank - 0.04 * (size - length)
                command = structs.replace(command, confidence=round(max(0.0, value), 3))
                if best is None or command.confidence > best.confidence + 0.001:
                    best = command
        particle = self._particle(words)
        if particle is not None and (best is None or particle.confidence > best.confidence):
            best = particle
        return best

    def _heading(self, words: Sequence[str]) -> Command | None:
        """Read `to the harbour`, `back to the beach` and `up the ladder`, without a verb."""
        if words[0] not in _HEADING or len(words) < 2:
            return None
        if words[0] == "back" and words[1] in ARTICLES | {"again"}:
            return None
        command = self._attempt(Verb("go", "go"), words[1:] if words[0] == "back" else words)
        return command if command.confidence >= 0.6 else None

    def _attempt(self, verb: Verb, rest: Sequence[str]) -> Command:
        """Read the rest under one verb, without a trace if another reading wins."""
        mentioned = dict(self.names.mentioned)
        command = read(verb, rest, self.names)
        self.names.mentioned = mentioned
        return command

    def _particle(self, words: Sequence[str]) -> Command | None:
        """Read `pick the lamp up` and `put it down` as if the particle stood beside the verb."""
        if len(words) < 3 or words[-1] not in ("up", "down", "out", "on", "off", "back", "away", "over"):
            return None
        for verb in lexicon().get((words[0], words[-1]), ()):
            if verb.shape in ("one", "about", "give"):
                command = self._attempt(verb, words[1:-1])
                return structs.replace(command, confidence=min(1.0, command.confidence + 0.02))
        return None

    def abbreviation(self, words: Sequence[str]) -> Command | None:
        """Read `x lamp`."""
        if words[0] in ("x", "l") and len(words) > 1:
            return self._attempt(Verb("examine", "one"), words[1:])
        return None

    def embedded(self, words: Sequence[str]) -> Command | None:
        """Find `… I walk to the sea` in a clause that begins with something else."""
        if words[0] in ("x", "l"):
            return self.abbreviation(words)
        for at, word in enumerate(words[:-1]):
            if word == "i" and at and begins(words[at + 1 :]):
                command = self.command(words[at + 1 :])
                if command is not None and command.confidence >= 0.5:
                    return structs.replace(command, confidence=command.confidence * 0.9)
        return None
