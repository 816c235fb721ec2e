"""How alike names are, and texts: edit distance, tf-idf, and the cosine of an embedder's vectors."""

from __future__ import annotations

import math
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence, Set
from operator import mul

from tta_agents import Capability

_WORD = re.compile(r"[^\W_]+")
DIGITS = 6
"""To which scores are rounded, so that equal ones are equal."""


def words(text: str) -> list[str]:
    """Split into words, in the case that compares."""
    return _WORD.findall(text.casefold())


def text_of(capability: Capability) -> str:
    """Return what there is to read about a capability: its name, its description and its tags."""
    return " ".join([*words(capability.name), capability.description, *sorted(capability.tags)])


def similar(name: str, names: Iterable[str], *, at_least: float) -> dict[str, float]:
    """Return the names that are like ``name``, whatever the order of their words, by likeness from 0 to 1."""
    # Only here, since it takes longer to import than the rest of this package.
    from rapidfuzz import fuzz, process

    spelled = {each: " ".join(words(each)) for each in names}
    sought = " ".join(words(name))
    found = process.extract(
        sought, spelled, scorer=fuzz.token_sort_ratio, processor=None, limit=None, score_cutoff=100 * at_least
    )
    return {each: round(likeness / 100, DIGITS) for _, likeness, each in found}


class Texts:
    """Texts by the cosine of their tf-idf vectors with a query's."""

    def __init__(self) -> None:
        self._counts: dict[str, Counter[str]] = {}
        self._having: defaultdict[str, dict[str, None]] = defaultdict(dict)
        self._norms: dict[str, float] = {}

    def keep(self, texts: Set[str]) -> None:
        """Know these texts, and no others."""
        gone = self._counts.keys() - texts
        new = [text for text in texts if text not in self._counts]
        if gone or new:
            self._norms.clear()
        for text in gone:
            for word in self._counts.pop(text):
                having = self._having[word]
                del having[text]
                if not having:
                    del self._having[word]
        for text in new:
            self._counts[text] = Counter(words(text))
            for word in self._counts[text]:
                self._having[word][text] = None

    def scores(self, query: str) -> dict[str, float]:
        """Score each text that shares a word with the query; a word that no text has counts against all."""
        sought = self._weights(Counter(words(query)))
        norm = _norm(sought.values())
        found: defaultdict[str, float] = defaultdict(float)
        for word, weight in sought.items():
            for text in self._having.get(word, ()):
                found[text] += weight * self._weight(word, self._counts[text][word])
        return {text: round(min(1.0, dot / (norm * self._norm_of(text))), DIGITS) for text, dot in found.items()}

    def _norm_of(self, text: str) -> float:
        if (norm := self._norms.get(text)) is None:
            norm = self._norms[text] = _norm(self._weights(self._counts[text]).values())
        return norm

    def _weights(self, counts: Counter[str]) -> dict[str, float]:
        return {word: self._weight(word, count) for word, count in counts.items()}

    def _weight(self, word: str, count: int) -> float:
        # Sublinear tf times smoothed idf: Manning, Raghavan, Schütze, ch. 6.
        rarity = math.log((1 + len(self._counts)) / (1 + len(self._having.get(word, ())))) + 1
        return (1 + math.log(count)) * rarity


def unit(vector: Sequence[float]) -> tuple[float, ...]:
    """Return the vector with length 1; ValueError if it has no direction."""
    norm = _norm(vector)
    if not 0 < norm < math.inf:
        raise ValueError("an embedder's vector is empty, zero or not finite")
    return tuple(value / norm for value in vector)


def cosines(query: Sequence[float], texts: Mapping[str, Sequence[float]]) -> dict[str, float]:
    """Score each text by its unit vector's cosine with the query's; opposite meanings score 0."""
    if any(len(vector) != len(query) for vector in texts.values()):
        raise ValueError("an embedder's vectors differ in length")
    return {t: round(min(1.0, max(0.0, sum(map(mul, query, vector)))), DIGITS) for t, vector in texts.items()}


def _norm(values: Iterable[float]) -> float:
    return math.sqrt(sum(value * value for value in values))
