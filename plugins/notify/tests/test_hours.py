"""When somebody works, in their own time zone."""

from __future__ import annotations

from datetime import datetime

import pytest

from tta_notify.hours import Hours


def at(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


@pytest.mark.parametrize(
    ("asked", "opens"),
    [
        ("2026-11-30T09:00+01:00", "2026-11-30T09:00+01:00"),
        ("2026-11-30T07:59+01:00", "2026-11-30T08:00+01:00"),
        ("2026-11-30T18:00+01:00", "2026-12-01T08:00+01:00"),
        ("2026-12-04T18:30+01:00", "2026-12-05T22:00+01:00"),
        ("2026-12-06T01:59+01:00", "2026-12-06T01:59+01:00"),
        ("2026-12-06T02:00+01:00", "2026-12-07T08:00+01:00"),
        # The clocks go back in this night: 08:00 is an hour later than a day before.
        ("2026-10-25T12:00+01:00", "2026-10-26T08:00+01:00"),
    ],
)
def test_it_says_when_somebody_works_next(asked: str, opens: str) -> None:
    hours = Hours("mon-fri 08:00-18:00, sat 22:00-02:00", "Europe/Berlin")
    assert hours.opens(at(asked)) == at(opens)


def test_without_hours_somebody_works_always() -> None:
    assert Hours().opens(5.0) == 5.0


def test_a_week_may_be_written_round_its_end() -> None:
    assert Hours("sun-mon 10:00-11:00").opens(at("2026-12-05T00:00+00:00")) == at("2026-12-06T10:00+00:00")


@pytest.mark.parametrize("text", ["always", "mon 8:00-9:00", "mon-xxx 08:00-09:00", "mon 25:00-26:00"])
def test_what_can_t_be_read_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"hours read like|no time of a day"):
        Hours(text)
