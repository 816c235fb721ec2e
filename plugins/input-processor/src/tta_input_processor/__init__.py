"""Reads what a player wrote, and says what they mean: commands, feelings, questions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .plugin import SPEC, Config, In, InputProcessor, Out

if TYPE_CHECKING:
    from .parser import parse

__all__ = ["SPEC", "Config", "In", "InputProcessor", "Out", "parse"]


def __getattr__(name: str) -> Any:
    # Importing the plugin must not read the lexicon.
    if name == "parse":
        from .parser import parse

        return parse
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
