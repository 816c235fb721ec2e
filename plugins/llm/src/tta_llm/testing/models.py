"""The contract of a backend of models: subclass it, with an ``opened`` fixture by which a model follows a script."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, aclosing

import pytest

from tta_llm.errors import LlmError
from tta_llm.model import Message, ToolCall, Usage
from tta_llm.models import Delta, ModelCall, Models

from .scripted import Says

Open = Callable[..., AbstractAsyncContextManager[Models]]
"""Open a backend whose model ``MODEL`` gives these `Says`, one to each call, as its server would."""
MODEL = "scripted/model"
CALL = ModelCall(model=MODEL, messages=(Message("system", "be kind"), Message("user", "hello")), max_tokens=20)


async def told(models: Models, call: ModelCall = CALL) -> list[Delta]:
    """Return all that a model says."""
    async with aclosing(models.stream(call)) as deltas:
        return [delta async for delta in deltas]


class ModelsContract:
    """What every backend does."""

    @pytest.fixture
    def anyio_backend(self) -> str:
        return "asyncio"

    async def test_an_answer_comes_in_pieces_and_its_end_says_why_and_what_it_came_to(self, opened: Open) -> None:
        async with opened(Says(("The ", "sea é ", "is calm."), usage=Usage(7, 3)), Says(("no",), "length")) as models:
            *pieces, end = await told(models)
            assert "".join(delta.text for delta in pieces) + end.text == "The sea é is calm."
            assert (end.finish, end.usage) == ("stop", Usage(7, 3))
            assert all(delta.finish is None for delta in pieces)
            assert (await told(models))[-1].finish == "length"

    async def test_calls_of_tools_come_whole(self, opened: Open) -> None:
        wanted = (ToolCall("a", "kg-query", '{"who": "keeper"}'), ToolCall("b", "dice", "{}"))
        async with opened(Says(tool_calls=wanted)) as models:
            found = await told(models)
        assert [call for delta in found for call in delta.tool_calls] == [*wanted]
        assert found[-1].finish == "tool"

    async def test_what_breaks_is_an_error_after_the_pieces_that_came(self, opened: Open) -> None:
        broken = Says(("Once ", "upon "), error=LlmError("broken_stream"))
        async with opened(broken, Says(("again",))) as models:
            async with aclosing(models.stream(CALL)) as deltas:
                assert [(await anext(deltas)).text for _ in range(2)] == ["Once ", "upon "]
                with pytest.raises(LlmError, match="broken_stream"):
                    await anext(deltas)
            assert "".join(delta.text for delta in await told(models)) == "again"

    async def test_whoever_leaves_can_ask_again(self, opened: Open) -> None:
        async with opened(Says(("one ", "two ", "three")), Says(("again",))) as models:
            async with aclosing(models.stream(CALL)) as deltas:
                assert (await anext(deltas)).text == "one "
            assert "".join(delta.text for delta in await told(models)) == "again"

    async def test_models_are_named_with_their_endpoint(self, opened: Open) -> None:
        async with opened(Says(("yes",))) as models:
            assert MODEL in [each.name for each in await models.list()]

    async def test_an_endpoint_that_isnt_there_is_no_request(self, opened: Open) -> None:
        async with opened(Says(("yes",))) as models:
            with pytest.raises(LlmError, match="invalid_request"):
                await told(models, ModelCall(model="nowhere/model", messages=CALL.messages))

    async def test_each_text_has_its_own_vector(self, opened: Open) -> None:
        async with opened(Says(("yes",))) as models:
            found = (await models.embed(MODEL, ["a tea", "hound", "a tea"])).vectors
        assert len(found) == 3
        assert list(found[0]) == list(found[2]) != list(found[1])
        assert len({len(each) for each in found}) == 1
