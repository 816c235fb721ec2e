"""The contract that every store of events passes: subclass it, and give its fixture."""

from __future__ import annotations

import pytest

# So that a failure shows both sides; it must come before the imports.
pytest.register_assert_rewrite(f"{__name__}.contract")

from .contract import EventsContract, Open, Opened  # noqa: E402 - see above

__all__ = ["EventsContract", "Open", "Opened"]
