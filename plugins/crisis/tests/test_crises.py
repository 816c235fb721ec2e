"""Opening interventions and seeing to them, over a whole deployment in one process."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, cast

import anyio
import pytest
from msgspec.structs import replace

from tta_crisis import (
    CRISIS,
    CRISIS_STORE,
    CrisisAcknowledged,
    CrisisError,
    CrisisOpened,
    CrisisPage,
    CrisisQuery,
    CrisisResolved,
    Feedback,
    Intervention,
    MemoryCrisisStore,
    NoSuchIntervention,
    Packet,
)
from tta_crisis.testing import deployment, disclosure, finding, until
from tta_kernel import Context, Event, NoConfig, Plugin
from tta_kernel.hookspecs import health, snapshot
from tta_notify import NOTIFY, Acknowledged, Entry
from tta_notify.hookspecs import notification_acknowledged
from tta_sessions import SESSIONS, Consent, Session, flags_of
from tta_sessions.flags import set_flags
from tta_sessions.hookspecs import forget
from tta_workflows import WORKFLOWS, Run

ID = "r-1.player.suicide"


def listening(heard: list[Event]) -> type[Plugin[NoConfig]]:
    async def hear(event: Event) -> None:
        heard.append(event)

    class Listener(Plugin[NoConfig]):
        @asynccontextmanager
        async def lifespan(self, ctx: Context) -> AsyncIterator[None]:
            for kind in (CrisisOpened, CrisisAcknowledged, CrisisResolved):
                ctx.on(kind, hear)
            yield

    return Listener


async def test_from_a_disclosure_to_its_resolution() -> None:
    heard: list[Event] = []
    async with deployment(more={"listener": listening(heard)}) as kernel:
        crises, notifier = kernel.get(CRISIS), kernel.get(NOTIFY)
        [opened] = await crises.open(disclosure("r-1", finding(severity=6, temporality="imminent")))
        assert (opened.id, opened.kind, opened.level, opened.status) == (ID, "suicide", "critical", "open")
        assert opened.assessment.immediate

        entry = await notifier.get(f"crisis.{ID}")
        assert entry is not None
        assert (entry.notification.severity, entry.notification.owner) == ("critical", "anna")

        async def steps() -> Run | None:
            run = await kernel.get(WORKFLOWS).query(opened.run)
            done = {step.id for step in run.steps if step.status in ("done", "degraded")} if run else set()
            return run if {"told", "paused", "answered", "help", "contacted", "logged"} <= done else None

        run = await until(steps)
        assert run.workflow == "crisis-critical"
        assert run.owner == "anna"
        assert flags_of(await kernel.get(SESSIONS).get("s-1")).paused

        seen = await crises.acknowledge(ID, by="dr b")
        assert (seen.status, seen.acknowledged_by) == ("acknowledged", "dr b")
        entry = await notifier.get(f"crisis.{ID}")
        assert entry is not None
        assert entry.status == "acknowledged"

        closed = await crises.resolve(ID, by="dr b", resolution="helped")
        assert (closed.status, closed.resolution, closed.acknowledged_at) == (
            "resolved", "helped", seen.acknowledged_at,
        )  # fmt: skip
        assert not flags_of(await kernel.get(SESSIONS).get("s-1")).paused
        assert [each.id for each in (await crises.page(CrisisQuery(status="resolved"))).interventions] == [ID]

        async def three() -> bool:
            return len(heard) >= 3

        await until(three)
    assert {type(event) for event in heard} == {CrisisOpened, CrisisAcknowledged, CrisisResolved}
    assert {cast(Any, event).owner for event in heard} == {"anna"}


async def test_a_repeated_turn_opens_and_tells_nothing_again() -> None:
    async with deployment() as kernel:
        crises, notifier = kernel.get(CRISIS), kernel.get(NOTIFY)
        first = await crises.open(disclosure())
        await crises.acknowledge(ID, by="dr b")
        [again] = await crises.open(disclosure())
        assert again.status == "acknowledged"
        assert again.opened_at == first[0].opened_at
        assert len((await notifier.page()).entries) == 1
        assert len((await crises.page(CrisisQuery())).interventions) == 1


async def test_each_kind_of_an_answer_has_an_intervention_of_its_own() -> None:
    found = disclosure("r-1", finding("suicide"), finding("substance", 6), finding("panic", 1))
    async with deployment() as kernel:
        opened = await kernel.get(CRISIS).open(found)
    assert [(each.kind, each.level) for each in opened] == [
        ("suicide", "high"), ("substance", "critical"), ("panic", "low"),
    ]  # fmt: skip


async def test_an_answer_without_kinds_opens_nothing() -> None:
    safe = disclosure("r-1")
    async with deployment() as kernel:
        none = type(safe)(admission="r-1", session="s-1", verdict=type(safe.verdict)("checked", "safe"))
        assert await kernel.get(CRISIS).open(none) == ()


async def test_an_earlier_one_of_the_session_counts_unless_it_was_a_false_alarm() -> None:
    async with deployment() as kernel:
        crises = kernel.get(CRISIS)
        await crises.open(disclosure("r-1", finding(severity=1)))
        [second] = await crises.open(disclosure("r-2", finding(severity=1)))
        assert (second.level, second.assessment.earlier) == ("moderate", 1)
        for id in (ID, "r-2.player.suicide"):
            await crises.resolve(id, by="dr b", resolution="false-alarm")
        [third] = await crises.open(disclosure("r-3", finding(severity=1)))
        assert third.level == "low"


async def test_an_acknowledged_notification_acknowledges_the_intervention() -> None:
    async with deployment() as kernel:
        await kernel.get(CRISIS).open(disclosure())
        seen = Acknowledged(
            id=f"crisis.{ID}", key="k", topic="crisis", severity="high", by="dr b", at=1.0, how="link",
            about={"intervention": ID},
        )  # fmt: skip
        for about in ({}, {"intervention": "gone"}, {"intervention": ID}):
            answers = await kernel.ask(notification_acknowledged, replace(seen, about=about))
            assert answers["crisis"] is None
        found = await kernel.get(CRISIS).get(ID)
    assert found is not None
    assert (found.status, found.acknowledged_by) == ("acknowledged", "dr b")


async def test_a_packet_has_findings_without_words_and_no_turns_without_consent() -> None:
    async with deployment() as kernel:
        crises, sessions = kernel.get(CRISIS), kernel.get(SESSIONS)
        await crises.open(disclosure())
        withheld = await crises.packet(ID)
        assert withheld is not None
        assert (withheld.turns, withheld.reads) == ((), "withheld")
        assert [clue.rule for clue in withheld.clues] == ["suicide@1"]
        await set_flags(sessions, "s-1", "anna", consent=Consent(data=True), age_band="adult", country="GB")
        [opened] = await crises.open(disclosure("r-2"))
        shown = await crises.packet(opened.id)
        assert shown is not None
        assert (shown.reads, shown.country, shown.consent_data) == ("agreed", "GB", True)
        assert [each.said for each in shown.turns] == ["I go north with [name]", "call me on [number]"]


async def test_feedback_is_kept_with_what_it_is_about() -> None:
    async with deployment() as kernel:
        crises = kernel.get(CRISIS)
        await crises.open(disclosure())
        await crises.judge(Feedback(intervention=ID, judgement="override", by="dr b", level="low", reason="a song"))
        [kept] = (await crises.judgements()).feedback
        assert (kept.kind, kept.assessed, kept.level, kept.owner) == ("suicide", "high", "low", "anna")
        with pytest.raises(NoSuchIntervention):
            await crises.judge(Feedback(intervention="none", judgement="right", by="dr b"))


async def test_a_human_without_a_name_sees_to_nothing() -> None:
    async with deployment() as kernel:
        crises = kernel.get(CRISIS)
        await crises.open(disclosure())
        with pytest.raises(ValueError, match="has a name"):
            await crises.acknowledge(ID, by=" \n")
        with pytest.raises(NoSuchIntervention):
            await crises.acknowledge("none", by="dr b")


async def test_a_forgotten_person_has_no_intervention_and_leaves_a_day() -> None:
    async with deployment() as kernel:
        crises = kernel.get(CRISIS)
        await crises.open(disclosure())
        answers = await kernel.ask(forget, "anna")
        assert answers["crisis-memory"] == 1
        assert await crises.get(ID) is None
        assert await crises.packet(ID) is None
        assert [each.kind for each in await kernel.get(CRISIS_STORE).traces()] == ["suicide"]


@pytest.mark.parametrize("missing", [("workflows", "workflows-local", "workflows-memory"), ("agents", "agents-memory")])
async def test_without_protocols_a_human_is_told_all_the_same(missing: tuple[str, ...]) -> None:
    gone = {*missing, "workflows", "workflows-local", "workflows-memory"}
    async with deployment(*gone) as kernel:
        await kernel.get(CRISIS).open(disclosure())
        assert await kernel.get(NOTIFY).get(f"crisis.{ID}") is not None


async def test_without_anybody_to_tell_it_says_so_loudly(caplog: pytest.LogCaptureFixture) -> None:
    async with deployment("notify", "notify-memory") as kernel:
        [opened] = await kernel.get(CRISIS).open(disclosure())
        answer = (await kernel.ask(health))["crisis"]
    assert opened.status == "open"
    assert "NOBODY IS TOLD" in caplog.text
    assert cast(Any, answer).status == "degraded"


class Away(MemoryCrisisStore):
    """A store that a test can take away."""

    is_away = False

    def _look(self) -> None:
        if self.is_away:
            raise CrisisError("it is away")

    async def open(self, intervention: Intervention, packet: Packet) -> Intervention:
        self._look()
        return await super().open(intervention, packet)

    async def get(self, id: str) -> Intervention | None:
        self._look()
        return await super().get(id)

    async def put(self, intervention: Intervention) -> Intervention:
        self._look()
        return await super().put(intervention)

    async def page(self, query: CrisisQuery) -> CrisisPage:
        self._look()
        return await super().page(query)


async def test_while_the_store_is_away_humans_are_told_and_it_is_stored_when_that_is_back() -> None:
    store = Away(lambda: 1_790_000_000.0)
    store.is_away = True
    async with deployment("crisis-memory", services={CRISIS_STORE: store}) as kernel:
        crises, notifier = kernel.get(CRISIS), kernel.get(NOTIFY)
        [opened] = await crises.open(disclosure())
        assert await notifier.get(f"crisis.{ID}") is not None
        told: list[Entry] = list((await notifier.page()).entries)
        assert {each.notification.topic for each in told} == {"crisis", "alarm"}
        assert cast(Any, (await kernel.ask(health))["crisis"]).status == "degraded"
        assert cast(Any, (await kernel.ask(snapshot))["crisis"])["crisis.unstored"] == 1
        assert (await crises.get(ID)) == opened
        seen = await crises.acknowledge(ID, by="dr b")
        assert seen.status == "acknowledged"
        store.is_away = False

        async def stored() -> Intervention | None:
            return await store.get(ID)

        found = await until(stored)
        assert found.opened_at == opened.opened_at

        async def as_seen() -> bool:
            found = await store.get(ID)
            return found is not None and found.status == "acknowledged"

        assert await until(as_seen)

        async def begun() -> bool:
            return await kernel.get(WORKFLOWS).query(opened.run) is not None

        assert await until(begun)


async def test_a_turn_that_is_cancelled_tells_a_human_all_the_same() -> None:
    async with deployment() as kernel:
        with anyio.CancelScope() as scope:
            scope.cancel()
            await kernel.get(CRISIS).open(disclosure())
        assert await kernel.get(NOTIFY).get(f"crisis.{ID}") is not None


class Counting:
    """Workflows in which everything begins; ``begun`` has the key of each start."""

    def __init__(self) -> None:
        self.begun: list[str] = []

    async def start(self, workflow: str, *arguments: Any, key: str, **more: Any) -> Any:
        self.begun.append(key)
        return self

    async def query(self) -> Run:
        return Run("r", "crisis-high", "running")


async def test_a_look_at_all_that_is_open_starts_no_protocol_that_this_process_has_begun() -> None:
    workflows = Counting()
    without = ("workflows", "workflows-local", "workflows-memory")
    async with deployment(*without, services={WORKFLOWS: workflows}) as kernel:
        crises = cast(Any, kernel.get(CRISIS))
        for number in range(5):
            await crises.open(disclosure(f"r-{number}", session=f"s-{number}"))
        begun = len(workflows.begun)
        for _ in range(3):
            await crises.sweep()
    assert sorted(set(workflows.begun)) == [f"crisis:r-{number}.player.suicide" for number in range(5)]
    assert len(workflows.begun) == begun


async def test_what_a_look_has_begun_meanwhile_waits_no_longer() -> None:
    """A protocol that waits is found begun, as where a look was quicker; nobody tries it again and again."""
    workflows = Counting()
    without = ("workflows", "workflows-local", "workflows-memory")
    async with deployment(*without, services={WORKFLOWS: workflows}) as kernel:
        crises = cast(Any, kernel.get(CRISIS))
        [opened] = await crises.open(disclosure())
        crises.reach.begin_later(opened)
        with anyio.fail_after(60):
            while len(crises.reach):  # noqa: ASYNC110 - the task that begins it tells nobody
                await anyio.sleep(0.001)
    assert workflows.begun == ["crisis:r-1.player.suicide"]


async def test_what_a_process_has_opened_and_not_begun_another_one_begins() -> None:
    store = MemoryCrisisStore(lambda: 1_790_000_000.0)
    async with deployment("workflows", "workflows-local", "workflows-memory", "crisis-memory",
                          services={CRISIS_STORE: store}) as kernel:  # fmt: skip
        [opened] = await kernel.get(CRISIS).open(disclosure())
    async with deployment("crisis-memory", services={CRISIS_STORE: store}) as kernel:

        async def begun() -> bool:
            return await kernel.get(WORKFLOWS).query(opened.run) is not None

        assert await until(begun)


async def test_nothing_that_was_written_is_in_events_notifications_or_interventions(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("DEBUG")
    async with deployment() as kernel:
        await kernel.get(SESSIONS).commit(Session("s-1", "anna"))
        opened = await kernel.get(CRISIS).open(disclosure())
        entries = (await kernel.get(NOTIFY).page()).entries
    for word in ("north", "Bert", "0151"):
        assert word not in f"{opened} {entries} {caplog.text}"
