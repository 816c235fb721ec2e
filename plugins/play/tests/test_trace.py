"""The trace of a turn that failed says in which field."""

from __future__ import annotations

import io

import msgspec

from tta_orchestration import OrchestrationResponse
from tta_play.screen import Screen

FAILED = {
    "text": "", "outcome": "failed", "session": "s", "turn": 1, "updated_context": {}, "workflow": {},
    "steps": [
        {"id": "kind", "agent": "kind-words", "status": "failed", "seconds": 0.1, "error": "bad_request",
         "detail": "the field $.text does not fit"},
    ],
    "performance": {"total": 0.1}, "verdicts": {},
}  # fmt: skip


def test_a_failed_step_shows_its_code_and_its_field() -> None:
    out = io.StringIO()

    Screen(out).trace(msgspec.convert(FAILED, OrchestrationResponse))

    assert "bad_request: the field $.text does not fit" in out.getvalue()


def test_a_turn_without_its_session_shows_which_part_failed_and_that_it_is_not_kept() -> None:
    out = io.StringIO()
    lost = FAILED | {
        "outcome": "fallback", "steps": [], "failure": {"part": "sessions.get", "code": "unavailable"}, "kept": False,
    }  # fmt: skip

    Screen(out).trace(msgspec.convert(lost, OrchestrationResponse))

    assert "failed: sessions.get: unavailable" in out.getvalue()
    assert "not kept: " in out.getvalue()
