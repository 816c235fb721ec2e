"""What tests of tools are made of: the contract of a store, and tools to register."""

from __future__ import annotations

from .store import Passing, ToolStoreContract, approval, spec

__all__ = ["Passing", "ToolStoreContract", "approval", "spec"]
