"""Tells what happens in a world, in words that are kind, various and true to it."""

from .narrate import Narration, narrate, remembered

__all__ = ["Narration", "narrate", "remembered"]
