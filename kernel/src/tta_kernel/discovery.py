"""Finding installed plugins, without importing the ones that are disabled."""

from __future__ import annotations

import re
import sys
from collections.abc import Container, Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Any, NamedTuple

from .errors import PluginError, Problem
from .isolation import as_failure, describe
from .plugin import Plugin

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

GROUP = "tta.plugins"
_FOR_THE_KERNEL = re.compile(r"tta[-_.]+kernel(?![\w.-])", re.IGNORECASE)
Classes = Mapping[str, type[Plugin[Any]]]


class Found(NamedTuple):
    """A plugin that is installed, or a class of the host's own."""

    name: str
    distribution: str
    version: str
    entry_point: EntryPoint | None = None
    own: type[Plugin[Any]] | None = None


def find(own: Classes | None, *, beside: bool) -> tuple[dict[str, Found], list[Problem]]:
    """Find what is installed; a host's own classes stand alone, or ``beside`` it and before what has their name."""
    if own is None:
        return installed()
    found, problems = installed(without=own) if beside else ({}, [])
    found |= {name: Found(name, "", "", own=cls) for name, cls in own.items()}
    return dict(sorted(found.items())), problems


def installed(without: Container[str] = ()) -> tuple[dict[str, Found], list[Problem]]:
    """Find the plugins of all installed distributions; one name in two of them is a problem."""
    from importlib.metadata import entry_points

    found: dict[str, Found] = {}
    problems = []
    for entry_point in entry_points(group=GROUP):  # Of equal distributions, that which would be imported.
        # pip puts a ~ before the name of what it removes, and an upgrade that is interrupted leaves that behind.
        if entry_point.name in without or "~" in getattr(getattr(entry_point.dist, "_path", None), "name", ""):
            continue
        new = Found(entry_point.name, _metadata(entry_point, "Name"), _metadata(entry_point, "Version"), entry_point)
        if old := found.get(new.name):
            first, second = sorted((old.distribution, new.distribution))
            problems.append(
                Problem(
                    f"plugin {new.name!r}",
                    f"both {first} and {second} install a plugin of that name",
                    "uninstall one of them",
                )
            )
        found[new.name] = new
    return dict(sorted(found.items())), problems


def load(found: Found) -> type[Plugin[Any]]:
    """Import a plugin's class, if its distribution fits this kernel; else raise `PluginError`."""
    if entry_point := found.entry_point:
        _check(found, entry_point)
        try:
            import_module(entry_point.module)
        except BaseException as exc:
            what = f"importing {entry_point.module} raised {describe(as_failure(exc), entry_point.module)}"
            raise PluginError(found.name, what, hint=f"mend or reinstall {found.distribution}") from exc
    if cls := seen(found):
        return cls
    what = f"{entry_point.value if entry_point else found.own} is no subclass of tta_kernel.Plugin, or isn't there"
    raise PluginError(found.name, what, hint=f"mend what names it{found.distribution and ' in '}{found.distribution}")


def seen(found: Found) -> type[Plugin[Any]] | None:
    """Return a plugin's class where something else has imported it; import nothing."""
    cls: object = found.own
    if (entry_point := found.entry_point) and entry_point.pattern.match(entry_point.value):
        cls = getattr(sys.modules.get(entry_point.module), entry_point.attr, None)
    return cls if isinstance(cls, type) and issubclass(cls, Plugin) else None


def _metadata(entry_point: EntryPoint, key: str) -> str:
    """Return what a distribution says of itself; one that was half removed says nothing."""
    said = entry_point.dist and entry_point.dist.metadata
    return said[key] if said and key in said else ""


def _check(found: Found, entry_point: EntryPoint) -> None:
    """Raise `PluginError` unless the distribution is whole, and fits this kernel."""
    if not entry_point.pattern.match(entry_point.value):
        what = f"its entry point {entry_point.value!r} cannot be read"
        raise PluginError(found.name, what, hint=f"mend it in {found.distribution}")
    if not found.distribution:
        where = entry_point.dist.locate_file("") if entry_point.dist else "sys.path"
        hint = f"reinstall it, or remove the rest of it in {where}"
        raise PluginError(found.name, "what ships it has no metadata", hint=hint)
    from importlib.metadata import version

    from packaging.requirements import InvalidRequirement, Requirement

    this = version("tta-kernel")
    for line in (entry_point.dist and entry_point.dist.requires) or ():
        if not _FOR_THE_KERNEL.match(line):
            continue  # It may be written as was once allowed, and isn't ours to judge.
        try:
            need = Requirement(line)
        except InvalidRequirement:
            raise PluginError(
                found.name, f"it needs {line!r}, which cannot be read", hint=f"mend or reinstall {found.distribution}"
            ) from None
        # A line with a marker may be for another Python, or for an extra that nobody asked for.
        applies = need.marker is None or need.marker.evaluate({"extra": ""})
        if applies and not need.specifier.contains(this, prereleases=True):
            what = f"{found.distribution} {found.version} needs {need}, this is {this}"
            raise PluginError(found.name, what, hint="install a version of it that fits, or disable it")
