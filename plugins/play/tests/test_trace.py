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
