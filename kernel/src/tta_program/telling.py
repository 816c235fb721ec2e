"""A command that changes something is told to whoever keeps a record of such, however it ends."""

from __future__ import annotations

import argparse
from typing import Any

import anyio

from tta_kernel import Kernel

from .commands import Command
from .exits import DONE, WANTING
from .hookspecs import CommandRan, command_ran
from .output import fail, unquoted

_LIMIT = 5.0
"""Seconds that a record may take where the command itself was cut short."""


async def told(kernel: Kernel, command: Command, options: argparse.Namespace) -> int:
    """Run a command, tell that it has run if it changes something, and return its exit code.

    It is 1 where what it did could not be recorded: it is done all the same, and a person should know both.
    """
    if not command.mutates:
        return int(await command.run(kernel, options))
    target = _target(command, options)
    try:
        code = int(await command.run(kernel, options))
    except BaseException:
        # Also of an interrupt: something may have been changed by then.
        with anyio.move_on_after(_LIMIT, shield=True):
            await _tell(kernel, CommandRan(command.name, target, "failed"))
        raise
    recorded = await _tell(kernel, CommandRan(command.name, target, "done" if code == DONE else "wanting"))
    return code if recorded else code or WANTING


def _target(command: Command, options: argparse.Namespace) -> str:
    value: Any = getattr(options, command.target) if command.target else ""
    return ",".join(map(str, value)) if isinstance(value, list | tuple) else str(value or "")


async def _tell(kernel: Kernel, ran: CommandRan) -> bool:
    """Tell everybody; say on standard error who could not take it down."""
    whole = True
    for name, answer in (await kernel.ask(command_ran, ran)).items():
        if isinstance(answer, Exception):
            fail(ran.name, f"this is not recorded: {name} {unquoted(answer)}")
            whole = False
    return whole
