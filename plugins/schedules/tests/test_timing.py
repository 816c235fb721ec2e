"""When schedules are due, held against a walk over every minute of the wall clock."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import islice
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tta_schedules import Schedule, Timing, timing_of
from tta_schedules.timing import jitter

ZONES = {
    "Europe/Berlin": (datetime(2026, 3, 28, tzinfo=UTC), datetime(2026, 10, 24, tzinfo=UTC)),
    "America/New_York": (datetime(2026, 3, 7, tzinfo=UTC), datetime(2026, 10, 31, tzinfo=UTC)),
    # By half an hour.
    "Australia/Lord_Howe": (datetime(2026, 4, 4, tzinfo=UTC), datetime(2026, 10, 3, tzinfo=UTC)),
    # At midnight: the day begins at one.
    "Africa/Cairo": (datetime(2026, 4, 23, tzinfo=UTC), datetime(2026, 10, 28, tzinfo=UTC)),
    # The 30th of December 2011 never was.
    "Pacific/Apia": (datetime(2011, 12, 28, tzinfo=UTC), datetime(2011, 9, 23, tzinfo=UTC)),
    "UTC": (datetime(2028, 2, 28, tzinfo=UTC),),
}
BERLIN = ZoneInfo("Europe/Berlin")


def at(*when: int, zone: ZoneInfo = BERLIN, fold: int = 0) -> float:
    return datetime(*when, tzinfo=zone, fold=fold).timestamp()  # type: ignore[arg-type,misc]  # a date's parts


def due(timing: Timing, since: float, count: int) -> list[str]:
    return [f"{datetime.fromtimestamp(each, BERLIN):%d %H:%M}" for each in islice(timing.since(since), count)]


def test_a_time_that_does_not_exist_is_due_right_after_the_gap() -> None:
    timing = Timing("30 2 * * *", zone="Europe/Berlin")
    assert due(timing, at(2026, 3, 28), 3) == ["28 02:30", "29 03:00", "30 02:30"]


def test_all_that_a_gap_leaves_out_is_due_once_with_what_is_due_then_anyway() -> None:
    timing = Timing("*/15 * * * *", zone="Europe/Berlin")
    assert due(timing, at(2026, 3, 29, 1, 40), 3) == ["29 01:45", "29 03:00", "29 03:15"]


def test_a_time_that_comes_twice_is_due_the_first_time() -> None:
    timing = Timing("30 2 * * *", zone="Europe/Berlin")
    found = list(islice(timing.since(at(2026, 10, 24, 12)), 2))
    assert found == [at(2026, 10, 25, 2, 30, fold=0), at(2026, 10, 26, 2, 30)]
    # Asked in between, it isn't due once more.
    assert timing.after(at(2026, 10, 25, 2, 10, fold=1)) == found[1]
    assert timing.last(at(2026, 10, 25, 2, 10, fold=1)) == found[0]


def test_an_interval_goes_on_over_a_change_of_the_clocks() -> None:
    timing = Timing(every=1800.0, zone="Europe/Berlin")
    assert due(timing, at(2026, 10, 25, 2, 10), 4) == ["25 02:30", "25 02:00", "25 02:30", "25 03:00"]


def minute_by_minute(cron: tuple[set[int], set[int]], zone: ZoneInfo, since: datetime, days: int) -> Iterator[float]:
    """Say when the wall clock shows, or skips, one of these minutes of these hours: by looking at each minute."""
    minutes, hours = cron
    seen: set[datetime] = set()
    before = since.astimezone(zone).replace(tzinfo=None)
    seen.add(before)
    for number in range(1, days * 1440):
        instant = since + timedelta(minutes=number)
        wall = instant.astimezone(zone).replace(tzinfo=None)
        shown = [before + timedelta(minutes=each) for each in range(1, int((wall - before).total_seconds() // 60) + 1)]
        if any(each.minute in minutes and each.hour in hours and each not in seen for each in shown):
            yield instant.timestamp()
        seen.update(shown)
        # A clock that was set back shows again what was seen; it is not due before it shows something new.
        before = wall


@settings(max_examples=30)
@given(
    minutes=st.sets(st.integers(0, 59), min_size=1, max_size=4),
    hours=st.sets(st.integers(0, 23), min_size=1, max_size=6) | st.just(set(range(24))),
    where=st.sampled_from([(zone, since) for zone, times in ZONES.items() for since in times]),
)
def test_what_is_due_is_what_a_walk_over_all_minutes_finds(
    minutes: set[int], hours: set[int], where: tuple[str, datetime]
) -> None:
    zone, since = where
    written = f"{','.join(map(str, sorted(minutes)))} {','.join(map(str, sorted(hours)))} * * *"
    timing = Timing(written, zone=zone)
    expected = list(minute_by_minute((minutes, hours), ZoneInfo(zone), since, 4))
    found = list(islice(timing.since(since.timestamp()), len(expected)))
    assert found == expected
    for before, after in zip([since.timestamp() - 1, *found], [*found, None], strict=False):
        if after is None:
            break
        assert timing.after(after - 0.5) == after
        assert timing.last(after) == after
        if before in found:
            assert timing.last(after - 0.001) == before


@pytest.mark.parametrize(
    ("cron", "expected"),
    [
        ("0 9 * * mon-fri", ["02 09:00", "03 09:00", "04 09:00", "05 09:00", "06 09:00"]),
        ("0 9 * * 1-5", ["02 09:00", "03 09:00", "04 09:00", "05 09:00", "06 09:00"]),
        ("0 0 1,15 Feb-Apr *", ["01 00:00", "15 00:00", "01 00:00", "15 00:00", "01 00:00"]),
        ("0 0 L * *", ["28 00:00", "31 00:00", "30 00:00", "31 00:00", "30 00:00"]),
        ("0 0 * * sun#2", ["08 00:00", "08 00:00", "12 00:00", "10 00:00", "14 00:00"]),
        ("*/20 10-11 * * 7", ["01 10:00", "01 10:20", "01 10:40", "01 11:00", "01 11:20"]),
        ("@daily", ["01 00:00", "02 00:00", "03 00:00", "04 00:00", "05 00:00"]),
        ("@Hourly", ["01 00:00", "01 01:00", "01 02:00", "01 03:00", "01 04:00"]),
        ("@monthly", ["01 00:00", "01 00:00", "01 00:00", "01 00:00", "01 00:00"]),
    ],
)
def test_fields_have_names_ranges_steps_and_lists(cron: str, expected: list[str]) -> None:
    assert due(Timing(cron, zone="Europe/Berlin"), at(2026, 2, 1) - 1, 5) == expected


@pytest.mark.parametrize(
    ("cron", "what"),
    [
        ("", "needs either"), ("* * * *", "five fields"), ("* * * * * *", "five fields"), ("@reboot", "five fields"),
        ("60 * * * *", "bad minute"), ("* 24 * * *", "bad hour"), ("* * 0 * *", "bad day-of-month"),
        ("* * * 13 *", "bad month"), ("* * * * 8", "bad day-of-week"), ("* * * * mon/x", "day of the week can't be"),
        ("*/0 * * * *", "bad minute"), ("5-1 * * * *", "bad minute"), ("* * * feb-jan *", "bad month"),
        ("0 0 30 2 *", "bad day-of-month"), ("0 0 31 4,6 *", "bad day-of-month"), ("L * * * *", "minute can't be"),
        ("* * L/2 * *", "day of the month can't be"), ("* * * * 1L/2", "day of the week can't be"),
        ("* * * * xyz", "bad day-of-week"),
        ("*/90 * * * *", "no steps of 60"), ("0 1-5/24 * * *", "no steps of 24"),
        ("*" * 201, "200 characters"), ("\u0661 * * * *", "minute can't be"),
    ],
)  # fmt: skip
def test_what_is_no_expression_is_told_with_its_field(cron: str, what: str) -> None:
    """dagster-io/dagster#15294, netresearch/go-cron#89: `*/90` was taken, and due every hour."""
    with pytest.raises(ValueError, match=what):
        Timing(cron)


