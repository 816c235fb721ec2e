"""Finding installed plugins, without importing the ones that are disabled."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Any, NamedTuple

from .errors import PluginError, Problem
from .plugin import Plugin

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

GROUP = "tta.plugins"


class Found(NamedTuple):
    """A plugin that is installed, or given to the kernel as a class."""

    name: str
    distribution: str
    version: str
    entry_point: EntryPoint | None = None
    given: type[Plugin[Any]] | None = None


def installed() -> tuple[dict[str, Found], list[Problem]]:
    """Find the plugins of all installed distributions; one name in two of them is a problem."""
    from importlib.metadata import distributions

    found: dict[str, Found] = {}
    problems, seen = [], set()
    for dist in distributions():
        name = dist.metadata["Name"] or ""
        # What lies first on sys.path is what gets imported.
        if name in seen:
            continue
        seen.add(name)
        for entry_point in dist.entry_points.select(group=GROUP):
            if old := found.get(entry_point.name):
                first, second = sorted((old.distribution, name))
                what = f"both {first} and {second} install a plugin of that name"
                problems.append(Problem(f"plugin {old.name!r}", what, f"uninstall {first} or {second}"))
            found[entry_point.name] = Found(entry_point.name, name, dist.version, entry_point)
    return dict(sorted(found.items())), problems


def given(classes: Mapping[str, type[Plugin[Any]]]) -> dict[str, Found]:
    """Treat these classes as the installed plugins."""
    return {name: Found(name, "", "", given=cls) for name, cls in sorted(classes.items())}


def load(found: Found) -> type[Plugin[Any]]:
    """Import a plugin's class, if its distribution fits this kernel; else raise `PluginError`."""
    entry_point = found.entry_point
    if entry_point is None:
        assert found.given is not None
        return found.given
    _check_kernel(found, entry_point)
    try:
        module = import_module(entry_point.module)
    except Exception as exc:
        what = f"importing {entry_point.module} raised {exc!r}"
        raise PluginError(found.name, what, hint=f"mend or reinstall {found.distribution}") from exc
    cls = getattr(module, entry_point.attr, None)
    if not (isinstance(cls, type) and issubclass(cls, Plugin)):
        what = "does not exist" if cls is None else "is not a subclass of tta_kernel.Plugin"
        hint = f"mend the entry point in {found.distribution}"
        raise PluginError(found.name, f"{entry_point.value} {what}", hint=hint)
    return cls


def _check_kernel(found: Found, entry_point: EntryPoint) -> None:
    from importlib.metadata import version

    from packaging.requirements import Requirement

    this = version("tta-kernel")
    for line in (entry_point.dist.requires if entry_point.dist else None) or ():
        need = Requirement(line)
        applies = need.marker is None or need.marker.evaluate({"extra": ""})
        ours = need.name.lower().replace("_", "-") == "tta-kernel" and applies
        if ours and not need.specifier.contains(this, prereleases=True):
            what = f"{found.distribution} {found.version} needs {need}, this is {this}"
            raise PluginError(found.name, what, hint="install a version of it that fits, or disable it")
