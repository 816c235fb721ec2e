"""A handful of tools: dice, dates, arithmetic, figures of a text, a bounded fetch and a bounded read."""

from __future__ import annotations

from .addresses import is_allowed
from .arithmetic import add, evaluate
from .dates import Moment, Span, between, convert, now
from .dice import Chance, Pick, Roll, chance, pick, roll
from .fetch import fetch_tool
from .files import FilesConfig, FileText, read_tool
from .plugin import STATIC, Config, ToolsBasic
from .texts import TextStatistics, statistics
from .web import FetchConfig, Page

__all__ = [
    "STATIC", "Chance", "Config", "FetchConfig", "FileText", "FilesConfig", "Moment", "Page", "Pick", "Roll", "Span",
    "TextStatistics", "ToolsBasic", "add", "between", "chance", "convert", "evaluate", "fetch_tool", "is_allowed",
    "now", "pick", "read_tool", "roll", "statistics",
]  # fmt: skip
