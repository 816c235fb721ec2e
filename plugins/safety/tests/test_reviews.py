"""Where blocked texts wait for a human: the reference in memory, and its plugin."""

from __future__ import annotations

import pytest

from tta_kernel.testing import running
from tta_safety import REVIEWS, SafetyMemory, SafetyPlugin
from tta_safety.memory import MemoryReviews
from tta_safety.rules import RuleSource
from tta_safety.testing import MemoryRuleSource, Passing, ReviewsContract, RuleSourceContract, review


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now

    async def wait(self, seconds: float) -> None:
        self.now += seconds


class TestMemory(ReviewsContract):
    @pytest.fixture
    def reviews(self) -> MemoryReviews:
        return MemoryReviews(Clock(), most=100, size=10**6, keep=10.0)

    @pytest.fixture
    def small(self) -> MemoryReviews:
        return MemoryReviews(Clock(), most=2, size=10**6, keep=10.0)

    @pytest.fixture
    def passing(self) -> Passing:
        clock = Clock()
        return MemoryReviews(clock, most=100, size=10**6, keep=1.0), clock.wait


class TestRulesInMemory(RuleSourceContract):
    @pytest.fixture
    def sources(self) -> tuple[RuleSource, RuleSource]:
        source = MemoryRuleSource()
        return source, source


async def test_no_more_bytes_are_kept_than_may_be() -> None:
    reviews = MemoryReviews(Clock(), most=100, size=1000, keep=10.0)
    for number in range(5):
        await reviews.add(review(number, text="x" * 300))
    assert [each.turn for each in await reviews.list()] == [4, 3]
    await reviews.add(review(9, text="x" * 2000))
    assert len(reviews) == 0


async def test_the_fallback_keeps_reviews_as_it_is_told_to() -> None:
    plugins = {"safety": SafetyPlugin, "safety-memory": SafetyMemory}
    async with running(plugins, configs={"safety-memory": {"most": 1}}) as kernel:
        reviews = kernel.get(REVIEWS)
        await reviews.add(review(1))
        await reviews.add(review(2))
        assert list(await reviews.list()) == [review(2)]
