"""The program ``tta`` around the kernel: config from files, commands, signals, logs, and a thread of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .commands import Subcommands
from .config import LayeredSettings, load
from .exits import DONE, USAGE, WANTING
from .hookspecs import CommandRan, command_ran, register_commands
from .output import as_json, fail, moment, print_json, prose, table, unquoted
from .reader import checked
from .reloading import Reloaded, reload
from .streams import OutputLost, diverted
from .watch import LoopWatch, WiringWatch

if TYPE_CHECKING:
    from .blocking import BlockingKernel

__all__ = [
    "DONE", "USAGE", "WANTING", "BlockingKernel", "CommandRan", "LayeredSettings", "LoopWatch", "OutputLost",
    "Reloaded", "Subcommands", "WiringWatch", "as_json", "checked", "command_ran", "diverted", "fail", "load", "moment",
    "print_json", "prose", "register_commands", "reload", "table", "unquoted",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    # It needs asyncio, which no command has to wait for that runs no event loop, such as `tta check`.
    if name == "BlockingKernel":
        from .blocking import BlockingKernel

        return BlockingKernel
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
