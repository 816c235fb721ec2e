"""A request and its answer: whole, in pieces, of a shape, by the first of a chain that can be used."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import anyio
import pytest
from msgspec import Struct

from tta_kernel import Event
from tta_llm import (
    ChatRequest,
    Config,
    Limits,
    LlmCalled,
    LlmError,
    Message,
    Models,
    ModelSettings,
    Retries,
    Usage,
)  # fmt: skip
from tta_llm.testing import Says, ScriptedModels, scripted

QUICK = Retries(times=2, pause=0.001, longest=0.001)
AWAY = LlmError("unavailable", "the server is away")


class Mood(Struct, frozen=True):
    word: str
    strength: int


MOOD = {
    "type": "object",
    "properties": {"word": {"type": "string"}, "strength": {"type": "integer"}},
    "required": ["word", "strength"],
    "additionalProperties": False,
}


def ask(text: str = "tell me", **how: Any) -> ChatRequest:
    return ChatRequest(messages=(Message("system", "be kind"), Message("user", text)), **how)


async def pieces_of(llm: Any, request: ChatRequest) -> tuple[list[str], Any]:
    async with llm.stream(request) as stream:
        return [piece.text async for piece in stream], stream.reply


async def test_an_answer_comes_whole_or_in_pieces_that_joined_are_the_same() -> None:
    llm = scripted("The sea is calm.")
    whole = await llm.chat(ask(max_tokens=20, temperature=0.5, seed=7, stop=("END",)))
    pieces, reply = await pieces_of(llm, ask())
    assert whole.text == reply.text == "".join(pieces) == "The sea is calm."
    assert len(pieces) == 4
    assert (whole.model, whole.finish, whole.attempts) == ("scripted/model", "stop", 1)
    assert whole.usage.estimated
    assert whole.usage.total > 0


async def test_nothing_of_who_asks_reaches_a_backend() -> None:
    models = ScriptedModels("yes")
    await scripted(models=models).chat(ask(session="the-session", owner="the-owner", key="the-key", agent="the-agent"))
    [call] = models.calls
    shown = [getattr(call, name) for name in call.__struct_fields__]
    assert not any(secret in str(shown) for secret in ("the-session", "the-owner", "the-key", "the-agent"))


async def test_no_repr_holds_what_was_said() -> None:
    models = ScriptedModels("my secret answer")
    request = ask("my secret question")
    reply = await scripted(models=models).chat(request)
    assert "secret" not in repr([request, *request.messages, reply, *models.calls])


async def test_whoever_leaves_a_stream_has_closed_it_and_no_more_is_read_than_was_taken() -> None:
    taken: list[str] = []

    async def last() -> None:
        raise AssertionError("nobody has asked for the last piece")

    models = ScriptedModels(Says(("one ", "two ", "three"), then=last))
    async with scripted(models=models).stream(ask()) as stream:
        async for piece in stream:
            taken.append(piece.text)
            if len(taken) == 2:
                break
        with pytest.raises(RuntimeError, match="read to the end"):
            _ = stream.reply
    assert taken == ["one ", "two "]
    assert models.closed == 1


async def test_what_fails_before_its_first_piece_is_asked_again_and_then_elsewhere() -> None:
    events: list[Event] = []
    models = ScriptedModels(AWAY, AWAY, AWAY, "here I am")
    chain = Config(aliases={"story": ("one/a", "two/b")}, model="story", retries=QUICK)
    pieces, reply = await pieces_of(scripted(models=models, config=chain, publish=events.append), ask())
    assert "".join(pieces) == "here I am"
    assert [call.model for call in models.calls] == ["one/a", "one/a", "one/a", "two/b"]
    assert (reply.model, reply.attempts) == ("two/b", 4)
    codes = [event.code for event in events if isinstance(event, LlmCalled)]
    assert codes == ["unavailable", "unavailable", "unavailable", ""]


async def test_after_its_first_piece_a_stream_breaks_and_a_whole_answer_is_asked_again() -> None:
    broken = Says(("Once ", "upon "), error=LlmError("broken_stream", "reset"))
    config = Config(retries=QUICK)
    models = ScriptedModels(broken, "whole again")
    with pytest.raises(LlmError, match="broken_stream"):
        await pieces_of(scripted(models=models, config=config), ask())
    assert len(models.calls) == 1
    models = ScriptedModels(broken, "whole again")
    assert (await scripted(models=models, config=config).chat(ask())).text == "whole again"


@pytest.mark.parametrize(("after", "calls"), [(None, 3), (0.001, 3), (1000.0, 1)], ids=["not said", "soon", "too long"])
async def test_a_server_that_says_when_is_asked_then_if_that_is_soon(after: float | None, calls: int) -> None:
    models = ScriptedModels(LlmError("rate_limited", "slow down", retry_after=after))
    with pytest.raises(LlmError) as caught:
        await scripted(models=models, config=Config(retries=QUICK)).chat(ask())
    assert len(models.calls) == calls
    assert caught.value.retry_after == after


@pytest.mark.parametrize("code", ["invalid_request", "refused"])
async def test_what_is_wrong_with_the_request_is_asked_of_nobody_else(code: Any) -> None:
    models = ScriptedModels(LlmError(code, "no"))
    config = Config(aliases={"story": ("one/a", "two/b")}, model="story", retries=QUICK)
    with pytest.raises(LlmError, match=code):
        await scripted(models=models, config=config).chat(ask())
    assert len(models.calls) == 1


@pytest.mark.parametrize("wanted", [MOOD, Mood], ids=["a JSON Schema", "a Struct"])
async def test_a_structured_answer_is_validated_and_repaired_once(wanted: Any) -> None:
    wrong = '{"word": "calm"}'
    right = 'Here you are:\n```json\n{"word": "calm", "strength": 3}\n```'
    models = ScriptedModels(wrong, right)
    pieces, reply = await pieces_of(scripted(models=models), ask(schema=wanted))
    assert reply.decode(Mood) == Mood("calm", 3)
    assert (reply.repaired, reply.attempts, pieces) == (True, 2, [right])
    assert isinstance(reply.output, Mood) is (wanted is Mood)
    told = models.calls[1].messages[-1].text
    assert "strength" in told
    assert all(call.schema is not None for call in models.calls)
    with pytest.raises(LlmError, match="invalid_output"):
        await scripted(wrong).chat(ask(schema=wanted))


async def test_a_server_that_keeps_an_answer_back_has_refused() -> None:
    filtered = Says(finish="filtered")
    with pytest.raises(LlmError, match="refused"):
        await scripted(filtered).chat(ask())
    begun = Says(("The sea",), finish="filtered", usage=Usage(3, 2))
    reply = await scripted(begun).chat(ask())
    assert (reply.text, reply.finish, reply.usage) == ("The sea", "filtered", Usage(3, 2))


async def test_requests_take_turns_by_whom_they_are_for_and_too_many_are_told() -> None:
    config = Config(
        models={"scripted/*": ModelSettings(concurrent=1, queue=3)}, limits=Limits(queue=30), retries=Retries(times=0)
    )  # fmt: skip
    gone, order = anyio.Event(), list[str]()
    models = ScriptedModels(Says(("x",), then=gone.wait), "y")
    llm = scripted(models=models, config=config)

    async def one(session: str) -> None:
        try:
            await llm.chat(ask(session=session, model="scripted/model"))
            order.append(session)
        except LlmError as exc:
            order.append(f"{session} {exc.code}")

    with anyio.fail_after(30):
        async with anyio.create_task_group() as tasks:
            for session in ("first", "crowd", "crowd", "other", "late"):
                tasks.start_soon(one, session)
            await anyio.wait_all_tasks_blocked()
            assert order == ["late rate_limited"]
            gone.set()
    assert order[1:] == ["first", "crowd", "other", "crowd"]
    assert len(models.calls) == 4


WRONG: Sequence[tuple[dict[str, Any], str]] = [
    ({"messages": ()}, "no messages"),
    ({"max_tokens": 0}, "max_tokens"),
    ({"temperature": float("nan")}, "temperature"),
    ({"seed": 2**70}, "seed"),
    ({"stop": ("",)}, "stop"),
    ({"model": "nobody"}, "no model is called 'nobody'"),
    ({"messages": (Message("user", "\ud800"),)}, "can't be written"),
    ({"messages": (Message("user", "x" * 2_000_000),)}, "too_large"),
    ({"budgets": ("none",)}, "no budget"),
    ({"tools": ("kg.query",)}, "denied"),
    ({"schema": {"$ref": "http://127.0.0.1/x"}}, "the schema of the answer"),
]


@pytest.mark.parametrize(("how", "said"), WRONG, ids=[said for _, said in WRONG])
async def test_what_is_no_request_is_refused_before_anybody_is_asked(how: dict[str, Any], said: str) -> None:
    models = ScriptedModels("yes")
    request = ChatRequest(**{"messages": (Message("user", "hello"),), **how})
    with pytest.raises(LlmError, match=said) as caught:
        await scripted(models=models).chat(request)
    assert not caught.value.reached
    assert models.calls == []


async def test_without_a_name_the_only_model_is_asked_and_of_several_one_must_be_named() -> None:
    assert (await scripted("yes").chat(ask())).model == "scripted/model"
    models: Models = ScriptedModels("yes", names=("a/one", "a/two"))
    with pytest.raises(LlmError, match=r"there are 2 models.*plugins\.llm\.config\.model"):
        await scripted(models=models).chat(ask())


async def test_what_a_model_holds_bounds_what_it_is_asked() -> None:
    config = Config(models={"small/*": ModelSettings(window=600), "large/*": ModelSettings()}, model="story",
                    aliases={"story": ("small/a", "large/b")})  # fmt: skip
    models = ScriptedModels("yes")
    assert (await scripted(models=models, config=config).chat(ask("x" * 1000))).model == "large/b"
