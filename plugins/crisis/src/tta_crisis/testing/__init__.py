"""The contract of stores of interventions, and what tests of crises need."""

from __future__ import annotations

import pytest

# So that a failure shows both sides; it must come before the imports.
pytest.register_assert_rewrite(f"{__name__}.store")

from .deployment import deployment, disclosure, finding, until  # noqa: E402 - see above
from .store import CrisisStoreContract, Passing, intervention, packet_of  # noqa: E402 - see above

__all__ = [
    "CrisisStoreContract", "Passing", "deployment", "disclosure", "finding", "intervention", "packet_of", "until",
]  # fmt: skip
