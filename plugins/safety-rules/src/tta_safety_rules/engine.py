"""A set of rules made ready: every rule tried on its own examples, then asked of texts, all of them at once."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from tta_kernel import Problem
from tta_safety import KINDS, Channel
from tta_safety.layers import RulesError
from tta_safety.rules import Example, Rule, RuleSet

from .automata import PatternError, Patterns, Single, View, single, view
from .context import Circumstances, circumstances, unmodified
from .folding import Folded, fold
from .policy import level_of
from .shipped import NOTHING, Shipped

MOST_UNFILTERED = 20
_SYNTAX = "RE2's syntax has no look-around, no back-references, and no repetition beyond 1,000"
_END = re.compile(r"[.!?;\n]+(?=\s|$)|[\n;]")
_ANCHOR = re.compile(r"(?<!\[)\^|\\A")
"""What may match at the beginning of a text, and not where that is the end of another one."""
_AROUND = 120
_MOST_READ = 100
"""Around how many matches of a window is looked; those beyond count as they are."""


class Hit(NamedTuple):
    """A match of a rule, where it stands in the original, and what is around it."""

    rule: Rule
    span: tuple[int, int]
    circumstances: Circumstances


class Place(NamedTuple):
    """Where to look: for a pattern of a rule, by its number."""

    rule: Rule
    number: int


class Engine:
    """All rules of a set, compiled; raises a `RulesError` that names every rule that can't be used.

    What ``base`` and ``known``, the engine before, have is ready already.
    Rules that are those of which ``shipped`` tells aren't tried again.
    """

    def __init__(
        self,
        rules: RuleSet,
        base: Engine | None = None,
        known: Engine | None = None,
        shipped: Shipped = NOTHING,
    ) -> None:
        self.rules = rules
        self.notes: list[Problem] = [*base.notes] if base else []
        """What an operator should know, and what keeps no rule from working."""
        there, before = (it._patterns if it else None for it in (base, known))
        self._patterns: Patterns = Patterns(there, before, shipped)
        self._owners: dict[int, list[Rule]] = {}
        self._numbers: dict[str, list[int]] = {}
        self._unless: dict[str, list[Single]] = {}
        self._anchored: set[Channel] = set()
        self.sentiment = tuple(it for it in rules.rules if it.enabled and it.validation == "sentiment")
        problems: list[Problem] = []
        good = [rule for rule in rules.rules if rule.enabled and self._added(rule, problems)]
        self._patterns.compile()
        problems += self._weak()
        had = {*known.rules.rules} if known else ()
        self.fresh = tuple(rule for rule in good if rule not in had)
        """The rules that the engine before had not."""
        if not problems and rules.digest != shipped.tried:
            tried = {rule for it in (base, known) if it for rule in it.rules.rules}
            for rule in good:
                if rule not in tried:
                    problems += self._wrong_examples(rule)
        if problems:
            raise RulesError(*problems)

    def _added(self, rule: Rule, problems: list[Problem]) -> bool:
        before = len(problems)
        for number, pattern in enumerate(rule.patterns, 1):
            where = f"rule {rule.id}: pattern {number}"
            try:
                added = self._patterns.add(spaced(pattern))
            except PatternError as error:
                problems.append(Problem(where, str(error), _SYNTAX))
                continue
            self._owners.setdefault(added, []).append(rule)
            if _ANCHOR.search(pattern):
                self._anchored.update(rule.channels)
            self._numbers.setdefault(rule.id, []).append(added)
            if self._patterns.matches(added, ""):
                problems.append(Problem(where, "matches where there is nothing", "say what must be there"))
        for number, pattern in enumerate(rule.unless, 1):
            try:
                self._unless.setdefault(rule.id, []).append(single(rf"\b(?:{spaced(pattern)})\b"))
            except PatternError as error:
                problems.append(Problem(f"rule {rule.id}: exception {number}", str(error), _SYNTAX))
        return len(problems) == before

    def _weak(self) -> Iterator[Problem]:
        """Find what is looked for in most texts, since it has no word by which it could be left out."""
        weak = sorted({rule.id for number in self._patterns.unfiltered() for rule in self._owners.get(number, ())})
        hint = "let each alternative have a word of its own"
        if len(weak) > MOST_UNFILTERED:
            what = f"have no word that is rare, and at most {MOST_UNFILTERED} rules may have none"
            yield Problem(f"rules {', '.join(weak[:5])} and {len(weak) - 5} more", what, hint)
        self.notes += (
            Problem(f"rule {it}", "has no word that is rare, so that most texts pay for it", hint, note=True)
            for it in weak
        )

    def _wrong_examples(self, rule: Rule) -> Iterator[Problem]:
        for should, examples in ((True, rule.match), (False, rule.no_match)):
            for number, each in enumerate(examples, 1):
                example = each if isinstance(each, Example) else Example(text=each)
                what = self._objection(rule, example, should=should)
                if what:
                    name = "match" if should else "no_match"
                    yield Problem(f"rule {rule.id}: {name} {number}", what, "mend the pattern, or the example")

    def _objection(self, rule: Rule, example: Example, *, should: bool) -> str:
        """Say what is wrong with a rule's example: it speaks of the rule alone, whatever other rules find."""
        channel = example.channel or rule.channels[0]
        own = [Place(rule, number) for number in self._numbers.get(rule.id, ())] if channel in rule.channels else []
        hits = [*self.search(fold(example.text), channel, among=own)]
        if rule.given and self.disclosed(example.before).isdisjoint(rule.given):
            hits = []
        levels = [level_of(hit, channel) for hit in hits]
        worst = max(levels, key=("safe", "warning", "blocked").index, default="safe")
        if not should:
            return "" if worst == "safe" else "is a match, and must not be one"
        if example.level is not None:
            return "" if levels and worst == example.level else f"makes the level {worst}, and not {example.level}"
        return "" if worst != "safe" else "is no match, and must be one"

    def places(self, text: str, channel: Channel) -> Sequence[Place] | None:
        """Return the patterns that a text as it was meant has; its end, from any word on, has no other ones.

        None where that isn't known, since a rule of the channel asks for the beginning of a text.
        """
        if channel in self._anchored:
            return None
        piece = view(text)
        return [it for it in self._found(piece, channel) if next(self._patterns.spans(it.number, piece), None)]

    def is_plain(self, text: str, channel: Channel, among: Sequence[Place]) -> bool:
        """Say whether a text as it was meant is without a match of these patterns."""
        return not among or next(self._matches(text, view(text), among), None) is None

    def disclosed(self, text: str) -> frozenset[str]:
        """Return the kinds of crisis that a player's text speaks of, or may."""
        hits = self.search(fold(text), "player")
        return frozenset(
            it.rule.category for it in hits if it.rule.category in KINDS and level_of(it, "player") != "safe"
        )

    def search(self, folded: Folded, channel: Channel, *, among: Sequence[Place] | None = None) -> Iterator[Hit]:
        """Yield the matches in a text, of all patterns or of a few, each with what is around it."""
        seen: set[tuple[str, int, int]] = set()
        for hit in self._search(folded, folded.text, channel, among):
            seen.add((hit.rule.id, *hit.span))
            yield hit
        if folded.changed:
            # What was undone may have been meant as it stood, or be in a language whose letters were folded.
            for hit in self._search(folded, folded.plain, channel, among):
                if (hit.rule.id, *hit.span) not in seen:
                    yield hit

    def _excepted(self, rule: Rule, text: str, span: tuple[int, int]) -> bool:
        sentence = _sentence(text, span)
        return any(it.matches(sentence) for it in self._unless[rule.id])

    def _search(self, folded: Folded, text: str, channel: Channel, among: Sequence[Place] | None) -> Iterator[Hit]:
        as_meant = text is folded.text
        piece = view(text)
        places = self._found(piece, channel) if among is None else among
        for read, (rule, span) in enumerate(self._matches(text, piece, places), 1):
            around = circumstances(text, *span, rule) if read <= _MOST_READ else unmodified(rule)
            yield Hit(rule, folded.origin(*span) if as_meant else span, around)

    def _matches(self, text: str, piece: View, places: Iterable[Place]) -> Iterator[tuple[Rule, tuple[int, int]]]:
        """Yield where patterns are in a text, but for what is excepted."""
        read = 0
        for rule, number in places:
            for span in self._patterns.spans(number, piece):
                if span[0] == span[1] or (rule.unless and self._excepted(rule, text, span)):
                    continue
                read += 1
                yield rule, span
                if read > _MOST_READ:
                    break  # Whatever else of this rule is there, it has been found as it is.

    def _found(self, piece: View, channel: Channel) -> Iterator[Place]:
        """Yield the patterns that a text may have."""
        for number in self._patterns.candidates(piece):
            for rule in self._owners.get(number, ()):
                if channel in rule.channels:
                    yield Place(rule, number)


def _sentence(text: str, span: tuple[int, int]) -> str:
    """Return what stands around a match, up to the ends of its sentence."""
    before = _END.split(text[max(0, span[0] - _AROUND) : span[0]])[-1]
    after = _END.split(text[span[1] : span[1] + _AROUND], maxsplit=1)[0]
    return before + text[slice(*span)] + after


def spaced(pattern: str) -> str:
    """Return a pattern in which a space stands for what may be between words: up to four characters, none of a word."""
    return pattern.replace(" ?", r"\W{0,4}").replace(" ", r"\W{1,4}")
