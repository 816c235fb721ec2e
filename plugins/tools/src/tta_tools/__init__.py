"""Tools: what agents and models act through, declared, registered, and called under a policy."""

from __future__ import annotations

from .declaring import OnProgress, Reporter, Tool, tool
from .events import ToolApprovalAsked, ToolApprovalDecided, ToolCalled, ToolDeprecated, ToolRegistered
from .figures import BOUNDS, Figures
from .memory import MemoryToolStore, place
from .model import (
    Approval,
    ApprovalStatus,
    Progress,
    Reference,
    Status,
    ToolError,
    ToolExample,
    ToolParameter,
    ToolResult,
    ToolSpec,
    is_name,
    split_id,
)
from .plugin import MemoryConfig, ToolsMemory, ToolsPlugin
from .service import TOOLS, DryRun, Tools
from .settings import Config
from .store import (
    TOOL_STORE,
    ApprovalPage,
    Build,
    Changes,
    Claim,
    Cleaned,
    NoSuchApproval,
    Registered,
    ToolPage,
    ToolStore,
    ToolStoreError,
    guard,
)

__all__ = [
    "BOUNDS", "TOOLS", "TOOL_STORE", "Approval", "ApprovalPage", "ApprovalStatus", "Build", "Changes", "Claim",
    "Cleaned", "Config", "DryRun", "Figures", "MemoryConfig", "MemoryToolStore", "NoSuchApproval", "OnProgress",
    "Progress", "Reference", "Registered", "Reporter", "Status", "Tool", "ToolApprovalAsked", "ToolApprovalDecided",
    "ToolCalled", "ToolDeprecated", "ToolError", "ToolExample", "ToolPage", "ToolParameter", "ToolRegistered",
    "ToolResult", "ToolSpec", "ToolStore", "ToolStoreError", "Tools", "ToolsMemory", "ToolsPlugin", "guard", "is_name",
    "place", "split_id", "tool",
]  # fmt: skip
