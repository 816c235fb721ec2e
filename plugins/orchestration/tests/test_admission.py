"""A turn whose process is gone: whoever opens the session next finishes it, once, with what was told of it."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import anyio
import msgspec
import pytest

from tta_agents import StepContext
from tta_kernel import Kernel, KernelSettings, Service
from tta_orchestration import ORCHESTRATION, Failure, TurnInput
from tta_orchestration.testing import Check, Scene, Teller, Told, telling
from tta_safety import About, Channel, Verdict
from tta_sessions import SESSIONS, Admission, Held, Session, SessionsError
from tta_sessions.memory import MemorySessions
from tta_workflows import JOURNAL, WORKFLOWS, JournalError
from tta_workflows.memory import MemoryJournal

TOLD = ["You said hello. ", "The sea answers."]


class Stores:
    """What two processes share."""

    def __init__(self) -> None:
        self.now = time.time
        self.sessions = MemorySessions(lambda: self.now(), ttl=100_000, limit=10)
        self.journal = MemoryJournal(time.time)

    def process(self, *checks: Check, teller: type[Teller] = Teller, **config: Any) -> Kernel:
        services: dict[Service[Any], object] = {SESSIONS: self.sessions, JOURNAL: self.journal}
        return telling(*checks or (safe,), teller=teller, services=services, **config)

    async def admit(self, run: str, text: str = "hello", ttl: float = 0.0, told: int = 0) -> Admission:
        """Leave a turn as a process leaves it that was killed."""
        entered = await self.sessions.admit(Admission("s", "anna", run, text, "dead", seed=7), ttl)
        await self.sessions.hold("s", run, "dead", ttl, told)
        return entered

    async def pages(self) -> list[tuple[str, str]]:
        session = await self.sessions.get("s")
        return [(page["said"], page["told"]) for page in session.context["history"]] if session else []


def safe(text: str, channel: Channel, about: About) -> Verdict:
    return Verdict("checked", "safe")


def objects_to_the_sea(text: str, channel: Channel, about: About) -> Verdict:
    return Verdict("checked", "blocked" if "sea" in text else "safe", risk=1.0)


@pytest.fixture
def stores() -> Stores:
    return Stores()


@asynccontextmanager
async def stuck(stores: Stores) -> AsyncIterator[None]:
    """Have a process that was stopped after the first sentence was read."""

    class Stuck(Teller):
        spec = msgspec.structs.replace(Teller.spec, timeout=60.0)

        async def process(self, request: Scene, ctx: StepContext, /) -> Any:
            await ctx.emit(TOLD[0])
            await ctx.emit("The")
            await anyio.sleep_forever()

    k = stores.process(teller=Stuck, settings=KernelSettings(stop_timeout=1.0))
    await k.start()
    async with k.get(ORCHESTRATION).stream_user_input("hello", "s", user="anna") as stream:
        assert await anext(aiter(stream)) == TOLD[0]
    await k.aclose()
    yield


async def test_a_turn_that_was_admitted_and_not_begun_is_played_by_whoever_comes(stores: Stores) -> None:
    await stores.admit("1")
    async with stores.process() as k:
        response = await k.get(ORCHESTRATION).resume("s", "anna")
        assert response is not None
        assert (response.text, response.turn, response.kept) == ("".join(TOLD), 1, True)
        assert response.updated_context["seed"] == 7
        assert await k.get(ORCHESTRATION).resume("s", "anna") is None
    assert await stores.pages() == [("hello", "".join(TOLD))]


async def test_a_turn_that_was_left_in_the_middle_goes_on_where_it_was(stores: Stores) -> None:
    async with stuck(stores), stores.process() as k:
        with anyio.fail_after(20):
            response = await k.get(ORCHESTRATION).resume("s", "anna")
    assert response is not None
    assert (response.text, response.outcome) == ("".join(TOLD), "story")


async def test_what_was_told_stands_and_only_the_rest_is_checked_anew(stores: Stores) -> None:
    async with stuck(stores), stores.process(objects_to_the_sea) as k:
        with anyio.fail_after(20):
            response = await k.get(ORCHESTRATION).resume("s", "anna")
    assert response is not None
    assert response.outcome == "supportive"
    assert response.text.startswith(f"{TOLD[0]}\n\nThe story goes quiet")
    assert await stores.pages() == [("hello", response.text)]


async def test_where_the_run_is_gone_of_which_a_part_was_told_all_of_the_next_is_checked(stores: Stores) -> None:
    def objects_to_all(text: str, channel: Channel, about: About) -> Verdict:
        return Verdict("checked", "safe" if channel == "player" else "blocked", risk=1.0)

    await stores.admit("1", told=len(TOLD[0]))
    async with stores.process(objects_to_all) as k:
        response = await k.get(ORCHESTRATION).resume("s", "anna")
    assert response is not None
    assert response.outcome == "supportive"
    assert "You said" not in response.text


async def test_what_was_told_to_its_end_is_kept_as_it_is(stores: Stores) -> None:
    input = {"text": "hello", "seed": 7, "turn": 1, "world": None}
    async with stores.process() as k:
        await k.get(WORKFLOWS).run("turn", input, key="1", session="s", owner="anna")
    await stores.admit("1", told=len("".join(TOLD)))
    async with stores.process(objects_to_the_sea) as k:
        response = await k.get(ORCHESTRATION).resume("s", "anna")
    assert response is not None
    assert (response.outcome, response.text) == ("story", "".join(TOLD))


async def test_a_store_that_is_away_in_mid_turn_ends_it_and_the_next_one_is_played(stores: Stores) -> None:
    hold, away = stores.sessions.hold, False

    async def faulty(session: str, run: str, holder: str, ttl: float, told: int = 0) -> Held:
        if away:
            raise SessionsError("it is away")
        return await hold(session, run, holder, ttl, told)

    class Two(Teller):
        async def process(self, request: Scene, ctx: StepContext, /) -> Any:
            await ctx.emit(f"{TOLD[0]}The ")
            await goes_on.wait()
            await ctx.emit("sea answers.")
            return Told("".join(TOLD), {"turns": request.turn})

    stores.sessions.hold = faulty  # type: ignore[method-assign]
    goes_on = anyio.Event()
    async with stores.process(teller=Two) as k:
        async with k.get(ORCHESTRATION).stream_user_input("hello", "s", user="anna") as stream:
            told = [await anext(aiter(stream))]
            away = True
            goes_on.set()
            told += [piece async for piece in stream]
        assert (stream.response.kept, stream.response.failure) == (False, Failure("sessions.admit", "unavailable"))
        assert "".join(told) == stream.response.text
        assert told[0] == TOLD[0]
        away = False
        response = await k.get(ORCHESTRATION).process_user_input("hello", "s", user="anna")
    assert (response.turn, response.notices) == (1, ())


async def test_the_next_input_finishes_what_was_left_and_its_player_hears_it(stores: Stores) -> None:
    await stores.admit("1", "first")
    async with stores.process() as k:
        response = await k.get(ORCHESTRATION).process_user_input("second", "s", user="anna")
    assert (response.turn, response.text) == (2, "You said second. The sea answers.")
    [notice] = response.notices
    assert "You said first. The sea answers." in notice
    assert [said for said, _ in await stores.pages()] == ["first", "second"]


async def test_a_turn_too_old_to_be_answered_is_said_to_be_lost(stores: Stores) -> None:
    await stores.admit("1", "first")
    stores.now = lambda: time.time() + 4000
    async with stores.process() as k:
        orchestration = k.get(ORCHESTRATION)
        assert await orchestration.resume("s", "anna") is None
        first = await orchestration.process_user_input("second", "s", user="anna")
        second = await orchestration.process_user_input("third", "s", user="anna")
    assert "your last words were lost" in first.notices[0]
    assert second.notices == ()
    assert [said for said, _ in await stores.pages()] == ["second", "third"]


async def test_inputs_from_two_processes_are_answered_once_and_in_order(stores: Stores) -> None:
    admitted: list[str] = []
    admit = stores.sessions.admit

    async def watched(admission: Admission, ttl: float) -> Admission:
        admitted.append(admission.text)
        return await admit(admission, ttl)

    stores.sessions.admit = watched  # type: ignore[method-assign]

    async def play(k: Kernel, name: str, limiter: anyio.CapacityLimiter, number: int) -> None:
        async with limiter:
            response = await k.get(ORCHESTRATION).process_user_input(f"{name}{number}", "s", user="anna")
        assert response.text == f"You said {name}{number}. The sea answers."

    async with stores.process() as one, stores.process() as other, anyio.create_task_group() as tasks:
        for k, name in ((one, "a"), (other, "b")):
            limiter = anyio.CapacityLimiter(4)
            for number in range(20):
                tasks.start_soon(play, k, name, limiter, number)
    assert [said for said, _ in await stores.pages()] == admitted
    assert len(admitted) == 40


async def test_who_lost_its_turn_says_so_and_commits_nothing(stores: Stores) -> None:
    begun, goes_on = anyio.Event(), anyio.Event()

    class Slow(Teller):
        async def process(self, request: Scene, ctx: StepContext, /) -> Any:
            await ctx.emit(f"{TOLD[0]}The ")
            begun.set()
            await goes_on.wait()
            return await super().process(request, ctx)

    async with stores.process(teller=Slow) as k:
        async with k.get(ORCHESTRATION).stream_user_input("hello", "s", user="anna") as stream:
            assert await anext(aiter(stream)) == TOLD[0]
            first = (await stores.sessions.hold("s", "", "", 0.0)).first
            assert first is not None
            await stores.sessions.hold("s", first.run, first.holder, 0.0)
            taken = (await stores.sessions.hold("s", first.run, "other", 60.0)).first
            assert taken is not None
            told = {"history": [{"run": first.run, "told": "something"}]}
            await stores.sessions.commit(Session("s", "anna", context=told), taken)
            goes_on.set()
            rest = [piece async for piece in stream]
        assert (stream.response.kept, stream.response.failure) == (False, Failure("sessions.commit", "taken_over"))
    assert "".join(rest).startswith("\n\nI must stop here: another place goes on")
    stored = await stores.sessions.get("s")
    assert stored is not None
    assert stored.version == 1


@pytest.mark.parametrize("read", [True, False])
async def test_who_is_forgotten_in_mid_turn_is_told_so_and_nothing_is_kept(stores: Stores, *, read: bool) -> None:
    begun, goes_on = anyio.Event(), anyio.Event()

    class Slow(Teller):
        async def process(self, request: Scene, ctx: StepContext, /) -> Any:
            if read:
                await ctx.emit(f"{TOLD[0]}The ")
            begun.set()
            await goes_on.wait()
            return await super().process(request, ctx)

    async with stores.process(teller=Slow) as k:
        async with k.get(ORCHESTRATION).stream_user_input("hello", "s", user="anna") as stream:
            if read:
                assert await anext(aiter(stream)) == TOLD[0]
            await begun.wait()
            await stores.sessions.forget("anna")
            goes_on.set()
            rest = "".join([piece async for piece in stream])
        assert (stream.response.kept, stream.response.failure) == (False, Failure("sessions.commit", "gone"))
    assert "I must stop here: what you said is no longer in the book of your story" in rest
    assert await stores.sessions.get("s") is None


class Away:
    """A journal that may be away."""

    def __init__(self, journal: MemoryJournal) -> None:
        self._journal, self.away = journal, False

    def __getattr__(self, name: str) -> Any:
        if self.away and name not in ("durable", "vacant"):
            raise JournalError("it is away")
        return getattr(self._journal, name)


@pytest.mark.parametrize("begun", [True, False])
async def test_a_turn_is_not_taken_over_while_nobody_knows_what_its_run_has_come_to(
    stores: Stores, *, begun: bool
) -> None:
    if begun:
        input = {"text": "hello", "seed": 7, "turn": 1, "world": None}
        async with stores.process() as k:
            await k.get(WORKFLOWS).run("turn", input, key="1", session="s", owner="anna")
    await stores.admit("1", told=5 if begun else 0)
    journal = Away(stores.journal)
    stores.journal = journal  # type: ignore[assignment]
    async with stores.process(queue_timeout=0.2) as k:
        journal.away = True
        assert await k.get(ORCHESTRATION).resume("s", "anna") is None
        assert await stores.pages() == []
        journal.away = False
        response = await k.get(ORCHESTRATION).resume("s", "anna")
    assert response is not None
    assert (response.outcome, response.text) == ("story", "".join(TOLD))
    assert await stores.pages() == [("hello", "".join(TOLD))]


@pytest.mark.parametrize("left", ["1", "1.2"])
async def test_a_turn_that_is_taken_over_begins_from_where_the_story_is_now(stores: Stores, left: str) -> None:
    calls = 0

    class Counting(Teller):
        async def process(self, request: Scene, ctx: StepContext, /) -> Any:
            nonlocal calls
            calls += 1
            return await super().process(request, ctx)

    admitted = await stores.admit("1")
    before = msgspec.to_builtins(TurnInput("hello", 7, 1, due=admitted.at + 2.0))
    now = {**before, "world": {"turns": 5}}
    async with stores.process(teller=Counting) as k:
        await k.get(WORKFLOWS).run("turn", before, key="1", session="s", owner="anna")
        if left == "1.2":
            await k.get(WORKFLOWS).run("turn", now, key="1.2", session="s", owner="anna")
    # Whoever has changed the world was no turn, and so not admitted.
    await stores.sessions.commit(Session("s", "anna", context={"world": {"turns": 5}, "seed": 7}))
    async with stores.process(teller=Counting) as k:
        response = await k.get(ORCHESTRATION).resume("s", "anna")
    assert response is not None
    assert response.updated_context["world"] == {"turns": 6}
    assert (response.workflow["run"], calls) == ("1.2", 2)


async def test_a_turn_that_is_told_for_long_is_renewed(stores: Stores) -> None:
    class Slow(Teller):
        async def process(self, request: Scene, ctx: StepContext, /) -> Any:
            end = time.monotonic() + 0.5
            while time.monotonic() < end:
                first = (await stores.sessions.hold("s", "", "", 0.0)).first
                assert first is not None
                held = await stores.sessions.hold("s", first.run, "thief", 0.0)
                assert held.status == "waits"
                await anyio.sleep(0.01)
            return await super().process(request, ctx)

    async with stores.process(teller=Slow, hold=0.3) as k:
        response = await k.get(ORCHESTRATION).process_user_input("hello", "s", user="anna")
    assert response.kept


async def test_too_many_turns_at_once_are_refused_kindly(stores: Stores) -> None:
    for number in range(10):
        await stores.admit(f"{number}", ttl=60.0)
    async with stores.process() as k:
        response = await k.get(ORCHESTRATION).process_user_input("hello", "s", user="anna")
    assert (response.kept, response.failure) == (False, Failure("sessions.admit", "busy"))


async def test_whose_turn_does_not_come_in_time_is_told_so_and_leaves_the_queue(stores: Stores) -> None:
    await stores.admit("1", ttl=60.0)
    async with stores.process(queue_timeout=0.05) as k:
        response = await k.get(ORCHESTRATION).process_user_input("hello", "s", user="anna")
    assert (response.kept, response.failure) == (False, Failure("sessions.admit", "busy"))
    assert await stores.sessions.drop("s", "1", "dead")
    assert (await stores.sessions.hold("s", "", "", 0.0)).first is None


async def test_a_text_that_is_objected_to_is_not_admitted(stores: Stores) -> None:
    await stores.admit("1", ttl=60.0)
    async with stores.process(objects_to_the_sea) as k:
        response = await k.get(ORCHESTRATION).process_user_input("the sea", "s", user="anna")
    assert (response.outcome, response.kept) == ("supportive", True)


def test_an_admission_is_text_and_numbers() -> None:
    entry = Admission("s", "u", "1", "hello", "h", seed=7)
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(entry), type=Admission) == entry
