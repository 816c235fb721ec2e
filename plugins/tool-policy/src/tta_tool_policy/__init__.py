"""The policy of tools: what may be called, by whom, with what, and within which limits."""

from __future__ import annotations

from .guard import GuardedPolicy
from .hookspecs import decide_tool_call
from .model import (
    POLICY,
    SAFETY_FLAGS,
    Decision,
    Effect,
    Limits,
    Policy,
    PolicyStatus,
    Rate,
    Reloaded,
    SafetyFlag,
    ToolCall,
)
from .plugin import Config, ToolPolicy

__all__ = [
    "POLICY", "SAFETY_FLAGS", "Config", "Decision", "Effect", "GuardedPolicy", "Limits", "Policy", "PolicyStatus",
    "Rate", "Reloaded", "SafetyFlag", "ToolCall", "ToolPolicy", "decide_tool_call",
]  # fmt: skip
