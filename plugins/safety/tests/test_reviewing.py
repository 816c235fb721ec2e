"""A human looks at what was kept from players: over HTTP, by ``tta reviews …``, and whatever the store does."""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import AsyncIterator
from typing import Any, cast

import pytest

from tta_http import HttpPlugin, HttpProblem, Principal
from tta_http.testing import EVERYTHING, Caller
from tta_kernel import Kernel
from tta_kernel.testing import running
from tta_kernel.testing.strangers import LIMIT, Outcome, Stranger, strangers
from tta_program import Subcommands
from tta_safety import REVIEWS, Review, ReviewsError, SafetyMemory, SafetyPlugin, commands, guard_reviews
from tta_safety.memory import MemoryReviews
from tta_safety.testing import review

READER = Principal("reader", "key", permissions=EVERYTHING.permissions | {"text:read"})
PLUGINS = {"http": HttpPlugin, "safety": SafetyPlugin}
TEXT = "a terrible \x1b[31mtext"
ODD = review(2, text=TEXT, id="\N{SNOWMAN}" * 300)


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
async def kernel() -> AsyncIterator[Kernel]:
    reviews = MemoryReviews(time.time, most=10, size=10**6, keep=60.0)
    for each in (review(1, owner="bert"), ODD, review(3, text=TEXT)):
        await reviews.add(each)
    async with running(PLUGINS, services={REVIEWS: reviews}) as kernel:
        yield kernel


async def tta(kernel: Kernel, *words: str) -> int:
    parser = argparse.ArgumentParser(prog="tta")
    commands.add(Subcommands(parser))
    options = parser.parse_args(["reviews", *words])
    return int(await options.command.run(kernel, options))


async def test_reviews_are_listed_a_page_at_a_time_and_without_their_texts(kernel: Kernel) -> None:
    caller = Caller(kernel.hooks, READER)
    first = await caller.get("/reviews?limit=1")
    second = await caller.get(f"/reviews?limit=1&cursor={first['next']}")
    rest = await caller.get(f"/reviews?limit=9&cursor={second['next']}")
    turns = [each["turn"] for each in (*first["items"], *second["items"], *rest["items"])]
    assert turns == [3, 2, 1]
    assert rest.get("next") is None
    assert [each["owner"] for each in (await caller.get("/reviews?owner=bert"))["items"]] == ["bert"]
    assert "terrible" not in json.dumps([first, second, rest])
    assert first["items"][0]["characters"] == len(TEXT)


async def test_a_text_is_shown_to_who_asks_for_it_and_may_read_it(kernel: Kernel) -> None:
    place = f"/reviews/{review(3).id}"
    assert (await Caller(kernel.hooks).get(place)).get("text") is None
    with pytest.raises(HttpProblem, match="forbidden"):
        await Caller(kernel.hooks).get(f"{place}?text=true")
    assert (await Caller(kernel.hooks, READER).get(f"{place}?text=true"))["text"] == TEXT


async def test_one_is_deleted_and_then_not_found(kernel: Kernel) -> None:
    caller, place = Caller(kernel.hooks), f"/reviews/{review(1).id}"
    assert await caller.ask("DELETE", place) == {"id": review(1).id}
    for method in "GET", "DELETE":
        with pytest.raises(HttpProblem, match="not-found"):
            await caller.ask(method, place)


async def test_without_a_store_or_with_one_that_is_away_it_is_unavailable() -> None:
    async with running(PLUGINS) as kernel:
        with pytest.raises(HttpProblem, match="unavailable"):
            await Caller(kernel.hooks).get("/reviews")
        assert await tta(kernel, "list") == 1


async def test_a_human_lists_shows_and_deletes_by_commands(kernel: Kernel, capsys: pytest.CaptureFixture[str]) -> None:
    assert await tta(kernel, "list", "--limit", "2") == 0
    listed = capsys.readouterr()
    assert review(3).id in listed.out
    assert "there are more: --cursor" in listed.err
    assert "terrible" not in listed.out
    assert await tta(kernel, "show", review(3).id) == 0
    assert capsys.readouterr().out.endswith("\na terrible [31mtext\n")
    assert await tta(kernel, "show", review(3).id, "--json") == 0
    assert json.loads(capsys.readouterr().out)["text"] == TEXT
    assert await tta(kernel, "delete", review(3).id) == 0
    assert await tta(kernel, "show", review(3).id) == 1
    assert await tta(kernel, "delete", review(3).id) == 1
    assert "no review 'r-3:story' (any more)" in capsys.readouterr().err


async def test_what_is_in_the_memory_of_another_process_is_not_looked_for(capsys: pytest.CaptureFixture[str]) -> None:
    async with running({**PLUGINS, "safety-memory": SafetyMemory}) as kernel:
        assert await tta(kernel, "list") == 1
    assert "only the running one can look" in capsys.readouterr().err


class Odd:
    """A store of which one call is a stranger's."""

    def __init__(self, stranger: Stranger) -> None:
        self._stranger = stranger

    def get(self, id: str) -> Any:
        return self._stranger()


@pytest.mark.boundary("tta_safety.Reviews", "tta_safety.guard_reviews.reviews")
@pytest.mark.parametrize("stranger", strangers("async", returns=Review | None, answer=review()), ids=str)
async def test_whatever_a_store_does_it_answers_in_time_or_with_an_error(stranger: Stranger) -> None:
    found = guard_reviews(cast(Any, Odd(stranger)), limit=LIMIT)
    if stranger.outcome is Outcome.STOP:
        with pytest.raises(BaseException) as caught:  # noqa: PT011 - whichever it is, it is an interrupt
            await found.get("a")
        assert not isinstance(caught.value, ReviewsError)
        return
    answer: object = None
    try:
        answer = await found.get("a")
    except ReviewsError as exc:
        answer = exc
    assert isinstance(answer, ReviewsError) or stranger.outcome is not Outcome.FAILURE
    assert answer is None or isinstance(answer, Review | ReviewsError)
