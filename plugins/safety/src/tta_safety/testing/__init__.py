"""The contract of stores of reviews."""

from __future__ import annotations

import pytest

# So that a failure shows both sides; it must come before the imports.
pytest.register_assert_rewrite(f"{__name__}.reviews")

from .reviews import Passing, ReviewsContract, review  # noqa: E402 - see above

__all__ = ["Passing", "ReviewsContract", "review"]
