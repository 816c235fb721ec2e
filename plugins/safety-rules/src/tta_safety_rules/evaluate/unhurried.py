"""The deep head without its limit, which notes how long each text took."""

from __future__ import annotations

import time
from functools import partial

import anyio.to_thread

from tta_safety_rules.embeddings.head import load_reader
from tta_safety_rules.scores import Scores


class UnhurriedHead:
    """A `DeepHead` for measuring."""

    def __init__(self) -> None:
        self._reader, card = load_reader()
        self.name = card.name
        self.thresholds = card.thresholds
        self.weighing = card.weighing
        self.seconds: list[float] = []
        """How long each text took, in the order in which they were read."""
        self._reader.score("hello")  # The first text warms the library up.

    async def score(self, text: str, before: str | None = None) -> Scores | None:
        """Score a text, however long it takes."""
        began = time.perf_counter()
        scores = await anyio.to_thread.run_sync(partial(self._reader.score, text, before))
        self.seconds.append(time.perf_counter() - began)
        return scores
