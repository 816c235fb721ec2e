"""What every store of sessions promises of a session's profile, summary and the like: they are kept beside turns."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import anyio
import pytest

from tta_sessions.context import metadata_of, set_metadata
from tta_sessions.conversation import Summary, summary_of, with_summary
from tta_sessions.flags import flags_of, set_flags
from tta_sessions.kept import change
from tta_sessions.model import Session, Sessions
from tta_sessions.profile import Profile, profile_of, set_profile

CAREFUL = Profile(goals=("sleep through a night",), themes=("the sea",), avoid=("dogs",), pace="slow", tone="calm")


class ContextContract:
    """A part of the contracts of stores."""

    async def test_a_session_that_was_written_before_there_were_profiles_has_the_defaults(
        self, sessions: Sessions
    ) -> None:
        await sessions.commit(Session("a", "u", context={"turn": 1, "history": [{"turn": 1, "said": "hello"}]}))
        session = await sessions.get("a")
        assert (profile_of(session), summary_of(session), metadata_of(session)) == (Profile(), Summary(), {})

    async def test_what_is_kept_of_a_person_is_changed_beside_turns_and_forgotten_with_them(
        self, sessions: Sessions
    ) -> None:
        await sessions.commit(Session("a", "u", context={"turn": 12}))
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(set_profile, sessions, "a", "u", CAREFUL)
            tasks.start_soon(set_metadata, sessions, "a", "u", {"client": "terminal"})
            tasks.start_soon(
                lambda: change(sessions, "a", "u", lambda now: with_summary(now, Summary("It rained.", 6)))
            )
            tasks.start_soon(lambda: set_flags(sessions, "a", "u", paused=True))
        session = await sessions.get("a")
        assert session is not None
        assert profile_of(session) == CAREFUL
        assert summary_of(session) == Summary("It rained.", 6)
        assert (metadata_of(session), flags_of(session).paused) == ({"client": "terminal"}, True)
        assert session.context["turn"] == 12
        assert await sessions.forget("u") == 1
        assert await sessions.get("a") is None

    async def test_a_summary_begins_no_session_and_replaces_no_later_one(self, sessions: Sessions) -> None:
        def earlier(session: Session) -> Mapping[str, Any] | None:
            return with_summary(session, Summary("It rained.", 6))

        assert await change(sessions, "a", "u", earlier, new=False) is None
        await sessions.commit(Session("a", "u", context={"summary": {"text": "It snowed.", "turn": 7}}))
        await change(sessions, "a", "u", earlier, new=False)
        session = await sessions.get("a")
        assert (summary_of(session), session and session.version) == (Summary("It snowed.", 7), 1)

    @pytest.mark.parametrize(
        "profile",
        [Profile(goals=("x" * 201,)), Profile(avoid=("x",) * 11), Profile(themes=("",)), Profile(goals=("\udcff",))],
    )
    async def test_a_profile_that_is_too_long_or_no_text_changes_nothing(
        self, sessions: Sessions, profile: Profile
    ) -> None:
        with pytest.raises(ValueError):  # noqa: PT011 - what it says is msgspec's
            await set_profile(sessions, "a", "u", profile)
        assert await sessions.get("a") is None

    async def test_a_profile_of_somebody_elses_session_stays_as_it_is(self, sessions: Sessions) -> None:
        await set_profile(sessions, "a", "u", CAREFUL)
        with pytest.raises(ValueError, match="somebody else's"):
            await set_profile(sessions, "a", "v", Profile())
        assert profile_of(await sessions.get("a")) == CAREFUL
