"""The hook with which a plugin declares its agents."""

from __future__ import annotations

from collections.abc import Sequence

from tta_kernel import hookspec

from .model import AgentSpec


@hookspec()
def agents() -> Sequence[AgentSpec]:
    """Declare the agents that the plugin serves, so that definitions can be checked before a start."""
    raise AssertionError("a specification is never called")
