"""A backend of models, or a store of budgets, that misbehaves: it is an `LlmError` in time, and others go on."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from typing import Any, cast

import anyio
import pytest

from tta_kernel.testing import LIMIT, Outcome, Stranger, strangers
from tta_llm import (
    Budget,
    Budgets,
    BudgetsError,
    ChatRequest,
    Config,
    Delta,
    Embedded,
    Limits,
    LlmError,
    Message,
    ModelInfo,
    Models,
    Reserved,
    Retries,
    guard_budgets,
)
from tta_llm.asking import model_names, vectors
from tta_llm.llm import ChainedModels
from tta_llm.memory import MemoryBudgets
from tta_llm.testing import ScriptedModels

CONFIG = Config(
    model="odd/model", limits=Limits(first=LIMIT, idle=LIMIT, total=20), retries=Retries(times=0), store_limit=LIMIT,
    budgets={"day": Budget(per="all", most_tokens=10_000)},
)  # fmt: skip
REQUEST = ChatRequest(messages=(Message("user", "hello"),), max_tokens=10)
FAILING = (Outcome.FAILURE, Outcome.TIME_LIMIT)


def going_on(all: Sequence[Stranger]) -> Sequence[Stranger]:
    """Leave out what ends the program in order."""
    return [each for each in all if each.outcome is not Outcome.STOP]


class Odd(ScriptedModels):
    """Models of which each does what a stranger does."""

    def __init__(self, stranger: Stranger) -> None:
        super().__init__("all is well")
        self.stream = self.list = self.embed = cast(Any, stranger)  # type: ignore[method-assign]


def llm_of(models: Models, budgets: Budgets | None = None, config: Config = CONFIG) -> ChainedModels:
    return ChainedModels(
        models, budgets or MemoryBudgets(time.time), config, logging.getLogger("tta.llm"), clock=time.time
    )  # fmt: skip


@pytest.mark.boundary("tta_llm.Models")
@pytest.mark.parametrize("stranger", going_on(strangers("stream", returns=Delta, answer=Delta("a"))), ids=str)
async def test_whatever_a_model_does_instead_of_answering_is_an_error_of_ours(stranger: Stranger) -> None:
    with anyio.fail_after(20):
        with pytest.raises(LlmError) as caught:
            await llm_of(Odd(stranger)).chat(REQUEST)
        assert caught.value.code in ("unavailable", "broken_stream", "timed_out", "too_large")
        assert (await llm_of(ScriptedModels("all is well"), config=Config()).chat(REQUEST)).text == "all is well"


@pytest.mark.parametrize("stranger", going_on(strangers("async", returns=Embedded)), ids=str)
async def test_so_is_whatever_it_does_when_it_is_asked_for_names_or_vectors(stranger: Stranger) -> None:
    odd = Odd(stranger)
    with anyio.fail_after(20):
        with pytest.raises(LlmError):
            await vectors(odd, "odd/model", ["a", "b"], LIMIT)
        with pytest.raises(LlmError):
            await model_names(odd, LIMIT)


async def test_names_and_vectors_that_are_wrong_within_are_refused() -> None:
    class Wrong(ScriptedModels):
        async def list(self) -> Sequence[ModelInfo]:
            return [ModelInfo("no slash")]

        async def embed(self, model: str, texts: Sequence[str]) -> Embedded:
            return Embedded([[1.0], [1.0, 2.0]])

    for call in (model_names(Wrong(), 5), vectors(Wrong(), "odd/model", ["a", "b"], 5)):
        with pytest.raises(LlmError, match="gave what is wrong"):
            await call


@pytest.mark.boundary("tta_llm.Budgets", "tta_llm.guard_budgets.budgets")
@pytest.mark.parametrize("stranger", going_on(strangers("async", returns=Reserved)), ids=str)
async def test_whatever_a_store_of_budgets_does_nothing_is_spent_that_nobody_counts(stranger: Stranger) -> None:
    class OddBudgets(MemoryBudgets):
        reserve = settle = read = forget = cast(Any, staticmethod(stranger))

    models = ScriptedModels("all is well")
    llm = llm_of(models, OddBudgets(time.time))
    with anyio.fail_after(20):
        if stranger.outcome in FAILING and stranger.name != "answers late":
            with pytest.raises(LlmError, match=r"unavailable: budgets can't be asked"):
                await llm.chat(REQUEST)
            assert models.calls == []
            with pytest.raises(BudgetsError):
                await guard_budgets(OddBudgets(time.time), limit=LIMIT).settle("a", cast(Any, None), keep=1)
        # Without a budget that counts, nobody asks the store.
        free = llm_of(models, OddBudgets(time.time), Config())
        assert (await free.chat(REQUEST)).text == "all is well"
