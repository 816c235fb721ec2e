"""The seam between rules and heads: what a head says of a text, and from where on that counts."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager
from typing import Protocol

import msgspec

from tta_safety import Channel

CRISIS = "crisis"
"""The category of a head's column for any kind of crisis."""
UNSAFE = "unsafe"
"""The category of a head's column for anything that a generated text must not say."""
FAULTS = (
    "abandonment", "toxicity", "ethics", "method", "dosage", "delusion", "false_claim", "boundary", "child_safety",
    "sexual", "hate",
)  # fmt: skip
"""What a generated text must not say: a head has a column for each."""
NEVER = 2.0
"""A threshold that no probability reaches."""


class Threshold(msgspec.Struct, frozen=True):
    """From which calibrated probability on a category is a warning, and from which it names a kind of crisis."""

    warning: float = NEVER
    escalate: float = NEVER


class Scores(msgspec.Struct, frozen=True):
    """What a head says of a text.

    ``risks`` holds a calibrated probability by category (`tta_safety.CATEGORIES`, and `CRISIS`); ``sentiment`` runs
    from -1 to 1. ``known`` is the share of the text's ``words`` that the head has in its vocabulary.
    """

    risks: Mapping[str, float]
    sentiment: float | None = None
    known: float = 1.0
    words: int = 0


class Shares(msgspec.Struct, frozen=True):
    """How much each voice counts for a category's log odds.

    ``own`` and ``any_kind`` are for what a head says of the category and of any crisis, ``affirmed`` and ``doubtful``
    for what the rules tell.
    """

    own: float = 1.0
    any_kind: float = 0.0
    affirmed: float = 0.0
    doubtful: float = 0.0
    intercept: float = 0.0


class Weighing(msgspec.Struct, frozen=True):
    """How rules and a head are weighed against each other on a player's text.

    ``shares`` are by category. ``rules`` holds, by rule and version, how sharp it is: the log of how many times more
    often it matches where that crisis is than where there is none. What isn't in it, as an operator's own rule, stands
    as it says.
    """

    shares: Mapping[str, Shares] = {}
    rules: Mapping[str, float] = {}
    broad: tuple[str, ...] = ()
    """The rules that match in harmless texts, too, more often than now and then: these a head may contradict."""


class Head(Protocol):
    """A head that is always there and takes microseconds: ``tta_safety_rules.head.load_head()`` returns it."""

    @property
    def name(self) -> str:
        """What a finding says instead of a rule, such as ``head@3``."""

    @property
    def thresholds(self) -> Mapping[Channel, Mapping[str, Threshold]]:
        """The operating points, from the card: fixed on development data."""

    @property
    def weighing(self) -> Weighing:
        """How it is weighed against the rules; the operating points are those of both together."""

    def score(self, text: str, before: str | None = None) -> Scores:
        """Score a text as `folding` gives it: lower case, evasions undone.

        With a ``before``, what the player wrote ("" where that isn't known), it is a generated text, and scored for
        what such a text must not say; without, it is the player's, and scored for crises.
        """


class DeepHead(Protocol):
    """A head that takes milliseconds, in a thread."""

    @property
    def name(self) -> str:
        """As a head's."""

    @property
    def thresholds(self) -> Mapping[Channel, Mapping[str, Threshold]]:
        """As a head's."""

    @property
    def weighing(self) -> Weighing:
        """As a head's."""

    async def score(self, text: str, before: str | None = None) -> Scores | None:
        """Score a text as a `Head` does; what that head says of it is part of it.

        None where it is late, or has failed: then the verdict is `degraded`.
        """


class OpenDeepHead(Protocol):
    """`tta_safety_rules.embeddings.head.open_deep_head`: raises ImportError or OSError where it can't be had."""

    def __call__(self, *, limit: float) -> AbstractAsyncContextManager[DeepHead]:
        """Open the deep head; each score takes ``limit`` seconds at most."""
