"""The trace of a turn that failed says in which field."""

from __future__ import annotations

from pathlib import Path

import msgspec

from tta_orchestration import OrchestrationResponse
from tta_play.screen import Screen

STEP = {
    "id": "kind", "agent": "kind-words", "status": "failed", "seconds": 0.1, "error": "bad_request",
    "detail": "the field $.text does not fit",
}  # fmt: skip
FAILED = {
    "text": "", "outcome": "failed", "session": "s", "turn": 1, "updated_context": {}, "workflow": {},
    "steps": [STEP], "performance": {"total": 0.1}, "verdicts": {},
}  # fmt: skip


def shown(response: object, path: Path) -> str:
    with path.open("w") as out:
        Screen(out).trace(msgspec.convert(response, OrchestrationResponse))
    return path.read_text()


def test_a_failed_step_shows_its_code_and_its_field(tmp_path: Path) -> None:
    assert "bad_request: the field $.text does not fit" in shown(FAILED, tmp_path / "out")


def test_only_steps_that_acted_are_shown_by_their_own_names(tmp_path: Path) -> None:
    held = [{**STEP, "id": "act", "agent": ""}, {**STEP, "id": "act/told"}, {**STEP, "id": "look", "status": "skipped"}]
    trace = shown(FAILED | {"steps": held}, tmp_path / "out")
    assert [line.split()[0] for line in trace.splitlines() if str(STEP["agent"]) in line] == ["told"]
    assert "act" not in trace
    assert "look" not in trace


def test_what_a_step_says_of_its_failure_is_nothing_that_a_terminal_would_obey(tmp_path: Path) -> None:
    odd = FAILED | {"steps": [STEP | {"detail": "\x1b]0;odd\x07\x9b2J\u202eodd"}]}
    assert "bad_request: ]0;odd2Jodd" in shown(odd, tmp_path / "out")


def test_a_turn_without_its_session_shows_which_part_failed_and_that_it_is_not_kept(tmp_path: Path) -> None:
    lost = FAILED | {
        "outcome": "fallback", "steps": [], "failure": {"part": "sessions.get", "code": "unavailable"}, "kept": False,
    }  # fmt: skip
    trace = shown(lost, tmp_path / "out")
    assert "failed: sessions.get: unavailable" in trace
    assert "not kept: " in trace
