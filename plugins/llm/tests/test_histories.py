"""Whatever models do, in whatever order: what was told is never told again, and what it came to is counted once."""

from __future__ import annotations

from functools import partial
from typing import Any

import anyio
from hypothesis import given
from hypothesis import strategies as st

from tta_kernel import Event
from tta_llm import Budget, ChatRequest, Config, LlmCalled, LlmError, Message, Retries, Usage
from tta_llm.errors import CODES
from tta_llm.testing import Says, ScriptedModels, scripted

CHAIN = ("one/a", "two/b")
CONFIG = Config(
    model="story", aliases={"story": CHAIN}, retries=Retries(times=1, pause=0.000001, longest=0.000001),
    budgets={"day": Budget(per="all", most_tokens=1_000_000)},
)  # fmt: skip
ERRORS = st.sampled_from(sorted(CODES)).map(lambda code: LlmError(code, "it says so"))  # type: ignore[arg-type]
ANSWERS = st.builds(
    Says,
    pieces=st.lists(st.sampled_from(["a ", "b ", "c "]), max_size=3).map(tuple),
    finish=st.sampled_from(["stop", "length", "filtered"]),
    usage=st.none() | st.builds(Usage, st.integers(0, 50), st.integers(0, 50)),
    error=st.none() | ERRORS,
)


async def play(script: list[Any], *, streams: bool, key: str) -> None:
    events: list[LlmCalled] = []

    def publish(event: Event) -> None:
        assert isinstance(event, LlmCalled)
        events.append(event)

    models = ScriptedModels(*script)
    llm = scripted(models=models, config=CONFIG, publish=publish)
    request = ChatRequest(messages=(Message("user", "hello"),), max_tokens=20, key=key)
    told: list[str] = []
    reply, error = None, ""
    try:
        if streams:
            async with llm.stream(request) as stream:
                async for piece in stream:
                    told.append(piece.text)  # noqa: PERF401 - what was told before an error counts
                reply = stream.reply
        else:
            reply = await llm.chat(request)
    except LlmError as exc:
        error = exc.code
    # Each model is asked at most twice, in order.
    assert [call.model for call in models.calls] == sorted(call.model for call in models.calls)
    assert len(models.calls) == len(events) <= 4
    # Nobody is asked again once something was told: so what was told is of the last answer alone.
    assert (reply is None) == bool(error)
    if streams:
        last = script[min(len(models.calls), len(script)) - 1]
        assert told == (list(last.pieces) if isinstance(last, Says) else [])
    if reply is not None:
        assert events[-1].code == ""
        assert not streams or reply.text == "".join(told)
        assert reply.attempts == len(events)
        assert reply.usage.total == sum(event.prompt + event.completion for event in events)
    # What all requests came to is charged, and nothing of what had been reserved is left.
    [day] = await llm.spent()
    assert day.tokens == sum(event.prompt + event.completion for event in events)


@given(st.lists(ERRORS | ANSWERS, min_size=1, max_size=5), st.booleans(), st.sampled_from(["", "turn-1"]))
def test_whatever_models_do_it_is_told_once_and_counted_once(script: list[Any], streams: bool, key: str) -> None:
    anyio.run(partial(play, script, streams=streams, key=key))
