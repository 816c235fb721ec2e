"""What was kept from players, for those who must see whether that was right: a store of a few days."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Protocol, cast, get_type_hints

import msgspec
from msgspec import Meta

from tta_kernel import Service
from tta_kernel.shapes import fits
from tta_messages.guard import Check, Guarded

from .model import Channel

LONGEST = 20_000
"""How many characters of a text are kept for a review."""
LARGEST = 2**18
"""How many bytes a review with such a text may have, encoded."""


CALL_LIMIT = 5.0
"""Seconds that whoever looks at reviews waits for a store."""
ReviewId = Annotated[str, Meta(min_length=1, max_length=300)]


class Review(msgspec.Struct, frozen=True, kw_only=True):
    """A text that a check has blocked, with what it was blocked for; ``text`` is shown with `text:read` alone.

    ``id`` is the turn's run and the channel: the same once more replaces what is there. ``owner`` is the person whose
    story it was to be in. ``at`` is in seconds since the epoch.
    """

    id: ReviewId
    session: str
    turn: int
    channel: Channel
    text: Annotated[str, Meta(max_length=LONGEST)]
    at: float
    owner: str = ""
    rules: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    risk: float = 0.0


class ReviewsError(Exception):
    """The store can't be reached, or is late: what was to be kept may have been or not."""


class Reviews(Protocol):
    """Where blocked texts wait for a human: bounded, each for so many days; any call may raise `ReviewsError`."""

    async def add(self, review: Review) -> None:
        """Keep a review; where the store is full the oldest goes."""

    async def get(self, id: str) -> Review | None:
        """Return a review, or None where there is none (any more)."""

    async def list(self, *, limit: int = 100, before: str = "", owner: str = "") -> Sequence[Review]:
        """Return reviews, the newest first; ``before`` is the `position` of the last one of a page."""

    async def delete(self, id: str) -> bool:
        """Delete a review; False if there was none."""

    async def forget(self, user: str) -> int:
        """Delete all reviews of a person, and return how many there were; nobody ("") has none."""


def position(review: Review) -> str:
    """Return where a review stands among all of them, for `Reviews.list`."""
    return f"{review.at:020.6f}/{review.id}"


REVIEWS = Service[Reviews]("safety-reviews")


def guard_reviews(reviews: Reviews, *, limit: float = CALL_LIMIT) -> Reviews:
    """Return ``reviews`` such that each call ends within ``limit`` seconds, rightly or with a `ReviewsError`."""
    return cast(Reviews, reviews if isinstance(reviews, Guarded) else Guarded(reviews, _CHECKS, ReviewsError, limit))


def _check_of(wanted: Any) -> Check:
    return lambda answer, *_: fits(answer, wanted)


_CHECKS: Mapping[str, Check] = {
    name: _check_of(get_type_hints(method)["return"]) for name, method in vars(Reviews).items() if name[0] != "_"
}
