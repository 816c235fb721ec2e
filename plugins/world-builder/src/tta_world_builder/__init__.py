"""Keeps the world of a story: what there is, what may be done with it, and what comes of it."""

from .create import new_world
from .engine import apply
from .plugin import SPEC, Config, In, Out, WorldBuilder
from .story import StoryError, load, shipped

__all__ = [
    "SPEC",
    "Config",
    "In",
    "Out",
    "StoryError",
    "WorldBuilder",
    "apply",
    "load",
    "new_world",
    "shipped",
]
