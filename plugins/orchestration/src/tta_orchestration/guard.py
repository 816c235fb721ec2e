"""The session of a turn, read and committed whatever its store does: in time, or with the reason why not."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from logging import Logger
from typing import Any, NamedTuple, TypeVar

import anyio
import msgspec

from tta_kernel import Escaped, Event, as_failure, raised_at
from tta_sessions import (
    Admission,
    Session,
    SessionConflict,
    SessionCorrupt,
    SessionFenced,
    Sessions,
    SessionsError,
    SessionsFull,
    SessionTooLarge,
)

from . import texts
from .model import Failure, Part, StoreFailed

_REMEMBERED = 1000
"""Of how many sessions something is remembered for their players; the oldest are forgotten first."""
_TURNS_LEFT = 10
"""How many turns that were left a player hears of."""
_LOOK = 2.0
"""How long, in seconds, looking for what became of a commit may take."""
T = TypeVar("T")


class Page(msgspec.Struct, frozen=True):
    """A turn in a session's history, by its own name, and what was said and told in it; the rest is for its readers."""

    run: str = ""
    turn: int = 0
    said: str = ""
    told: str = ""
    outcome: str = ""


class Story(msgspec.Struct, frozen=True):
    """A session's context, as a turn reads it."""

    turn: int = 0
    seed: int | None = None
    history: Sequence[Page] = ()
    world: Any = None

    def page(self, run: str) -> Page | None:
        """Return the page of a run that is in it."""
        return next((page for page in self.history if run and page.run == run), None)


class Found(NamedTuple):
    """What is stored; ``notices`` are what its player should hear of it, until `SessionGuard.told`."""

    session: Session | None
    story: Story
    notices: tuple[str, ...] = ()


class NotKept(Exception):
    """The session can't be read or kept; an operator knows."""

    def __init__(self, failure: Failure) -> None:
        self.failure = failure


class WrongAnswer(Exception):
    """A store has answered with something that is no session, or another one."""


class Overtaken(Exception):
    """Somebody else committed the session meanwhile, or it has gone: read it again."""


