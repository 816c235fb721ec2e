"""Kernels of a few plugins, and what is wrong with a config."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from typing import Any

from msgspec.structs import replace

from tta_kernel.errors import ConfigError
from tta_kernel.kernel import Kernel
from tta_kernel.plugin import Plugin
from tta_kernel.services import Service
from tta_kernel.settings import KernelSettings, PluginSettings
from tta_program import LayeredSettings

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
