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
    problems = []
    seen = set()
    for dist in distributions():
        name = dist.metadata["Name"] or ""
        # What lies first on sys.path is what gets imported.
        if name in seen:
            continue
        seen.add(name)
        for entry_point in dist.entry_points.select(group=GROUP):
            new = Found(entry_point.name, name, dist.version, entry_point)
            if old := found.get(new.name):
                first, second = sorted((old.distribution, new.distribution))
                hint = f"uninstall {first} or {second}"
                problems.append(
                    Problem(f"plugin {new.name!r}", f"both {first} and {second} install a plugin of that name", hint)
                )
            found[new.name] = new
    return dict(sorted(found.items())), problems


def given(classes: Mapping[str, type[Plugin[Any]]]) -> dict[str, Found]:
    """Treat these classes as the installed plugins."""
    return {name: Found(name, "", "", given=cls) for name, cls in sorted(classes.items())}


def load(found: Found) -> type[Plugin[Any]]:
    """Import a plugin's class, if its distribution fits this kernel; else raise `PluginError`."""
    if found.given is not None:
        return found.given
    assert found.entry_point is not None
    _check_kernel(found)
    value = found.entry_point.value
    try:
        module = import_module(found.entry_point.module)
    except Exception as exc:
        raise PluginError(
            found.name,
            f"importing {found.entry_point.module} raised {exc!r}",
            hint=f"mend or reinstall {found.distribution}",
        ) from exc
    cls = getattr(module, found.entry_point.attr, None)
    if not (isinstance(cls, type) and issubclass(cls, Plugin)):
        what = "does not exist" if cls is None else "is not a subclass of tta_kernel.Plugin"
        raise PluginError(found.name, f"{value} {what}", hint=f"mend the entry point in {found.distribution}")
    return cls


def _check_kernel(found: Found) -> None:
    from importlib.metadata import version

    from packaging.requirements import Requirement
    from packaging.utils import canonicalize_name

    assert found.entry_point is not None
    dist = found.entry_point.dist
    this = version("tta-kernel")
    for line in (dist.requires if dist else None) or ():
        need = Requirement(line)
        applies = need.marker is None or need.marker.evaluate({"extra": ""})
        if canonicalize_name(need.name) != "tta-kernel" or not applies:
            continue
        if not need.specifier.contains(this, prereleases=True):
            raise PluginError(
                found.name,
                f"{found.distribution} {found.version} needs {need}, this is {this}",
                hint="install a version of it that fits, or disable it",
            )
