"""The program's own hooks; plugins mark them ``optionalhook=True``, since a kernel may run without the program."""

from __future__ import annotations

from typing import Literal

import msgspec

from tta_kernel import hookspec

from .commands import Subcommands


@hookspec()
def register_commands(subcommands: Subcommands) -> None:
    """Add subcommands to ``tta``."""


class CommandRan(msgspec.Struct, frozen=True):
    """A command that changes something has run: its ``name``, such as ``runs cancel``, and what it acted upon.

    A reload that SIGHUP has asked for is told likewise, as ``config reload``. ``outcome``: it is ``done``, or was
    found ``wanting`` and says so with its exit code, or has ``failed``.
    """

    name: str
    target: str
    outcome: Literal["done", "wanting", "failed"]


@hookspec()
async def command_ran(ran: CommandRan) -> None:
    """Keep a record of a command that changes something, or raise: then whoever waits for the command is told.

    Whoever implements this is started for such a command, whatever else that needs.
    """
