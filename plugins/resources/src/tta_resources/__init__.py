"""What there is of memory, processors and disk, under the limits that hold for this process."""

from __future__ import annotations

from .events import ResourceExhausted, ResourceRecovered, ResourceWarned
from .model import RESOURCES, Disk, Level, Memory, Own, Processors, Resources, Sample, Stall, Standing
from .plugin import Config, ResourcesPlugin
from .thresholds import Thresholds

__all__ = [
    "RESOURCES", "Config", "Disk", "Level", "Memory", "Own", "Processors", "ResourceExhausted", "ResourceRecovered",
    "ResourceWarned", "Resources", "ResourcesPlugin", "Sample", "Stall", "Standing", "Thresholds",
]  # fmt: skip
