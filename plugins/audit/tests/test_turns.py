"""What is recorded of a turn: which rules have seen what, and what was done; nothing that anybody wrote."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec
import pytest

from tta_audit.memory import MemoryAudit
from tta_audit.turns import entry_of
from tta_safety import Action, CheckedTurn, Finding, Verdict

SEEN = Finding(rule="suicide.intent@2", category="suicide", level="blocked", severity=4, why="an intent", span=(3, 9))
CRISIS = Verdict("checked", "blocked", 0.9, ("suicide",), ("rules",), (SEEN,), alternative="Something else.")
SAFE = Verdict("checked", "safe", by=("rules",))


def turn(action: Action, verdicts: Mapping[str, Verdict]) -> CheckedTurn:
    return CheckedTurn(run="run-1", session="s", turn=2, action=action, verdicts=verdicts, owner="anna")


@pytest.mark.parametrize(
    ("action", "verdicts", "outcome", "told"),
    [
        ("allow", {"player": SAFE, "story": SAFE}, "done", ("allow", "allow")),
        ("support", {"player": CRISIS}, "done", ("deny", "modify")),
        ("replace", {"player": SAFE, "story": CRISIS}, "refused", ("deny", "modify")),
        ("fallback", {"player": Verdict("failed", by=("rules",))}, "failed", ("failed", "block")),
    ],
)
def test_a_turn_is_recorded_by_what_was_judged_and_what_was_done(
    action: Action, verdicts: Mapping[str, Verdict], outcome: str, told: tuple[str, str]
) -> None:
    entry = entry_of(turn(action, verdicts))
    assert (entry.what, entry.target, entry.owner, entry.outcome) == ("safety.turn", "run-1", "anna", outcome)
    found = (entry.details["gen_ai.security.verdict.type"], entry.details["gen_ai.security.action.type"])
    assert found == told


async def test_the_record_names_rules_and_kinds_and_holds_no_text() -> None:
    audit = MemoryAudit()
    await audit.record(entry_of(turn("support", {"player": CRISIS})))
    (record,) = await audit.read()
    assert record.details["gen_ai.security.policy.id"] == ["suicide.intent@2"]
    assert record.details["tta.safety.kinds"] == ["suicide"]
    assert record.details["gen_ai.security.risk.score"] == 0.9
    line = msgspec.json.encode(record).decode()
    assert not any(word in line for word in ("anna", "Something else", "an intent"))
    (chain,) = await audit.verify()
    assert chain.status == "whole"


async def test_details_are_bounded_and_numbers_that_no_record_holds_are_none() -> None:
    audit = MemoryAudit()
    entry = entry_of(turn("allow", {"player": SAFE}))
    details = {f"d{number}": "x" * 1000 for number in range(100)}
    await audit.record(msgspec.structs.replace(entry, details={"odd": float("nan"), "many": ["w"] * 99, **details}))
    (record,) = await audit.read()
    assert len(record.details) == 20
    assert record.details["odd"] == 0.0
    assert len(record.details["many"]) == 20  # type: ignore[arg-type]
    assert len(record.details["d0"]) == 200  # type: ignore[arg-type]
