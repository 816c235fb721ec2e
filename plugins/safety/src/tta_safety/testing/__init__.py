"""The contracts of stores of reviews, and of sources of rules."""

from __future__ import annotations

import pytest

# So that a failure shows both sides; it must come before the imports.
pytest.register_assert_rewrite(f"{__name__}.reviews", f"{__name__}.rules")

from .reviews import Passing, ReviewsContract, review  # noqa: E402 - see above
from .rules import MemoryRuleSource, RuleSourceContract  # noqa: E402

__all__ = ["MemoryRuleSource", "Passing", "ReviewsContract", "RuleSourceContract", "review"]
