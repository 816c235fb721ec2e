"""The hook that reaches whatever is kept of a person."""

from __future__ import annotations

from tta_kernel import hookspec


@hookspec(timeout=10.0)
async def forget(user: str) -> int:
    """Delete all that the plugin keeps of a person, and return how many things that were."""
    raise AssertionError("a specification is never called")
