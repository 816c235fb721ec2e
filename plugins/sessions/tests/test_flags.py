"""What is no flag is refused, and what is damaged is read as its careful default."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from tta_sessions import Consent, Flags, Session, flags_of
from tta_sessions.flags import set_flags
from tta_sessions.memory import MemorySessions


@pytest.mark.parametrize(
    ("stored", "read"),
    [
        (None, Flags()),
        ("paused", Flags()),
        ({"paused": "yes", "country": "GB"}, Flags(country="GB")),
        ({"consent": {"contact": 1}, "age_band": "old"}, Flags()),
        ({"consent": {"contact": True}, "newer": 1}, Flags(consent=Consent(contact=True))),
    ],
)
def test_damaged_flags_are_read_as_their_defaults(stored: Any, read: Flags) -> None:
    assert flags_of(Session("a", context={"flags": stored})) == read


@pytest.mark.parametrize(
    ("changes", "error"),
    [({"pause": True}, ValueError), ({"paused": "yes"}, msgspec.ValidationError), ({"country": "UK!"}, ValueError)],
)
async def test_what_is_no_flag_is_refused_before_anything_is_stored(
    changes: dict[str, Any], error: type[Exception]
) -> None:
    sessions = MemorySessions(lambda: 0.0, ttl=60, limit=10)
    with pytest.raises(error):
        await set_flags(sessions, "a", "u", **changes)
    assert await sessions.get("a") is None
