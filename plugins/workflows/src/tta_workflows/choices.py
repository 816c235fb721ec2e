"""Which strategies and pools definitions may choose, and which of them name some that nobody has."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping

from tta_kernel import Hooks, PluginError, Problem, suggest
from tta_program import unquoted

from . import hookspecs
from .library import Definitions
from .strategies import STRATEGIES, Strategy


def strategies(hooks: Hooks) -> tuple[Mapping[str, Strategy], list[Problem]]:
    """Return all strategies by their names, and what is wrong with those of plugins."""
    found = dict(STRATEGIES)
    owners = dict.fromkeys(STRATEGIES, "workflows")
    problems = []
    for plugin, answer in sorted(hooks.collect(hookspecs.workflow_strategies).items()):
        where = f"plugin {plugin!r}"
        if isinstance(answer, Exception):
            if not isinstance(answer, PluginError):  # One that can't be used is the kernel's to tell.
                what = f"its hook workflow_strategies {unquoted(answer)}"
                problems.append(Problem(where, what, plugin=plugin))
            continue
        for name, strategy in answer.items():
            given: object = strategy
            if not callable(given):
                what = f"its strategy {name!a:.100} is no function"
                problems.append(Problem(where, what, "give a function of a Waiting and the time", plugin=plugin))
            elif name in owners:
                what = f"adds the strategy {name!r}, and so does {owners[name]!r}"
                problems.append(Problem(where, what, "call it otherwise", plugin=plugin))
            else:
                found[name], owners[name] = strategy, plugin
    return found, problems


def problems(definitions: Definitions, hooks: Hooks, *, only: Collection[str] | None = None) -> Iterator[Problem]:
    """Find what definitions, or ``only`` some, name that nobody has; an engine without pools reads nothing of it."""
    known, wrong = strategies(hooks)
    yield from wrong
    pools: set[str] = set()
    answers = hooks.collect(hookspecs.workflow_pools)
    for plugin, answer in answers.items():
        if not isinstance(answer, Exception):
            pools.update(answer)
        elif not isinstance(answer, PluginError):
            what = f"its hook workflow_pools {unquoted(answer)}"
            yield Problem(f"plugin {plugin!r}", what, plugin=plugin)
    if not answers:
        return
    for name, workflow in definitions.items():
        if only is not None and name not in only:
            continue
        at, execution = f"{definitions.origins[name]}execution", workflow.execution
        if execution.strategy not in known:
            what = f"no strategy is called {execution.strategy!r}"
            yield Problem(f"{at}.strategy", what, suggest(execution.strategy, known))
        if execution.pool and execution.pool not in pools:
            what = f"no pool is called {execution.pool!r}"
            hint = suggest(execution.pool, pools) if pools else "plugins.workflows-local.config.pools has them"
            yield Problem(f"{at}.pool", what, hint)
