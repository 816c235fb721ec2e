"""The queue of a session's turns, whatever its store does: who is admitted, whose turn it is, and who has lost it."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from logging import Logger
from typing import TypeVar

import anyio
import msgspec

from tta_kernel import as_failure
from tta_kernel.shapes import fits
from tta_sessions import Admission, Held, SessionBusy, SessionCorrupt, Sessions, SessionsFull, SessionTooLarge

from .guard import NotKept, SessionGuard, WrongAnswer, explained
from .model import Failure

_FIRST_PAUSE, _LONGEST_PAUSE = 0.02, 0.5
"""How long, in seconds, who waits for a turn of another process looks away."""
_REMEMBERED = 1000
"""Of how many sessions turns are remembered that couldn't be dropped; the oldest are forgotten first."""
_PARTING = 1.0
"""Seconds for what a turn says of itself where it ends."""
T = TypeVar("T")


class TurnLost(Exception):
    """Somebody else goes on with the turn, or it is gone."""


class NotNow(Exception):
    """What a turn's run has come to can't be known now: nothing was told of it, and it stays in its queue."""


class Hold:
    """A turn that is this process' to tell, as long as it renews that in time; ``admission`` is its entry."""

    def __init__(self, queue: TurnQueue, admission: Admission) -> None:
        self._queue, self.admission = queue, admission
        self._scope = anyio.CancelScope()
        self._until = 0.0
        self._renewed()

    async def record(self, told: int) -> None:
        """Record, before it is shown, that a person is told so much of the answer; raise `TurnLost`, or `NotKept`."""
        try:
            await self._renew(told)
        except TurnLost:
            raise
        except BaseException as exc:  # noqa: BLE001 - a stranger's store; the turn ends without it
            raise self._queue.failed(self.admission, exc) from None

    async def keep(self) -> None:
        """Renew it again and again; once it is lost, end what tells the turn."""
        pause = self._queue.ttl / 3
        while True:
            await anyio.sleep(pause)
            try:
                await self._renew(0)
            except TurnLost:
                break
            except Exception:  # noqa: BLE001 - a stranger's store: it may be back before the time is over
                if anyio.current_time() >= self._until:
                    break
        self._scope.cancel()

    async def run(self, turn: Awaitable[T]) -> T:
        """Await a turn while it is held; raise `TurnLost` where it is so no longer."""
        error: BaseException = TurnLost()
        result: list[T] = []
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self.keep)
            with self._scope:
                try:
                    result.append(await turn)
                except anyio.get_cancelled_exc_class():
                    raise
                except BaseException as exc:  # noqa: BLE001 - it is raised again; out of here it would be a group
                    error = exc
            tasks.cancel_scope.cancel()
        if not result:
            raise error
        return result[0]

    async def _renew(self, told: int) -> None:
        asked = anyio.current_time()
        held = await self._queue.hold(self.admission, told=told)
        if held.status != "held":
            raise TurnLost
        self._renewed(asked)

    def _renewed(self, at: float | None = None) -> None:
        self._until = (anyio.current_time() if at is None else at) + self._queue.ttl


