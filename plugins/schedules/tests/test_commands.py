"""``tta schedules …``: what people do with schedules, in the words in which they do it."""

from __future__ import annotations

import argparse
import time
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest

from tta_kernel import Kernel
from tta_program import Subcommands
from tta_schedules import SCHEDULES, Schedule, ScheduleRefused, Schedules, ScheduleStoreError, commands
from tta_schedules.memory import MemoryScheduleStore
from tta_workflows import DEFINITIONS, Step, Workflow

DEFINED = {name: Workflow((Step("a", "agent"),)) for name in ("greet", "other")}

SECRET = "my own words"


@pytest.fixture
def schedules() -> Schedules:
    return Schedules(MemoryScheduleStore(time.time), durable=True)


async def tta(schedules: Schedules, *words: str) -> int:
    parser = argparse.ArgumentParser(prog="tta")
    commands.add(Subcommands(parser))
    options = parser.parse_args(["schedules", *words])
    return int(
        await options.command.run(Kernel(plugins={}, services={SCHEDULES: schedules, DEFINITIONS: DEFINED}), options)
    )


async def answer(schedules: Schedules, capsys: pytest.CaptureFixture[str], *words: str) -> Any:
    assert await tta(schedules, *words, "--json") == 0
    return msgspec.json.decode(capsys.readouterr().out)


async def test_a_schedule_is_added_with_all_that_can_be_said_of_it(schedules: Schedules) -> None:
    words = (
        "--zone Europe/Berlin --owner u --session s --label k=v --limit 5 --jitter 10m --overlap buffer --catch-up all "
        "--from 2026-12-01T09:00:00+01:00 --until 2999-12-01T09:00:00+01:00 --grace 2m --window 2d --most 7"
    )
    cron = ("--cron", "0 9 * * mon-fri", "--input", '{"text": "hi"}')
    assert await tta(schedules, "add", "a", "greet", *cron, *words.split()) == 0
    entry = await schedules.get("a")
    assert entry is not None
    assert entry.schedule == Schedule(
        "greet", {"text": "hi"}, "u", "s", {"k": "v"}, cron="0 9 * * mon-fri", zone="Europe/Berlin",
        start=datetime.fromisoformat("2026-12-01T09:00:00+01:00"),
        end=datetime.fromisoformat("2999-12-01T09:00:00+01:00"), limit=5,
        jitter=600.0, overlap="buffer", catch_up="all", grace=120.0, window=2 * 86400.0, most=7,
    )  # fmt: skip


async def test_what_is_there_is_listed_and_shown_without_what_a_person_said(
    schedules: Schedules, capsys: pytest.CaptureFixture[str]
) -> None:
    await schedules.add("a", Schedule("greet", {"text": SECRET}, "u", every=900.0))
    await schedules.pause("a", by="me")
    assert await tta(schedules, "list") == 0
    assert await tta(schedules, "show", "a") == 0
    shown = capsys.readouterr().out
    assert [word for word in ("greet", "every 900 s", "paused", "text 13", "me") if word not in shown] == []
    [listed] = (await answer(schedules, capsys, "list"))["schedules"]
    found = await answer(schedules, capsys, "show", "a")
    assert (listed["name"], listed["status"], listed["input"]) == ("a", "paused", {"text": 13})
    assert [each["what"] for each in found["history"]] == ["paused", "changed"]
    assert SECRET not in shown + str(listed) + str(found)


async def test_pages_go_on_where_the_last_ended(schedules: Schedules, capsys: pytest.CaptureFixture[str]) -> None:
    for name in "abc":
        await schedules.add(name, Schedule("greet", every=60.0))
    first = await answer(schedules, capsys, "list", "--limit", "2")
    rest = await answer(schedules, capsys, "list", "--limit", "2", "--cursor", first["cursor"])
    assert [each["name"] for each in first["schedules"] + rest["schedules"]] == ["a", "b", "c"]
    assert rest["cursor"] == ""


