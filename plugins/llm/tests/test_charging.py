"""What a request is charged for: once for its key, before it is sent, and put right afterwards."""

from __future__ import annotations

from typing import Any

import anyio
import pytest

from tta_llm import Budget, ChatRequest, Config, LlmError, Message, ModelSettings, Retries, Usage
from tta_llm.testing import Says, ScriptedModels, scripted

CONFIG = Config(
    models={"paid/*": ModelSettings(price_in=2.0, price_out=10.0)},
    model="paid/model",
    retries=Retries(times=0),
    budgets={
        "day": Budget(per="all", most_money=1.0), "user": Budget(per="user", most_tokens=1000),
        "session": Budget(per="session", most_tokens=500), "extra": Budget(per="all", most_tokens=50, always=False),
    },
)  # fmt: skip
SAYS = Says(("yes",), usage=Usage(30, 20))


def ask(**how: Any) -> ChatRequest:
    return ChatRequest(messages=(Message("user", "hello"),), **{"max_tokens": 100, **how})


async def spent(llm: Any, **whose: str) -> dict[str, tuple[int, int]]:
    return {each.budget: (each.tokens, each.money) for each in await llm.spent(**whose)}


async def test_it_is_what_the_server_says_and_each_budget_counts_for_whom_it_is() -> None:
    llm = scripted(SAYS, config=CONFIG)
    reply = await llm.chat(ask(session="s", owner="ann"))
    assert (reply.usage, reply.cost) == (Usage(30, 20), 260)
    assert await spent(llm, session="s", owner="ann") == {
        "day": (50, 260), "user": (50, 260), "session": (50, 260), "extra": (0, 0),
    }  # fmt: skip
    assert await spent(llm, owner="bob") == {"day": (50, 260), "user": (0, 0), "extra": (0, 0)}
    assert await llm.forget("ann") == 1
    assert (await spent(llm, owner="ann"))["user"] == (0, 0)


async def test_what_a_budget_wont_bear_isnt_sent() -> None:
    models = ScriptedModels(SAYS)
    llm = scripted(models=models, config=CONFIG)
    with pytest.raises(LlmError, match=r"over_budget: budget 'session'") as caught:
        await llm.chat(ask(session="s", max_tokens=600))
    assert caught.value.retry_after is not None
    with pytest.raises(LlmError, match="budget 'extra'"):
        await llm.chat(ask(budgets=("extra",)))
    assert models.calls == []
    assert (await spent(llm, session="s"))["session"] == (0, 0)


async def test_a_repeat_of_a_key_is_charged_once_and_only_for_its_owner() -> None:
    llm = scripted(SAYS, config=CONFIG)
    for _ in range(3):
        await llm.chat(ask(owner="ann", key="turn-1"))
    assert (await spent(llm, owner="ann"))["user"] == (50, 260)
    await llm.chat(ask(owner="bob", key="turn-1"))
    await llm.chat(ask(owner="ann"))
    await llm.chat(ask(owner="ann"))
    assert (await spent(llm, owner="ann"))["user"] == (150, 780)
    assert (await spent(llm, owner="bob"))["user"] == (50, 260)


@pytest.mark.parametrize("code", ["unavailable", "timed_out"])
async def test_what_no_server_has_worked_on_costs_nothing(code: Any) -> None:
    llm = scripted(LlmError(code, "it can't be reached", reached=False), config=CONFIG)
    with pytest.raises(LlmError, match=code):
        await llm.chat(ask(owner="ann"))
    assert (await spent(llm, owner="ann"))["user"] == (0, 0)


async def test_what_was_begun_and_left_is_charged_by_our_own_estimate() -> None:
    llm = scripted(Says(("four tokens here ", "never"), then=anyio.sleep_forever), config=CONFIG)
    async with llm.stream(ask(owner="ann", max_tokens=700)) as stream:
        await anext(aiter(stream))
    tokens, _ = (await spent(llm, owner="ann"))["user"]
    assert 5 < tokens < 20


async def test_so_is_what_was_cancelled_though_whoever_settles_it_is_cancelled_too() -> None:
    with anyio.CancelScope() as scope:

        async def cancels() -> None:
            scope.cancel()
            await anyio.sleep_forever()

        llm = scripted(Says(("four tokens here ", "never"), then=cancels), config=CONFIG)
        await llm.chat(ask(owner="ann", max_tokens=700))
    assert scope.cancelled_caught
    tokens, _ = (await spent(llm, owner="ann"))["user"]
    assert 5 < tokens < 20
