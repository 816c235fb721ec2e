"""Texts as rows of numbers for the solver, and what it found as one weight for each word, pair and triple."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from tta_safety_rules.features import number, pair, parts, stem, triple, windows, words_of
from tta_safety_rules.sums import SMOOTH

from .solver import Floats, Rows

_RARE = 2


class Views(NamedTuple):
    """The windows of all lines: ``owner`` says whose each is."""

    words: list[list[str]]
    owner: NDArray[np.int64]


def views_of(texts: Sequence[str]) -> Views:
    """Cut texts into the windows through which the head will read them; one without a word has an empty one."""
    cut: list[list[str]] = []
    owner: list[int] = []
    for place, text in enumerate(texts):
        words = words_of(text)
        for start, end in windows(len(words)):
            cut.append(words[start:end])
            owner.append(place)
    return Views(cut, np.array(owner))


def feature_numbers(words: Sequence[str]) -> list[int]:
    """Return the numbers of all features of some words, each as often as it is there.

    A word is there by itself, by its stem and by its parts. What these learn is summed up in the end into one weight
    of the word, so that a reader of known words never looks at their parts.
    """
    found: list[int] = []
    before = last = 0
    for place, word in enumerate(words):
        root = stem(word)
        found.append(number("word " + word))
        found.append(number("stem " + root))
        found.extend(parts(word))
        current = number(root)
        found.append(pair(last, current))
        if place:
            found.append(triple(before, last, current))
        before, last = last, current
    return found


class Vocabulary:
    """Which features there are, and what is known of a word besides: its place in the space of the sentence model."""

    def __init__(self, views: Views, words: Sequence[str], vectors: Floats) -> None:
        seen = Counter(feature for view in views.words for feature in set(feature_numbers(view)))
        kept = sorted(feature for feature, times in seen.items() if times >= _RARE)
        self.features = {feature: place for place, feature in enumerate(kept)}
        self.words = {word: place for place, word in enumerate(words)}
        counts = Counter(word for view in views.words for word in view)
        self.vectors = place_words(words, vectors, counts)

    def rows(self, views: Views) -> Rows:
        """Return a row for each window: its features, and the sum of its words' places, by the root of its length."""
        indices: list[int] = []
        ends = [0]
        places = np.zeros((len(views.words), self.vectors.shape[1]), np.float32)
        for row, words in enumerate(views.words):
            indices.extend(place for each in feature_numbers(words) if (place := self.features.get(each)) is not None)
            ends.append(len(indices))
            known = [place for word in words if (place := self.words.get(word)) is not None]
            if known:
                places[row] = self.vectors[known].sum(0)
        sizes = np.sqrt(np.array([len(words) + SMOOTH for words in views.words], np.float32))
        counted = sp.csr_matrix(
            (np.ones(len(indices), np.float32), np.array(indices, np.int32), np.array(ends, np.int64)),
            shape=(len(views.words), len(self.features)),
        )
        counted.sum_duplicates()
        return Rows((sp.diags(1 / sizes) @ counted).tocsr(), (places / sizes[:, None]).astype(np.float32))

    def word_weights(self, solution: Floats) -> Floats:
        """Return a weight for each word of the vocabulary: of itself, its stem, its parts and its place."""
        features, places = solution[: len(self.features)], solution[len(self.features) :]
        weights = self.vectors @ places
        for row, word in enumerate(self.words):
            own = [number("word " + word), number("stem " + stem(word)), *parts(word)]
            weights[row] += features[[place for each in own if (place := self.features.get(each)) is not None]].sum(0)
        return weights


def place_words(words: Sequence[str], vectors: Floats, counts: Counter[str]) -> Floats:
    """Return the places of words, few numbers each, those of everyday words drawn to the middle.

    After Arora et al., "A simple but tough-to-beat baseline for sentence embeddings" (2017): weights by frequency, and
    without the direction that all share.
    """
    seen = np.array([counts[word] for word in words], np.float64)
    often = np.argsort(-seen, kind="stable")[:_OFTEN]
    centred = vectors - vectors[often].mean(0)
    # The directions from the widest on; the widest itself is what all share.
    directions = np.linalg.eigh(centred[often].T @ centred[often])[1][:, ::-1]
    reduced = centred @ directions[:, 1 : _PLACES + 1]
    share = (seen + 1) / (seen.sum() + len(words))
    placed: Floats = (_STRENGTH * reduced * (_EVERYDAY / (_EVERYDAY + share))[:, None]).astype(np.float32)
    return placed


_OFTEN = 8000
_PLACES = 128
_EVERYDAY = 1e-3
_STRENGTH = 1.0
"""How much a word's place counts beside the word itself; by trial on what is held out."""
