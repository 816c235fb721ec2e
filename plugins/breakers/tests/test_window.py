"""Counts of the latest calls."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tta_breakers.testing import Time
from tta_breakers.window import Window


def test_what_is_older_than_the_window_is_not_counted() -> None:
    clock = Time()
    window = Window(10.0, clock)
    window.add(1)
    clock.now += 9
    window.add(0)
    assert (window.calls, window.failed) == (2, 1)
    clock.now += 2
    window.add(0)
    assert (window.calls, window.failed) == (2, 0)


def test_a_clock_that_goes_back_begins_anew() -> None:
    clock = Time()
    window = Window(10.0, clock)
    window.add(1)
    clock.now -= 3600
    window.add(0)
    assert (window.calls, window.failed) == (1, 0)


@given(st.lists(st.tuples(st.floats(0, 5), st.integers(0, 1)), max_size=100))
def test_it_counts_what_lies_in_it_to_a_tenth(calls: list[tuple[float, int]]) -> None:
    clock = Time()
    window = Window(10.0, clock)
    made: list[tuple[float, int]] = []
    for pause, failed in calls:
        clock.now += pause
        window.add(failed)
        made.append((clock.now, failed))
        sure = [each for at, each in made if at > clock.now - 8.99]
        possible = [each for at, each in made if at > clock.now - 10.01]
        assert len(sure) <= window.calls <= len(possible)
        assert sum(sure) <= window.failed <= sum(possible)
