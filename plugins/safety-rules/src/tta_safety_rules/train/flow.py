"""Training from end to end: fit on four fifths, measure and calibrate on the fifth held out, fit on all, write."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec
import numpy as np

from tta_safety_rules.head import CRISES, SENTIMENT, StatisticalHead
from tta_safety_rules.scores import Threshold
from tta_safety_rules.weights import CARD, DEEP, HEAD, PAGE, Calibration, Card, DeepWeights, HeadCard, Weights, pack

from .calibration import ESCALATIONS, WARNINGS, Doubles, apply, calibrate, operating_points
from .deep import DeepSolution, as_weights, deep_rows, embed_lines, fit_deep
from .embedding import Embeddings, Floats
from .figures import figures_of
from .lines import COLUMNS, STORY, Line, authored_lines, game_lines, lexicon_lines, phrase_lines, shared_lines
from .page import page
from .statistical import fit, quantise

VERSION = 1
SEED = 0
"""Nothing is drawn by lot: what is held out is decided by a hash, and the solver has no random part."""
DATA = (
    "messages, pairs, replies and phrases written for this project (Apache-2.0): plugins/safety-rules/data/train",
    "GoEmotions (Demszky et al., Google; Apache-2.0 / CC-BY-4.0), as in monologg/GoEmotions-pytorch@b75f9d3",
    "DiaSafety (Sun et al., thu-coai; Apache-2.0) @5106a04",
    "counsel-chat (nbertagnolli; MIT) @e202e19",
    "Alice in Wonderland, Frankenstein, Treasure Island (GITenberg; public domain)",
    "VADER's lexicon (Hutto and Gilbert; MIT)",
    "thresholds only: CRD3 (Rameshkumar and Bailey; CC-BY-SA-4.0) @7fd4515",
)
LIMITS = (
    "reads English only",
    "reads one message at a time: no irony across turns, no knowledge of the person",
    "learned mostly from messages that a language model wrote: shares and wording are not those of people in distress",
    "no clinical instrument: a score is no diagnosis, and a low one is no all-clear",
    "the kinds that are seldom told of directly (veiled abuse, eating disorders, psychosis) are missed most",
)

Tell = Callable[[str], None]


class Sources(NamedTuple):
    """Where the data lie: the lines written for this project, and the shared folder."""

    authored: Path
    shared: Path


class Made(NamedTuple):
    """The three files, by name."""

    files: Mapping[str, bytes]
    card: Card


def train(sources: Sources, embeddings: Embeddings, model: str, date: str, tell: Tell) -> Made:
    """Make the weights of both heads, and their card."""
    lines = [
        *authored_lines(sources.authored), *phrase_lines(sources.authored / "phrases.yaml"),
        *shared_lines(sources.shared), *lexicon_lines(),
    ]  # fmt: skip
    fitted = [line for line in lines if not line.held]
    held = [line for line in lines if line.held]
    tell(f"{len(lines)} lines, {len(held)} of them held out")
    words = embeddings.vocabulary([line.text for line in lines])
    vectors = embeddings.of(words)[:, : embeddings.width]
    rows = embed_lines(lines, embeddings)
    free = np.array([not line.held for line in lines])
    games = game_lines(sources.shared, "crd3_cal")
    game_rows = deep_rows(embeddings.of(games), np.zeros((len(games), 2 * embeddings.width), np.float32))
    tell("fitting on four fifths")
    trial = _Readers(quantise(fit(fitted, words, vectors)), fit_deep(fitted, rows[free]))
    calibrations = trial.calibrated(held, rows[~free])
    measured = trial.odds(held, rows[~free], games, game_rows, calibrations)
    tell("fitting on all")
    whole = _Readers(quantise(fit(lines, words, vectors)), fit_deep(lines, rows))
    final = whole.odds(held, rows[~free], games, game_rows, calibrations)
    return _written(whole, held, measured, final, calibrations, model, date)


Calibrations = tuple[Mapping[str, Calibration], Mapping[str, Calibration]]


class _Readers:
    """The statistical and the deep head, as they were fitted."""

    def __init__(self, weights: Weights, deep: DeepSolution) -> None:
        self.weights = weights
        self.deep = deep
        self._head = StatisticalHead(weights, HeadCard("", "", {}, {}))

    def statistical(self, texts: Sequence[str], befores: Sequence[str]) -> Doubles:
        """Return the log odds by column."""
        found = np.zeros((len(texts), len(COLUMNS)))
        for row, (text, before) in enumerate(zip(texts, befores, strict=True)):
            odds = {**self._head.odds(text, before), **self._head.odds(text)}
            found[row] = [odds.get(column, _NOTHING_SAID) for column in COLUMNS]
        return found

    def both(self, texts: Sequence[str], befores: Sequence[str], rows: Floats) -> tuple[Doubles, Doubles]:
        """Return the log odds of both heads, by column."""
        deep = (rows @ self.deep.rows.T + self.deep.biases).astype(np.float64)
        return self.statistical(texts, befores), deep

    def calibrated(self, held: Sequence[Line], rows: Floats) -> Calibrations:
        """Calibrate both heads on what is held out."""
        statistical, deep = self.both([it.text for it in held], [it.before for it in held], rows)
        first: dict[str, Calibration] = {}
        second: dict[str, Calibration] = {}
        for place, column in enumerate(COLUMNS):
            chosen = np.array([column in it.targets for it in held])
            labels = np.array([it.targets[column][0] for it in held if column in it.targets])
            own = statistical[chosen, place]
            first[column] = calibrate(own, None, labels)
            # The deep head reads the statistical head's calibrated odds, which is all that it will see of it.
            second[column] = calibrate(deep[chosen, place], apply(first[column], own, None), labels)
        return first, second

    def odds(
        self, held: Sequence[Line], rows: Floats, games: Sequence[str], game_rows: Floats, calibrations: Calibrations
    ) -> tuple[dict[str, Doubles], dict[str, Doubles]]:
        """Return the calibrated log odds of both heads, by set, of what is held out and of role-play."""
        sets: dict[str, tuple[Sequence[str], Sequence[str], Floats]] = {
            "role-play": (games, [""] * len(games), game_rows)
        }
        for name in sorted({line.source for line in held}):
            chosen = [place for place, line in enumerate(held) if line.source == name]
            sets[name] = [held[it].text for it in chosen], [held[it].before for it in chosen], rows[chosen]
        one: dict[str, Doubles] = {}
        other: dict[str, Doubles] = {}
        for name, (texts, befores, of) in sets.items():
            statistical, deep = self.both(texts, befores, of)
            pairs = [
                (apply(calibrations[0][column], statistical[:, place], None), deep[:, place], calibrations[1][column])
                for place, column in enumerate(COLUMNS)
            ]
            one[name] = np.stack([first for first, _, _ in pairs], 1)
            other[name] = np.stack([apply(how, second, first) for first, second, how in pairs], 1)
        return one, other


_NOTHING_SAID = -10.0


def _written(
    readers: _Readers,
    held: Sequence[Line],
    measured: tuple[dict[str, Doubles], dict[str, Doubles]],
    final: tuple[dict[str, Doubles], dict[str, Doubles]],
    calibrations: Calibrations,
    model: str,
    date: str,
) -> Made:
    deep: DeepWeights = as_weights(readers.deep)
    files = {HEAD: pack(readers.weights), DEEP: pack(deep)}
    cards = []
    for name, file, place in (("head", HEAD, 0), ("deep", DEEP, 1)):
        thresholds = _thresholds(measured[place], final[place])
        cards.append(
            HeadCard(
                f"{name}@{VERSION}",
                hashlib.sha256(files[file]).hexdigest(),
                calibrations[place],
                {"player": thresholds["player"], "story": thresholds["story"], "tool": thresholds["story"]},
                figures_of(held, {**measured[place], "role-play": final[place]["role-play"]}, thresholds),
            )
        )
    card = Card(date, SEED, cards[0], cards[1], model, DATA, LIMITS)
    encoded = msgspec.json.format(msgspec.json.encode(card, order="sorted"), indent=1)
    return Made({**files, CARD: encoded + b"\n", PAGE: page(card).encode()}, card)


def _thresholds(measured: Mapping[str, Doubles], final: Mapping[str, Doubles]) -> dict[str, dict[str, Threshold]]:
    """Fix the operating points.

    Role-play, from which nothing is learned, is as the fit on all sees it; the other sets are as the fit on four fifths
    sees what was held out of it.
    """
    harmless = {
        "role-play": final["role-play"],
        **{name: measured[name] for name in ("everyday", "fiction", "counsel")},
    }
    found = {}
    for channel, columns, names in (
        ("player", CRISES, ("role-play", "everyday", "fiction", "counsel")),
        ("story", STORY, ("role-play", "everyday", "fiction")),
    ):
        places = [COLUMNS.index(column) for column in columns]
        found[channel] = operating_points(
            columns,
            {name: harmless[name][:, places] for name in names},
            warnings={name: WARNINGS[name] for name in names},
            escalations={name: ESCALATIONS[name] for name in names},
        )
    assert SENTIMENT not in found["player"]
    return found
