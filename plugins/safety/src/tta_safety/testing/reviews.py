"""The contract that every implementation of `Reviews` passes."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from msgspec.structs import replace

from tta_safety.reviews import LONGEST, Review, Reviews, position

Passing = tuple[Reviews, Callable[[float], Awaitable[None]]]
"""A store, and what lets seconds pass for it."""
AT = 1_790_000_000.0


def review(number: int = 1, **more: Any) -> Review:
    """Make a review, each with its own ``number``, by which they stand in time."""
    fields: dict[str, Any] = {
        "id": f"r-{number}:story", "session": "s-1", "turn": number, "channel": "story", "text": "a \N{SNOWMAN}",
        "at": AT + number, "owner": "anna", "rules": ("method@1",), "categories": ("method",), "risk": 0.9, **more,
    }  # fmt: skip
    return Review(**fields)


class ReviewsContract:
    """Subclass this, and give three fixtures, each an empty implementation.

    ``reviews`` takes many; ``small`` takes two; ``passing`` is a `Passing`, which keeps each for one second.
    """

    async def test_what_nobody_has_added_is_none(self, reviews: Reviews) -> None:
        assert await reviews.get("r-1:story") is None
        assert list(await reviews.list()) == []
        assert await reviews.delete("r-1:story") is False
        assert await reviews.forget("anna") == 0

    async def test_a_review_comes_back_as_it_was_added(self, reviews: Reviews) -> None:
        await reviews.add(review())
        assert await reviews.get(review().id) == review()
        assert list(await reviews.list()) == [review()]

    async def test_the_longest_text_and_an_odd_id_are_kept(self, reviews: Reviews) -> None:
        odd = review(id="r:{x}:*:\n\N{SNOWMAN}" + "x" * 280, text="\N{SNOWMAN}" * LONGEST, owner="{anna}:*")
        await reviews.add(odd)
        assert await reviews.get(odd.id) == odd
        assert await reviews.forget("{anna}:*") == 1

    async def test_the_same_once_more_replaces_what_is_there(self, reviews: Reviews) -> None:
        await reviews.add(review())
        again = replace(review(), text="another", at=AT + 5, owner="bert")
        await reviews.add(again)
        assert list(await reviews.list()) == [again]
        assert await reviews.forget("anna") == 0
        assert await reviews.forget("bert") == 1

    async def test_the_newest_come_first_by_pages_and_by_owner(self, reviews: Reviews) -> None:
        for number in (2, 5, 1, 4, 3):
            await reviews.add(review(number, owner="anna" if number % 2 else "bert"))
        first = await reviews.list(limit=2)
        assert [each.turn for each in first] == [5, 4]
        rest = await reviews.list(limit=9, before=position(first[-1]))
        assert [each.turn for each in rest] == [3, 2, 1]
        assert [each.turn for each in await reviews.list(owner="anna")] == [5, 3, 1]
        assert [each.turn for each in await reviews.list(limit=1, owner="bert")] == [4]

    async def test_one_is_deleted_and_no_other(self, reviews: Reviews) -> None:
        await reviews.add(review(1))
        await reviews.add(review(2))
        assert await reviews.delete(review(1).id) is True
        assert await reviews.delete(review(1).id) is False
        assert list(await reviews.list()) == [review(2)]

    async def test_a_person_is_forgotten_and_nobody_else(self, reviews: Reviews) -> None:
        for number, owner in enumerate(("anna", "bert", "anna", "")):
            await reviews.add(review(number, owner=owner))
        assert await reviews.forget("") == 0
        assert await reviews.forget("anna") == 2
        assert [each.owner for each in await reviews.list()] == ["", "bert"]
        assert await reviews.forget("anna") == 0
        await reviews.add(review(9, owner="anna"))
        assert [each.turn for each in await reviews.list(owner="anna")] == [9]

    async def test_where_it_is_full_the_oldest_goes(self, small: Reviews) -> None:
        for number in (2, 3, 1, 4):
            await small.add(review(number))
        assert [each.turn for each in await small.list()] == [4, 3]
        assert await small.get(review(2).id) is None

    async def test_each_is_kept_for_its_time(self, passing: Passing) -> None:
        reviews, wait = passing
        await reviews.add(review())
        assert await reviews.get(review().id) == review()
        await wait(1.1)
        assert await reviews.get(review().id) is None
        assert list(await reviews.list()) == []
        assert await reviews.forget("anna") == 0
