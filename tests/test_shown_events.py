"""Each event of the tree declares only fields that it has as shown, and the ring tells them."""

from __future__ import annotations

from importlib.metadata import entry_points
from typing import Any

from tta_events.shown import layout_of
from tta_kernel import Event, Kernel, KernelSettings, PluginStateChanged
from tta_kernel.hookspecs import event_types


def published() -> set[type[Event]]:
    """Return the types of events that installed plugins say they publish."""
    plugins: dict[str, Any] = {
        entry.name: entry.load()
        for entry in entry_points(group="tta.plugins")
        if entry.dist is not None and entry.dist.name.startswith("tta-")
    }
    vocabularies = {name: cls for name, cls in plugins.items() if hasattr(cls, "event_types")}
    found: set[type[Event]] = {PluginStateChanged}
    for name, cls in vocabularies.items():
        kernel = Kernel(KernelSettings(), plugins={name: cls}, services=dict.fromkeys(cls.requires, object()))
        [types] = kernel.hooks.collect(event_types).values()
        assert not isinstance(types, Exception)
        found |= {*types}
    return found


def test_what_is_shown_of_an_event_is_there() -> None:
    types = published()
    assert len(types) > 15
    wrong = {
        kind.__name__: missing
        for kind in types
        if (missing := {*getattr(kind, "__shown__", ())} - {*kind.__struct_fields__})
    }
    assert wrong == {}


def test_each_event_can_be_kept() -> None:
    for kind in published():
        layout = layout_of(kind)
        assert layout is layout_of(kind)
