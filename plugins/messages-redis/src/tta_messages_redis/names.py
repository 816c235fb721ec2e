"""Names that no other process makes up."""

from __future__ import annotations

import itertools
from base64 import urlsafe_b64encode
from secrets import token_urlsafe


class Names:
    """Makes names of `layout.HOLD_SIZE` characters: 48 random bits of this process's, and the last 24 of a number.

    A generator of random numbers for each would cost as much as half a receive. A hold lives no longer than its
    messages, and is long gone when its number comes again after 16 million.
    """

    def __init__(self, start: int = 1) -> None:
        self._process, self._count = token_urlsafe(6), itertools.count(start)

    def new(self) -> str:
        """Return the next one."""
        number = (next(self._count) & 0xFFFFFF).to_bytes(3)
        return self._process + urlsafe_b64encode(number).decode()
