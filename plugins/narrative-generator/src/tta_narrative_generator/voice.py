"""The narrator's voice for one turn: what it says, and what it must not say again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tta_world import Deed, Detail, Telling, World

from .grammar import Chooser, Expander, digest, mark, rules
from .nouns import Nouns
from .sentences import sentences, tidy

PHRASES = 150
"""How many phrasings are remembered, so as not to be told again soon."""
SAID = 48
_PASSING = frozenset({"lies", "doing", "note", "drift", "nudge", "follows", "stays", "rejoins"})
"""What needn't be said at all, if it was said just now."""


class Voice:
    """Speaks in sentences, none of which was said in the turn before."""

    def __init__(self, world: World, seed: int, turn: int) -> None:
        self.world = world
        self._turn = turn
        self.nouns = Nouns(world)
        self._telling = world.telling
        self._chooser = Chooser(world.telling, seed, turn)
        self._expander = Expander(self._chooser, self.nouns)
        self._said = set(world.telling.said)
        self._now: list[str] = []

    def roll(self, label: str, sides: int) -> int:
        """Roll a die that falls the same way for the same seed and turn."""
        return self._chooser.roll(label, sides)

    def say(self, rule: str, slots: Mapping[str, object] | None = None) -> list[str]:
        """Say one alternative of a rule, as sentences; nothing that was just said."""
        return self._fresh(self._expander.rule(rule, slots or {}))

    def say_anew(self, *names: str, slots: Mapping[str, object] | None = None) -> list[str]:
        """Say an alternative of the first rule that has one which wasn't told for some turns; nothing if none has."""
        for name in names:
            text = self._expander.rule(name, slots or {}, lambda option: not self._chooser.is_close(option))
            if said := self._fresh(text):
                return said
        return []

    def say_detail_anew(self, detail: Detail) -> list[str]:
        """Say one of a detail's texts that wasn't told for some turns; nothing if all were."""
        options = [text for text in detail.texts if not self._chooser.is_close(text) and not self._stale(text)]
        return self._fresh(self._chooser.choose(options)) if options else []

    def has_rule(self, rule: str) -> bool:
        """Tell whether there is such a rule."""
        return rule in rules()

    def has_unused(self, rule: str) -> bool:
        """Tell whether a rule has an alternative that wasn't told lately."""
        return any(not self._chooser.recently_used(option) for option in rules()[rule])

    def first_rule(self, names: Sequence[str]) -> str:
        """Return the first of these rules that there is."""
        return next(name for name in names if name in rules())

    def say_detail(self, detail: Detail, deed: Deed | None = None) -> list[str]:
        """Say one of a detail's texts; where all were said just now, that it is as before."""
        options = [text for text in detail.texts if not self._stale(text)]
        if options:
            return self._fresh(self._chooser.choose(options))
        if detail.aspect in _PASSING:
            return []
        name = self.first_rule((f"stale.{detail.aspect}", "stale.any"))
        slots: dict[str, object] = {"place": self.world.player.at, "person": detail.about}
        if deed is not None and deed.person:
            slots["person"] = deed.person
        return self.say(name, slots)

    def is_stale(self, detail: Detail) -> bool:
        """Tell whether every text of a detail was told in the turn before, or already in this."""
        return all(self._stale(text) for text in detail.texts)

    def say_paragraphs(self, detail: Detail) -> list[list[str]]:
        """Say one of a detail's texts, which may be several paragraphs."""
        text = self._chooser.choose(detail.texts)
        return [self._fresh(part) for part in text.split("\n") if part.strip()]

    def say_verbatim(self, text: str) -> list[str]:
        """Say a text as it is."""
        return self._fresh(text)

    def say_again(self, text: str) -> list[str]:
        """Say a text whole, also where it was said in the turn before."""
        said = [tidy(part) for part in sentences(text)]
        self._now += map(digest, said)
        return said

    def recently_told(self, detail: Detail) -> bool:
        """Tell whether every text of a detail was told not long ago."""
        return all(self._chooser.recently_used(text) for text in detail.texts)

    def telling(self) -> Telling:
        """Return what a narrator must remember until the next turn."""
        phrases = [key for key in self._telling.phrases if key not in self._chooser.used]
        phrases += dict.fromkeys((mark(self._turn), *self._chooser.used))
        return Telling(phrases=tuple(phrases[-PHRASES:]), said=tuple(dict.fromkeys(self._now))[-SAID:])

    def _stale(self, text: str) -> bool:
        """Tell whether any sentence of a text was said in the turn before or already in this."""
        keys = [digest(tidy(part)) for part in sentences(text.replace("\n\n", " "))]
        return any(key in self._said or key in self._now for key in keys)

    def _fresh(self, text: str) -> list[str]:
        kept = []
        for part in sentences(text):
            clean = tidy(part)
            key = digest(clean)
            if key in self._said or key in self._now:
                continue
            self._now.append(key)
            kept.append(clean)
        return kept
