"""Keeps the world of a story: what there is, what may be done with it, and what comes of it."""

from .create import new_world
from .story import StoryError, load, shipped
from .turns import apply

__all__ = ["StoryError", "apply", "load", "new_world", "shipped"]
