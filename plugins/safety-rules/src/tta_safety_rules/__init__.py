"""Rules against text that harms, and a small statistical head beside them: what looks at every text of a turn."""

from __future__ import annotations

from .plugin import Config, SafetyRules

__all__ = ["Config", "SafetyRules"]
