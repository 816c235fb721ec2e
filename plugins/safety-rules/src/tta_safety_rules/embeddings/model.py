"""A sentence model in the cache folder: from a text to the numbers that the deep head reads."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

GRAPH = "minilm-int8.onnx"
TOKENS = "tokenizer.json"
STAMP = "model.json"
TOKENS_AT_MOST = 256
"""What the model was trained to read at once; a longer text is read in pieces."""
_OVERLAP = 32


def cache_folder() -> Path:
    """Return where the built model lies: ``$XDG_CACHE_HOME/tta/embeddings``, by default in ``~/.cache``."""
    base = os.environ.get("XDG_CACHE_HOME") or ""
    root = Path(base) if Path(base).is_absolute() else Path.home() / ".cache"
    return root / "tta" / "embeddings"


class SentenceModel:
    """Reads texts one after another, in the caller's thread."""

    width = 384
    """How many numbers the mean has, which stands for a text where two are compared."""
    row = 4 * width
    """How many numbers a piece of a text is read as."""

    def __init__(self, folder: Path) -> None:
        # First, since most have built none, and what reads it is slow to import.
        graph = folder / GRAPH
        if not graph.is_file():
            raise FileNotFoundError(f"no sentence model in {folder}: make it with `tta safety embeddings build`")

        import onnxruntime
        from tokenizers import Tokenizer

        options = onnxruntime.SessionOptions()
        # One processor: checks of several texts run side by side as it is, and nobody else's work is to be slowed.
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        self._session: Any = onnxruntime.InferenceSession(str(graph), options, providers=["CPUExecutionProvider"])
        if len(self._session.get_outputs()) * self.width != self.row:
            raise FileNotFoundError(
                f"the sentence model in {folder} is another release's: make it again with `tta safety embeddings build`"
            )
        self._tokenizer: Any = Tokenizer.from_file(str(folder / TOKENS))
        self._tokenizer.no_padding()
        self._tokenizer.enable_truncation(max_length=TOKENS_AT_MOST, stride=_OVERLAP)

    def words(self) -> list[str]:
        """Return the words and parts of words that the model knows."""
        return list(self._tokenizer.get_vocab())

    def pieces(self, text: str) -> Iterator[NDArray[np.float32]]:
        """Return for each piece of a text the mean over its tokens, of length 1, and the other numbers of a row.

        These are the greatest of each number, and the means of two inner layers.
        """
        import numpy as np

        encoded = self._tokenizer.encode(_sound(text))
        for each in (encoded, *encoded.overflowing):
            tokens = np.array([each.ids], np.int64)
            found = self._session.run(None, {"input_ids": tokens, "attention_mask": np.ones_like(tokens)})
            mean, *others = (numbers[0] for numbers in found)
            yield np.concatenate([mean / np.linalg.norm(mean), *others]).astype(np.float32)


def _sound(text: str) -> str:
    """Return a text without what no tokenizer takes: halves of surrogate pairs."""
    return text.encode("utf-8", "replace").decode("utf-8")
