"""What others wrote never tells a terminal what to do."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tta_play.screen import Screen

ODD = "a \x1b]0;title\x07\x1b[2J\x9b2J\u202e\ud800 b \U0001f600 \u6d77"


def shown(path: Path, show: Callable[[Screen], None]) -> str:
    with path.open("w", encoding="utf-8") as out:
        show(Screen(out))
    return path.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    "show", [lambda screen: screen.story(ODD), lambda screen: screen.note(ODD)], ids=["story", "note"]
)
def test_what_a_terminal_would_obey_is_left_out_and_every_script_stays(
    tmp_path: Path, show: Callable[[Screen], None]
) -> None:
    assert shown(tmp_path / "out", show) == "a ]0;title[2J2J b \U0001f600 \u6d77\n"


def test_a_sentence_as_it_comes_holds_nothing_that_a_terminal_would_obey(tmp_path: Path) -> None:
    def tell(screen: Screen) -> None:
        with screen.writing() as write:
            write(ODD)

    assert "]0;title[2J2J" in shown(tmp_path / "out", tell)


def test_json_says_what_is_there_without_a_character_that_a_terminal_would_obey(tmp_path: Path) -> None:
    text = shown(tmp_path / "out", lambda screen: screen.json({"text": ODD}))
    assert text.count("\n") == 1
    assert text.strip("\n").isprintable()
    assert json.loads(text) == {"text": ODD.replace("\ud800", "\\ud800")}
