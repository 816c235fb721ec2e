"""Training from end to end: fit on three fifths, tune on one, measure on one, fit on all, write.

What is tuned (calibration, how rules and heads are weighed, operating points) has seen nothing of what is measured,
and what is measured has been learned from by fewer lines than what is written.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec
import numpy as np

from tta_safety_rules.head import CRISES, SENTIMENT, StatisticalHead
from tta_safety_rules.loading import load_engine
from tta_safety_rules.scores import CRISIS, UNSAFE, Shares, Threshold, Weighing
from tta_safety_rules.weights import CARD, DEEP, HEAD, PAGE, Calibration, Card, DeepWeights, HeadCard, Weights, pack

from .calibration import Doubles, Flags, apply, calibrate
from .deep import DeepSolution, as_weights, deep_rows, embed_lines, fit_deep
from .embedding import Embeddings, Floats
from .figures import figures_of
from .lines import (
    COLUMNS,
    STORY,
    Line,
    authored_lines,
    game_lines,
    lexicon_lines,
    phrase_lines,
    reply_lines,
    sentimental_lines,
    shared_lines,
)
from .page import page
from .points import (
    ESCALATIONS,
    STORY_ESCALATIONS,
    STORY_MARGIN,
    STORY_WARNINGS,
    WARNINGS,
    operating_points,
)
from .statistical import fit, quantise
from .weighing import Heard, fit_shares, heard, matches_of, sharpness, weighed_odds

VERSION = 3
SEED = 0
"""Nothing is drawn by lot: what a line is for is decided by a hash, and the solver has no random part."""
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
Calibrations = tuple[Mapping[str, Calibration], Mapping[str, Calibration]]
"""The statistical head's, and the deep head's."""


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
    fitted = fit_heads(sources, embeddings, tell)
    tell("weighing them against the rules")
    return write(fitted, model, date)


class Fitted(NamedTuple):
    """Both heads, and what they say of the lines that tune and that measure: all that weighing asks for."""

    lines: Sequence[Line]
    texts: Mapping[str, Sequence[str]]
    """By set: the source of what measures, and "tune" and the source of what tunes."""
    odds: Mapping[str, tuple[Doubles, Doubles]]
    weights: Weights
    deep: DeepSolution
    calibrations: Calibrations


def fit_heads(sources: Sources, embeddings: Embeddings, tell: Tell) -> Fitted:
    """Fit both heads; they know nothing of the rules."""
    shared = [*shared_lines(sources.shared)]
    lines = [
        *authored_lines(sources.authored), *phrase_lines(sources.authored / "phrases.yaml"),
        *reply_lines(sources.authored / "replies.yaml"), *shared, *lexicon_lines(), *sentimental_lines(shared),
    ]  # fmt: skip
    tell(f"{len(lines)} lines")
    words = embeddings.vocabulary([line.text for line in lines])
    vectors = embeddings.of(words)[:, : embeddings.width]
    rows = embed_lines(lines, embeddings)
    sets = _sets(lines, rows)
    for name, file in _GAMES.items():
        texts = game_lines(sources.shared, file)
        nothing = np.zeros((len(texts), embeddings.width), np.float32)
        sets[name] = _Set(texts, [""] * len(texts), deep_rows(embeddings.of(texts), nothing))
    tell("fitting on three fifths")
    free = np.array([line.part == "fit" for line in lines])
    learned = [line for line in lines if line.part == "fit"]
    trial = _Readers(quantise(fit(learned, words, vectors)), fit_deep(learned, rows[free]))
    tuning = [line for line in lines if line.part == "tune"]
    calibrations = trial.calibrated(tuning, rows[[line.part == "tune" for line in lines]])
    odds = {name: trial.odds(of, calibrations) for name, of in sets.items()}
    tell("fitting on all")
    whole = _Readers(quantise(fit(lines, words, vectors)), fit_deep(lines, rows))
    # From role-play nothing is learned, so that the weights that are written can be asked themselves.
    odds |= {name: whole.odds(sets[name], calibrations) for name in _GAMES}
    return Fitted(lines, {name: of.texts for name, of in sets.items()}, odds, whole.weights, whole.deep, calibrations)


_GAMES = {"role-play": "crd3_cal", "other role-play": "crd3_dev"}


class _Set(NamedTuple):
    """Texts of one source and for one purpose."""

    texts: Sequence[str]
    befores: Sequence[str]
    rows: Floats


def _sets(lines: Sequence[Line], rows: Floats) -> dict[str, _Set]:
    """Return the lines that tune and that measure, by source: "fiction" measures, and "tune fiction" tunes."""
    sets = {}
    for name, chosen in _places(lines).items():
        sets[name] = _Set([lines[it].text for it in chosen], [lines[it].before for it in chosen], rows[chosen])
    return sets


def _places(lines: Sequence[Line]) -> dict[str, list[int]]:
    places: dict[str, list[int]] = {}
    for place, line in enumerate(lines):
        if line.part != "fit":
            places.setdefault(line.source if line.part == "held" else f"tune {line.source}", []).append(place)
    return dict(sorted(places.items()))


class _Rules:
    """What the built-in rules say of each set, and how sharp each of them is."""

    def __init__(self, lines: Sequence[Line], sets: Mapping[str, Sequence[str]]) -> None:
        self._engine = load_engine(None, None)
        self._matches = {name: matches_of(self._engine, texts) for name, texts in sets.items()}
        counted = [line for line in lines if line.part != "held" and CRISIS in line.targets]
        found = matches_of(self._engine, [line.text for line in counted])
        self.sharpness, self.broad = sharpness(counted, found, self._matches["role-play"])

    def heard(self, odds: Mapping[str, Doubles]) -> dict[str, Heard]:
        """Return what they say, by set; ``odds`` are a head's."""
        place = COLUMNS.index(SENTIMENT)
        return {
            name: heard(self._engine, matches, self.sharpness, self.broad, odds[name][:, place])
            for name, matches in self._matches.items()
        }


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

    def calibrated(self, lines: Sequence[Line], rows: Floats) -> Calibrations:
        """Calibrate both heads on lines from which they haven't learned."""
        statistical, deep = self.both([it.text for it in lines], [it.before for it in lines], rows)
        first: dict[str, Calibration] = {}
        second: dict[str, Calibration] = {}
        for place, column in enumerate(COLUMNS):
            chosen = np.array([column in it.targets for it in lines])
            labels = np.array([it.targets[column][0] for it in lines if column in it.targets])
            own = statistical[chosen, place]
            first[column] = calibrate(own, None, labels)
            # The deep head reads the statistical head's calibrated odds, which is all that it will see of it.
            second[column] = calibrate(deep[chosen, place], apply(first[column], own, None), labels)
        return first, second

    def odds(self, of: _Set, calibrations: Calibrations) -> tuple[Doubles, Doubles]:
        """Return the calibrated log odds of both heads."""
        statistical, deep = self.both(*of)
        first, second = np.zeros_like(statistical), np.zeros_like(deep)
        for place, column in enumerate(COLUMNS):
            first[:, place] = apply(calibrations[0][column], statistical[:, place], None)
            second[:, place] = apply(calibrations[1][column], deep[:, place], first[:, place])
        return first, second


