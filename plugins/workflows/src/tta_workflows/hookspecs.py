"""The hooks with which plugins define workflows, say which they run, and judge outputs and runs."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from tta_kernel import hookspec

from .checks import Finding
from .definition import Workflow, WorkflowUse
from .journal import RunSummary
from .strategies import Strategy


@hookspec()
def workflow_definitions() -> Mapping[str, Workflow]:
    """Define workflows, by name, that come with the plugin; a file or the config of a deployment may replace one.

    Two plugins can't define the same name. Mark the implementation `@hookimpl(optionalhook=True)`.
    """
    raise AssertionError("a specification is never called")


@hookspec()
def workflow_uses() -> Sequence[WorkflowUse]:
    """Declare the workflows that the plugin runs, so that they can be checked before a start.

    Mark the implementation `@hookimpl(optionalhook=True)`: ``WORKFLOWS`` may be provided by a
    plugin that checks nothing.
    """
    raise AssertionError("a specification is never called")


@hookspec()
def workflow_strategies() -> Mapping[str, Strategy]:
    """Add strategies, by the names that a definition's ``execution.strategy`` may have.

    Each is a function of a `Waiting` call and of what time it is; of two calls the one with the smaller key goes first.
    It is asked on the way of every call that waits, so it does no I/O. Two plugins can't add the same name, and none
    can take that of a strategy that is there. Mark the implementation `@hookimpl(optionalhook=True)`.
    """
    raise AssertionError("a specification is never called")


@hookspec()
def workflow_pools() -> Collection[str]:
    """Name the pools that a definition's ``execution.pool`` may have: for engines that have any."""
    raise AssertionError("a specification is never called")


@hookspec()
def check_output(workflow: str, step: str, output: Mapping[str, Any]) -> Sequence[str]:
    """Object to the output of a step, given by its path (``tell#2/story``); each objection is one line.

    It is asked of whatever a step's agent answers, before that is stored, so it does no I/O. With an objection the
    attempt has failed, with the code ``bad_output``, as it has where the hook raises. Never quote the output: what is
    said of it is kept and shown.
    """
    raise AssertionError("a specification is never called")


@hookspec(timeout=60.0)
async def reconcile_runs(runs: Sequence[RunSummary]) -> Sequence[Finding]:
    """Say of unfinished runs which have nothing any more that they were begun for, such as a turn of a session.

    Asked by ``tta runs reconcile``, some hundred runs at a time. Whoever knows nothing of a run says nothing of it; and
    nothing of one that has just begun, since what it belongs to may be written a moment later.
    """
    raise AssertionError("a specification is never called")
