"""Play the story in a terminal, or from a pipe."""

from __future__ import annotations

import argparse

from tta_kernel import Kernel, NoConfig, Plugin, hookimpl
from tta_orchestration import ORCHESTRATION, SEEDS
from tta_orchestration.rendering import LEAST
from tta_program import USAGE, Subcommands, fail
from tta_sessions import is_text

__all__ = ["Play"]


async def _run(kernel: Kernel, options: argparse.Namespace) -> int:
    if options.world and not options.json:
        fail("play", "--world belongs to --json; in a game, write :world")
        return USAGE
    from .terminal import run  # Its libraries are slow to import.

    return await run(kernel, options)


def _name(text: str) -> str:
    if not is_text(text):
        raise argparse.ArgumentTypeError("a name is text in UTF-8")
    return text


def _seed(text: str) -> int:
    try:
        seed = int(text)
    except ValueError:
        raise argparse.ArgumentTypeError("a seed is a whole number of at most 64 bits") from None
    if seed not in SEEDS:
        raise argparse.ArgumentTypeError("a seed has at most 64 bits")
    return seed


def _most(text: str) -> int:
    if not text.isdecimal() or not LEAST <= int(text) <= 1_000_000:
        raise argparse.ArgumentTypeError(f"a story has a whole number of characters, {LEAST} or more")
    return int(text)


class Play(Plugin[NoConfig]):
    """The command ``tta play``."""

    requires = (ORCHESTRATION,)
    surface = True

    @hookimpl(optionalhook=True)
    def register_commands(self, subcommands: Subcommands) -> None:
        parser = subcommands.add("play", _run, help="play the story", whole=True)
        parser.add_argument("text", nargs="*", help="play this one turn and leave")
        parser.add_argument("--session", type=_name, default="", metavar="NAME", help="the story to go on with")
        parser.add_argument(
            "--user", type=_name, default="", metavar="NAME", help="who plays: `tta forget NAME` erases what they said"
        )
        parser.add_argument("--seed", type=_seed, metavar="N", help="make a new story repeatable")
        parser.add_argument("--json", action="store_true", help="print one JSON object a line, without the world")
        parser.add_argument("--world", action="store_true", help="with --json: with the world and the history")
        parser.add_argument(
            "--format", choices=("plain", "markdown"), default="plain", help="tell it as text, or as Markdown to show"
        )
        parser.add_argument("--most", type=_most, default=0, metavar="N", help="end a story after so many characters")
        parser.add_argument("--trace", action="store_true", help="show each step, its agent and its time")
