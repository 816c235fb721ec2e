"""The contracts that every implementation passes: subclass one, and give its fixture."""

from __future__ import annotations

from .calls import AgentsContract
from .echo import Answer, Ask, Deployment, Echo
from .registry import AgentRegistryContract, RepliesContract
from .sharing import SharedAgentRegistryContract, SharedRepliesContract

__all__ = [
    "AgentRegistryContract", "AgentsContract", "Answer", "Ask", "Deployment", "Echo", "RepliesContract",
    "SharedAgentRegistryContract", "SharedRepliesContract",
]  # fmt: skip
