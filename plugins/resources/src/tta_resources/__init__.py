"""What there is of memory, processors and disk, under the limits that hold for this process."""

from __future__ import annotations

from .model import RESOURCES, Disk, Memory, Own, Processors, Resources, Sample, Stall
from .plugin import Config, ResourcesPlugin

__all__ = [
    "RESOURCES", "Config", "Disk", "Memory", "Own", "Processors", "Resources", "ResourcesPlugin", "Sample", "Stall",
]  # fmt: skip
