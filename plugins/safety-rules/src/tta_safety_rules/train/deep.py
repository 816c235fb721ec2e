"""Fit the deep head's linear part upon the sentence model's numbers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import scipy.sparse as sp

from tta_safety_rules.embeddings.model import SentenceModel
from tta_safety_rules.weights import DeepWeights

from .embedding import Embeddings, Floats
from .lines import COLUMNS, STORY, Line
from .solver import Rows, solve
from .statistical import by_line

_STRENGTH = 5e-3


class DeepSolution(NamedTuple):
    """A row of weights for each column, and their biases; unused numbers of a row are 0."""

    columns: tuple[str, ...]
    rows: Floats
    biases: Floats


def deep_rows(text: Floats, before: Floats) -> Floats:
    """Return what the linear part reads: the text, and for a story how it answers to what the player wrote.

    ``text`` are rows of the sentence model, and ``before`` means, which are zero where nothing was written.
    """
    return np.concatenate([text, before, text[:, : before.shape[1]] * before], axis=1)


def embed_lines(lines: Sequence[Line], embeddings: Embeddings) -> Floats:
    """Return the rows of lines."""
    text = embeddings.of([line.text for line in lines])
    before = np.zeros((len(text), embeddings.width), np.float32)
    told = [place for place, line in enumerate(lines) if line.before]
    if told:
        before[told] = embeddings.of([lines[place].before for place in told])[:, : embeddings.width]
    return deep_rows(text, before)


def fit_deep(lines: Sequence[Line], rows: Floats) -> DeepSolution:
    """Fit the columns: those of stories read what came before, too, the others the text alone."""
    found = np.zeros((len(COLUMNS), rows.shape[1]), np.float32)
    biases = np.zeros(len(COLUMNS), np.float32)
    plain = tuple(column for column in COLUMNS if column not in STORY)
    for columns, used in ((STORY, rows.shape[1]), (plain, SentenceModel.row)):
        chosen = np.array([place for place, line in enumerate(lines) if any(it in line.targets for it in columns)])
        labels, weights = by_line(columns, [lines[place] for place in chosen])
        solution, offsets = _solve(rows[chosen, :used], labels, weights)
        places = [COLUMNS.index(column) for column in columns]
        found[places, :used] = solution.T
        biases[places] = offsets
    return DeepSolution(COLUMNS, found, biases)


def _solve(rows: Floats, labels: Floats, weights: Floats) -> tuple[Floats, Floats]:
    mean, deviation = rows.mean(0), rows.std(0) + np.float32(1e-6)
    none = sp.csr_matrix((len(rows), 0), dtype=np.float32)
    solution, biases = solve(Rows(none, (rows - mean) / deviation), labels, weights, _STRENGTH)
    solution = solution / deviation[:, None]
    return solution, biases - mean @ solution


def as_weights(solution: DeepSolution) -> DeepWeights:
    """Round to floats of 16 bits."""
    width = solution.rows.shape[1]
    return DeepWeights(
        solution.columns, width, tuple(map(float, solution.biases)), solution.rows.astype("<f2").tobytes()
    )
