"""The hooks with which a plugin declares its agents, and for how long it counts on their replies."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tta_kernel import Hooks, hookspec

from .model import AgentSpec, Unknown


@hookspec()
def agents() -> Sequence[AgentSpec]:
    """Declare the agents that the plugin serves, so that definitions can be checked before a start."""
    raise AssertionError("a specification is never called")


@hookspec()
def counts_on_replies() -> float:
    """Say for how many seconds after a call the plugin may make it again, and counts on the reply that was kept.

    `tta check` objects where ``reply_window`` is shorter: then an agent would do again what it has done.
    """
    raise AssertionError("a specification is never called")


def declared(hooks: Hooks) -> Mapping[str, AgentSpec]:
    """Return what is declared, by type; who serves an agent knows it better than config that it is somewhere else."""
    found: dict[str, AgentSpec] = {}
    for specs in hooks.collect(agents).values():
        for spec in () if isinstance(specs, Exception) else specs:
            if spec.type not in found or found[spec.type].input is Unknown:
                found[spec.type] = spec
    return found
