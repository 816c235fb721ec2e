"""What language models may cost, on Redis: all processes spend from the same budgets, which outlive them."""

from __future__ import annotations

from .plugin import Config, LlmRedis
from .store import RedisBudgets

__all__ = ["Config", "LlmRedis", "RedisBudgets"]
