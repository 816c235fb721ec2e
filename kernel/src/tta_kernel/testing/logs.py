"""What the kernel and its plugins log."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager


class _Lines(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(self.format(record))


@contextmanager
def logged(name: str = "tta") -> Iterator[list[str]]:
    """Collect what is logged under ``name``, with its tracebacks: ``with logged() as lines: …``.

    Nobody else hears it: pytest-xdist can't carry text that has no encoding, and strangers raise some.
    """
    logger = logging.getLogger(name)
    handler = _Lines()
    propagate = logger.propagate
    logger.addHandler(handler)
    logger.propagate = False
    try:
        yield handler.lines
    finally:
        logger.removeHandler(handler)
        logger.propagate = propagate
