"""The contract that every store of keys passes: subclass it, and give its fixtures."""

from __future__ import annotations

import pytest

# So that a failure shows both sides; it must come before the imports.
pytest.register_assert_rewrite(f"{__name__}.contract")

from .contract import KeysContract, SharedKeysContract, a_key  # noqa: E402 - see above

__all__ = ["KeysContract", "SharedKeysContract", "a_key"]
