"""What commands print, and how they fail."""

from __future__ import annotations

import pytest

from tta_kernel import suggest
from tta_program import WANTING, fail, table


def test_a_table_is_aligned_and_leaves_nothing_behind_its_last_column(capsys: pytest.CaptureFixture[str]) -> None:
    table([("queue", "n"), ("long name", "1"), ("x", "")])
    assert capsys.readouterr().out == "queue      n\nlong name  1\nx\n"


def test_a_table_hides_what_a_terminal_would_obey(capsys: pytest.CaptureFixture[str]) -> None:
    table([("a\x1b[2J\n", "b…")])
    assert capsys.readouterr().out == "a?[2J?  b…\n"


def test_a_failure_names_its_command_on_standard_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert fail("clock", "it stands still") == WANTING
    assert capsys.readouterr().err == "tta clock: it stands still\n"


def test_a_failure_may_have_lines_and_hides_what_a_terminal_would_obey(capsys: pytest.CaptureFixture[str]) -> None:
    fail("clock", "no clock 'a\x1b[2J'\nknown: b\r")
    assert capsys.readouterr().err == "tta clock: no clock 'a?[2J'\nknown: b?\n"


@pytest.mark.parametrize(
    ("word", "known", "told"),
    [
        ("clok", ["clock", "tide"], "did you mean 'clock'?"),
        ("x", ["tide", "clock"], "known: clock, tide"),
        ("x", [], "known: none"),
        ("x", map(str, range(21, 9, -1)), "known: 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21"),
    ],
)
def test_a_known_word_is_suggested_or_else_all_are_listed(word: str, known: list[str], told: str) -> None:
    assert suggest(word, known) == told


def test_a_suggestion_says_something_else_where_nothing_is_like_the_word() -> None:
    assert suggest("x", ["clock"], otherwise="look around") == "look around"
    assert suggest("clop", ["clock"], cutoff=0.9, otherwise="") == ""


def test_of_many_known_words_the_first_twenty_are_listed() -> None:
    told = suggest("x", [f"{number:02}" for number in range(30)])
    assert told.startswith("known: 00, 01")
    assert told.endswith("19, …")
