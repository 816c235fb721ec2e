"""Asking a model where rules stand by: a stranger's service, a late one, a broken one all come to a word, in time."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, cast

import anyio
import pytest

from tta_kernel.testing import LIMIT, Outcome, Stranger, strangers
from tta_llm import ChatReply, ChatRequest, LanguageModel, LlmError, Message, Piece
from tta_llm.standby import Heard, Unanswered, is_ready, piecewise, whole
from tta_llm.testing import Says, scripted

REQUEST = ChatRequest(messages=(Message("user", "hello"),), max_tokens=10)
REPLY = ChatReply(text="a", model="odd/model")


class Odd:
    """A host's own client."""

    ready = True

    def __init__(self, chat: object = None, stream: object = None) -> None:
        self.chat, self.stream = chat, stream


def going_on(all: Sequence[Stranger]) -> Sequence[Stranger]:
    """Leave out what ends the program in order."""
    return [each for each in all if each.outcome is not Outcome.STOP]


def odd(**methods: object) -> LanguageModel:
    return cast(LanguageModel, Odd(**methods))


async def _asked(llm: LanguageModel) -> str:
    """Return the word that asking comes to, empty for an answer."""
    try:
        await whole(llm, REQUEST, within=LIMIT)
    except Unanswered as exc:
        return exc.why
    return ""


class Taken(list[str]):
    """Takes pieces, so many at most."""

    def __init__(self, most: int = 100) -> None:
        super().__init__()
        self._most = most

    async def __call__(self, piece: str) -> bool:
        self.append(piece)
        return len(self) < self._most


@pytest.mark.boundary("tta_llm.LanguageModel")
@pytest.mark.parametrize("stranger", going_on(strangers("async", returns=ChatReply, answer=REPLY)), ids=str)
async def test_whatever_a_host_s_model_does_instead_of_answering_is_a_word(stranger: Stranger) -> None:
    with anyio.fail_after(60):
        came_to = await _asked(odd(chat=stranger))
    assert came_to in ("", "failed", "timed_out", "invalid_output")


@pytest.mark.boundary("tta_llm.ChatStream")
@pytest.mark.parametrize("stranger", going_on(strangers("lifespan")), ids=str)
async def test_so_is_whatever_its_stream_does_when_it_is_opened(stranger: Stranger) -> None:
    with anyio.fail_after(60):
        heard = await piecewise(odd(stream=stranger), REQUEST, Taken(), within=LIMIT)
    assert heard.why in ("failed", "timed_out", "invalid_output")


@pytest.mark.boundary("tta_llm.ChatStream")
@pytest.mark.parametrize("stranger", going_on(strangers("stream", returns=Piece, answer=Piece("a"))), ids=str)
async def test_so_is_whatever_it_does_while_it_is_read(stranger: Stranger) -> None:
    class Stream:
        reply = REPLY

        def __aiter__(self) -> Any:
            return aiter(cast(Any, stranger)())

    @asynccontextmanager
    async def stream(request: object) -> AsyncIterator[Stream]:
        yield Stream()

    with anyio.fail_after(60):
        heard = await piecewise(odd(stream=stream), REQUEST, Taken(), within=LIMIT)
    assert heard.why in ("", "failed", "timed_out", "invalid_output")


async def test_what_the_reader_raises_is_raised_and_one_that_has_enough_is_told_no_more() -> None:
    async def refuse(piece: str) -> bool:
        raise KeyError(piece)

    taken = Taken(2)
    with pytest.raises(KeyError):
        await piecewise(scripted("Once upon a time."), REQUEST, refuse, within=60)
    assert await piecewise(scripted("Once upon a time."), REQUEST, taken, within=60) == Heard()
    assert taken == ["Once ", "upon "]


async def test_a_whole_answer_and_an_error_of_the_service_s_own() -> None:
    taken = Taken()
    heard = await piecewise(scripted("Once upon a time."), REQUEST, taken, within=60)
    assert ("".join(taken), heard) == ("Once upon a time.", Heard("", "scripted/model"))
    broken = Says(("Once ",), error=LlmError("broken_stream"))
    assert (await piecewise(scripted(broken), REQUEST, Taken(), within=60)).why == "broken_stream"
    with pytest.raises(Unanswered, match="over_budget"):
        await whole(scripted(LlmError("over_budget")), REQUEST, within=60)


async def test_a_reader_s_cancellation_goes_on() -> None:
    reading = anyio.Event()

    async def wait(piece: str) -> bool:
        reading.set()
        await anyio.sleep_forever()
        return True

    with anyio.fail_after(60):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(_never_ends, wait)
            await reading.wait()
            tasks.cancel_scope.cancel()


async def _never_ends(take: Any) -> None:
    await piecewise(scripted("Once upon a time."), REQUEST, take, within=600)
    raise AssertionError("it was cancelled, and went on")


def test_nothing_is_ready_that_doesn_t_say_so() -> None:
    class Raising:
        @property
        def ready(self) -> bool:
            raise SystemExit

    assert not is_ready(None)
    assert not is_ready(cast(LanguageModel, Raising()))
    assert not is_ready(cast(LanguageModel, object()))
    assert is_ready(scripted("x"))
