"""The statistical head: a sum of learned weights, in microseconds, without a library."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from tta_safety import KINDS, Channel

from .features import words_of
from .scores import CRISIS, Scores, Threshold
from .sums import Sums
from .weights import CARD, HEAD, Calibration, HeadCard, Weights, packaged, read_card, read_weights

SENTIMENT = "sentiment"
CRISES = (*KINDS, CRISIS)
"""The columns for what a person writes."""
BEFORE = " before"
"""The end of a column's name whose weights are for what the player wrote before a story's text."""


def load_head() -> StatisticalHead:
    """Load the head that comes with the package."""
    folder = packaged()
    card = read_card((folder / CARD).read_bytes())
    return StatisticalHead(read_weights((folder / HEAD).read_bytes()), card.statistical)


class StatisticalHead:
    """Scores a text by its words, pairs and triples: a player's for crises, a generated one for what is unsafe."""

    def __init__(self, weights: Weights, card: HeadCard) -> None:
        self.name = card.name
        self.thresholds: Mapping[Channel, Mapping[str, Threshold]] = card.thresholds
        self.weighing = card.weighing
        self._crises = _Columns(weights, card, [it for it in weights.columns if it in (*CRISES, SENTIMENT)])
        self._story = _Columns(weights, card, [it for it in weights.columns if it not in CRISES])

    def score(self, text: str, before: str | None = None) -> Scores:
        """Score a text; one with a ``before``, which may be "", is generated, and answers to what the player wrote."""
        words = words_of(text)
        if not words:
            return Scores({}, None)
        odds, known = self._columns(before).odds(words, before)
        sentiment = math.tanh(odds.pop(SENTIMENT) / 2)
        risks = {column: 1 / (1 + math.exp(-value)) for column, value in odds.items()}
        return Scores(risks, sentiment, known / len(words), len(words))

    def odds(self, text: str, before: str | None = None) -> Mapping[str, float]:
        """Return the log odds by column, the sentiment's among them; nothing of a text without a word."""
        words = words_of(text)
        return self._columns(before).odds(words, before)[0] if words else {}

    def _columns(self, before: str | None) -> _Columns:
        return self._crises if before is None else self._story


class _Columns:
    """Some of the columns: their sums, and from sums to log odds."""

    def __init__(self, weights: Weights, card: HeadCard, columns: Sequence[str]) -> None:
        self._sums = Sums(weights, columns)
        self._risks: list[tuple[str, int, float, float]] = []
        self._earlier: list[tuple[str, int, float]] = []
        for lane, column in enumerate(columns):
            calibration = card.calibration.get(column.removesuffix(BEFORE), Calibration())
            place = weights.columns.index(column)
            scale = weights.scales[place] * calibration.slope
            bias = weights.biases[place] * calibration.slope + calibration.intercept
            if column.endswith(BEFORE):
                self._earlier.append((column.removesuffix(BEFORE), lane, scale))
            elif column == SENTIMENT:
                self._sentiment = lane, scale, bias
            else:
                self._risks.append((column, lane, scale, bias))

    def odds(self, words: Sequence[str], before: str | None) -> tuple[dict[str, float], int]:
        """Return the log odds by column, of the worst window over the text, and how many words are known."""
        views, known = self._sums.read(words)
        worst = _worst(views)
        odds = {column: worst[lane] * scale + bias for column, lane, scale, bias in self._risks}
        lane, scale, bias = self._sentiment
        odds[SENTIMENT] = sum(view[lane] for view in views) / len(views) * scale + bias
        if before and (earlier := words_of(before)):
            worst = _worst(self._sums.read(earlier)[0])
            for column, lane, scale in self._earlier:
                odds[column] += worst[lane] * scale
        return odds, known


def _worst(views: Sequence[Sequence[float]]) -> Sequence[float]:
    return views[0] if len(views) == 1 else list(map(max, *views))
