"""The hook with which a plugin declares its routes."""

from __future__ import annotations

from collections.abc import Sequence

from tta_kernel import hookspec

from .routes import Route


@hookspec()
def routes() -> Sequence[Route]:
    """Declare what the plugin lets people and programs ask for over HTTP.

    It is asked before anything runs, too: a handler is a method of the plugin, and finds what it needs when it is
    called. While the plugin doesn't run its routes answer 503.
    """
    raise AssertionError("a specification is never called")
