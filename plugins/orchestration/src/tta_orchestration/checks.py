"""Asking whether a text may go on, and what is said instead where it may not: every doubt is a no."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from msgspec.structs import replace

from tta_kernel import Context
from tta_safety import About, Channel, CheckFailed, Help, Verdict, check_text, each, merge
from tta_safety.alternatives import fallback
from tta_workflows import Run

from . import texts
from .model import Failure, Outcome
from .oversight import Oversight

_CODES = frozenset({
    "", "bad_output", "bad_request", "breaker_open", "failed", "held", "key_taken", "not_served", "overloaded",
    "rate_limited", "stream_broken", "timeout", "too_large", "unavailable",
})  # fmt: skip
"""Codes of errors that are no agent's own, and so no text of anybody."""


class Instead(NamedTuple):
    """What is said in place of a story, or after what was told of it, and why."""

    outcome: Outcome
    text: str
    failure: Failure | None = None


class Checked(NamedTuple):
    """A verdict on a text, what is said instead of it, None where it may stand, and the state of each check.

    On what the player wrote ``instead`` is only ever the fallback: it is annotated, and never blocked.
    """

    verdict: Verdict
    instead: Instead | None
    states: Mapping[str, bytes]


class Checks:
    """Asks every check that is enabled; ``allow_unchecked``: a text may go on where none is."""

    def __init__(self, ctx: Context, oversight: Oversight, help: Help, *, allow_unchecked: bool) -> None:
        self._ctx, self._oversight, self.help = ctx, oversight, help
        self._allow_unchecked = allow_unchecked

    async def check(self, text: str, channel: Channel, session: str, about: About) -> Checked:
        """Have a text judged; one that objects is heard even where another leaves it ``unchecked``, or fails."""
        answers = await self._ctx.ask(check_text, text, channel, session, about)
        verdicts = each(answers, channel)
        verdict = merge(verdicts.values())
        failed = tuple(sorted(name for name, one in verdicts.items() if one.status == "failed"))
        if failed:
            self._ctx.publish(CheckFailed(session=session, channel=channel, plugins=failed, owner=about.user))
            await self._oversight.check_failed(session, channel, failed)
        blocked = any(one.objects for one in verdicts.values())
        states = {name: one.state for name, one in verdicts.items() if one.state}
        return Checked(verdict, self._instead(verdict, channel, about, blocked=blocked), states)

    async def shown(self, run: Run, session: str, about: About) -> Run:
        """Return a run of which its player may read all but the output: what is said of its errors is checked, too."""
        said = {run.detail, *(step.detail for step in run.steps)}
        said |= {run.error, *(step.error for step in run.steps)} - _CODES
        said.discard("")
        if not said:
            return run
        _, instead, _ = await self.check("\n".join(sorted(said)), "tool", session, about)
        if instead is None:
            return run
        steps = tuple(replace(step, error=_code(step.error), detail="") for step in run.steps)
        return replace(run, steps=steps, error=_code(run.error), detail="")

    def _instead(self, verdict: Verdict, channel: Channel, about: About, *, blocked: bool) -> Instead | None:
        if verdict.status == "failed" or (verdict.status == "unchecked" and not self._allow_unchecked):
            # A check that knows why it can't judge, as one that doesn't know the language, says what helps.
            text = verdict.alternative if verdict.status == "unchecked" else ""
            text = text or fallback(about.locale, about.country, help=self.help)
            return Instead("fallback", text, Failure("safety", verdict.status))
        if channel == "player" or not blocked:
            return None
        return Instead("supportive", verdict.alternative or texts.REPLACED)


def _code(code: str) -> str:
    return code if code in _CODES else "failed"
