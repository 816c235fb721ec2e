"""For tests of plugins: run a few of them, hear their events, see what is wrong with a config."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Generic

import anyio
from msgspec.structs import replace

from tta_program import LayeredSettings

from .errors import ConfigError
from .events import E, Subscription
from .hookspecs import Figure, figures, snapshot
from .kernel import Kernel
from .plugin import Plugin
from .services import Service
from .settings import KernelSettings, PluginSettings

Plugins = type[Plugin[Any]] | Mapping[str, type[Plugin[Any]]]


def name_of(plugin: type[Plugin[Any]]) -> str:
    """Return the name that a class gets here: ``ClockPlugin`` is ``clock``, ``ClockMemory`` is ``clock-memory``."""
    name = plugin.__name__.removesuffix("Plugin")
    return re.sub(r"(?<=[a-z])(?=[A-Z0-9])|(?<=[A-Z])(?=[A-Z][a-z])", "-", name).lower()


def running(
    *plugins: Plugins,
    config: Mapping[str, Any] | None = None,
    configs: Mapping[str, Mapping[str, Any]] | None = None,
    services: Mapping[Service[Any], object] | None = None,
    optional: Collection[str] = (),
    settings: KernelSettings | None = None,
) -> Kernel:
    """Make a kernel of just these plugins: ``async with running(Clock, config={…}) as kernel:``.

    Each goes by `name_of` its class, or by its key in a mapping. ``config`` is the first plugin's,
    ``configs`` are others' by name, ``services`` are fakes of what is required, and ``optional``
    names plugins that may fail. A config that is wrong raises `ConfigError` here and now.
    """
    found = _named(plugins)
    given = {next(iter(found)): config or {}, **(configs or {})}
    sections = {name: PluginSettings(required=name not in optional, config=dict(given.get(name, {}))) for name in found}
    return Kernel(replace(settings or LayeredSettings(), plugins=sections), plugins=found, services=services)


def _named(plugins: Iterable[Plugins]) -> dict[str, type[Plugin[Any]]]:
    found: dict[str, type[Plugin[Any]]] = {}
    for each in plugins:
        found |= each if isinstance(each, Mapping) else {name_of(each): each}
    return found


def problems(*plugins: Plugins, config: Mapping[str, Any]) -> list[str]:
    """Return what ``tta check`` says of the first plugin's config; what none of these provides counts as there."""
    classes = _named(plugins).values()
    lacking = {key for cls in classes for key in cls.requires} - {key for cls in classes for key in cls.provides}
    try:
        running(*plugins, config=config, services=dict.fromkeys(lacking, object())).check()
    except ConfigError as error:
        return [str(problem) for problem in error.problems]
    return []


_FIGURE = re.compile(r"([a-z][a-z0-9-]*)\.[a-z][a-z0-9_]*")


async def wrong_figures(kernel: Kernel) -> list[str]:
    """Say what is wrong with the `figures` of running plugins, and with the numbers in their snapshots."""
    declared = kernel.hooks.collect(figures)
    answers = await kernel.ask(snapshot)
    found: list[str] = []
    owners: dict[str, str] = {}
    for plugin, given in declared.items():
        if isinstance(given, Exception):
            found.append(f"{plugin}: figures raised {given!r}")
            continue
        answer = answers.get(plugin, {})
        if isinstance(answer, Exception):
            found.append(f"{plugin}: snapshot raised {answer!r}")
            continue
        for figure in given:
            found += [f"{plugin}: {figure.name}: {why}" for why in _wrong(figure, plugin, answer)]
            other = owners.setdefault(figure.name, plugin)
            if other != plugin or sum(each.name == figure.name for each in given) > 1:
                found.append(f"{plugin}: {figure.name}: is declared twice, here and by {other}")
    return found


def _wrong(figure: Figure, plugin: str, answer: Mapping[str, Any]) -> Iterator[str]:
    named = _FIGURE.fullmatch(figure.name)
    if not named or not f"{plugin}-".startswith(f"{named[1]}-"):
        yield f"must read 'owner.what', the owner being {plugin!r} or the part of it before a hyphen"
    if figure.name not in answer:
        yield "is missing from the snapshot"
        return
    value = answer[figure.name]
    if isinstance(value, Mapping) != bool(figure.label):
        yield "must be " + ("a mapping from its label's values to numbers" if figure.label else "a number")
        return
    numbers = value.items() if isinstance(value, Mapping) else [("", value)]
    for key, number in numbers:
        if not isinstance(key, str):
            yield f"its label has the value {key!r}, which is no text"
        if isinstance(number, bool) or not isinstance(number, int | float) or not math.isfinite(number):
            yield f"{number!r} is no finite number"


class Published(Generic[E]):
    """The events that were published since the block of `published` began."""

    def __init__(self, subscription: Subscription[E]) -> None:
        self._subscription = subscription

    async def next(self, within: float = 5.0) -> E:
        """Return the oldest one not yet returned; wait for it at most ``within`` seconds."""
        with anyio.fail_after(within):
            return await anext(self._subscription)

    async def rest(self) -> list[E]:
        """Return all that have come and were not yet returned, without waiting."""
        found: list[E] = []
        with anyio.move_on_after(0):
            async for event in self._subscription:
                found.append(event)  # noqa: PERF401  # a cancelled comprehension loses what it has
        return found


@contextmanager
def published(kernel: Kernel, *types: type[E]) -> Iterator[Published[E]]:
    """Hear events: ``with published(kernel, HourStruck) as events: …; await events.next()``."""
    with kernel.events.subscribe(*types, buffer=10_000) as subscription:
        yield Published(subscription)


async def until(condition: Callable[[], bool], within: float = 5.0) -> None:
    """Wait for what no event tells, at most ``within`` seconds."""
    with anyio.fail_after(within):
        while not condition():  # noqa: ASYNC110  # there is nothing to be woken by
            await anyio.sleep(0.005)
