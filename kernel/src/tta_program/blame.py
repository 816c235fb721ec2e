"""Whose code a thread runs: which plugin, and where in it, read from the thread's frames."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from types import CodeType, FrameType
from typing import NamedTuple

from tta_kernel import discovery
from tta_kernel.discovery import Found

from .output import printable

_LOOPS = {
    ("asyncio.events", "_run"),
    ("asyncio.base_events", "_run_once"),
    ("asyncio.runners", "run"),  # of uvloop, which has no frames of its own
    ("trio._core._run", "unrolled_run"),
}
"""Functions of event loops, by module: what called them is the host's, and has no part in what they call."""
_WIRING = "tta_kernel.wiring"
_KERNEL = "tta_kernel"
_IMPORTING = ("importlib", "pluggy")
"""What may stand between the kernel and the code of a plugin."""


class Owners:
    """Which plugin each module belongs to: the one whose class lies in it, or in a package around it."""

    def __init__(self, plugins: Iterable[Found]) -> None:
        self._plugins: dict[str, set[str]] = {}
        for found in plugins:
            for module in _modules(found):
                self._plugins.setdefault(module, set()).add(found.name)

    def of(self, module: str) -> str:
        """Name the plugin, or those of one distribution; empty where it is nobody's."""
        while module:
            if names := self._plugins.get(module):
                return " or ".join(repr(printable(name)) for name in sorted(names))
            module = module.rpartition(".")[0]
        return ""


def _modules(found: Found) -> set[str]:
    """Name the modules by which a plugin's code is known."""
    modules = set()
    if found.entry_point is not None:
        # All of what a distribution ships lies in one package, or is one module.
        named = found.entry_point.value.partition(":")[0]
        modules = {named, named.partition(".")[0]}
    if cls := discovery.seen(found):
        modules.add(cls.__module__)
    return modules


class Place(NamedTuple):
    """Where a thread is, and whose code that is; ``plugin`` is empty where it is no plugin's."""

    plugin: str
    at: str

    def __str__(self) -> str:
        return f"plugin {self.plugin} at {self.at}" if self.plugin else f"code of no plugin, at {self.at}"


def place(frame: FrameType, owners: Owners, *, task: str = "") -> Place:
    """Say where a thread is that runs an event loop, or wires plugins together.

    What is shown is the innermost frame of a plugin's own, and what it has called, if that has a frame, too. Where
    none is a plugin's, as when a library runs in a task of a plugin's, it is the plugin that the ``task`` is of.
    """
    for own in _called(frame):
        if plugin := owners.of(_module(own)):
            at = _shown(own)
            return Place(plugin, at if own is frame else f"{at}, in {_shown(frame)}")
    holder = task.removeprefix("plugin ").partition(":")[0]
    return Place(repr(printable(holder)) if holder != task else "", _shown(frame))


def entered(frame: FrameType) -> CodeType | None:
    """Return the code through which a thread came from the kernel into a plugin's; None where it is in none."""
    found = None
    inside = None
    at: FrameType | None = frame
    while at is not None:
        package = _module(at).partition(".")[0]
        if package == _KERNEL:
            inside = found
        elif package not in _IMPORTING:
            found = at.f_code
        at = at.f_back
    return inside


def _called(frame: FrameType) -> Iterator[FrameType]:
    """Follow the frames outwards, up to the event loop, or the wiring, that called them."""
    at: FrameType | None = frame
    while at is not None:
        module = _module(at)
        if module == _WIRING or (module, at.f_code.co_name) in _LOOPS:
            return
        yield at
        at = at.f_back


def _module(frame: FrameType) -> str:
    return str(frame.f_globals.get("__name__", ""))


def _shown(frame: FrameType) -> str:
    code = frame.f_code
    return printable(f"{code.co_filename}:{frame.f_lineno} in {code.co_name}")
