"""Dice, dates, arithmetic and figures of a text: right, bounded, and never long."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tta_tools import ToolError
from tta_tools_basic import Pick, Roll, add, between, chance, convert, evaluate, now, pick, roll, statistics


def refused(tool: Any, **arguments: Any) -> None:
    with pytest.raises(ToolError) as caught:
        tool(**arguments)
    assert caught.value.code == "invalid_arguments"


@pytest.mark.parametrize(
    ("dice", "least", "most", "count"),
    [
        ("3d6+2", 5, 20, 3),
        ("d20", 1, 20, 1),
        (" 2D8 - 1d4 ", -2, 15, 3),
        ("d%", 1, 100, 1),
        ("-d6", -6, -1, 1),
        ("7", 7, 7, 0),
    ],
)
def test_dice_fall_within_what_they_can_show(dice: str, least: int, most: int, count: int) -> None:
    for seed in range(50):
        fallen = roll(dice=dice, seed=seed)
        assert least <= fallen.total <= most
        assert len(fallen.dice) == count
        assert fallen == roll(dice=dice, seed=seed)


def test_what_are_no_dice_or_too_many_is_refused() -> None:
    many = ("0d6", "1d1", "101d6", "60d6+60d6", "d1001")
    for dice in ("", "3d", "1d6++1", "2x6", "٣d6", "1d6 or 2", "d6" * 30, *many):
        refused(roll, dice=dice, seed=1)


def test_chance_has_no_favourites_and_a_seed_none_either() -> None:
    assert 300 < sum(chance(percent=40.0, seed=n).happens for n in range(1000)) < 500
    assert not chance(percent=0.0).happens
    assert chance(percent=100.0).happens
    assert {pick(choices=["a", "b", "c"], seed=n).choice for n in range(50)} == {"a", "b", "c"}
    assert pick(choices=["only"]) == Pick("only", 0)
    assert len({roll(dice="10d1000").total for _ in range(5)}) > 1
    assert roll(dice="2d6", seed=7) == Roll(roll(dice="2d6", seed=7).total, roll(dice="2d6", seed=7).dice)


RESULTS = {
    "2 * (3 + 4)": 14, "1 - 2 - 3": -4, "2 ** 3 ** 2": 512, "-2 ** 2": -4, "2^10": 1024, "7 // 2": 3, "-7 % 3": 2,
    "1 / 4": 0.25, "2 ** -1": 0.5, "--3": 3, "max(1, 2, 3) - min(1, 2)": 2, "round(2.567, 1)": 2.6, "1e3": 1000.0,
    "pi": 3.141592653589793, "(-1) ** 1000000": 1, "0 ** 0": 1, "((((((((1))))))))": 1, "floor(-1.5)": -2,
    "-" * 199 + "1": -1, "sqrt(16) // 1": 4,
}  # fmt: skip
NONE = [
    "", "1 +", "(1", "1)", "x", "2(3)", "2 3", "__import__('os')", "1 if 1 else 2", "lambda: 1", "1;2", "\x00", "٣",
    "max()", "sqrt(-1)", "1 / 0", "0 ** -1", "(-8) ** 0.5", "9" * 199, "9 ** 9 ** 9 ** 9", "2 ** 53", "exp(1000)",
    "1e308 * 10", "1e999", "(" * 100 + "1" + ")" * 99, "2**" * 60 + "2", "ceil(1e300)", "e(1)", "sqrt 4",
    "round(1, 2, 3)", "log(0)", "1e3 + .5", "1_000", "0x10", "1j", "True",
]  # fmt: skip


def test_an_expression_is_worked_out_or_refused() -> None:
    assert {expression: evaluate(expression=expression) for expression in RESULTS} == RESULTS
    for expression in NONE:
        refused(evaluate, expression=expression)


@settings(max_examples=300, deadline=None)
@given(st.text(alphabet="0123456789.eE+-*/%^(), minaxpowsqrtlog", max_size=200))
def test_whatever_an_expression_says_it_is_soon_a_number_or_refused(expression: str) -> None:
    begun = time.process_time()
    try:
        evaluate(expression=expression)
    except ToolError as error:
        code = error.code
    else:
        code = "invalid_arguments"
    assert code == "invalid_arguments"
    assert time.process_time() - begun < 1


def test_numbers_are_added() -> None:
    assert add(a=3, b=4) == 7
    refused(add, a=2**53 - 1, b=1)
    refused(add, a=1e308, b=1e308)


def test_a_time_is_said_in_a_zone_also_where_clocks_are_changed() -> None:
    there = convert(when="2026-03-29T00:59:59Z", zone="Europe/Vienna")
    assert (there.iso, there.offset_minutes, there.weekday) == ("2026-03-29T01:59:59+01:00", 60, "Sunday")
    later = convert(when="2026-03-29T00:59:59Z", zone="Europe/Vienna", add_minutes=1)
    assert (later.date, later.time, later.offset_minutes) == ("2026-03-29", "03:00:59", 120)
    assert convert(when="2026-01-01", zone="UTC").epoch == 1767225600.0
    assert convert(when="2026-01-01T00:00", zone="Asia/Kathmandu", add_days=-1).iso == "2025-12-31T05:45:00+05:45"
    span = between(start="2026-03-29T01:59:59+01:00", end="2026-03-29T03:00:00+02:00")
    assert (span.seconds, round(span.days, 6)) == (1.0, 1.2e-5)
    assert abs(now(zone="Pacific/Auckland").epoch - datetime.now(UTC).timestamp()) < 60


def test_what_is_no_zone_and_no_time_is_refused() -> None:
    for zone in ("Mars/Olympus", "Europe", "posix", "A/../../x", "UTC\x00", "localtime2", "a" * 60, "/etc/passwd"):
        refused(convert, when="2026-01-01", zone=zone)
    for when in ("yesterday", "2026-13-01", "2026-01-01T25:00", "2026-02-30", "0000-01-01", "1e9999999999"):
        refused(convert, when=when, zone="UTC")
        refused(between, start=when, end="2026-01-01")


def test_what_lies_outside_of_all_years_is_refused() -> None:
    refused(convert, when="9999-12-31", zone="UTC", add_days=1)
    refused(convert, when="0001-01-01", zone="America/New_York")


def test_a_text_is_counted() -> None:
    found = statistics(text="It's dark. Light the well-known lamp!\n\n  \nWhy... Why not?\nBecause")
    assert (found.words, found.different_words, found.sentences, found.paragraphs) == (10, 9, 5, 2)
    assert statistics(text="").words == 0
    assert statistics(text="Grüße aus 東京。").words == 3


@pytest.mark.parametrize("piece", [".", "a.", "\n", "\n ", " ", "a'", "-a", "!x", "é", "\u0301"])
def test_no_text_takes_long_to_count(piece: str) -> None:
    text = (piece * 50_000)[:50_000]
    begun = time.process_time()
    for each in (text, text + "x"):
        assert statistics(text=each).characters == len(each)
    assert time.process_time() - begun < 2
