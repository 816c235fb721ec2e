"""What ``tta check`` finds wrong with what a deployment says of its models."""

from __future__ import annotations

import re
from collections.abc import Iterator

from tta_kernel import Problem

from .settings import Config

_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,62}/(\*|[^\s/][^\s]{0,136})")
_WHERE = "plugins.llm.config"


def config_problems(config: Config) -> Iterator[Problem]:
    """Yield what can be seen without asking a server."""
    if config.model and config.model not in config.aliases and "/" not in config.model:
        known = ", ".join(sorted(config.aliases)) or "there is none yet"
        hint = f"name `endpoint/model`, or one of `aliases`: {known}"
        yield Problem(f"{_WHERE}.model", f"there is no alias {config.model!r}", hint)
    for name in config.models:
        if not _NAME.fullmatch(name):
            hint = "write `endpoint/model`, or `endpoint/*` for all of one endpoint"
            yield Problem(f"{_WHERE}.models.{name:.100}", "is no name of a model", hint)
    for name, budget in config.budgets.items():
        where = f"{_WHERE}.budgets.{name}"
        if budget.most_tokens is None and budget.most_money is None:
            yield Problem(where, "bounds nothing", "say `most_tokens`, `most_money`, or both")
        if budget.most_money is not None and not any(it.price_in or it.price_out for it in config.models.values()):
            hint = "say `price_in` and `price_out` under `models`"
            yield Problem(f"{where}.most_money", "counts money, and no model has a price", hint)
    if config.limits.first > config.limits.total:
        hint = "let `total` be longer"
        yield Problem(f"{_WHERE}.limits.first", "is longer than `total`, so it never counts", hint)