async def test_pause_resume_run_backfill_and_remove_change_what_is_stored(
    schedules: Schedules, capsys: pytest.CaptureFixture[str]
) -> None:
    now = [datetime(2026, 6, 1, 12, tzinfo=UTC).timestamp()]
    schedules.clock = lambda: now[0]
    await schedules.add("a", Schedule("greet", every=3600.0))
    assert await tta(schedules, "pause", "a") == 0
    now[0] += 10 * 3600
    resumed = await answer(schedules, capsys, "resume", "a") if not capsys.readouterr().err else None
    assert resumed == {"status": "accepted", "next": now[0] + 3600}
    assert await answer(schedules, capsys, "run", "a", "--id", "x") == {"status": "accepted", "run": "schedule:a:now:x"}
    range = ("--from", "2026-06-01T00:00:00Z", "--until", "2026-06-01T03:00:00Z", "--id", "b")
    assert (await answer(schedules, capsys, "backfill", "a", *range))["count"] == 4
    entry = await schedules.get("a")
    assert entry is not None
    assert ([each.id for each in entry.asked], [each.id for each in entry.backfills]) == (["x"], ["b"])
    assert await tta(schedules, "remove", "a") == 0
    assert await schedules.get("a") is None
    assert await tta(schedules, "show", "a") == 0


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (("show", "b"), "no schedule is called 'b'"), (("pause", "b"), "no schedule is called 'b'"),
        (("add", "b", "gret", "--every", "1h"), "no workflow is called 'gret'; did you mean 'greet'?"),
        (("add", "a", "other", "--every", "1h"), "there is another schedule called 'a'"),
        (("add", "x y", "greet", "--every", "1h"), "no schedule can be called that"),
        (("add", "b", "greet", "--cron", "61 * * * *"), "bad minute"),
        (("add", "b", "greet", "--every", "1h", "--most", "101"), "<= 100"),
        (("run", "a", "--id", "x y"), "no id can be 'x y'"),
        (("remove", "c"), "the schedule 'c' stands in the config"),
        (("add", "c", "greet", "--every", "1h"), "the schedule 'c' stands in the config"),
        (("backfill", "a", "--from", "2026-01-02T00:00Z", "--until", "2026-01-01T00:00Z"), "ends before it begins"),
        (("backfill", "a", "--from", "1990-01-01T00:00Z", "--until", "2026-01-01T00:00Z"), "more than 1000 times"),
    ],
)  # fmt: skip
async def test_what_can_t_be_done_says_why(
    schedules: Schedules, capsys: pytest.CaptureFixture[str], words: tuple[str, ...], why: str
) -> None:
    await schedules.add("a", Schedule("greet", every=60.0))
    lease = await schedules.store.hold("p", 60.0)
    assert lease is not None
    schedules.configure({"c": Schedule("greet", every=60.0)})
    await schedules.sync(lease)
    assert await tta(schedules, *words) == 1
    assert why in capsys.readouterr().err


@pytest.mark.parametrize(
    "words",
    [
        ("add", "a", "greet"), ("add", "a", "greet", "--every", "often"), ("add", "a", "greet", "--every", "-1"),
        ("add", "a", "greet", "--cron", "@daily", "--every", "1h"),
        ("add", "a", "greet", "--every", "1h", "--input", "[]"),
        ("add", "a", "greet", "--every", "1h", "--from", "2026-01-01T00:00"), ("list", "--limit", "0"),
        ("add", "a", "greet", "--every", "1h", "--label", "k"), ("backfill", "a", "--from", "today", "--until", "x"),
    ],
)  # fmt: skip
async def test_what_is_no_command_is_told_by_its_usage(schedules: Schedules, words: tuple[str, ...]) -> None:
    with pytest.raises(SystemExit) as caught:
        await tta(schedules, *words)
    assert caught.value.code == 2


async def test_what_is_kept_in_memory_is_the_running_process_s(capsys: pytest.CaptureFixture[str]) -> None:
    schedules = Schedules(MemoryScheduleStore(time.time), durable=False)
    assert await tta(schedules, "list") == 1
    assert "only the running one can look" in capsys.readouterr().err


async def test_a_store_that_is_away_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    class Away(MemoryScheduleStore):
        async def page(self, cursor: str = "", most: int = 100) -> Any:
            raise ScheduleStoreError("connection refused")

    assert await tta(Schedules(Away(time.time), durable=True), "list") == 1
    assert "connection refused" in capsys.readouterr().err


async def test_who_asks_again_has_asked_once(schedules: Schedules) -> None:
    schedule = Schedule("greet", every=3600.0)
    first = await schedules.add("a", schedule)
    assert await schedules.add("a", schedule) == first
    await schedules.run("a", id="x")
    await schedules.run("a", id="x")
    start, end = datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 1, 2, tzinfo=UTC)
    await schedules.backfill("a", start, end, id="b")
    await schedules.backfill("a", start, end, id="b")
    entry = await schedules.get("a")
    assert entry is not None
    assert (len(entry.asked), len(entry.backfills)) == (1, 1)


async def test_only_so_much_may_wait_to_be_begun(schedules: Schedules) -> None:
    await schedules.add("a", Schedule("greet", every=3600.0))
    for number in range(10):
        await schedules.run("a", id=str(number))
    with pytest.raises(ScheduleRefused, match="have yet to begin"):
        await schedules.run("a")


@pytest.mark.parametrize(
    ("schedule", "why"),
    [
        (Schedule("greet", {"x": object()}, every=60.0), "can't be stored"),
        (Schedule("greet", {"x": 10**30}, every=60.0), "can't be stored"),
        (Schedule("greet", {"x": "x" * 70_000}, every=60.0), "65536 are the most"),
        (Schedule("greet", labels=dict.fromkeys(map(str, range(21)), ""), every=60.0), "20 labels"),
        (Schedule("greet", every=60.0, overlap="often"), "can't be stored"),  # type: ignore[arg-type]  # wrong on purpose
    ],
)
async def test_what_code_has_built_is_looked_at_too(schedules: Schedules, schedule: Schedule, why: str) -> None:
    with pytest.raises(ScheduleRefused, match=why):
        await schedules.add("a", schedule)


async def test_replacing_goes_on_counting(schedules: Schedules) -> None:
    await schedules.add("a", Schedule("greet", every=60.0))
    entry = await schedules.add("a", Schedule("other", every=60.0), replacing=True)
    assert (entry.schedule.workflow, entry.version) == ("other", 2)
