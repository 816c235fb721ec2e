"""What the class of a plugin marks as implementations of hooks, and whether they can be asked as specified."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from inspect import getattr_static
from types import FunctionType
from typing import Any

from .spelling import close


def judge(plugin: object, cls: type, specs: Mapping[str, Any]) -> tuple[dict[str, str], list[tuple[str, str]]]:
    """Return by hook the method that can be asked, and by hook what is wrong with all else that is marked.

    Nothing is said of what is wrong where nobody specifies the hook. ``plugin`` is ``cls`` itself where there is no
    instance.
    """
    fit: dict[str, str] = {}
    flaws = []
    marked = dict(_marked(plugin))
    for name, options in marked.items():
        hook = str(options["specname"] or name)
        if hook in specs:
            found = getattr_static(cls, name, None)
            if found is not getattr_static(plugin, name):
                found = None  # Its instance has something in place of it.
            wrong = _wrong(found, options, specs[hook])
            if hook in fit:
                wrong = f"implements it beside {fit[hook]!r}"
            if wrong:
                flaws.append((hook, f"{cls.__name__}.{name} {wrong}"))
            else:
                fit[hook] = name
        elif meant := close(hook, specs, 0.85):
            # Also an optional one: what has a slip in its name would be asked by nobody.
            flaws.append((meant, f"{cls.__name__}.{name} is called {hook!r}, as no hook is"))
        elif not options["optionalhook"]:
            flaws.append((hook, ""))
    flaws += [
        (hook, f"{cls.__name__}.{hook} is called like it, and not marked")
        for hook in sorted({*specs}.intersection(dir(cls)).difference(marked, fit))
        if hasattr(type(getattr_static(cls, hook)), "__get__")  # a method, or what stands for one
    ]
    return fit, flaws


def _marked(plugin: object) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for name in dir(plugin):
        found = getattr_static(plugin, name, None)  # No property is evaluated.
        # The mark lies on a function, which another decorator may have put into something.
        for each in (found, *(getattr(found, inner, None) for inner in ("__func__", "fget", "func"))):
            options = getattr(each, "__dict__", {}).get("tta_impl")
            if isinstance(options, dict):
                yield name, options


def _wrong(found: object, options: Mapping[str, Any], spec: Callable[..., Any]) -> str:
    """Say why an implementation can't be asked as ``spec`` says; empty where it can."""
    if options["wrapper"] or options["hookwrapper"]:
        return "is marked as a wrapper, and each plugin is asked alone"
    if options["tryfirst"] and options["trylast"]:
        return "is marked `tryfirst` and `trylast`"
    if not isinstance(found, FunctionType):
        return "is no plain method of the class" if found is None else f"is a {type(found).__name__}"
    if inspect.isgeneratorfunction(found) or inspect.isasyncgenfunction(found):
        return "yields, where one answer is due"
    if inspect.iscoroutinefunction(found) != inspect.iscoroutinefunction(spec):
        return "must be an `async def` where its hookspec is one, and only there"
    given = inspect.signature(spec).parameters
    taken = [*inspect.signature(found).parameters.values()]
    for place, each in enumerate(taken):
        # What has a default and an unknown name would be left at that, whatever is asked.
        if each.kind >= each.VAR_POSITIONAL or (place and each.name not in given):
            return f"takes `{each}`, which is not handed over like that"
    return "" if taken else "takes no `self`"
