"""The layers of settings: what each of them says, and to which folder its paths are relative."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from msgspec import Struct, field

BAD: Any = object()
"""What stands in place of a value that is not there, or not good."""


class Text(str):
    """What an environment variable says: YAML, unless the field turns out to be a string or a path."""

    __slots__ = ()


class TextMapping(dict[Any, Any]):
    """What a variable says as a flow mapping (``{a: 1}``), unless the field turns out to be a string."""

    def __init__(self, text: str, said: Mapping[Any, Any]) -> None:
        super().__init__(said)
        self.text = text


class Layer(NamedTuple):
    """A file, a variable or the overrides, and what it says; paths in it are relative to ``folder``."""

    name: str
    tree: Any
    folder: Path = Path()


class Source(Struct, frozen=True):
    """Where settings came from; the uppermost of the ``layers`` is the last."""

    environment: str = ""
    folder: Path | None = None
    environ: Mapping[str, str] = field(default_factory=lambda: os.environ)
    overrides: Mapping[str, Any] | None = None
    layers: Sequence[Layer] = ()
    secrets: set[str] = field(default_factory=set)
    """What no log may show, as far as it has been read."""

    def layer(self, key: str, *, exact: bool = False) -> str:
        """Name the uppermost layer that says something of ``key``, else of the section that it lies in."""
        found = self._layer(key, exact=exact)
        return found.name if found else ""

    def absolute(self, path: str | Path, key: str) -> Path:
        """Return the absolute path that is meant by what is written under ``key``; raise a ValueError if none."""
        layer = self._layer(key)
        return _absolute(layer.folder if layer else Path(), path)

    def absolute_default(self, path: Path) -> Path:
        """Return the absolute path that a default means; raise a ValueError if none."""
        return _absolute(self.folder or Path(), path)

    def _layer(self, key: str, *, exact: bool = False) -> Layer | None:
        while key:
            for layer in self.layers[::-1]:
                if _says(layer.tree, key):
                    return layer
            key = "" if exact else key.rpartition(".")[0]
        return None

    def __repr__(self) -> str:  # without the environment, which holds secrets
        return f"Source({self.environment!r}, {self.folder!r})"

    def __str__(self) -> str:
        return f"{self.folder or 'no folder'}, environment {self.environment!r}"


def _says(tree: Any, key: str) -> bool:
    """Whether a tree says something of a dotted key; a part of it may hold a dot itself."""
    if not isinstance(tree, Mapping):
        return False
    for name, value in tree.items():
        if key == str(name):
            return True
        if key.startswith(f"{name}.") and _says(value, key.removeprefix(f"{name}.")):
            return True
    return False


def _absolute(folder: Path, path: str | Path) -> Path:
    if "\0" in str(path):
        raise ValueError("holds a NUL, which no path may")
    try:
        whole = folder / Path(path).expanduser()
    except RuntimeError:
        raise ValueError("begins with a home folder that is not there") from None
    # Not resolved: what a link points to may change, and "a/../b" need not be "b".
    return whole.absolute()
