"""Writes what is shipped with the built-in rules: whoever changes them runs ``python -m tta_safety_rules.ready``."""

from __future__ import annotations

from pathlib import Path

from tta_safety.layers import merged

from .builtin import built_in
from .engine import Engine, spaced
from .shipped import FILE, ship


def made() -> bytes:
    """Try the built-in rules, and return what the file is to hold; raise a `RulesError` where an example is wrong."""
    engine = Engine(merged(built_in()))
    patterns = {spaced(pattern) for rule in engine.rules.rules for pattern in rule.patterns}
    return ship(engine.rules.digest, sorted(patterns))


if __name__ == "__main__":
    Path(__file__).parent.joinpath(FILE).write_bytes(made())
