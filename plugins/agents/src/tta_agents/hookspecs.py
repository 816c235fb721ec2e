"""The hook with which a plugin declares its agents."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tta_kernel import Hooks, hookspec

from .model import AgentSpec, Unknown


@hookspec()
def agents() -> Sequence[AgentSpec]:
    """Declare the agents that the plugin serves, so that definitions can be checked before a start."""
    raise AssertionError("a specification is never called")


def declared(hooks: Hooks) -> Mapping[str, AgentSpec]:
    """Return what is declared, by type; who serves an agent knows it better than config that it is somewhere else."""
    found: dict[str, AgentSpec] = {}
    for specs in hooks.collect(agents).values():
        for spec in () if isinstance(specs, Exception) else specs:
            if spec.type not in found or found[spec.type].input is Unknown:
                found[spec.type] = spec
    return found
