"""Limits, pauses and rates, by a clock that jumps to whatever is waited for: nothing here takes any time."""

from __future__ import annotations

from typing import Any

import anyio
import pytest
import trio.testing

from tta_llm import ChatRequest, Config, Limits, LlmError, Message, ModelSettings, Retries
from tta_llm.testing import Says, ScriptedModels, scripted

ONCE = Retries(times=0)
ASK = ChatRequest(messages=(Message("user", "tell me"),))


@pytest.fixture
def anyio_backend() -> Any:
    return "trio", {"clock": trio.testing.MockClock(autojump_threshold=0)}


@pytest.mark.parametrize(
    ("limits", "pieces", "said", "after"),
    [
        (Limits(), 1, "no first piece within 30 s", 30), (Limits(), 2, "nothing more for 15 s", 15),
        (Limits(first=500, total=40), 1, "no first piece", 40),
    ],
)  # fmt: skip
async def test_a_model_that_is_silent_is_given_up_in_time(
    limits: Limits, pieces: int, said: str, after: float
) -> None:  # fmt: skip
    models = ScriptedModels(Says(("one ", "two ")[:pieces], then=anyio.sleep_forever))
    began = anyio.current_time()
    with pytest.raises(LlmError, match=f"timed_out.*{said}"):
        await scripted(models=models, config=Config(limits=limits, retries=ONCE)).chat(ASK)
    assert anyio.current_time() - began == pytest.approx(after)
    assert models.closed == 1


async def test_the_time_that_a_reader_takes_isnt_the_models() -> None:
    told: list[str] = []
    async with scripted("one two three", config=Config(retries=ONCE)).stream(ASK) as stream:
        async for piece in stream:
            told.append(piece.text)
            # Longer than the model may be silent, and than all may take.
            await anyio.sleep(1000)
    assert told == ["one ", "two ", "three"]


async def test_whoever_asks_has_a_deadline_of_their_own() -> None:
    models = ScriptedModels(Says(("one ",), then=anyio.sleep_forever))
    with anyio.move_on_after(5) as scope:
        await scripted(models=models).chat(ASK)
    assert scope.cancelled_caught
    assert models.closed == 1


async def test_pauses_are_random_and_grow_and_a_server_that_says_when_is_believed() -> None:
    away, busy = LlmError("unavailable", "away"), LlmError("rate_limited", "busy", retry_after=7)
    began = anyio.current_time()
    await scripted(away, away, "yes").chat(ASK)
    assert anyio.current_time() - began <= 0.5 + 1.0
    began = anyio.current_time()
    await scripted(busy, "yes").chat(ASK)
    assert 7 <= anyio.current_time() - began <= 7.5


async def test_a_minute_allows_so_many_and_others_wait_for_the_next_place() -> None:
    config = Config(models={"scripted/*": ModelSettings(per_minute=2)}, limits=Limits(queue=31), retries=ONCE)
    llm = scripted("yes", config=config)
    began = anyio.current_time()
    for _ in range(3):
        await llm.chat(ASK)
    assert anyio.current_time() - began == pytest.approx(30)
    config = Config(models={"scripted/*": ModelSettings(per_minute=1)}, limits=Limits(queue=31), retries=ONCE)
    llm = scripted("yes", config=config)
    await llm.chat(ASK)
    with pytest.raises(LlmError, match=r"rate_limited.*busy: no turn within 31 s"):
        await llm.chat(ASK)