class TurnQueue:
    """Admits turns, and says whose turn it is; each call of the store has ``limit`` seconds."""

    def __init__(
        self, sessions: Sessions, guard: SessionGuard, log: Logger, *, limit: float, ttl: float, patience: float
    ) -> None:  # fmt: skip
        self._sessions, self._guard, self._log = sessions, guard, log
        self._limit, self.ttl, self.patience = limit, ttl, patience
        self._changed: dict[str, anyio.Event] = {}
        """By session: wakes those of this process who wait for a turn."""
        self._given_up: OrderedDict[str, tuple[Admission, ...]] = OrderedDict()
        """By session: turns that couldn't be dropped, and whose players were told that they haven't happened."""

    async def admit(self, admission: Admission) -> Admission:
        """Enter a turn at the end of its session's queue; raise `NotKept` where it isn't there."""
        for given_up in self._given_up.pop(admission.session, ()):
            await self.drop(given_up)
        try:
            with anyio.fail_after(self._limit):
                try:
                    found = await self._sessions.admit(admission, self.ttl)
                except SessionCorrupt:
                    self._guard.words_lost(admission.session)
                    found = await self._sessions.admit(admission, self.ttl)
            if not fits(found, Admission) or found.run != admission.run:
                raise WrongAnswer("the sessions' store answered with another turn, or with none")
        except SessionBusy as exc:
            raise self.busy(str(exc)) from None
        except SessionsFull as exc:
            raise self._guard.no_room("sessions.admit", exc) from None
        except SessionTooLarge as exc:
            what = str(exc)
            raise self._guard.failed(admission.session, admission.user, "sessions.admit", "too_large", what) from None
        except BaseException as exc:  # noqa: BLE001 - a stranger's store; the turn ends without it
            failed = self.failed(admission, exc)
            await self.drop(admission)  # It may be there all the same, and its player is told that it isn't.
            raise failed from None
        return found

    def busy(self, why: str) -> NotKept:
        """Return what a turn is to raise that can't wait; no store has failed."""
        self._log.warning("a turn was not played: %s", why)
        return NotKept(Failure("sessions.admit", "busy"))

    def failed(self, admission: Admission, exc: BaseException) -> NotKept:
        """Tell a human that a store failed; return what the turn is to raise."""
        code, why = explained(as_failure(exc))
        return self._guard.failed(admission.session, admission.user, "sessions.admit", code, why)

    async def hold(self, admission: Admission, *, told: int = 0) -> Held:
        """Ask for a turn for its holder, or renew it; a store that fails raises what it does."""
        ttl = self.ttl
        with anyio.fail_after(self._limit):
            held = await self._sessions.hold(admission.session, admission.run, admission.holder, ttl, told)
        if not fits(held, Held):
            raise WrongAnswer("the sessions' store answered with something that is no hold")
        return held

    async def is_gone(self, admission: Admission) -> bool:
        """Whether a turn is in the queue no more; False where the store can't say."""
        try:
            return (await self.hold(admission)).status == "gone"
        except BaseException as exc:  # noqa: BLE001 - a stranger's store; what is told doesn't hang on it
            as_failure(exc)
            return False

    async def ask(self, admission: Admission) -> Held:
        """Ask for a turn; raise `NotKept` where the store can't say whose it is."""
        try:
            return await self.hold(admission)
        except SessionCorrupt:
            self._guard.words_lost(admission.session)
            return Held("gone")
        except BaseException as exc:  # noqa: BLE001 - a stranger's store; the turn ends without it
            raise self.failed(admission, exc) from None

    async def drop(self, admission: Admission) -> None:
        """Take a turn out of the queue; where that fails it is tried again with the session's next turn here."""
        session = admission.session
        dropped = False
        with anyio.move_on_after(min(self._limit, _PARTING)):
            try:
                await self._sessions.drop(session, admission.run, admission.holder)
                dropped = True
            except BaseException as exc:  # noqa: BLE001 - it was said already that this store fails
                as_failure(exc)
        if not dropped:
            self._given_up[session] = (*self._given_up.get(session, ()), admission)
            while len(self._given_up) > _REMEMBERED:
                self._given_up.popitem(last=False)
        self.wake(session)

    @asynccontextmanager
    async def seeing_to(self, admission: Admission) -> AsyncIterator[None]:
        """See to a turn for as long as the block; whoever is stopped in it leaves the turn to others at once."""
        try:
            yield
        except (anyio.get_cancelled_exc_class(), NotNow):
            with anyio.move_on_after(_PARTING, shield=True):
                try:
                    await self._sessions.hold(admission.session, admission.run, admission.holder, 0.0)
                except BaseException as exc:  # noqa: BLE001 - a stranger's store: then others wait until it is over
                    as_failure(exc)
            raise
        finally:
            self.wake(admission.session)

    def wake(self, session: str) -> None:
        """Let those of this process who wait for a turn of the session look again."""
        if (event := self._changed.pop(session, None)) is not None:
            event.set()

    async def news(self, session: str, pause: float) -> None:
        """Wait until a turn of the session has ended here, or for ``pause`` seconds."""
        event = self._changed.setdefault(session, anyio.Event())
        with anyio.move_on_after(pause):
            await event.wait()

    def pauses(self) -> Pauses:
        """Return how long to look away, time after time."""
        return Pauses(min(_LONGEST_PAUSE, self.ttl / 3))


class Pauses:
    """Pauses that grow, up to a ``longest`` one."""

    def __init__(self, longest: float) -> None:
        self._longest, self._next = longest, min(_FIRST_PAUSE, longest)

    def next(self) -> float:
        pause = self._next
        self._next = min(2 * pause, self._longest)
        return pause


def taken(admission: Admission, holder: str) -> Admission:
    """Return somebody's turn as one that ``holder`` asks for."""
    return msgspec.structs.replace(admission, holder=holder)
