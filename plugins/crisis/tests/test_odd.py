"""Whatever is disclosed, and whatever a store or a notifier does: a human is told, and nothing is raised."""

from __future__ import annotations

from typing import Any

import pytest

from tta_crisis import CRISIS, CRISIS_STORE, CrisisPage, CrisisQuery, Exchange, MemoryCrisisStore
from tta_crisis.testing import deployment, disclosure, finding, until
from tta_kernel.testing.strangers import LIMIT, Outcome, Stranger, strangers
from tta_notify import NOTIFY
from tta_safety import Verdict

QUICK = {"need_durable": False, "look_limit": LIMIT, "store_limit": LIMIT, "start_limit": 1.0}


@pytest.mark.parametrize(
    "given",
    [
        {"admission": ""},
        {"admission": "x" * 5000},
        {"admission": "a\nb\x00"},
        {"admission": "\udcff"},
        {"session": "\udcff", "user": "\udcfe"},
        {"session": "x" * 5000},
        {"turns": (Exchange(1, "\udcff" * 9, "\x00"),)},
        {"turns": (Exchange(1, "x" * 100_000, "y"),) * 50},
        {"locale": "\udcff", "country": "Atlantis"},
        {"at": -1.0},
        {"at": float("inf")},
        {"at": float("nan")},
    ],
    ids=str,
)
async def test_an_odd_disclosure_tells_a_human_all_the_same(given: dict[str, Any]) -> None:
    async with deployment() as kernel:
        crises = kernel.get(CRISIS)
        told = disclosure(**{"admission": "r-1", **given})
        opened = await crises.open(told)
        again = await crises.open(told)
        topics = {each.notification.topic for each in (await kernel.get(NOTIFY).page()).entries}
        assert "crisis" in topics
        assert [each.id for each in opened] == [each.id for each in again]
        assert len(opened) == 1
        page = await crises.page(CrisisQuery())
    assert [each.id for each in page.interventions] == [opened[0].id]


async def test_what_is_no_disclosure_alarms() -> None:
    async with deployment() as kernel:
        assert await kernel.get(CRISIS).open(None) == ()  # type: ignore[arg-type]  # that is what is odd
        [entry] = (await kernel.get(NOTIFY).page()).entries
    assert entry.notification.topic == "alarm"


async def test_a_kind_that_nobody_knows_is_a_crisis_all_the_same() -> None:
    found = finding()
    told = disclosure("r-1", found)
    odd = type(told)(admission="r-1", session="s", verdict=Verdict("checked", "blocked", 0.9, ("ghosts", "ghosts")))
    async with deployment() as kernel:
        [opened] = await kernel.get(CRISIS).open(odd)
    assert (opened.kind, opened.level, opened.protocol) == ("ghosts", "moderate", "crisis-moderate")


class Odd(MemoryCrisisStore):
    """A store all of whose calls are a stranger's."""

    def __init__(self, stranger: Stranger) -> None:
        super().__init__(lambda: 1.0)
        for name in ("open", "get", "put", "page", "packet"):
            setattr(self, name, lambda *args, **more: stranger())


@pytest.mark.parametrize(
    "stranger",
    [each for each in strangers("async", returns=CrisisPage) if each.outcome in (Outcome.FAILURE, Outcome.TIME_LIMIT)],
    ids=str,
)
async def test_whatever_a_store_does_a_human_is_told_and_a_protocol_begins(stranger: Stranger) -> None:
    services: Any = {CRISIS_STORE: Odd(stranger)}
    async with deployment("crisis-memory", services=services, crisis=QUICK) as kernel:
        [opened] = await kernel.get(CRISIS).open(disclosure())
        assert opened.version == 0
        assert await kernel.get(NOTIFY).get(f"crisis.{opened.id}") is not None
        alarms = [each for each in (await kernel.get(NOTIFY).page()).entries if each.notification.topic == "alarm"]
        assert len(alarms) == 1


class OddNotifier:
    """A notifier that is a stranger's."""

    def __init__(self, stranger: Stranger) -> None:
        self.notify = lambda notification: stranger()
        self.acknowledge = lambda id, by: stranger()


@pytest.mark.parametrize(
    "stranger", [each for each in strangers("async") if each.outcome in (Outcome.FAILURE, Outcome.TIME_LIMIT)], ids=str
)
async def test_whatever_a_notifier_does_interventions_are_kept_and_the_log_says_so(
    stranger: Stranger, caplog: pytest.LogCaptureFixture
) -> None:
    async with deployment("notify", "notify-memory", services={NOTIFY: OddNotifier(stranger)}, crisis=QUICK) as kernel:
        crises: Any = kernel.get(CRISIS)
        crises.reach.limit = LIMIT
        [opened] = await crises.open(disclosure())

        async def stored() -> bool:
            return await crises.store.get(opened.id) is not None

        assert await until(stored)
    assert "NOBODY IS TOLD" in caplog.text
