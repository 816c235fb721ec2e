"""The program ``tta`` around the kernel: config from files, commands, signals, logs, and a thread of its own."""

from __future__ import annotations

from .blocking import BlockingKernel
from .commands import Subcommands
from .config import LayeredSettings, load
from .exits import DONE, USAGE, WANTING
from .hookspecs import register_commands
from .output import fail, table

__all__ = [
    "DONE", "USAGE", "WANTING", "BlockingKernel", "LayeredSettings", "Subcommands", "fail", "load",
    "register_commands", "table",
]  # fmt: skip
