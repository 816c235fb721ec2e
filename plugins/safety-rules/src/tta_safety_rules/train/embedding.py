"""Embeddings of many texts, kept in a file from one training to the next: they take longer than all the rest."""

from __future__ import annotations

import hashlib
import sqlite3
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tta_safety_rules.embeddings.model import SentenceModel
from tta_safety_rules.features import words_of

Floats = NDArray[np.float32]
_COMMIT = 500
_TWICE = 2


class Embeddings:
    """Embeds texts, each once; of a long one the first piece.

    ``stamp`` names the model: what another one made of a text isn't taken for what this one does.
    """

    def __init__(self, model: SentenceModel, file: Path, stamp: str) -> None:
        self._model = model
        self._stamp = stamp
        file.parent.mkdir(parents=True, exist_ok=True)
        self._store = sqlite3.connect(file)
        self._store.execute("create table if not exists e (k blob primary key, v blob)")

    @property
    def width(self) -> int:
        """How many numbers a mean has, with which a row begins."""
        return self._model.width

    @property
    def row(self) -> int:
        """How many numbers a row has."""
        return self._model.row

    def vocabulary(self, texts: Sequence[str]) -> list[str]:
        """Return the words to know: those of the sentence model, and those that texts have at least twice."""
        seen = Counter(word for text in texts for word in words_of(text))
        known = {word for word in self._model.words() if len(word) > 1 and word.isascii() and word.isalpha()}
        return sorted(known | {word for word, times in seen.items() if times >= _TWICE})

    def of(self, texts: Sequence[str]) -> Floats:
        """Return a row for each text."""
        rows = np.zeros((len(texts), self._model.row), np.float32)
        for place, text in enumerate(texts):
            rows[place] = self._one(text)
            if place % _COMMIT == 0:
                self._store.commit()
        self._store.commit()
        return rows

    def _one(self, text: str) -> Floats:
        # A hash, so that no person's words lie in the file.
        key = hashlib.sha1(f"{self._stamp} {text}".encode("utf-8", "surrogatepass"), usedforsecurity=False).digest()
        found = self._store.execute("select v from e where k = ?", (key,)).fetchone()
        if found is not None:
            return np.frombuffer(found[0], np.float16).astype(np.float32)
        made = next(self._model.pieces(text)).astype(np.float16)
        self._store.execute("insert into e values (?, ?)", (key, made.tobytes()))
        return made.astype(np.float32)
