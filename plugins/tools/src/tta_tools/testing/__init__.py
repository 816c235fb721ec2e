"""What tests of tools are made of: the contract of a store, a deployment, and a policy that a test says."""

from __future__ import annotations

from .deployment import FakePolicy, allow, deployment
from .store import Passing, ToolStoreContract, approval, claim, spec

__all__ = ["FakePolicy", "Passing", "ToolStoreContract", "allow", "approval", "claim", "deployment", "spec"]
