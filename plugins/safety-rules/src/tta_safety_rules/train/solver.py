"""Logistic regressions for many columns at once, over rows that are partly sparse: one pass through memory for all."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

Floats = NDArray[np.float32]
_STEPS = 120
_MEMORY = 8
_ARMIJO = 1e-4
_LEAST_STEP = 1e-6
_ENOUGH = 1e-6
"""What part of the loss a step must gain, that another is worth its while."""


class Rows(NamedTuple):
    """Rows whose first features are sparse, the others dense."""

    sparse: sp.csr_matrix
    dense: Floats

    @property
    def width(self) -> int:
        """How many features there are."""
        return int(self.sparse.shape[1] + self.dense.shape[1])

    def beside(self, other: Rows) -> Rows:
        """Return rows with the features of both: this one's sparse and dense, then the other's."""
        return Rows(sp.hstack([self.sparse, sp.csr_matrix(self.dense), other.sparse]).tocsr(), other.dense)


def solve(rows: Rows, labels: Floats, weights: Floats, strength: float) -> tuple[Floats, Floats]:
    """Return the weights by feature and column, and the columns' biases, which aren't held small.

    ``labels`` and ``weights`` have a column each; a weight of 0 leaves a row out of a column. Minimised is the weighted
    log loss plus half the squares of the weights over ``strength``, by L-BFGS (Liu and Nocedal, 1989), which has no
    random part.
    """
    width, columns = rows.width, labels.shape[1]
    cut = rows.sparse.shape[1]
    turned = rows.sparse.T.tocsr()
    sign = 2 * labels - 1

    def loss(flat: Floats) -> tuple[float, Floats]:
        solution = flat[: width * columns].reshape(width, columns)
        margins = (rows.sparse @ solution[:cut] + rows.dense @ solution[cut:] + flat[width * columns :]) * sign
        losses = np.logaddexp(0, -margins)
        steps = -sign * weights / (1 + np.exp(np.clip(margins, -50, 50)))
        gradient = np.concatenate([turned @ steps, rows.dense.T @ steps]) + solution / np.float32(strength)
        squares = float(np.vdot(solution, solution))
        value = float((losses * weights).sum(dtype=np.float64)) + squares / (2 * strength)
        return value, np.concatenate([gradient.ravel(), steps.sum(0)])

    found = _descend(loss, np.zeros((width + 1) * columns, np.float32))
    return found[: width * columns].reshape(width, columns), found[width * columns :]


def _descend(loss: Callable[[Floats], tuple[float, Floats]], point: Floats) -> Floats:
    """Minimise by L-BFGS: SciPy's, which also knows bounds, spends four fifths of the time on these."""
    value, gradient = loss(point)
    history: deque[tuple[Floats, Floats, float]] = deque(maxlen=_MEMORY)
    for _ in range(_STEPS):
        direction = -_curved(gradient, history)
        slope = float(np.vdot(direction, gradient))
        # The first step knows nothing of the scale.
        step = 1.0 if history else 1.0 / max(1.0, float(np.abs(gradient).sum()))
        moved = point + np.float32(step) * direction
        new_value, new_gradient = loss(moved)
        while new_value > value + _ARMIJO * step * slope and step > _LEAST_STEP:
            step /= 2
            moved = point + np.float32(step) * direction
            new_value, new_gradient = loss(moved)
        gained = value - new_value
        change, turn = moved - point, new_gradient - gradient
        product = float(np.vdot(change, turn))
        if product > 0:
            history.append((change, turn, product))
        point, value, gradient = moved, new_value, new_gradient
        if gained <= _ENOUGH * max(abs(value), 1.0):
            break
    return point


def _curved(gradient: Floats, history: deque[tuple[Floats, Floats, float]]) -> Floats:
    """Return the gradient times what is known of the inverse of the curvature."""
    turned = gradient.copy()
    shares = []
    for change, turn, product in reversed(history):
        share = float(np.vdot(change, turned)) / product
        turned -= np.float32(share) * turn
        shares.append(share)
    if history:
        _, turn, product = history[-1]
        turned *= np.float32(product / float(np.vdot(turn, turn)))
    for (change, turn, product), share in zip(history, reversed(shares), strict=True):
        turned += np.float32(share - float(np.vdot(turn, turned)) / product) * change
    return turned
