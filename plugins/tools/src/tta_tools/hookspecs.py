"""The hook with which plugins bring tools."""

from __future__ import annotations

from collections.abc import Sequence

from tta_kernel import hookspec

from .declaring import Tool


@hookspec()
def tools() -> Sequence[Tool]:
    """Bring tools, as `tool` or `Tool.of` makes them; what they connect to, they do when they are called.

    It is asked before anything runs, too, so that ``tta check`` knows them. A tool may close over its plugin: a plain
    hook answers before its plugin runs, and calls come only later.
    """
    raise AssertionError("a specification is never called")
