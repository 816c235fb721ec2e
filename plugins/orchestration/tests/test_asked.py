"""What surfaces ask of orchestration besides turns: a profile, how it goes, and a crisis that is still open."""

from __future__ import annotations

import time
from collections.abc import Sequence

import pytest

from tta_crisis import CRISIS, Assessment, CrisisPage, CrisisQuery, Intervention
from tta_kernel.testing.strangers import Outcome, Stranger, strangers
from tta_orchestration import ORCHESTRATION, Failure, InputError, oversight
from tta_orchestration.testing import telling
from tta_safety import About, Channel, Verdict
from tta_sessions import SESSIONS, Profile, Session, flags_of, profile_of
from tta_sessions.flags import set_flags
from tta_sessions.memory import MemorySessions


def safe(text: str, channel: Channel, about: About) -> Verdict:
    return Verdict("checked", "safe")


def intervention(turn: int, status: str = "open", owner: str = "anna") -> Intervention:
    return Intervention(
        id=f"{turn}.{status}", kind="suicide", level="high", assessment=Assessment(kind="suicide", level="high"),
        session="s", owner=owner, turn=turn, status=status,  # type: ignore[arg-type]
    )  # fmt: skip


class Open:
    """Crises, as far as they are looked at."""

    def __init__(self, *interventions: Intervention) -> None:
        self.interventions = interventions

    async def page(self, query: CrisisQuery) -> CrisisPage:
        return CrisisPage(self.interventions)


async def test_a_profile_is_kept_and_what_cannot_be_kept_is_said_to_the_player() -> None:
    async with telling(safe) as k:
        orchestration = k.get(ORCHESTRATION)
        profile = Profile(goals=("rest",), pace="slow")
        assert await orchestration.set_profile("s", profile, user="anna") == profile
        for session, wrong, user in (
            ("s", Profile(goals=("x" * 201,)), "anna"), ("s", profile, "ben"), ("\udcff", profile, "anna"),
        ):  # fmt: skip
            with pytest.raises(InputError):
                await orchestration.set_profile(session, wrong, user=user)
        assert profile_of(await k.get(SESSIONS).get("s")) == profile


async def test_the_status_says_how_it_goes_and_nothing_of_anybody() -> None:
    async with telling(safe) as k:
        orchestration = k.get(ORCHESTRATION)
        before = await orchestration.get_status()
        await orchestration.process_user_input("hello", "s", user="anna")
        after = await orchestration.get_status()
    assert (before.running, before.requests, before.error_rate) == (True, 0, 0.0)
    assert (after.requests, after.errors, after.turns, after.mean_seconds > 0) == (1, 0, 0, True)
    assert after.parts["sessions"]
    assert not after.parts["crisis"]
    assert not (await orchestration.get_status()).running


@pytest.mark.parametrize(
    ("interventions", "went_on", "paused"),
    [
        ([intervention(2)], 0, True),
        ([intervention(2, "acknowledged"), intervention(1, "resolved")], 0, True),
        ([intervention(2)], 3, False),
        ([intervention(2, "resolved")], 0, False),
        ([intervention(2, owner="ben")], 0, False),
        ([], 0, False),
    ],
)
async def test_a_story_whose_crisis_is_open_is_paused_when_it_is_opened(
    interventions: Sequence[Intervention], went_on: int, *, paused: bool
) -> None:
    async with telling(safe, services={CRISIS: Open(*interventions)}) as k:
        await k.get(SESSIONS).commit(Session("s", "anna", context={"turn": 2}))
        await set_flags(k.get(SESSIONS), "s", "anna", went_on=went_on)
        assert await k.get(ORCHESTRATION).resume("s", "anna") is None
        assert flags_of(await k.get(SESSIONS).get("s")).paused is paused


async def test_a_crisis_of_a_person_who_was_forgotten_begins_no_session() -> None:
    async with telling(safe, services={CRISIS: Open(intervention(2))}) as k:
        await k.get(ORCHESTRATION).resume("s", "anna")
        assert await k.get(SESSIONS).get("s") is None


@pytest.mark.boundary("tta_crisis.Crises")
@pytest.mark.parametrize(
    "stranger",
    [each for each in strangers(returns=CrisisPage) if each.outcome is not Outcome.STOP],
    ids=str,
)
async def test_whatever_a_crisis_service_does_a_session_is_opened(
    stranger: Stranger, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Odd:
        def page(self, query: CrisisQuery) -> object:
            return stranger()

    monkeypatch.setattr(oversight, "LIMIT", 0.05)
    async with telling(safe, services={CRISIS: Odd()}) as k:
        assert await k.get(ORCHESTRATION).resume("s", "anna") is None


async def test_where_there_is_no_room_a_new_story_is_not_begun_and_one_that_has_begun_goes_on() -> None:
    sessions = MemorySessions(time.time, ttl=60.0, limit=1)
    async with telling(safe, services={SESSIONS: sessions}) as k:
        orchestration = k.get(ORCHESTRATION)
        await orchestration.process_user_input("hello", "s", user="anna")
        pieces: list[str] = []
        async with orchestration.stream_user_input("hello", "t", user="ben") as stream:
            pieces += [piece async for piece in stream]
        again = await orchestration.process_user_input("hello", "s", user="anna")
    refused = stream.response
    assert (refused.outcome, refused.kept, refused.failure) == (
        "fallback",
        False,
        Failure("sessions.admit", "too_many"),
    )
    assert "no room for another story" in "".join(pieces)
    assert "You said" not in refused.text
    assert (again.turn, again.outcome) == (2, "story")
    assert await sessions.get("t") is None


async def test_who_is_in_distress_is_answered_also_where_there_is_no_room() -> None:
    def crisis(text: str, channel: Channel, about: About) -> Verdict:
        return (
            Verdict("checked", "warning", 0.8, ("suicide",))
            if channel == "player" and "end" in text
            else safe(text, channel, about)
        )

    sessions = MemorySessions(time.time, ttl=60.0, limit=1)
    async with telling(crisis, services={SESSIONS: sessions}) as k:
        await k.get(ORCHESTRATION).process_user_input("hello", "s", user="anna")
        response = await k.get(ORCHESTRATION).process_user_input("I want to end it", "t", user="ben")
    assert (response.outcome, response.kept) == ("supportive", False)
    assert response.failure == Failure("sessions.commit", "too_many")
