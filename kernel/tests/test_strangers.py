"""The strangers themselves: each does what its name says, at the simplest boundary that can be written."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any, Literal

import anyio
import pytest
from msgspec import Struct

from tta_kernel import Health, Problem, as_failure
from tta_kernel.shapes import fits
from tta_kernel.testing import LIMIT, Outcome, Stranger, logged, strangers


class LateError(Exception):
    """The boundary's own time limit is over."""


async def called(func: Callable[[], Awaitable[Any]], wanted: Any) -> Any:
    """Call a stranger as every boundary should: what goes wrong is its answer."""
    try:
        with anyio.move_on_after(LIMIT) as scope:
            answer = await func()
    except BaseException as exc:  # noqa: BLE001 - `as_failure` raises what must go on
        return as_failure(exc)
    if scope.cancel_called:
        return LateError()
    return answer if fits(answer, wanted) else TypeError("of another type")


def outcomes(answer: object) -> tuple[Outcome, ...]:
    """Return what the stranger may have been said to do, given what came of it."""
    if isinstance(answer, LateError):
        return Outcome.TIME_LIMIT, Outcome.NAMED
    if isinstance(answer, Exception):
        return (Outcome.FAILURE,)
    return Outcome.HARMLESS, Outcome.NAMED


@pytest.mark.parametrize("stranger", strangers(returns=Health), ids=str)
async def test_a_coroutine_function_does_what_its_name_says(stranger: Stranger) -> None:
    try:
        answer = await called(stranger, Health)
    except (KeyboardInterrupt, BaseExceptionGroup):
        assert stranger.outcome is Outcome.STOP
    else:
        assert stranger.outcome in outcomes(answer)


@pytest.mark.parametrize("stranger", strangers("plain", returns=Sequence[Problem]), ids=str)
async def test_a_function_does_what_its_name_says(stranger: Stranger) -> None:
    async def func() -> Any:
        return stranger()

    try:
        answer = await called(func, Sequence[Problem])
    except (KeyboardInterrupt, BaseExceptionGroup):
        assert stranger.outcome is Outcome.STOP
    else:
        assert stranger.outcome in outcomes(answer)


@pytest.mark.parametrize("stranger", strangers("lifespan"), ids=str)
async def test_a_lifespan_does_what_its_name_says(stranger: Stranger) -> None:
    entered = False

    async def live() -> None:
        nonlocal entered
        given: AbstractAsyncContextManager[None] = stranger()
        async with given:
            entered = True

    try:
        answer = await called(live, None)
    except (KeyboardInterrupt, BaseExceptionGroup):
        assert stranger.outcome is Outcome.STOP
    else:
        assert stranger.outcome in outcomes(answer)
    if stranger.outcome is Outcome.FAILURE:
        assert entered is stranger.name.startswith("stop")


@pytest.mark.parametrize("stranger", strangers("stream", returns=str), ids=str)
async def test_a_stream_does_what_its_name_says(stranger: Stranger) -> None:
    async def read() -> list[Any]:
        stream: AsyncIterator[Any] = stranger()
        found = []
        async for piece in stream:
            found.append(piece)
            if stranger.name == "yields while it is closed":
                await stream.aclose()  # type: ignore[attr-defined]
        return found

    try:
        answer = await called(read, list[str] if stranger.outcome is Outcome.FAILURE else list)
    except (KeyboardInterrupt, BaseExceptionGroup):
        assert stranger.outcome is Outcome.STOP
    else:
        assert stranger.outcome in outcomes(answer)


@pytest.mark.parametrize("kind", ["plain", "async", "lifespan", "stream"])
def test_names_are_told_apart(kind: Literal["plain", "async", "lifespan", "stream"]) -> None:
    names = [str(each) for each in strangers(kind, returns=Mapping[str, float])]
    assert len(names) == len({*names})
    assert all(name.isascii() and name.isprintable() for name in names)


class Reading(Struct, frozen=True):
    place: str
    degrees: float | None = None
    kind: Literal["air", "sea"] = "air"


def answers(returns: Any) -> Mapping[str, Any]:
    """Return the harmless answers of a plain function, by name."""
    found = strangers("plain", returns=returns)
    return {each.name: each() for each in found if each.outcome is Outcome.HARMLESS}


def test_what_is_odd_stands_wherever_the_type_has_a_place_for_it() -> None:
    found = answers(Reading)
    assert found["returns a lone surrogate"] == Reading("\ud800")
    assert found["returns infinity"] == Reading("fine", float("inf"))
    assert [*answers(Mapping[str, float])["returns a negative number"].values()] == [-1]
    assert "\x1b" in answers(Sequence[str])["returns escape sequences"][0]
    assert all(fits(each, Reading) for each in found.values())


def test_what_is_of_the_right_type_is_not_wrong() -> None:
    names = {str(each) for each in strangers("plain", returns=Sequence[Problem])}
    assert {"returns None", "returns a text", "returns a coroutine", "returns a list of None"} <= names
    assert "returns None" not in {str(each) for each in strangers("plain", returns=Reading | None)}
    assert "returns a list of None" not in {str(each) for each in strangers("plain", returns=Sequence[None])}


async def test_who_answers_late_has_a_right_answer() -> None:
    [late] = [each for each in strangers(returns=Reading, limit=0.001) if each.name == "answers late"]
    assert await late() == Reading("fine")
    [late] = [each for each in strangers(answer="mine", limit=0.001) if each.name == "answers late"]
    assert await late() == "mine"


def test_what_strangers_raise_can_be_logged() -> None:
    names = [each for each in strangers("plain") if each.name.startswith("raises an error")]
    with logged("test") as lines:
        for stranger in names:
            try:
                stranger()
            except Exception:
                logging.getLogger("test").exception("%s", stranger)
    assert len(lines) == len(names) > 5
    assert all("Traceback" in line for line in lines)
