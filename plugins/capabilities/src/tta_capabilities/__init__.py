"""Capabilities: find agents by what they can do."""

from __future__ import annotations

from .config import Config
from .matching import (
    CAPABILITIES,
    EMBEDDER,
    Capabilities,
    CapabilitySet,
    Discovered,
    DiscoveryRequest,
    DiscoveryResult,
    Embedder,
    MatchCriteria,
    MatchResult,
    Strategy,
)  # fmt: skip
from .plugin import CapabilitiesPlugin

__all__ = [
    "CAPABILITIES", "EMBEDDER", "Capabilities", "CapabilitiesPlugin", "CapabilitySet", "Config", "Discovered",
    "DiscoveryRequest", "DiscoveryResult", "Embedder", "MatchCriteria", "MatchResult", "Strategy",
]  # fmt: skip
