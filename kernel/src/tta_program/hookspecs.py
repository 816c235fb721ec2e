"""The program's own hooks; plugins mark them ``optionalhook=True``, since a kernel may run without the program."""

from __future__ import annotations

from tta_kernel import hookspec

from .commands import Subcommands


@hookspec()
def register_commands(subcommands: Subcommands) -> None:
    """Add subcommands to ``tta``."""
