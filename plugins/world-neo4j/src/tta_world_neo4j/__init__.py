"""Worlds in Neo4j: they outlive their process, which others share, and are a graph there, too."""

from __future__ import annotations

from .config import Config, Tls
from .plugin import WorldNeo4j

__all__ = ["Config", "Tls", "WorldNeo4j"]