@settings(max_examples=200)
@given(
    st.text("0123456789*/,-#LWlwMONmonSUNJANjan@?xH \t", max_size=30),
    st.integers(600_000_000, 4_000_000_000),
)
def test_whatever_text_is_an_expression_or_a_value_error(text: str, since: int) -> None:
    try:
        timing = Timing(text, zone="Europe/Berlin")
    except ValueError:
        return
    found = timing.after(since)
    assert found is not None
    assert found > since
    assert timing.last(found) == found


@pytest.mark.parametrize(
    "zone",
    ["Europe/Atlantis", "", "../../etc/passwd", "/etc/passwd", "Europe", "a\0b", "x" * 300, "localtime", "Factory"],
)
def test_what_is_no_zone_is_a_value_error(zone: str) -> None:
    with pytest.raises(ValueError, match="no time zone is called"):
        Timing("@daily", zone=zone)


def test_no_due_time_lies_outside_of_start_and_end() -> None:
    start, end = datetime(2026, 1, 1, 9, tzinfo=BERLIN), datetime(2026, 1, 3, 9, tzinfo=BERLIN)
    timing = Timing("0 9 * * *", zone="Europe/Berlin", start=start, end=end)
    assert due(timing, 0.0, 9) == ["01 09:00", "02 09:00", "03 09:00"]
    assert timing.last(1e10) == end.timestamp()
    assert timing.last(start.timestamp() - 1) is None
    assert timing.after(end.timestamp()) is None
    every = Timing(every=86400.0, start=start, end=end)
    assert due(every, 0.0, 9) == ["01 09:00", "02 09:00", "03 09:00"]
    assert every.last(1e10) == end.timestamp()


