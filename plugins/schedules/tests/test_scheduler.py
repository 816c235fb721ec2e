"""What fires schedules, over a store and workflows that a test can break."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Sized
from contextlib import asynccontextmanager
from functools import partial
from typing import Any, cast

import anyio
import pytest

from tta_kernel import Event
from tta_kernel.testing.strangers import LIMIT, Outcome, Stranger, strangers
from tta_schedules import (
    Entry,
    Firing,
    Page,
    Schedule,
    ScheduleFired,
    ScheduleMissed,
    Schedules,
    ScheduleStoreError,
)  # fmt: skip
from tta_schedules.memory import MemoryScheduleStore
from tta_schedules.scheduler import Scheduler, Settings
from tta_schedules.store import guard
from tta_schedules.testing import FakeWorkflows, until
from tta_workflows.testing import VirtualClock

HOUR = 3600.0
HOURLY = Schedule("greet", {"text": "hi"}, "u", "s", {"kind": "reminder"}, every=HOUR)
DUE = 1_004_400.0
KEY = "schedule:hourly:1970-01-12T15:00:00Z"
QUICK = Settings(lease=0.3, poll=0.02, limit=LIMIT, grace=0.2)


async def is_there(things: Sized) -> bool:
    return len(things) > 0


class Deployment:
    """Schedulers over one store, and a clock that a test moves."""

    def __init__(self) -> None:
        self.clock = VirtualClock(1_000_800.0)
        self.store: Any = MemoryScheduleStore(anyio.current_time)
        self.workflows = FakeWorkflows(self.clock.time)
        self.events: list[Event] = []
        self.schedules = self.service()

    def service(self, **configured: Schedule) -> Schedules:
        schedules = Schedules(self.store, durable=True, configured=configured)
        schedules.clock = self.clock.time
        return schedules

    @asynccontextmanager
    async def running(self, *, settings: Settings = QUICK, workflows: Any = None) -> AsyncIterator[Scheduler]:
        scheduler = Scheduler(
            self.schedules, workflows or cast(Any, self.workflows), self.clock, process="p",
            log=logging.getLogger("tta.schedules-local"), publish=self.events.append, settings=settings,
        )  # fmt: skip
        async with scheduler.running():
            yield scheduler

    async def until_begun(self, count: int) -> None:
        async def begun() -> bool:
            return len(self.workflows.begun) >= count

        await until(begun)

    async def until(self, name: str, *, passing: float = 0.0, **fields: Any) -> Entry:
        """Wait until a schedule has these fields; meanwhile time is ``passing``, as often as it is looked."""

        async def stands() -> Entry | None:
            self.clock.advance(passing)
            entry = cast(Entry | None, await self.store.get(name))
            if entry is None or any(getattr(entry, key) != value for key, value in fields.items()):
                return None
            return entry

        return await until(stands)


@pytest.fixture
def deployment() -> Deployment:
    return Deployment()


async def test_what_is_due_starts_a_run_with_the_schedule_s_input_and_tells(deployment: Deployment) -> None:
    await deployment.schedules.add("hourly", HOURLY)
    async with deployment.running() as scheduler:
        deployment.clock.advance(HOUR)
        await deployment.until_begun(1)
        entry = await deployment.until("hourly", firing=None, fired=1)
    run = deployment.workflows.runs[KEY]
    assert (run.workflow, run.session, run.owner) == ("greet", "s", "u")
    assert run.labels == {"kind": "reminder", "schedule": "hourly"}
    assert deployment.workflows.inputs[KEY] == {"text": "hi"}
    assert deployment.events == [
        ScheduleFired(schedule="hourly", due=DUE, run=KEY, workflow="greet", session="s", owner="u")
    ]
    assert (entry.runs, entry.next, scheduler.fired) == ((KEY,), DUE + HOUR, 1)
    assert [(each.what, each.due, each.run) for each in await deployment.store.history("hourly")] == [
        ("fired", DUE, KEY), ("changed", 0.0, ""),
    ]  # fmt: skip


async def test_of_two_schedulers_one_fires_and_the_other_goes_on_when_it_leaves(deployment: Deployment) -> None:
    await deployment.schedules.add("hourly", HOURLY)
    async with deployment.running() as second:
        with anyio.fail_after(5):
            await second.hold.taken.wait()
        async with deployment.running() as third:
            deployment.clock.advance(HOUR)
            await deployment.until("hourly", firing=None, fired=1)
            assert third.hold.lease is None
        assert (second.fired, third.fired) == (1, 0)
    async with deployment.running() as fourth:
        deployment.clock.advance(HOUR)
        await deployment.until("hourly", firing=None, fired=2)
    assert fourth.fired == 1


async def test_who_waits_for_the_lease_has_it_as_soon_as_its_holder_leaves(deployment: Deployment) -> None:
    settings = Settings(lease=3600.0)
    async with deployment.running(settings=settings) as first:
        with anyio.fail_after(5):
            await first.hold.taken.wait()
        async with deployment.running(settings=settings) as second:
            await anyio.wait_all_tasks_blocked()
            assert second.hold.lease is None
            await first.hold.leave()
            with anyio.fail_after(5):
                await second.hold.taken.wait()


async def test_a_schedule_that_is_added_is_seen_at_once(deployment: Deployment) -> None:
    async with deployment.running(settings=Settings(poll=60.0)) as scheduler:
        with anyio.fail_after(5):
            await scheduler.hold.taken.wait()
        await deployment.schedules.add("hourly", HOURLY)
        await deployment.schedules.run("hourly", by="me", id="x")
        await deployment.until_begun(1)
    assert list(deployment.workflows.begun) == ["schedule:hourly:now:x"]


async def test_who_has_lost_the_lease_asks_for_it_before_it_tries_anything_more(deployment: Deployment) -> None:
    puts: list[bool] = []

    class Counting(MemoryScheduleStore):
        async def put(self, entry: Entry, records: Any = (), *, lease: Any = None) -> Entry:
            puts.append(lease is not None)
            return await super().put(entry, records, lease=lease)

    # By its clock, which a test moves on, the lease is over with each hour.
    deployment.store = Counting(deployment.clock.time)
    deployment.schedules = deployment.service()
    await deployment.schedules.add("hourly", HOURLY)
    async with deployment.running() as scheduler:
        await scheduler.hold.taken.wait()
        deployment.clock.advance(HOUR)
        await deployment.until("hourly", firing=None, fired=1)
    assert puts.count(True) <= 4


@pytest.mark.parametrize("code", ["unknown_workflow", "bad_input", "too_large", "key_taken"])
async def test_what_can_never_begin_is_told_and_left(deployment: Deployment, code: str) -> None:
    deployment.workflows.refuse = code
    await deployment.schedules.add("hourly", HOURLY)
    async with deployment.running():
        deployment.clock.advance(HOUR)
        await deployment.until("hourly", firing=None, fired=1)
    [missed] = deployment.events
    assert isinstance(missed, ScheduleMissed)
    assert (missed.why, missed.due) == (code, DUE)
    assert (await deployment.store.history("hourly"))[0].code == code


@pytest.mark.parametrize("code", ["unavailable", "overloaded"])
async def test_what_can_begin_later_is_tried_until_it_does(deployment: Deployment, code: str) -> None:
    deployment.workflows.refuse = code
    await deployment.schedules.add("hourly", HOURLY)
    async with deployment.running():
        deployment.clock.advance(HOUR)
        await until(partial(is_there, deployment.workflows.calls))
        await deployment.until("hourly", passing=1.0, firing=Firing(KEY, DUE, tries=3))
        deployment.workflows.refuse = ""
        await deployment.until("hourly", passing=1.0, firing=None, fired=1)
    assert {*deployment.workflows.calls} == {KEY}
    assert [type(each) for each in deployment.events] == [ScheduleFired]


async def test_what_was_decided_to_be_fired_is_fired_by_whoever_comes_next_even_when_it_is_paused(
    deployment: Deployment,
) -> None:
    await deployment.schedules.add("hourly", HOURLY)
    deployment.workflows.refuse = "unavailable"
    async with deployment.running():
        deployment.clock.advance(HOUR)
        await until(partial(is_there, deployment.workflows.calls))
        await deployment.schedules.pause("hourly", by="me")
    deployment.workflows.refuse = ""
    deployment.clock.advance(30 * HOUR)
    async with deployment.running():
        entry = await deployment.until("hourly", firing=None)
    assert list(deployment.workflows.begun) == [KEY]
    assert entry.paused


async def test_a_change_while_a_run_is_started_is_kept(deployment: Deployment) -> None:
    await deployment.schedules.add("hourly", HOURLY)
    starts, go_on = anyio.Event(), anyio.Event()

    class Slow(FakeWorkflows):
        async def start(self, *args: Any, **how: Any) -> Any:
            starts.set()
            await go_on.wait()
            return await super().start(*args, **how)

    slow = Slow(deployment.clock.time)
    async with deployment.running(settings=Settings(), workflows=slow):
        deployment.clock.advance(HOUR)
        with anyio.fail_after(10):
            await starts.wait()
            await deployment.schedules.pause("hourly")
            await deployment.schedules.run("hourly", id="x")
            go_on.set()
        entry = await deployment.until("hourly", firing=None, asked=(), runs=("schedule:hourly:now:x",))
    assert entry.paused
    assert [*slow.begun] == [KEY, "schedule:hourly:now:x"]


async def test_one_that_hangs_holds_up_no_other(deployment: Deployment) -> None:
    class Hanging(FakeWorkflows):
        async def start(self, name: str, *args: Any, **how: Any) -> Any:
            if name == "hangs":
                await anyio.sleep_forever()
            return await super().start(name, *args, **how)

    hanging = Hanging(deployment.clock.time)
    await deployment.schedules.add("hangs", Schedule("hangs", every=HOUR))
    await deployment.schedules.add("works", Schedule("works", every=HOUR, overlap="allow"))
    async with deployment.running(settings=Settings(limit=60.0, grace=0.0), workflows=hanging):
        for count in range(1, 4):
            deployment.clock.advance(HOUR)
            await deployment.until("works", firing=None, fired=count)
    assert len(hanging.begun) == 3


async def test_the_config_s_schedules_are_entered_changed_and_ended_and_stay_paused(deployment: Deployment) -> None:
    deployment.schedules = deployment.service(a=HOURLY, b=HOURLY)
    async with deployment.running() as scheduler:
        await deployment.until("b", origin="config")
        await deployment.schedules.pause("a")
        deployment.schedules.on_configured = scheduler.look_again
        deployment.schedules.configure({"b": Schedule("other", every=HOUR)})
        entry = await deployment.until("a", ended="removed")
        assert (entry.next, entry.wake, entry.paused) == (None, None, True)
        await deployment.until("b", schedule=Schedule("other", every=HOUR))
        deployment.schedules.configure({"a": HOURLY})
        entry = await deployment.until("a", ended="")
        assert entry.paused


async def test_a_schedule_that_was_added_hides_one_of_the_config_and_that_is_told(
    deployment: Deployment, caplog: pytest.LogCaptureFixture
) -> None:
    await deployment.schedules.add("a", HOURLY)
    deployment.schedules = deployment.service(a=Schedule("other", every=HOUR))

    async def is_told() -> bool:
        return bool(caplog.messages)

    async with deployment.running():
        await until(is_told)
    assert "the schedule a of the config isn't fired" in caplog.text
    entry = await deployment.store.get("a")
    assert entry.schedule == HOURLY


class Odd:
    """Something whose methods of these names do what a stranger does, each the first ``times`` times."""

    def __init__(self, target: object, stranger: Stranger, *names: str, times: int = 2) -> None:
        self._target, self._stranger = target, stranger
        self._left = dict.fromkeys(names, times)

    def __getattr__(self, name: str) -> Any:
        if name == "durable":
            return self._target.durable  # type: ignore[attr-defined]  # a store's

        def call(*args: Any, **how: Any) -> Any:
            if self._left.get(name, 0):
                self._left[name] -= 1
                return self._stranger()
            return getattr(self._target, name)(*args, **how)

        return call


@pytest.mark.boundary("tta_schedules.ScheduleStore", "tta_schedules.Schedules.__init__.store")
@pytest.mark.parametrize("stranger", strangers("async", returns=Page), ids=str)
async def test_whatever_a_store_does_what_is_due_is_fired_once_it_answers(stranger: Stranger) -> None:
    deployment = Deployment()
    await deployment.schedules.add("hourly", HOURLY)
    names = ("hold", "page", "get", "due", "wake", "put", "changed")
    odd = Odd(deployment.store, stranger, *names)
    memory, deployment.store = deployment.store, guard(cast(Any, odd), limit=LIMIT)
    deployment.schedules = deployment.service()
    deployment.store = memory
    deployment.clock.advance(HOUR)

    async def fire() -> None:
        async with deployment.running():
            await deployment.until("hourly", firing=None, fired=1)

    if stranger.outcome is Outcome.STOP:
        with pytest.raises(BaseException) as caught:  # noqa: PT011 - whichever it is, it is an interrupt
            await fire()
        leaves = caught.value
        while isinstance(leaves, BaseExceptionGroup):
            leaves = leaves.exceptions[0]
        assert isinstance(leaves, KeyboardInterrupt)
        return
    await fire()
    assert len(deployment.workflows.begun) == 1


@pytest.mark.parametrize("name", ["hold", "put", "get", "due", "wake", "page", "history", "forget"])
async def test_what_a_store_answers_wrongly_is_its_error(name: str) -> None:
    arguments: dict[str, tuple[Any, ...]] = {
        "hold": ("p", 1.0), "put": (Entry(name="a", schedule=HOURLY),), "get": ("a",), "due": (0.0, 1),
        "wake": (0.0,), "page": (), "history": ("a",), "forget": ("u",),
    }  # fmt: skip

    async def odd() -> Any:
        return object()

    store = guard(cast(Any, Odd(object(), Stranger("odd", Outcome.FAILURE, odd), name)), limit=LIMIT)
    with pytest.raises(ScheduleStoreError, match=rf"Odd\.{name} answered with object that is wrong"):
        await getattr(store, name)(*arguments[name])


@pytest.mark.parametrize("stranger", [each for each in strangers("async") if each.outcome is not Outcome.STOP], ids=str)
async def test_whatever_another_engine_does_a_run_begins_once_it_answers(stranger: Stranger) -> None:
    deployment = Deployment()
    await deployment.schedules.add("hourly", HOURLY)
    odd = Odd(deployment.workflows, stranger, "start")
    async with deployment.running(workflows=odd):
        deployment.clock.advance(HOUR)
        await deployment.until("hourly", passing=0.5, firing=None, fired=1)
    assert [*deployment.workflows.begun] == [KEY]
