"""The deep head: a sentence model and a linear part, in a thread of its own, within a time limit."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import anyio
import anyio.to_thread

from tta_safety import Channel
from tta_safety_rules.head import SENTIMENT, StatisticalHead, load_head
from tta_safety_rules.scores import Scores, Threshold
from tta_safety_rules.weights import CARD, DEEP, Calibration, DeepWeights, HeadCard, packaged, read_card, read_deep

from .model import SentenceModel, cache_folder

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_LOG = logging.getLogger(__name__)
LIMIT = 0.02
"""Seconds that a check waits for the deep head."""
_SURE = 1 - 1e-9
_LONGEST = 20_000
"""Characters of a text that could not be read in time on any machine; it isn't begun."""


class Late(Exception):
    """A text takes longer than there is time."""


class Reader:
    """Scores a text in the caller's thread, however long it takes."""

    def __init__(self, model: SentenceModel, weights: DeepWeights, card: HeadCard, head: StatisticalHead) -> None:
        import numpy as np

        self._model = model
        self._head = head
        self._columns = weights.columns
        rows = np.frombuffer(weights.weights, "<f2").astype(np.float32).reshape(len(weights.columns), weights.width)
        own = model.row
        self._text, self._before, self._product = (
            rows[:, :own],
            rows[:, own : own + model.width],
            rows[:, own + model.width :],
        )
        self._biases = np.array(weights.biases, np.float32)
        self._calibrations = [card.calibration.get(column, Calibration()) for column in weights.columns]

    def score(self, text: str, before: str | None = None, *, until: float = math.inf) -> Scores:
        """Score a text as it is folded; what the statistical head says of it is part of it.

        Raises `Late` where it can't be done ``until`` then, by the monotonic clock.
        """
        first = self._head.score(text, before)
        if not first.words:
            return first
        logits = self._logits(text, before, until)
        risks: dict[str, float] = {}
        sentiment = first.sentiment
        for column, logit, calibration in zip(self._columns, logits, self._calibrations, strict=True):
            if column != SENTIMENT and column not in first.risks:
                continue
            if column == SENTIMENT:
                seconded = 2 * math.atanh(min(max(first.sentiment or 0.0, -_SURE), _SURE))
            else:
                seconded = _odds(first.risks[column])
            odds = calibration.slope * logit + calibration.intercept + calibration.statistical * seconded
            if column == SENTIMENT:
                sentiment = math.tanh(odds / 2)
            else:
                risks[column] = 1 / (1 + math.exp(-min(max(odds, -_STEEP), _STEEP)))
        return Scores(risks, sentiment, first.known, first.words)

    def _logits(self, text: str, before: str | None, until: float) -> list[float]:
        """Return the greatest logits over the pieces of a text, by column."""
        pieces = []
        for piece in self._model.pieces(text):
            pieces.append(piece)
            if time.monotonic() > until:
                raise Late
        earlier = next(self._model.pieces(before[:_LONGEST]))[: self._model.width] if before else None
        return [float(each) for each in self._of_pieces(pieces, earlier).max(0)]

    def _of_pieces(self, pieces: list[NDArray[np.float32]], earlier: NDArray[np.float32] | None) -> NDArray[np.float32]:
        import numpy as np

        stacked = np.stack(pieces)
        logits = stacked @ self._text.T + self._biases
        if earlier is not None:
            logits = logits + self._before @ earlier
            logits = logits + (stacked[:, : self._model.width] * earlier) @ self._product.T
        return logits


_STEEP = 30.0


def _odds(probability: float) -> float:
    inside = min(max(probability, 1 - _SURE), _SURE)
    return math.log(inside / (1 - inside))


def load_reader(folder: Path | None = None) -> tuple[Reader, HeadCard]:
    """Load the deep head; FileNotFoundError where the sentence model isn't built, ImportError without the extra."""
    package = packaged()
    card = read_card((package / CARD).read_bytes()).deep
    weights = read_deep((package / DEEP).read_bytes())
    return Reader(SentenceModel(folder or cache_folder()), weights, card, load_head()), card


class TextReader(Protocol):
    """What reads a text in whatever thread it is asked in; `Reader` does."""

    def score(self, text: str, before: str | None = None, *, until: float = math.inf) -> Scores:
        """Score a text; raises `Late` where there isn't time."""


class _Question:
    """A text that waits for its scores."""

    def __init__(self, text: str, before: str | None, until: float) -> None:
        self.text = text
        self.before = before
        self.until = until
        self.done = anyio.Event()
        self.scores: Scores | None = None


class ThreadedHead:
    """The deep head as checks ask it: one text at a time, in a thread, and no answer rather than a late one."""

    def __init__(self, reader: TextReader, card: HeadCard, limit: float) -> None:
        self.name = card.name
        self.thresholds: Mapping[Channel, Mapping[str, Threshold]] = card.thresholds
        self.weighing = card.weighing
        self._reader = reader
        self._limit = limit
        # Nothing is kept waiting in it: who asks waits, for no longer than the limit.
        self._ask, self._asked = anyio.create_memory_object_stream[_Question](0)

    async def score(self, text: str, before: str | None = None) -> Scores | None:
        """Score a text; None where it is late, or has failed."""
        if len(text) > _LONGEST:
            return None
        question = _Question(text, before, time.monotonic() + self._limit)
        with anyio.move_on_after(self._limit):
            await self._ask.send(question)
            await question.done.wait()
        return question.scores

    async def serve(self) -> None:
        """Read one text after another, for as long as there is anybody who asks.

        A text that is late is read to the end of its piece before the next one begins: on one processor two at once
        would both be late.
        """
        with self._ask, self._asked:
            async for question in self._asked:
                await self._answer(question)

    async def _answer(self, question: _Question) -> None:
        work = partial(self._reader.score, question.text, question.before, until=question.until)
        try:
            question.scores = await anyio.to_thread.run_sync(work)
        except Late:
            pass
        except Exception as exc:  # noqa: BLE001 - whatever the model's library raises, a check goes on without it
            # Its type only: a message could quote the text.
            _LOG.warning("the deep head failed: %s", type(exc).__name__)
        question.done.set()


@asynccontextmanager
async def open_deep_head(*, limit: float) -> AsyncIterator[ThreadedHead]:
    """Open the deep head; raises ImportError or OSError where it isn't installed or built."""
    reader, card = await anyio.to_thread.run_sync(load_reader)
    # The first text warms the library up, so that no player's does.
    await anyio.to_thread.run_sync(partial(reader.score, "hello"))
    async with serving(ThreadedHead(reader, card, limit)) as head:
        yield head


@asynccontextmanager
async def serving(head: ThreadedHead) -> AsyncIterator[ThreadedHead]:
    """Let a head serve as long as the context lasts."""
    async with anyio.create_task_group() as group:
        group.start_soon(head.serve)
        yield head
        group.cancel_scope.cancel()
