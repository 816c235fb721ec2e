"""The hook with which a plugin says which workflows it runs."""

from __future__ import annotations

from collections.abc import Sequence

from tta_kernel import hookspec

from .model import WorkflowUse


@hookspec()
def workflow_uses() -> Sequence[WorkflowUse]:
    """Declare the workflows that the plugin runs, so that they can be checked before a start.

    Mark the implementation `@hookimpl(optionalhook=True)`: ``WORKFLOWS`` may be provided by a
    plugin that checks nothing.
    """
    raise AssertionError("a specification is never called")
