"""The deep head: late and failed texts, and, where the sentence model is built, what it says."""

from __future__ import annotations

import logging
import os
import threading
import time

import anyio
import pytest

from tta_safety import KINDS
from tta_safety_rules.embeddings.head import LIMIT, Late, ThreadedHead, load_reader, open_deep_head, serving
from tta_safety_rules.embeddings.model import GRAPH, cache_folder
from tta_safety_rules.scores import Scores
from tta_safety_rules.weights import HeadCard

CARD = HeadCard("deep@1", "", {}, {})
BUILT = (cache_folder() / GRAPH).is_file() or bool(os.environ.get("TTA_TESTS_REQUIRE_EMBEDDINGS"))
"""In CI it must be there: a skipped test would prove nothing."""


class Slow:
    """A reader that is done when it is told to be."""

    def __init__(self) -> None:
        self.go = threading.Event()
        self.read: list[str] = []

    def score(self, text: str, before: str | None = None, *, until: float = 0.0) -> Scores:
        self.read.append(text)
        self.go.wait(10)
        return Scores({"suicide": 0.5})


class Raises:
    """A reader that fails."""

    def __init__(self, error: BaseException) -> None:
        self.error = error

    def score(self, text: str, before: str | None = None, *, until: float = 0.0) -> Scores:
        raise self.error


async def test_a_late_answer_is_none_and_whoever_waits_for_it_waits_no_longer_than_its_own_limit() -> None:
    reader = Slow()
    async with serving(ThreadedHead(reader, CARD, 0.05)) as head:
        try:
            assert await head.score("one") is None
            assert await head.score("two") is None
            assert reader.read == ["one"]
        finally:
            reader.go.set()
        with anyio.fail_after(10):
            while await head.score("three") is None:
                pass
        assert reader.read[-1] == "three"
        assert "two" not in reader.read


@pytest.mark.parametrize("error", [Late(), MemoryError("secret"), RuntimeError("secret")])
async def test_a_failure_is_none_and_its_text_is_not_logged(error: Exception, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        async with serving(ThreadedHead(Raises(error), CARD, 5.0)) as head:
            assert await head.score("hello") is None
            assert await head.score("again") is None
    assert "secret" not in caplog.text
    assert ("MemoryError" in caplog.text) == isinstance(error, MemoryError)


async def test_a_text_that_is_too_long_for_any_limit_is_not_begun() -> None:
    reader = Slow()
    async with serving(ThreadedHead(reader, CARD, 5.0)) as head:
        assert await head.score("x" * 30_000) is None
    assert reader.read == []


async def test_an_answer_in_time_is_given() -> None:
    reader = Slow()
    reader.go.set()
    async with serving(ThreadedHead(reader, CARD, 5.0)) as head:
        scores = await head.score("hello")
    assert scores is not None
    assert scores.risks == {"suicide": 0.5}


@pytest.mark.skipif(not BUILT, reason="the sentence model isn't built: tta safety embeddings build")
class TestBuilt:
    """With the real model."""

    @pytest.mark.parametrize(
        ("kind", "text"),
        [
            ("suicide", "there is nothing left for me and I have written my goodbyes"),
            ("self_harm", "I hurt my arms again, it is the only thing that helps"),
            ("abuse", "he locked me in and hit me when I asked for my phone"),
            ("panic", "my chest is tight and I can't get any air, I'm shaking"),
        ],
    )
    def test_it_tells_kinds_apart(self, kind: str, text: str) -> None:
        reader, _ = load_reader()
        risks = reader.score(text).risks
        assert max(KINDS, key=lambda each: risks[each]) == kind
        assert risks[kind] > reader.score("I open the gate and look for the blacksmith").risks[kind] + 0.2

    def test_a_story_is_read_with_what_it_answers_to(self) -> None:
        reader, card = load_reader()
        brushed_off = reader.score("Haha, whatever, you'll be fine.", "I took all my pills an hour ago").risks
        assert set(brushed_off) == set(card.thresholds["story"])
        assert brushed_off["abandonment"] > reader.score("You'll be fine.", "I open the door").risks["abandonment"]

    def test_a_text_that_takes_longer_than_there_is_time_is_given_up(self) -> None:
        reader, _ = load_reader()
        with pytest.raises(Late):
            reader.score("word " * 3000, until=time.monotonic())

    async def test_it_answers_through_its_thread(self) -> None:
        async with open_deep_head(limit=10.0) as head:
            scores = await head.score("I don't want to live any more")
        assert scores is not None
        assert scores.risks["suicide"] > 0.5
        assert LIMIT == 0.02
