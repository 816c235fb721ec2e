"""Which known word a mistyped one was meant to be."""

from __future__ import annotations

from collections.abc import Iterable

LISTED = 20


def close(word: str, known: Iterable[str], cutoff: float = 0.6) -> str | None:
    """Return the known word that is most like ``word``, or None where none is as like as ``cutoff`` (0 to 1)."""
    from difflib import get_close_matches  # only where something is wrong

    # The time that it takes grows with the square of a word that may come from anywhere.
    return next(iter(get_close_matches(word[:200], [*known], 1, cutoff)), None)


def suggest(word: str, known: Iterable[str], *, cutoff: float = 0.6, otherwise: str | None = None) -> str:
    """Ask whether the known word was meant that is most like ``word``; else say ``otherwise``, or what is known."""
    known = sorted(known)
    meant = close(word, known, cutoff)
    if meant:
        return f"did you mean {meant!r}?"
    if otherwise is not None:
        return otherwise
    more = ", …" if len(known) > LISTED else ""
    return f"known: {', '.join(known[:LISTED]) or 'none'}{more}"