_NOTHING_SAID = -10.0


def write(fitted: Fitted, model: str, date: str) -> Made:
    """Weigh heads and built-in rules against each other, fix the operating points, and give the files."""
    lines = fitted.lines
    rules = _Rules(lines, fitted.texts)
    deep: DeepWeights = as_weights(fitted.deep)
    files = {HEAD: pack(fitted.weights), DEEP: pack(deep)}
    cards = []
    for name, file, place in (("head", HEAD, 0), ("deep", DEEP, 1)):
        odds = {of: both[place] for of, both in fitted.odds.items()}
        said = rules.heard(odds)
        shares = _shares(lines, odds, said)
        odds = {of: weighed_odds(shares, each, said[of]) for of, each in odds.items()}
        thresholds = _thresholds(lines, odds, said)
        cards.append(
            HeadCard(
                f"{name}@{VERSION}",
                hashlib.sha256(files[file]).hexdigest(),
                fitted.calibrations[place],
                {"player": thresholds["player"], "story": thresholds["story"], "tool": thresholds["story"]},
                figures_of([line for line in lines if line.part == "held"], odds, said, thresholds),
                Weighing(shares, rules.sharpness, rules.broad),
            )
        )
    card = Card(date, SEED, cards[0], cards[1], model, DATA, LIMITS)
    encoded = msgspec.json.format(msgspec.json.encode(card, order="sorted"), indent=1)
    return Made({**files, CARD: encoded + b"\n", PAGE: page(card).encode()}, card)


def _shares(lines: Sequence[Line], odds: Mapping[str, Doubles], said: Mapping[str, Heard]) -> dict[str, Shares]:
    """Fit how rules and a head are weighed, on what tunes."""
    places = {name: chosen for name, chosen in _places(lines).items() if name.startswith("tune ")}
    tuning = [lines[it] for chosen in places.values() for it in chosen]
    together = Heard(*(np.concatenate(parts) for parts in zip(*(said[name] for name in places), strict=True)))
    return fit_shares(tuning, np.concatenate([odds[name] for name in places]), together)


def _thresholds(
    lines: Sequence[Line], odds: Mapping[str, Doubles], said: Mapping[str, Heard]
) -> dict[str, dict[str, Threshold]]:
    """Fix the operating points, on role-play and on what tunes."""
    sets = {"role-play": "role-play", **{name: f"tune {name}" for name in ("everyday", "fiction", "counsel")}}
    player = [COLUMNS.index(column) for column in CRISES]
    story = [COLUMNS.index(column) for column in STORY]
    told = odds["tune story"][:, story]
    # What counsellors are asked is no story.
    harmless = {name: odds[of][:, story] for name, of in sets.items() if name != "counsel"}
    harmless["twins"] = told[~_unsafe(lines)]
    return {
        "player": operating_points(
            CRISES,
            {name: odds[of][:, player] for name, of in sets.items()},
            _crises(lines, odds),
            warnings=WARNINGS,
            escalations=ESCALATIONS,
            warned={name: said[of].warned for name, of in sets.items()},
            named={name: said[of].named for name, of in sets.items()},
        ),
        "story": operating_points(
            STORY,
            harmless,
            told[_unsafe(lines)],
            warnings=STORY_WARNINGS,
            escalations=STORY_ESCALATIONS,
            margin=STORY_MARGIN,
        ),
    }


def _unsafe(lines: Sequence[Line]) -> Flags:
    """Say of each reply that tunes whether it must not be told."""
    places = _places(lines)["tune story"]
    return np.array([lines[it].targets[UNSAFE][0] > 0 for it in places])


def _crises(lines: Sequence[Line], odds: Mapping[str, Doubles]) -> Doubles:
    """Return the log odds of the messages that tune and tell of a crisis."""
    places = _places(lines)["tune authored"]
    chosen = [lines[it].targets[CRISIS][0] > 0 for it in places]
    return odds["tune authored"][chosen][:, [COLUMNS.index(column) for column in CRISES]]
