"""Tells what happens in a world, in words that are kind, various and true to it."""

from .narrate import Narration, narrate, remembered
from .plugin import SPEC, Config, In, NarrativeGenerator, Out
from .summarising import StorySummariser, SummariserConfig

__all__ = [
    "SPEC",
    "Config",
    "In",
    "Narration",
    "NarrativeGenerator",
    "Out",
    "StorySummariser",
    "SummariserConfig",
    "narrate",
    "remembered",
]
