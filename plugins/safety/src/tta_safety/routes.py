"""What is asked for over HTTP: texts that were kept from players, for who must see whether that was right."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

import msgspec

from tta_http import NOT_FOUND, UNAVAILABLE, Paged, Part, Principal, Route, cursor_after

from .model import Channel
from .reviews import Review, ReviewId, Reviews, ReviewsError, guard_reviews, position

T = TypeVar("T")
_CURSOR = 512
"""How many bytes the place may have behind which a page begins; a longer one is cut, which is before it still."""


class AskReviews(Paged, frozen=True, forbid_unknown_fields=True):
    """Which reviews, the newest first; ``owner`` asks for those of one person."""

    owner: str = ""


class AskReview(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A review; ``text`` asks for what was kept from the player, too."""

    id: ReviewId
    text: bool = False


class DeleteReview(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A review that nobody needs any more."""

    id: ReviewId


class ReviewView(msgspec.Struct, frozen=True):
    """A text that was kept from a player, by what and how long it was; the ``text`` itself only where asked for."""

    id: str
    session: str
    owner: str
    turn: int
    channel: Channel
    at: float
    risk: float
    rules: Sequence[str]
    categories: Sequence[str]
    characters: int
    text: str | None = None


class ReviewList(Part[ReviewView], frozen=True):
    """Reviews, the newest first."""


class ReviewDeleted(msgspec.Struct, frozen=True):
    """The review of this id is gone."""

    id: str


def view(review: Review, *, text: bool = False) -> ReviewView:
    """Return what is shown of a review."""
    return ReviewView(
        review.id, review.session, review.owner, review.turn, review.channel, review.at, review.risk, review.rules,
        review.categories, len(review.text), review.text if text else None,
    )  # fmt: skip


EXAMPLE = ReviewView(
    "7f3a:story", "s-1", "anna", 12, "story", 1_790_000_000.0, 0.9, ("output.method@1",), ("method",), 212
)  # fmt: skip


def review_routes(reviews: Callable[[], Reviews | None]) -> Sequence[Route]:
    """Return the routes."""

    def running() -> Reviews:
        found = reviews()
        if found is None:
            raise UNAVAILABLE("nothing that keeps reviews runs here")
        return guard_reviews(found)

    async def listed(request: AskReviews, principal: Principal) -> ReviewList:
        found = await _told(running().list(limit=request.limit + 1, before=request.after, owner=request.owner))
        shown = found[: request.limit]
        more = cursor_after(_cut(position(shown[-1]))) if len(found) > len(shown) else None
        return ReviewList([view(each) for each in shown], more)

    async def show(request: AskReview, principal: Principal) -> ReviewView:
        found = await _told(running().get(request.id))
        if found is None:
            raise NOT_FOUND("there is no review of this id (any more)")
        return view(found, text=request.text)

    async def delete(request: DeleteReview, principal: Principal) -> ReviewDeleted:
        if not await _told(running().delete(request.id)):
            raise NOT_FOUND("there is no review of this id (any more)")
        return ReviewDeleted(request.id)

    return [
        Route(
            method="GET", path="/reviews", permission="reviews:read", request=AskReviews, response=ReviewList,
            handler=listed, example=ReviewList([EXAMPLE]),
            summary="List texts that were kept from players, without the texts.",
        ),
        Route(
            method="GET", path="/reviews/{id}", permission="reviews:read", request=AskReview, response=ReviewView,
            handler=show, reveals="text", problems=(NOT_FOUND,), example=EXAMPLE,
            summary="Show why a text was kept from a player.",
        ),
        Route(
            method="DELETE", path="/reviews/{id}", permission="reviews:delete", request=DeleteReview,
            response=ReviewDeleted, handler=delete, problems=(NOT_FOUND,), example=ReviewDeleted("7f3a:story"),
            summary="Delete a text that was kept from a player.",
        ),
    ]  # fmt: skip


def _cut(place: str) -> str:
    return place.encode()[:_CURSOR].decode(errors="ignore")


async def _told(answer: Awaitable[T]) -> T:
    """Return what a store answers; raise `HttpProblem` where it can't."""
    try:
        return await answer
    except ReviewsError as exc:
        raise UNAVAILABLE(f"the store of reviews can't be used: {exc}") from None
