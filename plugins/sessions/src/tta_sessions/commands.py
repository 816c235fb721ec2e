"""The commands of sessions; ``tta forget`` erases what a deployment keeps of a person, and says who erased what."""

from __future__ import annotations

import argparse
from collections.abc import Mapping

import msgspec

from tta_kernel import Kernel
from tta_program import DONE, WANTING, Subcommands, as_json, fail, table

from . import profile_command
from .hookspecs import forget
from .model import is_text

_IN_MEMORY = "it keeps everything in memory, and this process has nothing of it: only the running one can forget"

_AGAIN = "what is in the table is erased; mend the rest, and run it again: what is erased stays so"


class Forgotten(msgspec.Struct, frozen=True):
    """What was ``erased``, in things by plugin, and why others could not (``failed``)."""

    erased: Mapping[str, int]
    failed: Mapping[str, str]


def add(subcommands: Subcommands) -> None:
    """Add the command."""
    parser = subcommands.add(
        "forget", _forget, help="erase what is kept of a person, in every store, and say what that was",
        # No target: what is recorded of it must not name who was forgotten.
        asks=(forget,), mutates=True,
    )  # fmt: skip
    parser.add_argument("user", type=_user, help="the person, as `tta play --user` names them")
    parser.add_argument("--json", action="store_true", help="print JSON")
    profile_command.add(subcommands)


def _user(text: str) -> str:
    if not text or not is_text(text):
        raise argparse.ArgumentTypeError("name a person, in UTF-8")
    return text


async def _forget(kernel: Kernel, options: argparse.Namespace) -> int:
    found = _sorted_out(kernel, await kernel.ask(forget, options.user))
    if options.json:
        print(as_json(found, indent=0))
    elif found.erased:
        table([("plugin", "erased"), *((name, str(count)) for name, count in found.erased.items())])
    if not (found.erased or found.failed):
        return fail("forget", "no enabled plugin keeps anything of a person")
    if not options.json:
        for name, why in found.failed.items():
            fail("forget", f"{name}: {why}")
        if found.failed and found.erased:
            fail("forget", _AGAIN)
    return WANTING if found.failed else DONE


def _sorted_out(kernel: Kernel, answers: Mapping[str, object]) -> Forgotten:
    """Part what was erased from what was not; whoever answers nonsense has erased nothing that we know of."""
    erased: dict[str, int] = {}
    failed: dict[str, str] = {}
    for name, answer in sorted(answers.items()):
        if isinstance(answer, Exception):
            failed[name] = f"{type(answer).__name__}: {answer}"
        elif kernel.records[name].cls.fallback:
            # A fallback's store begins empty with this process: that it found nothing says nothing.
            failed[name] = _IN_MEMORY
        elif not isinstance(answer, int) or answer < 0:
            failed[name] = f"it answered {answer}, and not how many things it erased"
        else:
            erased[name] = answer
    return Forgotten(erased, failed)
