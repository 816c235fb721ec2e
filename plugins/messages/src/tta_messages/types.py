"""The message types that the enabled plugins declare."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial

import msgspec

from tta_kernel import Hooks, PluginError, Problem
from tta_program import unquoted

from .hookspecs import message_types
from .prepare import QUEUE


def declared(hooks: Hooks) -> tuple[Mapping[str, type[msgspec.Struct]], Sequence[Problem]]:
    """Return every declared type by its name, and what is wrong with what was declared."""
    types: dict[str, type[msgspec.Struct]] = {}
    owners: dict[str, str] = {}
    problems = []
    for plugin, answer in sorted(hooks.collect(message_types).items()):
        problem = partial(Problem, f"plugin {plugin!r}", plugin=plugin)
        if isinstance(answer, Exception):
            if not isinstance(answer, PluginError):  # One that can't be used is the kernel's to tell.
                problems.append(problem(f"its hook message_types {unquoted(answer)}"))
            continue
        for name, type_ in answer.items():
            if (first := owners.setdefault(name, plugin)) != plugin:
                what = f"declares the message type {name!r}, and so does {first!r}"
                problems.append(problem(what, "declare it in one of them"))
            elif not QUEUE.fullmatch(name):
                problems.append(problem(f"no message type can be called {name!r}", "use letters and . _ / -"))
            elif why := _unfit(type_):
                problems.append(problem(f"the message type {name!r} {why}", "give a msgspec.Struct"))
            else:
                types[name] = type_
    return types, problems


def _unfit(type_: object) -> str:
    if not (isinstance(type_, type) and issubclass(type_, msgspec.Struct)):
        return f"is declared as {type_!r}"
    try:
        msgspec.msgpack.Decoder(type_)
    except (TypeError, NameError) as exc:
        return f"cannot be decoded: {exc}"
    return ""
