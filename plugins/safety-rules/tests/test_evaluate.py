"""Labelled files, how they are judged, and what is said of it."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from collections.abc import Mapping
from pathlib import Path

import msgspec
import pytest

from tta_safety import About, Channel, Verdict
from tta_safety_rules.evaluate.picture import svg
from tta_safety_rules.evaluate.reading import ReadError, Row, read_rows
from tta_safety_rules.evaluate.report import markdown
from tta_safety_rules.evaluate.results import results_of
from tta_safety_rules.evaluate.running import examine_rows


class Judged(msgspec.Struct):
    """What the examiner below says."""

    verdict: Verdict
    risks: Mapping[str, float]
    escalates: bool


class Examiner:
    """Warns of the word "dark", and of every text after two of them; remembers by the state that it is given."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, Channel, About, bytes]] = []

    async def examine(self, text: str, channel: Channel, about: About, *, state: bytes = b"") -> Judged:
        self.asked.append((text, channel, about, state))
        state += b"." * text.count("dark")
        risk = 0.9 if "dark" in text else 0.1
        warned = "dark" in text or len(state) >= 2
        verdict = Verdict("checked", "warning" if warned else "safe", risk, state=state)
        return Judged(verdict, {"suicide": risk}, len(state) >= 2)


def written(tmp_path: Path, text: str, name: str = "data.jsonl") -> Path:
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    return path


def test_json_lines_are_read_with_the_names_of_other_sets(tmp_path: Path) -> None:
    path = written(tmp_path, '{"message": "a", "y": 1, "cat": "ed", "ctx": "b"}\n\n{"text": "c", "label": "safe"}\n')
    first, second = read_rows(path)
    assert first == Row("1", "a", True, "eating_disorder", context="b")
    assert second == Row("3", "c", False)


def test_a_csv_with_quotes_and_line_breaks_is_read(tmp_path: Path) -> None:
    path = written(tmp_path, '\ufeffID,Text,Label,Conversation,Turn\nx,"a, ""b""\nc",true,7,2\n', "data.csv")
    assert read_rows(path) == [Row("x", 'a, "b"\nc', True, conversation="7", turn=2)]


