"""Summaries of what a story's pages no longer tell word for word, made after a commit, beside the turns."""

from __future__ import annotations

import anyio
import msgspec
from anyio.abc import TaskGroup

from tta_kernel import Context, as_failure
from tta_safety import About
from tta_sessions import (
    SUMMARISER,
    Page,
    Session,
    SessionCommitted,
    SessionConflict,
    Sessions,
    Summariser,
    Summary,
    ToSummarise,
    flags_of,
    summary_of,
)
from tta_sessions.conversation import LONGEST, by_rules, with_summary
from tta_sessions.kept import change

from .background import PAGES
from .checks import Checks
from .guard import Story, where
from .plain import plain

EVERY = 4
"""So many pages wait for a summary until one is made: it costs a commit, and perhaps a model's time."""
_AT_ONCE = 8
"""How many are made at the same time; a session that finds no place has the next turn's."""
_LIMIT = 60.0
"""Seconds that one may take, with the store's."""


class Summaries:
    """Keeps the sessions' summaries: after a turn it sees whether one is due, and makes it in a task of ``tasks``.

    Who writes it is a stranger, if there is one: whatever they do, there is a summary, by rules. What they wrote is
    checked as a story is, since agents tell from it.
    """

    def __init__(self, ctx: Context, sessions: Sessions, checks: Checks, tasks: TaskGroup, *, timeout: float) -> None:
        self._ctx, self._sessions, self._checks, self._tasks = ctx, sessions, checks, tasks
        self._summariser: Summariser | None = ctx.find(SUMMARISER)
        self._timeout = timeout
        self._at_work: set[str] = set()
        """Sessions of which a summary is being made."""

    def after(self, session: Session) -> None:
        """Make a summary of a session that was committed, if one is due and there is room; return at once."""
        if session.id in self._at_work or len(self._at_work) >= _AT_ONCE:
            return
        asked = _due(session)
        if asked is None:
            return
        self._at_work.add(session.id)
        self._tasks.start_soon(self._make, session, asked)

    async def _make(self, session: Session, asked: ToSummarise) -> None:
        try:
            with anyio.move_on_after(_LIMIT):
                text = await self._written(session, asked) or by_rules(asked)
                summary = Summary(text, asked.pages[-1].turn)
                kept = await change(
                    self._sessions, session.id, session.user, lambda now: with_summary(now, summary), new=False
                )
                if kept is not None and summary_of(kept) == summary:
                    self._ctx.publish(SessionCommitted(session=kept.id, version=kept.version, owner=kept.user))
        except SessionConflict:
            return  # Others commit it all the while: the next turn makes another.
        except BaseException as exc:  # noqa: BLE001 - a stranger's store; so does it then
            self._ctx.log.warning("a session's summary could not be kept: %s", where(as_failure(exc)))
        finally:
            self._at_work.discard(session.id)

    async def _written(self, session: Session, asked: ToSummarise) -> str:
        """Return what a summariser has written and the checks let stand; "" where the rules must do."""
        summariser = self._summariser
        if summariser is None:
            return ""
        try:
            with anyio.fail_after(self._timeout):
                text = await summariser.summarise(asked)
            if not isinstance(text, str):
                raise TypeError(f"it answered with {type(text).__name__}")
        except BaseException as exc:  # noqa: BLE001 - a stranger's service
            self._ctx.log.warning("SUMMARISER.summarise: %s; the summary is made by rules", where(as_failure(exc)))
            return ""
        text = plain(text).strip()
        if not text or len(text) > asked.most:
            self._ctx.log.warning("SUMMARISER.summarise: its text has %d characters; made by rules", len(text))
            return ""
        flags = flags_of(session)
        about = About(user=session.user, turn=asked.pages[-1].turn, locale=flags.locale, country=flags.country)
        checked = await self._checks.check(text, "story", session.id, about)
        return text if checked.instead is None else ""


def _due(session: Session) -> ToSummarise | None:
    """Return what is to be summarised: the pages that no request holds any more, once there are enough of them."""
    so_far = summary_of(session)
    history = session.context.get("history")
    if not isinstance(history, list) or len(history) < PAGES + EVERY:
        return None
    last = history[-PAGES - EVERY]
    turn = last.get("turn") if isinstance(last, dict) else None
    if isinstance(turn, int) and turn <= so_far.turn:
        return None  # Most turns end here, at the cost of one page.
    try:
        story = msgspec.convert(session.context, Story)
    except msgspec.ValidationError:
        return None  # A stranger's store has answered with something else than what it was given.
    pages = tuple(
        Page(page.turn, page.said, page.told, page.outcome)
        for page in story.history[:-PAGES]
        if page.turn > so_far.turn
    )
    if len(pages) < EVERY:
        return None
    return ToSummarise(session.id, session.user, so_far.text, pages, most=LONGEST)
