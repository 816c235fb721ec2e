"""The contracts that every store of worlds passes: subclass one, and give its fixtures."""

from __future__ import annotations

import pytest

# So that a failure shows both sides; it must come before the imports.
pytest.register_assert_rewrite(*(f"{__name__}.{name}" for name in ("contract", "shared", "sample")))

from .contract import Passing, WorldContract  # noqa: E402 - see above
from .sample import some_world  # noqa: E402 - see above
from .shared import SharedWorldContract  # noqa: E402 - see above

__all__ = ["Passing", "SharedWorldContract", "WorldContract", "some_world"]
