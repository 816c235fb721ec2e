"""What was made ready of the built-in rules before they were shipped, so that no process has to do it as it starts."""

from __future__ import annotations

import hashlib
import lzma
from collections.abc import Iterable, Mapping
from importlib.resources import files

import msgspec

from .phrases import Needs, needs_of

FILE = "rules/ready.bin"


# 500 patterns have 38,000 ways to be found, and 500 examples: to compute the ones and to try the others took 1.0 s of
# the 1.4 s after which the built-in rules were ready, in every process; to read this file takes 0.05 s.
class Shipped(msgspec.Struct, frozen=True):
    """What is known of rules that are as they were when it was written; of any other it says nothing."""

    tried: str = ""
    """The digest of the set of rules whose examples all were tried."""
    needs: Mapping[str, Needs] = {}
    """By a pattern's digest."""

    def needs_of(self, pattern: str) -> Needs:
        """Return what a pattern needs: as it was shipped, or computed where it wasn't."""
        return self.needs.get(_digest(pattern)) or needs_of(pattern)


NOTHING = Shipped()


def read_shipped() -> Shipped:
    """Read the file of the package."""
    return msgspec.msgpack.decode(lzma.decompress(files(__package__).joinpath(FILE).read_bytes()), type=Shipped)


def ship(tried: str, patterns: Iterable[str]) -> bytes:
    """Return what the file is to hold: the same bytes for the same rules."""
    shipped = Shipped(tried, {_digest(it): needs_of(it) for it in patterns})
    return lzma.compress(msgspec.msgpack.encode(shipped, order="deterministic"), preset=9)


def _digest(pattern: str) -> str:
    return hashlib.sha256(pattern.encode()).hexdigest()[:32]
