"""Asking whether a text may go on, and what is said instead where it may not: every doubt is a no."""

from __future__ import annotations

from typing import NamedTuple

from tta_kernel import Context
from tta_safety import About, Channel, CheckFailed, Verdict, check_text, judge

from . import texts
from .model import Failure, Outcome


class Instead(NamedTuple):
    """What is said in place of a story, or after what was told of it, and why."""

    outcome: Outcome
    text: str
    failure: Failure | None = None


class Checked(NamedTuple):
    """A verdict on a text, and what is said instead of it; None where it may stand."""

    verdict: Verdict
    instead: Instead | None


class Checks:
    """Asks every check that is enabled; ``allow_unchecked``: a text may go on where none is."""

    def __init__(self, ctx: Context, *, allow_unchecked: bool) -> None:
        self._ctx = ctx
        self._allow_unchecked = allow_unchecked
        self._warned = False

    async def check(self, text: str, channel: Channel, session: str, about: About) -> Checked:
        """Have a text judged; one that objects is heard even where another leaves it ``unchecked``."""
        answers = await self._ctx.ask(check_text, text, channel, session, about)
        verdicts = {name: judge({name: answer}) for name, answer in answers.items()}
        failed = tuple(sorted(name for name, verdict in verdicts.items() if verdict.status == "failed"))
        if failed:
            self._ctx.log.critical("a safety check failed: %s; the player got the fallback", ", ".join(failed))
            self._ctx.publish(CheckFailed(session=session, channel=channel, plugins=failed, owner=about.user))
        if not answers and not self._allow_unchecked:
            self._warn()
        verdict = judge(answers)
        objects = verdict.objects or any(each.objects for each in verdicts.values())
        return Checked(verdict, self._instead(verdict, channel, objects=objects))

    def _instead(self, verdict: Verdict, channel: Channel, *, objects: bool) -> Instead | None:
        if verdict.status == "failed" or (verdict.status == "unchecked" and not self._allow_unchecked):
            return Instead("fallback", texts.FALLBACK, Failure("safety", verdict.status))
        if not objects:
            return None
        # A crisis calls for help for the player, in whichever text it was seen, and not for other words.
        crisis = channel == "player" or verdict.kinds
        return Instead("supportive", texts.SUPPORTIVE if crisis else texts.REPLACED)

    def _warn(self) -> None:
        """Tell an operator, once: such a deployment looks well, and tells no story."""
        if not self._warned:
            self._warned = True
            self._ctx.log.warning(
                "no enabled plugin implements the hook 'check_text', so each turn gets the supportive fallback; "
                "enable one, or set plugins.orchestration.config.allow_unchecked"
            )
