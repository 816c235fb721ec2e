"""Fit the statistical head, and write it as bytes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from tta_safety_rules.features import number, stem, words_of
from tta_safety_rules.head import BEFORE, SENTIMENT
from tta_safety_rules.weights import Weights

from .lines import COLUMNS, STORY, Line
from .matrix import Views, Vocabulary, views_of
from .solver import Floats, Rows, solve

GRAMS = 1 << 17
"""How many pairs, triples and parts of words there may be."""
_STRENGTH = 1.0
POSITIVE = 2.0
_TOP = 127


class Solution(NamedTuple):
    """What was found: a weight for each word and each other feature by column, and the columns' biases."""

    columns: tuple[str, ...]
    words: tuple[str, ...]
    word_weights: Floats
    grams: NDArray[np.uint64]
    gram_weights: Floats
    biases: Floats


def fit(lines: Sequence[Line], words: Sequence[str], vectors: Floats) -> Solution:
    """Fit the columns: those of crises and of sentiment window by window, those of stories with what came before."""
    texts = views_of([line.text for line in lines])
    told = [line for line in lines if any(column in STORY for column in line.targets)]
    befores = views_of([line.before for line in told])
    vocabulary = Vocabulary(Views(texts.words + befores.words, texts.owner), words, vectors)
    plain = [column for column in COLUMNS if column not in STORY]
    solution, biases = solve(vocabulary.rows(texts), *_windowed(plain, lines, texts), _STRENGTH)
    columns, found, offsets = list(plain), list(solution.T), list(biases)
    both = _whole(vocabulary, [it.text for it in told]).beside(_whole(vocabulary, [it.before for it in told]))
    solution, biases = solve(both, *by_line(STORY, told), _STRENGTH)
    width = both.width // 2
    for place, column in enumerate(STORY):
        columns += [column, column + BEFORE]
        found += [solution[:width, place], solution[width:, place]]
        offsets += [biases[place], np.float32(0)]
    return _collect(tuple(columns), np.stack(found, 1), np.array(offsets, np.float32), vocabulary)


def by_line(columns: Sequence[str], lines: Sequence[Line]) -> tuple[Floats, Floats]:
    """Return what lines say of the columns, and how much each counts: 0 where it says nothing."""
    labels = np.zeros((len(lines), len(columns)), np.float32)
    weights = np.zeros((len(lines), len(columns)), np.float32)
    for row, line in enumerate(lines):
        for place, column in enumerate(columns):
            if (target := line.targets.get(column)) is not None:
                labels[row, place], weights[row, place] = target
    return labels, weights


def _windowed(columns: Sequence[str], lines: Sequence[Line], views: Views) -> tuple[Floats, Floats]:
    """Return the same for each window."""
    labels, weights = by_line(columns, lines)
    for place, column in enumerate(columns):
        if column != SENTIMENT:
            weights[:, place] *= np.where(labels[:, place] > 0, POSITIVE, 1.0)
    # Only one window of a long text need be what the text is labelled.
    count = np.bincount(views.owner, minlength=len(lines))
    return labels[views.owner], (weights[views.owner] / np.sqrt(count[views.owner])[:, None]).astype(np.float32)


def _whole(vocabulary: Vocabulary, texts: Sequence[str]) -> Rows:
    return vocabulary.rows(Views([words_of(text) for text in texts], np.arange(len(texts))))


def _collect(columns: tuple[str, ...], found: Floats, biases: Floats, vocabulary: Vocabulary) -> Solution:
    grams = np.array(list(vocabulary.features), np.uint64)
    weights = found[: len(grams)]
    # Words and their stems are summed up in the words' own weights.
    own = {number("word " + word) for word in vocabulary.words} | {
        number("stem " + stem(word)) for word in vocabulary.words
    }
    wanted = np.array([int(gram) not in own for gram in grams])
    strength = np.abs(weights).max(1) * wanted
    best = np.sort(np.argsort(-strength, kind="stable")[:GRAMS])
    best = best[strength[best] > 0]
    order = best[np.argsort(grams[best], kind="stable")]
    return Solution(
        columns, tuple(vocabulary.words), vocabulary.word_weights(found), grams[order], weights[order], biases
    )


def quantise(solution: Solution) -> Weights:
    """Round each column's weights to bytes: by its own scale, from -127 to 127."""
    both = np.concatenate([solution.word_weights, solution.gram_weights])
    tops = np.maximum(np.quantile(np.abs(both), 0.9999, axis=0), 1e-6)
    scales = tops / _TOP

    def rounded(weights: Floats) -> NDArray[np.int8]:
        of_bytes: NDArray[np.int8] = np.clip(np.rint(weights / scales), -_TOP, _TOP).astype(np.int8)
        return of_bytes

    grams = rounded(solution.gram_weights)
    kept = np.abs(grams).max(1) >= _LEAST
    return Weights(
        solution.columns, tuple(map(float, scales)), tuple(map(float, solution.biases)), "\n".join(solution.words),
        rounded(solution.word_weights).tobytes(), solution.grams[kept].astype("<u8").tobytes(), grams[kept].tobytes(),
    )  # fmt: skip


_LEAST = 3
"""A pair, triple or part whose bytes are all smaller than this isn't kept: they are many, and say next to nothing."""
