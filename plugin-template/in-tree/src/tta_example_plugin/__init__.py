"""Say here what whoever imports it gets."""

from __future__ import annotations

from .plugin import Config, ExamplePlugin

__all__ = ["Config", "ExamplePlugin"]
