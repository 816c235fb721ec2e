"""``tta llm …``, as a human types them."""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from typing import Any

import msgspec
import pytest

from tta_kernel import Kernel, Service
from tta_kernel.testing import running
from tta_llm import BUDGETS, LLM, MODELS, ChatRequest, LlmMemory, LlmPlugin, Message, Usage, commands
from tta_llm.memory import MemoryBudgets
from tta_llm.testing import Says, ScriptedModels
from tta_program import Subcommands

CONFIG = {
    "model": "story", "aliases": {"story": ["scripted/model", "other/model"]},
    "budgets": {
        "day": {"per": "all", "most_money": 2, "most_tokens": 1000}, "user": {"per": "user", "most_tokens": 500},
    },
    "models": {"scripted/model": {"price_in": 10000, "price_out": 10000}},
}  # fmt: skip


class Durable(MemoryBudgets):
    """A store of which the commands think that others see it."""

    durable = True


async def tta(kernel: Kernel, *words: str) -> int:
    parser = argparse.ArgumentParser(prog="tta")
    commands.add(Subcommands(parser))
    options = parser.parse_args(words)
    return int(await options.command.run(kernel, options))


def deployed(*script: Any) -> Kernel:
    services: dict[Service[Any], object] = {MODELS: ScriptedModels(*script), BUDGETS: Durable(time.time)}
    return running(LlmPlugin, config=CONFIG, services=services)


async def printed(kernel: Kernel, capsys: pytest.CaptureFixture[str], *words: str) -> Sequence[Any]:
    """Return what a command prints for people, and as JSON."""
    assert await tta(kernel, *words) == 0
    told = capsys.readouterr().out
    assert await tta(kernel, *words, "--json") == 0
    return told, msgspec.json.decode(capsys.readouterr().out)


async def test_models_and_whether_they_answer_and_what_was_spent(capsys: pytest.CaptureFixture[str]) -> None:
    async with deployed(Says(("MARK",), usage=Usage(5, 2))) as kernel:
        told, as_json = await printed(kernel, capsys, "llm", "models")
        assert "scripted/model  story" in told
        assert [each["name"] for each in as_json] == ["other/model", "scripted/model"]
        told, as_json = await printed(kernel, capsys, "llm", "ping")
        assert told.startswith("scripted/model answered: first piece after ")
        assert as_json["usage"] == {"prompt": 5, "completion": 2, "estimated": False}
        assert "MARK" not in told + str(as_json)
        await kernel.get(LLM).chat(ChatRequest(messages=(Message("user", "hi"),), owner="ann", max_tokens=1))
        told, as_json = await printed(kernel, capsys, "llm", "budget", "--user", "ann")
        assert "day     all   21 of 1000  0.2100 of 2.0000" in told
        assert [(each["budget"], each["tokens"]) for each in as_json] == [("day", 21), ("user", 7)]
        assert await tta(kernel, "llm", "ping", "nobody") == 1
        assert "tta llm ping: invalid_request" in capsys.readouterr().err


async def test_what_this_process_alone_would_know_isnt_shown_as_if_it_were_all(
    capsys: pytest.CaptureFixture[str],
) -> None:
    async with running(LlmPlugin, LlmMemory, config=CONFIG) as kernel:
        assert await tta(kernel, "llm", "budget") == 1
        assert "llm-redis" in capsys.readouterr().err
        assert await tta(kernel, "llm", "models") == 1
        assert "enable `llm-openai`" in capsys.readouterr().err
