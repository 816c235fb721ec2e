"""The policy of tools: what may be called, by whom, with what, and within which limits."""

from __future__ import annotations

from .config import Config
from .engine import Engine
from .events import PolicyLoaded, PolicyRefused
from .guard import GuardedPolicy
from .hookspecs import decide_tool_call
from .model import (
    POLICY,
    SAFETY_FLAGS,
    Decision,
    Effect,
    Explanation,
    Limits,
    Policy,
    PolicyStatus,
    Rate,
    Reason,
    Reloaded,
    SafetyFlag,
    ToolCall,
)
from .plugin import ToolPolicy
from .reading import PolicyError, read_policy

__all__ = [
    "POLICY", "SAFETY_FLAGS", "Config", "Decision", "Effect", "Engine", "Explanation", "GuardedPolicy", "Limits",
    "Policy", "PolicyError", "PolicyLoaded", "PolicyRefused", "PolicyStatus", "Rate", "Reason", "Reloaded",
    "SafetyFlag", "ToolCall", "ToolPolicy", "decide_tool_call", "read_policy",
]  # fmt: skip
