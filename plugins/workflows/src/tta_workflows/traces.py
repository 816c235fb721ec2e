"""What an agent says of how it came to its output, such as that a model wrote it: words, and nobody's text."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

FIELD = "trace"
"""The field of an agent's output in which it stands."""
MOST = 8
_WORD = re.compile(r"[A-Za-z0-9][A-Za-z0-9@._/:+-]{0,99}")
"""There is no space in it, so that no sentence of a person's can be."""


def trace_of(output: Mapping[str, Any] | None) -> Mapping[str, str]:
    """Return the words of an output's trace that may be shown to anybody; what is none is left out."""
    found = output.get(FIELD) if output else None
    if not isinstance(found, dict):
        return {}
    words = {name: word for name, word in found.items() if _is_word(name) and _is_word(word)}
    return dict(list(words.items())[:MOST])


def _is_word(value: object) -> bool:
    return isinstance(value, str) and _WORD.fullmatch(value) is not None
