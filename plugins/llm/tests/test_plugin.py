"""The plugin in a kernel: with a backend and without, its commands, its figures, and what a config lacks."""

from __future__ import annotations

from typing import Any

import pytest

from tta_breakers import BREAKERS, BreakersMemory, BreakersPlugin
from tta_capabilities import EMBEDDER
from tta_kernel.testing import problems, running
from tta_llm import LLM, MODELS, ChatRequest, LlmEmbedder, LlmError, LlmMemory, LlmPlugin, Message
from tta_llm.testing import ScriptedModels
from tta_metrics import METRICS, MetricsPlugin, prometheus_text

REQUEST = ChatRequest(messages=(Message("user", "hello"),))
PLUGINS = (LlmPlugin, LlmMemory, MetricsPlugin, BreakersPlugin, BreakersMemory)


async def test_without_a_backend_it_runs_and_says_that_rules_must_do() -> None:
    async with running(LlmPlugin, LlmMemory) as kernel:
        llm = kernel.get(LLM)
        assert not llm.ready
        with pytest.raises(LlmError, match="no plugin provides models"):
            await llm.chat(REQUEST)
        assert list(await llm.models()) == []


async def test_what_was_asked_is_counted_and_a_model_that_fails_isnt_asked_for_a_while() -> None:
    away: Any = [LlmError("unavailable", "away")]
    models = ScriptedModels("yes", *away * 9)
    config = {"model": "scripted/model", "retries": {"times": 0}}
    async with running(*PLUGINS, config=config, services={MODELS: models}) as kernel:
        llm = kernel.get(LLM)
        assert (await llm.chat(REQUEST)).text == "yes"
        for _ in range(5):
            with pytest.raises(LlmError, match="away"):
                await llm.chat(REQUEST)
        with pytest.raises(LlmError, match="failed too often") as caught:
            await llm.chat(REQUEST)
        assert caught.value.retry_after is not None
        assert len(models.calls) == 6
        assert [(each.name, each.status) for each in await llm.models()] == [("scripted/model", "open")]
        assert kernel.get(BREAKERS).local()["llm:scripted/model"].record.status == "open"
        await kernel.get(METRICS).catch_up()
        text = prometheus_text(kernel.get(METRICS)).decode()
    assert 'tta_llm_calls_total{model="scripted/model",code="ok"} 1' in text
    assert 'tta_llm_calls_total{model="scripted/model",code="unavailable"} 6' in text


async def test_texts_have_vectors_where_a_model_gives_some() -> None:
    services = {MODELS: ScriptedModels()}
    config = {"model": "scripted/model", "batch": 2}
    async with running(LlmEmbedder, config=config, services=services) as kernel:
        vectors = await kernel.get(EMBEDDER).embed(["a tea", "eta a", "hound"])
    assert vectors[0] == vectors[1] != vectors[2]


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({"model": "nobody"}, "there is no alias 'nobody'"),
        ({"models": {"nobody": {}}}, "is no name of a model"),
        ({"aliases": {"story": ["nobody"]}}, "aliases"),
        ({"budgets": {"day": {"per": "all"}}}, "bounds nothing"),
        ({"budgets": {"day": {"per": "all", "most_money": 3}}}, "no model has a price"),
        ({"limits": {"first": "10m"}}, "never counts"),
    ],
)  # fmt: skip
def test_what_a_config_lacks_is_told_before_anything_starts(config: dict[str, Any], said: str) -> None:
    [problem] = problems(LlmPlugin, LlmMemory, config=config)
    assert said in problem
