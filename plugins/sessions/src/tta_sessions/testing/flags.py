"""What every store of sessions promises of their flags: a change is kept, and takes nothing else away."""

from __future__ import annotations

from typing import Any

import anyio
import pytest

from tta_sessions.flags import Consent, Flags, flags_of, set_flags
from tta_sessions.model import Session, Sessions


class FlagsContract:
    """A part of the contracts of stores."""

    async def test_a_session_without_flags_has_the_careful_ones(self, sessions: Sessions) -> None:
        await sessions.commit(Session("a", "u", context={"turn": 1}))
        assert flags_of(await sessions.get("a")) == flags_of(None) == Flags()

    async def test_flags_that_were_set_are_kept_with_all_else(self, sessions: Sessions) -> None:
        await sessions.commit(Session("a", "u", context={"turn": 1}))
        await set_flags(sessions, "a", "u", consent=Consent(contact=True), country="GB")
        flags = await set_flags(sessions, "a", "u", paused=True)
        session = await sessions.get("a")
        assert session is not None
        assert flags_of(session) == flags == Flags(paused=True, consent=Consent(contact=True), country="GB")
        assert session.context["turn"] == 1

    async def test_what_is_set_already_is_not_committed_again(self, sessions: Sessions) -> None:
        await set_flags(sessions, "a", "u", paused=True)
        await set_flags(sessions, "a", "u", paused=True)
        session = await sessions.get("a")
        assert session is not None
        assert session.version == 1

    async def test_changes_at_the_same_time_all_count(self, sessions: Sessions) -> None:
        async with anyio.create_task_group() as tasks:

            async def change(**changes: Any) -> None:
                await set_flags(sessions, "a", "u", **changes)

            tasks.start_soon(lambda: change(paused=True))
            tasks.start_soon(lambda: change(age_band="teen"))
            tasks.start_soon(lambda: change(locale="en-GB"))
        assert flags_of(await sessions.get("a")) == Flags(paused=True, age_band="teen", locale="en-GB")

    async def test_flags_of_somebody_elses_session_stay_as_they_are(self, sessions: Sessions) -> None:
        await set_flags(sessions, "a", "u", paused=True)
        with pytest.raises(ValueError, match="somebody else's"):
            await set_flags(sessions, "a", "v", paused=False)
        assert flags_of(await sessions.get("a")).paused
