"""What the first text would wait for: automata that RE2 builds as they are needed, tables, and data files."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

from tta_safety import About, Channel
from tta_safety.rules import Example

from .engine import Engine
from .folding import fold
from .fusion import Evidence
from .scores import Head

_MOST = 1000
"""How many examples are looked at; what only others need takes a millisecond more when it first matches."""
_EVASION = "s0 t1red of l i f e, k*ll meee \u0455 \U0001f52a"
"""Something for each step of folding."""


def warm(engine: Engine, head: Head | None) -> None:
    """Look at the examples of new rules, by all that a text goes through; takes a while, and belongs into a thread."""
    for text, channel in islice(_examples(engine), _MOST):
        folded = fold(text)
        evidence = Evidence(channel)
        evidence.add_hits(engine.search(folded, channel))
        if head is not None:
            head.score(folded.text, None if channel == "player" else "")
        evidence.judged(About(), sentiment=None, known=True, flags=(), state=b"")
    Evidence("player").judged(About(), sentiment=None, known=False, flags=(), state=b"")


def _examples(engine: Engine) -> Iterator[tuple[str, Channel]]:
    yield _EVASION, "player"
    for rule in engine.fresh:
        for example in (*rule.match, *rule.no_match):
            yield example.text if isinstance(example, Example) else example, rule.channels[0]