class SessionGuard:
    """Reads and commits sessions, each within ``limit`` seconds, and remembers what their players should hear."""

    def __init__(self, sessions: Sessions, log: Logger, publish: Callable[[Event], None], *, limit: float) -> None:
        self._sessions, self._log, self._publish = sessions, log, publish
        self._limit = limit
        # Bounded, and of this process alone: what it forgets, a player doesn't hear of.
        self._lost: OrderedDict[str, None] = OrderedDict()
        """Sessions that were there, and are no longer."""
        self._words_lost: OrderedDict[str, None] = OrderedDict()
        """Sessions in which a turn was admitted that nobody can answer any more."""
        self._left: OrderedDict[str, tuple[str, ...]] = OrderedDict()
        """By session: what was told in turns that others had left, and that nobody has read yet."""
        self._unsure: OrderedDict[str, tuple[str, bool]] = OrderedDict()
        """By session: the run of a turn of which nobody knows whether it was kept, and whether its text is unread."""

    async def read(self, id: str, owner: str) -> Found:
        """Return the session, if there is one, and the story in it; raise `NotKept` where that can't be known.

        What is corrupt has gone, as if it had ended: the story begins anew, and its player is told.
        """
        try:
            with anyio.fail_after(self._limit):
                try:
                    session = await self._sessions.get(id)
                except SessionCorrupt:
                    self.lost(id)
                    session = await self._sessions.get(id)  # What couldn't be quarantined is corrupt still.
            if session is not None:
                session = _checked(session, id)
            story = _story(session)
        except BaseException as exc:  # noqa: BLE001 - a stranger's store; the turn goes on without it
            raise self.failed(id, owner, "sessions.get", *explained(as_failure(exc))) from None
        notices: tuple[str, ...] = (texts.ANEW,) if id in self._lost else ()
        if id in self._words_lost:
            notices += (texts.LOST,)
        notices += tuple(f"{texts.AFTER_ALL} {told}" for told in self._left.get(id, ()))
        run, unread = self._unsure.get(id, ("", False))
        if page := story.page(run):
            notices += (f"{texts.AFTER_ALL} {page.told if unread else ''}".strip(),)
        return Found(session, story, notices)

    async def commit(
        self, session: Session, run: str, *, unread: bool, admission: Admission | None = None
    ) -> Session:  # fmt: skip
        """Commit a session whose last page is ``run``'s; raise `Overtaken`, or `NotKept` where it isn't there.

        With an ``admission`` that leaves the queue in the same step; `SessionFenced` where it isn't ours any more.

        Whether a commit arrived whose end nobody heard of is looked up, and it is tried once more. If
        even then nobody knows, the player hears of it in the turn that finds it, with the text if that
        is still ``unread``.
        """
        code = why = ""
        for last in (False, True):
            try:
                with anyio.fail_after(self._limit):
                    if admission is None:
                        return _checked(await self._sessions.commit(session), session.id)
                    return _checked(await self._sessions.commit(session, admission), session.id)
            except SessionFenced:
                # It may have left the queue with our own first try.
                _, found = await self._find(session.id, run)
                told = _story(session).page(run)
                if found is None or told is None or _story(found).page(run) != told:
                    raise
                return found
            except SessionConflict:
                # What was there before us may be our own first try, or one that the store's client made.
                _, found = await self._find(session.id, run)
                if found is None:
                    raise Overtaken from None
                return found
            except SessionCorrupt:
                self.lost(session.id)
                raise Overtaken from None
            except SessionsFull as exc:
                raise self.no_room("sessions.commit", exc) from None
            except SessionTooLarge as exc:
                hint = "see max_size of the sessions' plugin, and history of orchestration"
                raise self.failed(session.id, session.user, "sessions.commit", "too_large", f"{exc}; {hint}") from None
            except BaseException as exc:  # noqa: BLE001 - a stranger's store; the turn ends without it
                code, why = explained(as_failure(exc))
            answered, found = await self._find(session.id, run)
            if found is not None:
                return found
            if last or not answered:
                break
        _put(self._unsure, session.id, (run, unread))
        raise self.failed(session.id, session.user, "sessions.commit", code, why)

    def lost(self, id: str) -> None:
        """Remember that a story which was there is so no longer."""
        _put(self._lost, id, None)

    def words_lost(self, id: str) -> None:
        """Remember that something the player said can't be answered any more."""
        _put(self._words_lost, id, None)

    def left(self, id: str, told: str) -> None:
        """Remember what was told in a turn that its process had left."""
        _put(self._left, id, (*self._left.get(id, ()), told)[-_TURNS_LEFT:])

    def told(self, id: str) -> None:
        """Know that the player has got the notices."""
        self._lost.pop(id, None)
        self._words_lost.pop(id, None)
        self._left.pop(id, None)
        self._unsure.pop(id, None)

    def failed(self, id: str, owner: str, part: Part, code: str, why: str) -> NotKept:
        """Tell a human; return what the turn is to raise."""
        self._log.critical("a turn went without its session: %s: %s: %s", part, code, why)
        self._publish(StoreFailed(session=id, part=part, code=code, owner=owner))
        return NotKept(Failure(part, code))

    def no_room(self, part: Part, exc: SessionsFull) -> NotKept:
        """Return what the first turn of a session is to raise that there is no place for; no store has failed."""
        self._log.warning("a story was not begun: %s; see limit and per_user of the sessions' plugin", exc)
        return NotKept(Failure(part, "too_many"))

    async def _find(self, id: str, run: str) -> tuple[bool, Session | None]:
        """Return whether the store answers, and the session if a commit whose end nobody saw is in it."""
        with anyio.move_on_after(min(self._limit, _LOOK)):
            try:
                session = await self._sessions.get(id)
                if session is not None:
                    session = _checked(session, id)
                return True, session if _story(session).page(run) else None
            except BaseException as exc:  # noqa: BLE001 - it was said already that this store fails
                as_failure(exc)
                return False, None
        return False, None


def _checked(found: object, id: str) -> Session:
    """Return what a store has answered as the session that it must be: its types are only promised."""
    if not isinstance(found, Session):
        raise WrongAnswer(f"the sessions' store answered with {type(found).__name__}, and not with a session")
    if found.id != id:
        raise WrongAnswer("the sessions' store answered with another session")
    return found


def _story(session: Session | None) -> Story:
    return msgspec.convert(session.context, Story) if session else Story()


def where(exc: BaseException) -> str:
    """Name an exception and its place, without its text: that may be a person's."""
    return f"it raised {type(exc).__name__} at {raised_at(exc)}"


def explained(exc: Exception) -> tuple[str, str]:
    """Return the code of what a store raised, and what an operator should read."""
    match exc:
        case SessionCorrupt():
            return "corrupt", str(exc)
        case SessionsError():
            return "unavailable", str(exc)
        case msgspec.ValidationError():
            return "corrupt", "what is stored is a session, and no story of ours; it stays as it is"
        case WrongAnswer():
            return "failed", str(exc)
        case Escaped():
            return "failed", f"it {exc}"
        case TimeoutError():
            return "timeout", "the sessions' store did not answer in time"
        case _:
            return "failed", where(exc)


def _put(known: OrderedDict[str, T], id: str, value: T) -> None:
    known[id] = value
    known.move_to_end(id)
    while len(known) > _REMEMBERED:
        known.popitem(last=False)
