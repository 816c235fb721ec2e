"""A turn of a story as it is recorded: what the checks have said of it, and what was done; no text.

The names are those that OpenTelemetry's draft for guardrails has (semantic-conventions-genai, pull request 427).
"""

from __future__ import annotations

from collections.abc import Mapping

from tta_safety import CheckedTurn, Verdict, merge

from .model import Detail, Entry, Outcome

_ACTIONS = {"allow": "allow", "check_in": "warn", "support": "modify", "replace": "modify", "fallback": "block"}
"""What was done, as the draft calls it."""

_OUTCOMES: Mapping[str, Outcome] = {"replace": "refused", "fallback": "failed"}


def entry_of(turn: CheckedTurn) -> Entry:
    """Return what is recorded of a turn; it is refused where a text was kept from its player."""
    whole = merge(turn.verdicts.values())
    details: dict[str, Detail] = {
        "gen_ai.guardrail.name": whole.by,
        "gen_ai.security.verdict.type": _verdict(whole),
        "gen_ai.security.action.type": _ACTIONS[turn.action],
        "gen_ai.security.policy.id": whole.rules,
        "gen_ai.security.risk.category": tuple(dict.fromkeys(found.category for found in whole.findings)),
        "gen_ai.security.risk.score": whole.risk,
        "tta.safety.action": turn.action,
        "tta.safety.kinds": whole.kinds,
        "tta.safety.flags": whole.flags,
        "session.id": turn.session,
    }
    details |= {f"tta.safety.{step}": _verdict(verdict) for step, verdict in turn.verdicts.items()}
    return Entry(
        what="safety.turn",
        who="orchestration",
        kind="system",
        target=turn.run,
        owner=turn.owner,
        outcome=_OUTCOMES.get(turn.action, "done"),
        code=whole.status if turn.action == "fallback" else "",
        details=_said(details),
    )


def _verdict(verdict: Verdict) -> str:
    if verdict.status != "checked":
        return verdict.status
    return {"safe": "allow", "warning": "warn", "blocked": "deny"}[verdict.level or "blocked"]


def _said(details: Mapping[str, Detail]) -> dict[str, Detail]:
    """Leave out what says nothing."""
    return {name: value for name, value in details.items() if value not in ("", ())}
