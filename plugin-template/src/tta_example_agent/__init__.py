"""Adds one kind sentence to a text."""

from __future__ import annotations

from .plugin import SPEC, Config, ExampleAgent, In, Out

__all__ = ["SPEC", "Config", "ExampleAgent", "In", "Out"]
