"""The commands ``tta llm …``: which models there are, whether one answers, and what was spent."""

from __future__ import annotations

import argparse
import time
from collections.abc import Awaitable, Callable
from typing import Any

from tta_kernel import Kernel, Service
from tta_program import DONE, Subcommands, fail, moment, print_json, table

from .budgets import MICRO, Spent
from .errors import LlmError
from .llm import ChainedModels
from .model import ChatRequest, Message
from .models import MODELS
from .service import LLM, LanguageModel

_Act = Callable[[LanguageModel, argparse.Namespace], Awaitable[int]]
_PING = "Answer with the one word: yes"


def add(subcommands: Subcommands) -> None:
    """Add the commands."""
    subcommands.group("llm", help="language models: which there are, whether they answer, and what was spent")

    def command(name: str, act: _Act, text: str, *more: Service[Any]) -> argparse.ArgumentParser:
        async def run(kernel: Kernel, options: argparse.Namespace) -> int:
            try:
                return await act(kernel.get(LLM), options)
            except LlmError as exc:
                return fail(name, str(exc))

        parser = subcommands.add(name, run, help=text, requires=(LLM, *more))
        parser.add_argument("--json", action="store_true", help="print JSON")
        return parser

    # LLM goes without a backend; whoever asks what there is wants to know that there is none.
    command("llm models", _models, "list the models that are configured, and those that servers have", MODELS)
    parser = command("llm ping", _ping, "ask a model for one word, and say how long it took", MODELS)
    parser.add_argument("model", nargs="?", default="", help="endpoint/model, or an alias (the default)")
    parser = command("llm budget", _budget, "show what was spent of each budget")
    parser.add_argument("--session", default="", help="also of budgets for sessions, this one's")
    parser.add_argument("--user", default="", help="also of budgets for users, this one's")


async def _models(llm: LanguageModel, options: argparse.Namespace) -> int:
    if not llm.ready:
        return fail("llm models", "no plugin provides models: enable `llm-openai`, and say where its server is")
    found = await llm.models()
    if options.json:
        print_json(found)
    elif found:
        rows = [(each.name, ", ".join(each.aliases) or "-", each.status) for each in found]
        table([("model", "aliases", "breaker"), *rows])
    else:
        print("servers say that they have no model")
    return DONE


async def _ping(llm: LanguageModel, options: argparse.Namespace) -> int:
    began = time.perf_counter()
    first = 0.0
    request = ChatRequest(messages=(Message("user", _PING),), model=options.model, max_tokens=16)
    async with llm.stream(request) as pieces:
        async for _ in pieces:
            first = first or time.perf_counter() - began
        reply = pieces.reply
    seconds = time.perf_counter() - began
    if options.json:
        # Nothing of what it said: only that it did.
        print_json({
            "model": reply.model, "seconds": seconds, "first": first, "usage": reply.usage, "attempts": reply.attempts,
        })  # fmt: skip
    else:
        tokens = f"{reply.usage.completion} tokens{' (estimated)' if reply.usage.estimated else ''}"
        print(f"{reply.model} answered: first piece after {first:.2f} s, {tokens} in {seconds:.2f} s")
    return DONE


async def _budget(llm: LanguageModel, options: argparse.Namespace) -> int:
    if isinstance(llm, ChainedModels) and not llm.durable:
        why = (
            "budgets are kept in memory, and this process has spent nothing: keep them where all see them (`llm-redis`)"
        )
        return fail("llm budget", why)
    found = await llm.spent(session=options.session, owner=options.user)
    if options.json:
        print_json(found)
    elif found:
        head = ("budget", "per", "tokens", "money", "until")
        table([head, *([each.budget, each.per, *_shares(each), moment(each.ends)] for each in found)])
    else:
        print(
            "no budget counts for this: plugins.llm.config.budgets; those for sessions and users need to be told whose"
        )
    return DONE


def _shares(spent: Spent) -> tuple[str, str]:
    tokens = f"{spent.tokens} of {'any' if spent.most_tokens is None else spent.most_tokens}"
    most = "any" if spent.most_money is None else f"{spent.most_money / MICRO:.4f}"
    return tokens, f"{spent.money / MICRO:.4f} of {most}"
