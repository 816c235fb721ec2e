"""The contract that every implementation of `Messages` passes, and a machine that compares it with the reference."""

from __future__ import annotations

import pytest

# So that a failure shows both sides; it must come before the imports.
pytest.register_assert_rewrite(
    *(
        f"{__name__}.{name}"
        for name in ("admin", "asking", "common", "leasing", "machine", "receiving", "sending", "sharing")
    )
)

from .common import TYPES, Note, Open, Other, note, settings  # noqa: E402 - see above
from .contract import MessagesContract, SingleProcessMessagesContract  # noqa: E402 - see above
from .machine import MessagesMachine  # noqa: E402 - see above

__all__ = [
    "TYPES", "MessagesContract", "MessagesMachine", "Note", "Open", "Other", "SingleProcessMessagesContract", "note",
    "settings",
]  # fmt: skip
