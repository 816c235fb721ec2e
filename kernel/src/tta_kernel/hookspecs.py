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
    raise NotImplementedError


@hookspec(timeout=2.0, together=True)
async def snapshot() -> Mapping[str, Any]:
    """Return a picture of the plugin's inside for operators: builtins only, no person's text.

    Under the names of its `figures` stand numbers; all other keys are the plugin's own.
    """
    raise NotImplementedError


class Figure(msgspec.Struct, frozen=True):
    """A number that a plugin gives in its `snapshot`, under this name.

    The name is ``owner.what``, the owner being the plugin, or the part of its name before a hyphen: what
    takes another's place gives the same figures. A ``counter`` only grows for as long as the plugin
    runs; a ``gauge`` goes up and down. ``unit`` is such as ``seconds`` or ``bytes``, and empty for what is
    simply counted. With a ``label`` there is one number for each of its values.
    """

    name: str
    help: str
    kind: Literal["counter", "gauge"] = "gauge"
    unit: str = ""
    label: str = ""


@hookspec()
def figures() -> Sequence[Figure]:
    """Declare the numbers in the plugin's `snapshot`, so that something else can collect them.

    For each the snapshot holds, under its name, a finite number, or where it has a label a mapping from
    the label's values to numbers. What can't be known just now is left out, and never made up.
    """
    raise NotImplementedError


@hookspec()
def event_types() -> Sequence[type[Event]]:
    """List the types of the events that the plugin publishes."""
    raise NotImplementedError


@hookspec()
def check(hooks: Hooks) -> Sequence[Problem]:
    """Object to the deployment; may read files and collect plain hooks, and opens no socket.

    An implementation may leave out ``hooks``.
    """
    raise NotImplementedError
