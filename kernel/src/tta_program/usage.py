"""How `tta` shows what may be written, be the texts a plugin's: as they are, and never a traceback of argparse's."""

from __future__ import annotations

import argparse
import re
from copy import copy
from typing import Any

from .output import printable_lines


class Parser(argparse.ArgumentParser):
    """A parser that shows each help text, also one with a percent sign that argparse would take for a format."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **{"formatter_class": _Formatter, **kwargs})

    def _print_message(self, message: str, file: Any = None) -> None:
        # What it quotes may come from anywhere.
        super()._print_message(printable_lines(message) if message else message, file)


class _Formatter(argparse.HelpFormatter):
    """Fills in `%(default)s` and the like; any other percent sign is one that the text has."""

    def _expand_help(self, action: argparse.Action) -> str:
        filled = copy(action)
        filled.help = _escaped(action.help or "")
        try:
            return super()._expand_help(filled)
        except (ValueError, TypeError, KeyError):
            return action.help or ""

    def _format_text(self, text: str) -> str:
        return super()._format_text(_escaped(text) if "%(prog)" in text else text)


def _escaped(text: str) -> str:
    return re.sub(r"%%|%\(\w+\)[a-z]|%", lambda found: found[0] if len(found[0]) > 1 else "%%", text)