@pytest.mark.parametrize("every", [1.1, 2.2, 7.7, 60.0, 86400 / 7])
def test_the_last_due_time_up_to_one_is_that_one_however_its_number_was_rounded(every: float) -> None:
    timing = Timing(every=every)
    found = [*islice(timing.since(at(2026, 12, 1)), 1000)]
    assert [timing.last(each) for each in found] == found
    assert [timing.last(each - 0.001) for each in found[1:]] == found[:-1]


def test_an_interval_is_due_at_its_start_though_that_has_microseconds() -> None:
    """agronholm/apscheduler#97: of an interval from `datetime.now()` on the first due time was left out."""
    for microsecond in (123456, 123654):
        start = datetime(2026, 12, 1, 9, 0, 0, microsecond, tzinfo=UTC)
        timing = Timing(every=60.0, start=start)
        first = timing.after(0.0)
        assert first == round(start.timestamp(), 3)
        assert timing.last(first) == first


@pytest.mark.parametrize(
    ("fields", "what"),
    [
        ({"every": 0.5}, "at least 1 s"), ({"every": float("nan")}, "at least 1 s"), ({"every": 1e300}, "at least"),
        ({"cron": "@daily", "every": 60.0}, "needs either"),
        ({"every": 60.0, "jitter": 61.0}, "at most the least time between two due times, 60 s"),
        ({"cron": "0 9 * * *", "jitter": 86401.0}, "86400 s"),
        ({"every": 60.0, "start": datetime(2026, 1, 2, tzinfo=UTC), "end": datetime(2026, 1, 1, tzinfo=UTC)}, "before"),
    ],
)  # fmt: skip
def test_what_makes_no_sense_is_told(fields: dict[str, object], what: str) -> None:
    with pytest.raises(ValueError, match=what):
        Timing(**fields)  # type: ignore[arg-type]  # wrong on purpose


def test_who_is_put_off_is_put_off_by_the_same_wherever_it_is_asked() -> None:
    times = [jitter("a", float(due), 60.0) for due in range(200)]
    assert times == [jitter("a", float(due), 60.0) for due in range(200)]
    assert all(0 <= each < 60 for each in times)
    assert max(times) - min(times) > 50
    assert jitter("b", 1.0, 60.0) != jitter("a", 1.0, 60.0)
    assert jitter("a", 1.0, 0.0) == 0.0


def test_all_time_is_a_range_to_look_for_due_times_in() -> None:
    begin = datetime(1, 1, 1, tzinfo=UTC).timestamp()
    found = [Timing("@yearly", zone=zone).after(begin) for zone in ("UTC", "America/New_York", "Asia/Tokyo")]
    assert all(due is not None and due > begin for due in found)


def test_equal_schedules_share_what_was_worked_out() -> None:
    assert timing_of(Schedule("a", cron="@daily")) is timing_of(Schedule("b", {"x": 1}, cron="@daily"))


@pytest.mark.parametrize("cron", ["* * * * *", "0 0 29 2 *"])
def test_looking_back_ends_at_the_start(cron: str) -> None:
    # Not in the year 1, which takes minutes for an expression that is due each minute.
    timing = Timing(cron, start=datetime(2026, 3, 1, 12, 0, 30, tzinfo=UTC))
    assert timing.last(datetime(2026, 3, 1, 12, 0, 59, tzinfo=UTC).timestamp()) is None
