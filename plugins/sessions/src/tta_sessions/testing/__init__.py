"""The contracts that every store of sessions passes: subclass one, and give its fixtures."""

from __future__ import annotations

import pytest

# So that a failure shows both sides; it must come before the imports.
pytest.register_assert_rewrite(
    *(f"{__name__}.{name}" for name in ("admissions", "context", "contract", "flags", "room", "sharing"))
)

from .contract import Ending, SingleProcessSessionsContract  # noqa: E402 - see above
from .room import RoomContract  # noqa: E402 - see above
from .sharing import SessionsContract  # noqa: E402 - see above

__all__ = ["Ending", "RoomContract", "SessionsContract", "SingleProcessSessionsContract"]
