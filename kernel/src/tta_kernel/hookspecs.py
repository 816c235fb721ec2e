"""The kernel's own hooks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import msgspec

from .errors import Problem
from .events import Event
from .hooks import Hooks, hookspec


class Health(msgspec.Struct, frozen=True):
    """How a running plugin is: ``since`` is in seconds since the epoch."""

    status: Literal["ok", "degraded", "failing"] = "ok"
    detail: str = ""
    since: float | None = None


@hookspec(timeout=2.0, together=True)
async def health() -> Health:
    """Say how the plugin is, by looking: reach what it depends on."""
    raise AssertionError("a specification is never called")


@hookspec(timeout=2.0, together=True)
async def snapshot() -> Mapping[str, Any]:
    """Return a picture of the plugin's inside for operators: builtins only, no person's text."""
    raise AssertionError("a specification is never called")


@hookspec()
def event_types() -> Sequence[type[Event]]:
    """List the types of the events that the plugin publishes."""
    raise AssertionError("a specification is never called")


@hookspec()
def check(hooks: Hooks) -> Sequence[Problem]:
    """Object to the deployment; may read files and collect plain hooks, and opens no socket.

    An implementation may leave out ``hooks``.
    """
    raise AssertionError("a specification is never called")
