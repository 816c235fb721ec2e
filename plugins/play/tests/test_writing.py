"""A story that is written on a terminal as it comes."""

from __future__ import annotations

import io
import re

import pytest
from rich.cells import cell_len
from rich.console import Console

from tta_play.writing import Writing

STORY = "“Mind the floats!” says Bram. He laughs.\n\nThe sea answers, as it does: “Come. Come nearer,” and you do."


def console(width: int) -> tuple[Console, io.StringIO]:
    out = io.StringIO()
    return Console(file=out, width=width, force_terminal=True, highlight=False, markup=False), out


def written(text: str, *, size: int = 1000, width: int = 40, measure: int = 84) -> str:
    screen, out = console(width)
    writing = Writing(screen, measure)
    for at in range(0, len(text), size):
        writing.add(text[at : at + size])
    writing.end()
    return out.getvalue()


def plain(text: str) -> str:
    return re.sub(r"\x1b\[[0-9;]*m", "", text)


def test_words_are_wrapped_between_margins_and_paragraphs_stay() -> None:
    lines = plain(written(STORY)).split("\n")
    assert lines == [
        "",
        "  “Mind the floats!” says Bram. He",
        "  laughs.",
        "",
        "  The sea answers, as it does: “Come.",
        "  Come nearer,” and you do.",
        "",
        "",
    ]


@pytest.mark.parametrize(("width", "measure"), [(200, 84), (50, 84)])
def test_no_line_is_longer_than_the_terminal_or_the_measure(width: int, measure: int) -> None:
    lines = plain(written("word " * 200, width=width, measure=measure)).split("\n")
    assert max(map(len, lines)) <= min(width, measure) - 2
    assert "".join(lines).split() == ["word"] * 200


@pytest.mark.parametrize("width", [200, 40, 8, 5])
@pytest.mark.parametrize(
    "text", ["海は静かだ。「誰かいる？」と、彼は聞く。" * 9, "x" * 300, "see https://example.org/" + "a" * 90]
)
def test_what_has_no_spaces_is_wrapped_too(text: str, width: int) -> None:
    lines = plain(written(text, width=width)).split("\n")
    assert max(map(cell_len, lines)) <= max(width, 6) - 2
    assert "".join(lines).replace(" ", "") == text.replace(" ", "")
    assert not [line for line in lines if line.startswith(("  。", "  、", "  」", "  ？")) and width >= 40]


def test_what_people_say_is_in_italics_across_sentences() -> None:
    text = written("He: “Come. Come nearer,” he says.", size=11, width=80)
    italics = re.findall(r"\x1b\[3m(.*?)\x1b\[0m", text)
    assert "".join(italics) == "“Come. Come nearer,”"


def test_a_quote_that_nobody_closes_ends_with_its_paragraph() -> None:
    text = written("“Come.\n\nNobody answers.", width=80)
    assert re.findall(r"\x1b\[3m(.*?)\x1b\[0m", text) == ["“Come."]


def test_each_piece_stands_on_the_screen_before_the_next_one() -> None:
    screen, out = console(80)
    writing = Writing(screen, 84)
    writing.add("One. ")
    assert plain(out.getvalue()) == "\n  One."
    writing.add("Two.")
    assert plain(out.getvalue()) == "\n  One. Two."


def test_nothing_is_written_before_there_is_something() -> None:
    _, out = console(80)
    assert out.getvalue() == ""
