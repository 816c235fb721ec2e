"""The rules that the package brings."""

from __future__ import annotations

from functools import cache
from importlib.resources import files

from tta_safety.layers import Layer, read_layer


@cache
def built_in() -> tuple[Layer, ...]:
    """Return the built-in layers, those of words first, since the others name them."""
    folder = files(__package__).joinpath("rules")
    names = sorted(it.name for it in folder.iterdir() if it.name.endswith(".yaml"))
    return tuple(read_layer(folder.joinpath(name).read_text(encoding="utf-8"), f"built in: {name}") for name in names)
