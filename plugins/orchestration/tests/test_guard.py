"""A turn whose sessions raise, hang, are corrupt, full or committed by somebody else: over a real kernel."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import anyio
import msgspec
import pytest

from tta_agents import AgentError
from tta_kernel import Kernel
from tta_kernel.testing import published
from tta_orchestration import ORCHESTRATION, Failure, OrchestrationResponse, StoreFailed
from tta_orchestration.testing import Scene, Teller, telling
from tta_safety import About, Channel, Verdict
from tta_sessions import (
    SESSIONS,
    Admission,
    Session,
    SessionCommitted,
    SessionConflict,
    SessionCorrupt,
    SessionsError,
    SessionTooLarge,
)  # fmt: skip
from tta_sessions.memory import MemorySessions

LIMIT = 0.1
SECRET = "my secret words"
Do = Callable[[], Awaitable[Any]]
Fault = Callable[[Do], Awaitable[Any]]
"""What goes wrong with a call, which the fault may make or not."""


class Sessions(MemorySessions):
    """Sessions in memory; each call takes the next of its faults, as long as there are some."""

    def __init__(self) -> None:
        super().__init__(time.time, ttl=1000, limit=10, max_size=100_000)
        self.get_faults: list[Fault | None] = []
        self.commit_faults: list[Fault | None] = []
        self.committed: list[Session] = []

    def end(self, id: str) -> None:
        """Let a session end as if its time to live were over."""
        del self._stored[id]

    async def get(self, id: str) -> Session | None:
        async def really() -> Session | None:
            return await super(Sessions, self).get(id)

        return await _next(self.get_faults, really)  # type: ignore[no-any-return]

    async def commit(self, session: Session, admission: Admission | None = None) -> Session:
        async def really() -> Session:
            self.committed.append(await super(Sessions, self).commit(session, admission))
            return self.committed[-1]

        return await _next(self.commit_faults, really)  # type: ignore[no-any-return]


async def _next(faults: list[Fault | None], really: Do) -> Any:
    fault = faults.pop(0) if faults else None
    return await (fault(really) if fault else really())


def raising(exc: BaseException) -> Fault:
    async def fault(really: Do) -> Any:
        raise exc

    return fault


async def hanging(really: Do) -> Any:
    await anyio.sleep_forever()


async def stored_but_unheard(really: Do) -> Any:
    await really()
    raise SessionsError("no answer in time; whether it was executed is unknown")


async def stored_but_late(really: Do) -> Any:
    await really()
    await anyio.sleep_forever()


DOWN = raising(SessionsError("the sessions' store: 127.0.0.1:1: connection refused"))
CORRUPT = raising(SessionCorrupt("it was quarantined"))
CONFLICT = raising(SessionConflict("session is at version 9, not 1"))
TOO_LARGE = raising(SessionTooLarge("the session has 9 bytes; 8 are the most"))
STRANGE = raising(OSError(SECRET))
CANCELLED = raising(asyncio.CancelledError(SECRET))  # noqa: TID251 - what a client's own time-out may let out
EXIT = raising(SystemExit(SECRET))


class Counting(Teller):
    """Says which turn it is; or raises what it finds in ``raises``."""

    raises: AgentError | None = None

    def pieces(self, scene: Scene) -> Sequence[str]:
        if self.raises is not None:
            raise self.raises
        return (f"Turn {scene.turn}. ", "The sea ", "answers.")


def check(text: str, channel: Channel, about: About) -> Verdict:
    """Object to what holds the word 'hurt'."""
    return Verdict("checked", "blocked", 0.9, ("self_harm",)) if "hurt" in text else Verdict("checked", "safe")


def kernel(sessions: Sessions, raises: AgentError | None = None) -> Kernel:
    teller = type("Counts", (Counting,), {"raises": raises})
    return telling(check, teller=teller, services={SESSIONS: sessions}, session_timeout=f"{LIMIT}s")


@pytest.fixture
def sessions() -> Sessions:
    return Sessions()


async def said(k: Kernel, text: str = "hello") -> OrchestrationResponse:
    return await k.get(ORCHESTRATION).process_user_input(text, "s", user="anna")


async def read(k: Kernel, text: str = "hello") -> OrchestrationResponse:
    """Play a turn as it is streamed, and make sure that what was read is what the response says."""
    async with k.get(ORCHESTRATION).stream_user_input(text, "s", user="anna") as stream:
        pieces = [piece async for piece in stream]
    assert "".join(pieces) == stream.response.text
    return stream.response


STORES = [
    (DOWN, "unavailable"), (hanging, "timeout"), (STRANGE, "failed"), (CANCELLED, "failed"), (EXIT, "failed"),
]  # fmt: skip
IDS = ["raises", "hangs", "raises a stranger's error", "is cancelled from elsewhere", "exits"]


@pytest.mark.parametrize("play", [said, read])
@pytest.mark.parametrize(("fault", "code"), STORES, ids=IDS)
async def test_a_session_that_cannot_be_read_means_the_fallback_and_the_next_turn_goes_on(
    sessions: Sessions, fault: Fault, code: str, play: Callable[[Kernel], Awaitable[OrchestrationResponse]],
    caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    async with kernel(sessions) as k:
        await play(k)
        sessions.get_faults = [fault]
        with published(k, StoreFailed) as events:
            response = await play(k)
            [event] = await events.rest()
        assert (response.outcome, response.failure, response.kept) == ("fallback", Failure("sessions.get", code), False)
        assert "support" in response.text
        assert "sea" not in response.text
        assert (event.session, event.owner, event.part, event.code) == ("s", "anna", "sessions.get", code)
        [line] = [record for record in caplog.records if record.levelno == logging.CRITICAL]
        assert line.message.startswith(f"a turn went without its session: sessions.get: {code}: ")
        assert SECRET not in caplog.text
        after = await play(k)
    assert (after.text, after.turn, after.failure, after.kept) == ("Turn 2. The sea answers.", 2, None, True)


async def test_a_crisis_is_heard_even_where_no_session_can_be_read(sessions: Sessions) -> None:
    async with kernel(sessions) as k:
        sessions.get_faults = [DOWN]
        response = await said(k, "I want to hurt myself")
    assert (response.outcome, response.failure, response.kept) == (
        "supportive", Failure("sessions.get", "unavailable"), False,
    )  # fmt: skip
    assert "988" in response.text
    assert response.verdicts["player"].level == "blocked"


@pytest.mark.parametrize(("fault", "code"), STORES, ids=IDS)
async def test_a_story_that_cannot_be_kept_is_not_told(sessions: Sessions, fault: Fault, code: str) -> None:
    async with kernel(sessions) as k:
        await said(k)
        sessions.commit_faults = [fault, fault]
        response = await said(k)
        assert (response.outcome, response.failure) == ("fallback", Failure("sessions.commit", code))
        assert not response.kept
        assert "sea" not in response.text
        assert "hasn't happened yet" in response.text
        assert response.updated_context["world"] == {"turns": 1}
        after = await said(k)
    assert (after.text, after.turn, after.notices) == ("Turn 2. The sea answers.", 2, ())


@pytest.mark.parametrize(("fault", "code"), STORES, ids=IDS)
async def test_a_story_that_was_read_and_cannot_be_kept_gets_an_ending(
    sessions: Sessions, fault: Fault, code: str
) -> None:
    async with kernel(sessions) as k:
        sessions.commit_faults = [fault, fault]
        response = await read(k)
        assert (response.outcome, response.failure) == ("fallback", Failure("sessions.commit", code))
        story, ending = response.text.split("\n\n")
        assert story == "Turn 1. The sea answers."
        assert "couldn't write down what I have just told you" in ending
        assert (await read(k)).text == story


async def test_a_supportive_answer_stands_where_it_cannot_be_kept(sessions: Sessions) -> None:
    async with kernel(sessions) as k:
        sessions.commit_faults = [DOWN, DOWN]
        response = await read(k, "I want to hurt myself")
    assert (response.outcome, response.kept) == ("supportive", False)
    assert "988" in response.text


@pytest.mark.parametrize("fault", [DOWN, STRANGE, CANCELLED, EXIT], ids=["raises", "strange", "cancelled", "exits"])
async def test_a_commit_that_failed_once_is_tried_again(sessions: Sessions, fault: Fault) -> None:
    async with kernel(sessions) as k:
        sessions.commit_faults = [fault]
        response = await said(k)
    assert (response.outcome, response.kept) == ("story", True)
    assert [session.version for session in sessions.committed] == [1]


@pytest.mark.parametrize("fault", [stored_but_unheard, stored_but_late])
async def test_a_commit_that_arrived_unheard_is_found_and_not_made_twice(sessions: Sessions, fault: Fault) -> None:
    async with kernel(sessions) as k:
        sessions.commit_faults = [fault]
        response = await said(k)
        assert (response.outcome, response.kept, response.failure) == ("story", True, None)
        assert (await said(k)).turn == 2
    assert [session.version for session in sessions.committed] == [1, 2]


@pytest.mark.parametrize("play", [said, read])
async def test_a_commit_that_is_found_later_is_told_then(
    sessions: Sessions, play: Callable[[Kernel], Awaitable[OrchestrationResponse]]
) -> None:
    async with kernel(sessions) as k:
        sessions.get_faults, sessions.commit_faults = [None, None, DOWN], [stored_but_unheard]
        lost = await play(k)
        assert (lost.outcome, lost.kept) == ("fallback", False)
        after, later = await play(k), await play(k)
    assert (after.text, after.turn, later.notices) == ("Turn 2. The sea answers.", 2, ())
    [notice] = after.notices
    assert notice.startswith("what you did before the pause was written down after all")
    # Whoever has read it needn't read it again.
    assert ("Turn 1. The sea answers." in notice) == (play is said)


async def test_a_session_that_is_too_large_says_so_and_stays_as_it_was(
    sessions: Sessions, caplog: pytest.LogCaptureFixture
) -> None:
    async with kernel(sessions) as k:
        await said(k)
        sessions.commit_faults = [TOO_LARGE]
        response = await said(k)
        assert (response.outcome, response.failure) == ("fallback", Failure("sessions.commit", "too_large"))
        assert "The book of your story is full" in response.text
        assert "see max_size" in caplog.text
        stored = await sessions.get("s")
    assert stored is not None
    assert (stored.version, stored.context["world"]) == (1, {"turns": 1})


async def test_a_corrupt_session_begins_anew_and_the_player_hears_it_once(sessions: Sessions) -> None:
    async with kernel(sessions) as k:
        await said(k)
        await sessions.delete("s")
        sessions.get_faults = [CORRUPT]
        first, second = await said(k), await said(k)
    assert (first.outcome, first.turn, first.kept) == ("story", 1, True)
    [notice] = first.notices
    assert "begins anew" in notice
    assert (second.turn, second.notices) == (2, ())


async def test_what_cannot_be_put_aside_is_no_new_beginning_until_it_is(sessions: Sessions) -> None:
    async with kernel(sessions) as k:
        sessions.get_faults = [CORRUPT, CORRUPT]
        stuck, after = await said(k), await said(k)
    assert (stuck.outcome, stuck.failure, stuck.notices) == ("fallback", Failure("sessions.get", "corrupt"), ())
    assert (after.outcome, len(after.notices)) == ("story", 1)


async def test_a_stored_session_that_is_no_story_is_left_alone(sessions: Sessions) -> None:
    await sessions.commit(Session("s", "anna", context={"turn": "seven"}))
    async with kernel(sessions) as k:
        response = await said(k)
    assert (response.outcome, response.failure) == ("fallback", Failure("sessions.get", "corrupt"))
    stored = await sessions.get("s")
    assert stored is not None
    assert stored.version == 1


def elsewhere(sessions: Sessions, turns: int) -> Fault:
    """Let another process commit before us."""

    async def fault(really: Do) -> Any:
        before = await MemorySessions.get(sessions, "s") or Session("s", "anna")
        context = {**before.context, "turn": turns, "world": {"turns": turns}}
        await MemorySessions.commit(sessions, msgspec.structs.replace(before, context=context))
        return await really()

    return fault


async def test_a_turn_that_was_overtaken_is_played_again_from_what_is_there_now(sessions: Sessions) -> None:
    async with kernel(sessions) as k:
        sessions.commit_faults = [elsewhere(sessions, 4), elsewhere(sessions, 7)]
        response = await said(k)
    assert (response.outcome, response.turn, response.text) == ("story", 8, "Turn 8. The sea answers.")
    assert response.updated_context["world"] == {"turns": 8}


async def test_a_turn_that_is_overtaken_all_the_while_falls_back(sessions: Sessions) -> None:
    async with kernel(sessions) as k:
        sessions.commit_faults = [elsewhere(sessions, n) for n in range(1, 9)]
        response = await said(k)
        assert (response.outcome, response.failure) == ("fallback", Failure("sessions.commit", "conflict"))
        assert "played in another place at the same time" in response.text
        sessions.commit_faults = []
        assert (await said(k)).turn == 4


async def test_a_turn_that_was_read_and_overtaken_is_ended_and_not_told_twice(sessions: Sessions) -> None:
    async with kernel(sessions) as k:
        sessions.commit_faults = [elsewhere(sessions, 4)]
        response = await read(k)
        assert (response.outcome, response.failure) == ("fallback", Failure("sessions.commit", "conflict"))
        assert response.text.startswith("Turn 1. The sea answers.\n\nI must stop here")
        assert (await read(k)).text == "Turn 5. The sea answers."


async def test_a_supportive_answer_that_was_overtaken_is_kept_beside_the_other_turn(sessions: Sessions) -> None:
    async with kernel(sessions) as k:
        sessions.commit_faults = [elsewhere(sessions, 4)]
        response = await read(k, "I want to hurt myself")
    assert (response.outcome, response.kept, response.turn) == ("supportive", True, 5)
    assert response.updated_context["world"] == {"turns": 4}
    assert [page["outcome"] for page in response.updated_context["history"]] == ["supportive"]


async def test_a_story_that_vanishes_in_the_middle_of_a_turn_begins_anew_and_says_so(sessions: Sessions) -> None:
    async def gone(really: Do) -> Any:
        sessions.end("s")
        return await really()

    async with kernel(sessions) as k:
        await said(k)
        sessions.commit_faults = [gone]
        response = await said(k)
    assert (response.outcome, response.turn, len(response.notices)) == ("story", 1, 1)


async def test_agents_out_of_reach_mean_the_fallback_and_a_human_is_told(
    sessions: Sessions, caplog: pytest.LogCaptureFixture
) -> None:
    async with kernel(sessions, AgentError("unavailable", "no message can be sent", retryable=True)) as k:
        with published(k, StoreFailed) as events:
            response = await said(k, SECRET)
            [event] = await events.rest()
    assert (response.outcome, response.failure) == ("fallback", Failure("workflow", "unavailable"))
    assert response.kept  # That there was no story is part of the session; its world is as it was.
    assert (event.owner, event.part, event.code) == ("anna", "workflow", "unavailable")
    assert [record.levelname for record in caplog.records if record.name == "tta.orchestration"] == ["CRITICAL"]
    assert SECRET not in caplog.text


async def test_neither_agents_nor_sessions_in_reach_means_the_fallback_too(sessions: Sessions) -> None:
    async with kernel(sessions, AgentError("timeout", "nobody answered", retryable=True)) as k:
        sessions.commit_faults = [DOWN, DOWN]
        response = await said(k)
    assert (response.outcome, response.failure) == ("fallback", Failure("sessions.commit", "unavailable"))
    assert "thread" not in response.text
    assert response.workflow["error"] == "timeout"


async def test_a_turn_that_is_not_kept_is_not_announced_as_committed(sessions: Sessions) -> None:
    async with kernel(sessions) as k:
        with published(k, SessionCommitted) as commits:
            sessions.commit_faults = [DOWN, DOWN]
            await said(k)
            assert await commits.rest() == []


async def test_a_slow_store_does_not_hold_up_other_sessions(sessions: Sessions) -> None:
    stuck = anyio.Event()

    async def sticking(really: Do) -> Any:
        stuck.set()
        await anyio.sleep_forever()

    async with kernel(sessions) as k, anyio.create_task_group() as tasks:
        sessions.get_faults = [sticking]
        tasks.start_soon(said, k)
        await stuck.wait()
        with anyio.fail_after(5):
            other = await k.get(ORCHESTRATION).process_user_input("hello", "other")
    assert other.outcome == "story"