def test_a_label_may_be_a_category_and_a_category_of_anothers_stays(tmp_path: Path) -> None:
    lines = [{"text": "a", "label": "self-harm"}, {"text": "b", "label": 0, "category": "grief"}]
    path = written(tmp_path, "\n".join(map(json.dumps, lines)))
    assert [(row.label, row.category) for row in read_rows(path)] == [(True, "self_harm"), (False, "grief")]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "there is no text in it"), ('{"text": 1}', ":1: no text"), ("{", ":1: not JSON"),
        ("[1]", ":1: list instead"),
        ('{"text": "a", "label": 3}', ":1: label: 3"), ('{"text": "a", "label": "perhaps"}', ":1: label: 'perhaps'"),
        ('{"text": "a"}\n{"text": "b", "turn": "x"}', ":2: turn: 'x'"), ('{"text": "a", "id": []}', ":1: id: list"),
        ('{"text": "a", "turn": -1}', ":1: turn: -1"), ("[" * 100_000, ":1: not JSON"),
    ],
)  # fmt: skip
def test_a_bad_line_is_named_with_its_field_and_the_way_out(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(ReadError) as caught:
        read_rows(written(tmp_path, text))
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("text", "said"),
    [("a,b\n1,2\n", "no column for the text among a, b"), ('text\n"a\n', "quote"), ("text\na,b\n", ":2: more fields")],
)
def test_a_bad_csv_is_named_likewise(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(ReadError) as caught:
        read_rows(written(tmp_path, text, "data.csv"))
    assert said in str(caught.value)


def test_what_is_no_utf8_and_what_is_missing_is_said(tmp_path: Path) -> None:
    path = tmp_path / "data.jsonl"
    path.write_bytes(b'{"text": "a"}\n{"text": "\xff"}')
    with pytest.raises(ReadError, match=":2: not UTF-8"):
        read_rows(path)
    with pytest.raises(ReadError, match="No such file"):
        read_rows(tmp_path / "none.jsonl")


async def test_a_conversation_is_judged_in_its_order_with_the_state_carried_on() -> None:
    rows = [
        Row("b", "dark again", True, conversation="one", turn=2), Row("c", "hello", False, conversation="two", turn=1),
        Row("a", "dark", False, conversation="one", turn=1), Row("d", "alone", False),
    ]  # fmt: skip
    examiner = Examiner()
    scored = await examine_rows(examiner, rows, "player")
    assert [it.id for it in scored] == ["b", "c", "a", "d"]
    assert [(text, about.turn, state) for text, _, about, state in examiner.asked] == [
        ("alone", 1, b""), ("dark", 1, b""), ("dark again", 2, b"."), ("hello", 1, b""),
    ]  # fmt: skip
    assert [it.escalate for it in scored] == [True, False, False, False]


async def test_a_story_is_judged_with_what_the_player_wrote() -> None:
    examiner = Examiner()
    await examine_rows(examiner, [Row("a", "so what", True, context="I feel dark")], "story")
    _, channel, about, _ = examiner.asked[0]
    assert (channel, about.before) == ("story", "I feel dark")


async def test_the_results_count_what_was_judged() -> None:
    rows = [
        Row("1", "dark", True, "suicide", "teen"), Row("2", "fine", True, "suicide", "older"),
        Row("3", "dark knight", False, "none", "teen"), Row("4", "hello", False, "none", "teen"),
        Row("5", "unlabelled"),
    ]  # fmt: skip
    results = results_of(rows, await examine_rows(Examiner(), rows, "player"), [False, True])
    assert (results.texts, results.labelled, results.levels) == (5, 4, {"safe": 3, "warning": 2})
    whole = results.whole
    assert whole.recall is not None
    assert whole.false_alarms is not None
    assert whole.precision is not None
    assert whole.area is not None
    assert (whole.recall.value, whole.false_alarms.value, whole.precision.value) == (0.5, 0.5, 0.5)
    assert whole.area.value == 0.5
    assert [(it.name, it.positive, it.negative) for it in results.categories] == [("suicide", 2, 0)]
    assert [it.name for it in results.groups] == ["older", "teen"]
    assert results.late is not None
    assert results.late.value == 0.5
    assert results.talks is None


async def test_the_turn_at_which_a_risk_was_seen_is_counted_from_the_beginning_and_from_the_label() -> None:
    rows = [
        Row("1", "hi", False, conversation="a", turn=1), Row("2", "down", True, conversation="a", turn=2),
        Row("3", "dark", True, conversation="a", turn=3), Row("4", "hi", False, conversation="b", turn=1),
        Row("5", "gone", True, conversation="c", turn=1), Row("6", "dark", False, conversation="d", turn=1),
    ]  # fmt: skip
    talks = results_of(rows, await examine_rows(Examiner(), rows, "player")).talks
    assert talks is not None
    assert (talks.risky, talks.seen, talks.turns, talks.delays) == (2, 1, (3,), (1,))
    assert (talks.harmless, talks.falsely) == (2, 1)


async def test_the_report_shows_figures_with_intervals_and_no_text() -> None:
    rows = [
        Row("1", "dark secret", True, "suicide", "a|b"),
        Row("2", "hello", False),
        Row("3", "hi", False, conversation="x"),
    ]
    results = results_of(rows, await examine_rows(Examiner(), rows, "player"), [True])
    report = markdown(results, "Evaluation", picture="curves.svg")
    assert "| all | 1 | 2 | 100.0% [20.7%, 100.0%] | 0.0% [0.0%, 65.8%]" in report
    assert "would have been late for 100.0%" in report
    assert "a\\|b" in report
    assert "secret" not in report


async def test_a_file_without_labels_has_levels_and_times_only() -> None:
    rows = [Row("1", "dark")]
    report = markdown(results_of(rows, await examine_rows(Examiner(), rows, "player")), "Evaluation")
    assert "1 texts, 0 of them labelled: 1 warning." in report
    assert "operating" not in report


def test_the_picture_is_xml_and_names_are_escaped() -> None:
    picture = svg({"a<b": [(0.0, 0.0), (0.5, 1.0), (1.0, 1.0)]})
    root = ET.fromstring(picture)
    assert root.tag.endswith("svg")
    assert "a<b" in "".join(root.itertext())
