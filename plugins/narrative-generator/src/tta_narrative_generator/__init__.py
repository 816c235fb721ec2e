"""Tells what happens in a world, in words that are kind, various and true to it."""

from .narrate import Narration, narrate, remembered
from .plugin import SPEC, Config, In, NarrativeGenerator, Out

__all__ = [
    "SPEC",
    "Config",
    "In",
    "Narration",
    "NarrativeGenerator",
    "Out",
    "narrate",
    "remembered",
]
