"""Reads what a player wrote, and says what they mean: commands, feelings, questions."""

from .parser import parse

__all__ = ["parse"]
