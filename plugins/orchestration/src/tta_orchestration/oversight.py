"""How humans hear of what the checks have said: interventions, alarms, reviews, and the record of each turn.

Each of these is a stranger's service. None of them ends a turn or holds it up for long, and where one can't be reached
that is an alarm of its own, and a critical line in the log at last.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Literal, TypeVar

import anyio

from tta_crisis import CRISIS, Crises, CrisisPage, CrisisQuery, Disclosure, Exchange, Intervention
from tta_kernel import Context, as_failure, correlation_id
from tta_kernel.shapes import fits
from tta_notify import NOTIFY, Notification, Notifier, Receipt, Severity
from tta_safety import REVIEWS, Channel, CheckedTurn, Review, Reviews, Verdict, turn_checked
from tta_safety.reviews import LONGEST

from .guard import where

T = TypeVar("T")
LIMIT = 2.0
"""Seconds that each of them may hold a turn up."""


class Oversight:
    """Hands over what humans must know of a turn; where nobody takes it, the log has it."""

    def __init__(self, ctx: Context) -> None:
        self._ctx = ctx
        self._crises: Crises | None = ctx.find(CRISIS)
        self._notifier: Notifier | None = ctx.find(NOTIFY)

    async def disclosed(
        self, run: str, session: str, user: str, turn: int, verdict: Verdict, *, locale: str, country: str,
        turns: Sequence[Exchange],
    ) -> None:  # fmt: skip
        """Open the interventions of a crisis that a person has disclosed; the same run again opens none twice."""
        disclosure = Disclosure(
            admission=run, session=session, user=user, turn=turn, verdict=verdict, locale=locale, country=country,
            at=time.time(), turns=tuple(turns),
        )  # fmt: skip
        crises = self._crises
        if crises is not None:
            opened = await self._asked("CRISIS.open", lambda: crises.open(disclosure), tuple[Intervention, ...])
            if {intervention.kind for intervention in opened or ()} >= {*verdict.kinds}:
                return
        # Nobody else will tell a human; so it is told here, as plainly as can be.
        await self.alarm(
            f"disclosure:{run}",
            f"a person may be in a crisis ({', '.join(verdict.kinds)}), and no intervention could be opened",
            severity="critical",
            session=session,
            owner=user,
        )

    async def open_since(self, session: str, user: str) -> int | None:
        """Return the turn of the last crisis in a person's session that no human has closed, or None."""
        crises = self._crises
        if crises is None:
            return None
        query = CrisisQuery(session=session)
        page = await self._asked("CRISIS.page", lambda: crises.page(query), CrisisPage)
        found = page.interventions if page is not None else ()
        turns = [each.turn for each in found if each.status != "resolved" and each.owner == user]
        return max(turns, default=None)

    async def check_failed(self, session: str, channel: Channel, plugins: Sequence[str]) -> None:
        """Tell that a check raised, was late or answered nonsense."""
        names = ", ".join(plugins)
        await self.alarm(
            f"check-failed:{correlation_id.get()}:{channel}:{names}",
            f"a safety check failed: {names}; the player got the fallback",
            severity="high",
            session=session,
            group=f"check-failed:{names}",
        )

    async def withheld(
        self, run: str, session: str, user: str, turn: int, verdict: Verdict, text: str, *, part: str = "story"
    ) -> None:
        """Tell that a text was kept from the player, and keep it for a review."""
        review = Review(
            id=f"{run}:{part}", session=session, turn=turn, channel="story", text=text[:LONGEST], at=time.time(),
            owner=user, rules=verdict.rules, risk=verdict.risk,
            categories=tuple(dict.fromkeys(found.category for found in verdict.findings if found.level == "blocked")),
        )  # fmt: skip
        # Looked for each time: its plugin may not be required, and come later, or go.
        reviews: Reviews | None = self._ctx.find(REVIEWS)
        kept = False
        if reviews is not None:
            kept = await self._asked("REVIEWS.add", lambda: _kept(reviews.add(review)), Literal[True]) or False
        rules = ", ".join(verdict.rules) or "no rule named"
        await self.alarm(
            f"withheld:{run}:{part}", f"a generated text was kept from a player ({rules})",
            body="" if kept else "It could not be kept for a review.", severity="moderate", session=session, owner=user,
            group="withheld",
        )  # fmt: skip

    async def alarm(
        self, id: str, subject: str, *, severity: Severity, session: str, body: str = "", owner: str = "",
        group: str = "",
    ) -> None:  # fmt: skip
        """Tell a human; in the log, too, as where nobody can be told otherwise."""
        self._ctx.log.critical("%s", subject)
        notifier = self._notifier
        if notifier is None:
            return
        about = {"session": session, "run": correlation_id.get()}
        notification = Notification(
            id=id, topic="alarm", severity=severity, subject=subject, body=body, owner=owner, about=about, group=group
        )
        await self._asked("NOTIFY.notify", lambda: notifier.notify(notification), Receipt)

    async def turn_checked(self, turn: CheckedTurn) -> None:
        """Have everybody who keeps a record of what was checked keep this turn."""
        answers: Mapping[str, Any] = await self._ctx.ask(turn_checked, turn)
        failed = sorted(name for name, answer in answers.items() if isinstance(answer, Exception))
        if failed:
            names = ", ".join(failed)
            await self.alarm(
                f"unrecorded:{turn.run}", f"what was checked in a turn could not be recorded by {names}",
                severity="moderate", session=turn.session, group="unrecorded",
            )  # fmt: skip

    async def _asked(self, what: str, call: Callable[[], Awaitable[T]], wanted: Any) -> T | None:
        """Return what a service answers, or None where it didn't do what it was asked for, in time."""
        try:
            with anyio.fail_after(LIMIT):
                answer = await call()
            if not fits(answer, wanted):
                raise TypeError(f"it answered with {type(answer).__name__}")
        except BaseException as exc:  # noqa: BLE001 - a stranger's service; the turn goes on
            self._ctx.log.critical("%s: %s", what, where(as_failure(exc)))
            return None
        return answer


async def _kept(adding: Awaitable[None]) -> Literal[True]:
    await adding
    return True
