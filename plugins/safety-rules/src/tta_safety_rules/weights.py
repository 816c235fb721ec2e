"""The heads' weights and their card, as files of the package."""

from __future__ import annotations

import lzma
import struct
from collections.abc import Mapping, Sequence
from functools import cached_property
from importlib import resources
from importlib.resources.abc import Traversable

import msgspec

from tta_safety import Channel

from .features import number, stem
from .scores import Threshold, Weighing

HEAD = "head.bin"
DEEP = "deep.bin"
CARD = "card.json"
PAGE = "CARD.md"


class Weights(msgspec.Struct, frozen=True, dict=True):
    """The statistical head: a byte for each column of each word, pair and triple.

    A column's sum over a text's features times its ``scales`` by the root of the number of words, and its ``biases``,
    is its logit. ``words`` are joined by line breaks; ``grams`` are numbers of 64 bits, little
    endian.
    """

    columns: tuple[str, ...]
    scales: tuple[float, ...]
    biases: tuple[float, ...]
    words: str
    word_weights: bytes
    grams: bytes
    gram_weights: bytes

    @cached_property
    def vocabulary(self) -> Sequence[tuple[str, int]]:
        """Each word, with the number of its stem."""
        return [(word, number(stem(word))) for word in self.words.split("\n")]

    @cached_property
    def gram_numbers(self) -> Sequence[int]:
        return struct.unpack(f"<{len(self.grams) // 8}Q", self.grams)


class DeepWeights(msgspec.Struct, frozen=True):
    """The deep head's linear part: ``weights`` are rows of floats of 16 bits, one row for each column.

    A row of ``width`` numbers is for what the sentence model makes of the text, for the mean of what the player wrote
    before, and for the product of both means.
    """

    columns: tuple[str, ...]
    width: int
    biases: tuple[float, ...]
    weights: bytes


class Calibration(msgspec.Struct, frozen=True):
    """Platt's: a probability is the logistic function of ``slope`` times the logit, plus ``intercept``.

    The deep head adds ``statistical`` times the log odds that the statistical head gives: two readers are better than
    the better one.
    """

    slope: float = 1.0
    intercept: float = 0.0
    statistical: float = 0.0


class HeadCard(msgspec.Struct, frozen=True):
    """What the card says of one head."""

    name: str
    sha256: str
    calibration: Mapping[str, Calibration]
    thresholds: Mapping[Channel, Mapping[str, Threshold]]
    figures: Mapping[str, Mapping[str, float]] = {}
    """By set and measure, on what was held out of the fit, and on role-play, from which nothing is learned."""
    weighing: Weighing = Weighing()
    """How it is weighed against the rules."""


class Card(msgspec.Struct, frozen=True):
    """Where the weights come from, how good they are on what, and from where on a probability counts."""

    date: str
    seed: int
    statistical: HeadCard
    deep: HeadCard
    model: str
    """The sentence model under the deep head: name, version and the hash of its weights."""
    data: tuple[str, ...]
    """What was learned from, with licence and attribution."""
    limits: tuple[str, ...]
    """What the heads can't do."""


def packaged() -> Traversable:
    """Return the folder of the package in which the files lie."""
    return resources.files(__package__) / "learned"


def pack(value: Weights | DeepWeights) -> bytes:
    """Return the same bytes for the same weights."""
    return lzma.compress(msgspec.msgpack.encode(value), format=lzma.FORMAT_XZ, preset=9)


def read_weights(data: bytes) -> Weights:
    """Read what `pack` gave."""
    return msgspec.msgpack.decode(lzma.decompress(data), type=Weights)


def read_deep(data: bytes) -> DeepWeights:
    """Read what `pack` gave."""
    return msgspec.msgpack.decode(lzma.decompress(data), type=DeepWeights)


def read_card(data: bytes) -> Card:
    """Read the card."""
    return msgspec.json.decode(data, type=Card)
