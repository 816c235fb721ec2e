"""What an intervention reaches: humans, the protocols that go on by themselves, and the session of its person.

Each of these may be missing, away or broken: none keeps an intervention from being opened, or the others from it.
"""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping
from typing import Literal, TypeVar

import anyio

from tta_kernel import as_failure, raised_at
from tta_messages import Backoff
from tta_notify import Contact, Notification, Notifier, Severity, UnknownNotification
from tta_sessions import Flags, Sessions, flags_of
from tta_sessions.flags import set_flags
from tta_workflows import Run, Workflow, Workflows

from .model import LEVELS, CrisisError, Intervention
from .protocols import NOTIFIES, input_of

T = TypeVar("T")
_LIMIT = 2.0
_FOR_GOOD = ("unknown_workflow", "bad_input", "too_large", "key_taken")
"""Why a protocol will never begin: trying again changes nothing."""
_RETOLD = 600.0
"""For how long the same alarm is told once."""
_MOST_WAITING = 10_000
_MOST_BEGUN = 50_000
"""Of how many protocols it is known here that they have begun; more than are open within a look's time."""
Told = Literal["stored", "kept", "known", "joined"]


class Reach:
    """Tells humans, begins protocols and changes sessions; what is not there is None."""

    def __init__(
        self, log: logging.Logger, *, notifier: Notifier | None, workflows: Workflows | None,
        sessions: Sessions | None, definitions: Mapping[str, Workflow] | None, start_limit: float = _LIMIT,
        clock: Callable[[], float] = anyio.current_time,
    ) -> None:  # fmt: skip
        self._log, self._clock = log, clock
        self._notifier, self._workflows, self._sessions = notifier, workflows, sessions
        self._definitions, self._start_limit = definitions, start_limit
        self.limit = _LIMIT
        """How long, in seconds, whoever is asked may take."""
        self._waiting: OrderedDict[str, Intervention] = OrderedDict()
        self._begun: OrderedDict[str, None] = OrderedDict()
        self._more = anyio.Event()
        self._alarmed: dict[str, float] = {}
        self.untold = self.failed = 0
        self.trouble = ""
        """Why protocols can't begin; empty where they can."""

    def __len__(self) -> int:
        """Count the interventions whose protocol is still to begin."""
        return len(self._waiting)

    # Humans.

    async def tell(self, intervention: Intervention) -> None:
        """Tell humans of an intervention whose protocol would: that one finds it told, and isn't waited for."""
        definition = (self._definitions or {}).get(intervention.protocol)
        if self._workflows is not None and definition is not None and not _notifies(definition):
            return
        await self.notify(first(intervention))

    async def notify(self, notification: Notification) -> Told | None:
        """Hand something over, and return how; None, and a critical line in the log, where nobody takes it."""
        if self._notifier is None:
            self._untold(notification, "nothing provides notify")
            return None
        notifier = self._notifier
        receipt = await self._answer("told to humans", lambda: notifier.notify(notification))
        if receipt is None:
            self._untold(notification, "it could not be handed over")
            return None
        return receipt.status

    def knows(self, contact: str) -> str | None:
        """Return by which name a trusted contact knows their person, "" for none; None where nothing leads to them."""
        if self._notifier is None:
            return None
        try:
            known = self._notifier.config.contacts.get(contact) if self._notifier.reaches(contact) else None
        except BaseException as exc:  # noqa: BLE001 - whatever provides it may be a stranger's
            failure = as_failure(exc)
            self._log.error("whether a contact can be told isn't known: %s", type(failure).__name__)
            return None
        return known.knows if isinstance(known, Contact) else None

    async def alarm(self, what: str, *, session: str = "") -> None:
        """Tell operators of something that isn't as it should be; the same within ten minutes is told once."""
        now = self._clock()
        if now - self._alarmed.get(what, -_RETOLD) < _RETOLD:
            return
        self._alarmed[what] = now
        while len(self._alarmed) > 100:
            self._alarmed.pop(next(iter(self._alarmed)))
        await self.notify(
            Notification(
                id=f"crisis.alarm:{what[:100]}:{int(now // _RETOLD)}:{session}", topic="alarm", severity="critical",
                subject=f"crisis: {what}", body="`tta health` says more.", group=f"crisis.alarm:{what[:100]}",
            )
        )  # fmt: skip

    async def acknowledge(self, intervention: Intervention, *, by: str) -> None:
        """Say of an intervention's notifications that a human has seen them: no others are told then."""
        if (notifier := self._notifier) is None:
            return
        for id in (told_id(intervention.id), escalated_id(intervention.id)):

            async def acknowledge(id: str = id) -> None:
                try:
                    await notifier.acknowledge(id, by)
                except UnknownNotification:
                    return  # It was never needed, or is gone.

            await self._answer("acknowledged", acknowledge)

    def _untold(self, notification: Notification, why: str) -> None:
        self.untold += 1
        about = notification.about.get("intervention", "")
        self._log.critical("NOBODY IS TOLD of %s (%s): %s", notification.subject, about, why)

    # Protocols.

    async def begin(self, intervention: Intervention) -> bool:
        """Begin the protocol of an intervention, or find it begun; what can't begin now is tried until it does."""
        if self._workflows is None:
            return False
        if intervention.id in self._begun:
            self._waiting.pop(intervention.id, None)
            return True
        why = await self._start(self._workflows, intervention)
        if not why:
            self._waiting.pop(intervention.id, None)
            self._remember(intervention.id)
            return True
        if why in _FOR_GOOD:
            self.failed += 1
            self._waiting.pop(intervention.id, None)
            self._log.critical("the protocol of %s can't begin: %s; humans are told", intervention.id, why)
            await self.notify(first(intervention))
            return False
        self.trouble = why
        await self.notify(first(intervention))
        self.begin_later(intervention)
        return False

    def _remember(self, id: str) -> None:
        """Know that a protocol has begun: each look at all that is open would start it again, only to find that out."""
        self._begun[id] = None
        if len(self._begun) > _MOST_BEGUN:
            self._begun.popitem(last=False)

    def begin_later(self, intervention: Intervention) -> None:
        """Begin a protocol as soon as that is possible."""
        if self._workflows is None or intervention.id in self._waiting:
            return
        self._waiting[intervention.id] = intervention
        while len(self._waiting) > _MOST_WAITING:
            id, _ = self._waiting.popitem(last=False)
            self._log.critical("too many protocols wait to begin: that of %s is left to the next look", id)
        self._more.set()

    async def run(self) -> None:
        """Begin what waits, for as long as the plugin runs; ever later while nothing begins."""
        while True:
            await self._more.wait()
            self._more = anyio.Event()
            backoff = Backoff(self._log, "protocols of crises wait to begin")
            while self._waiting:
                for each in list(self._waiting.values()):
                    if not await self.begin(each) and each.id in self._waiting:
                        await backoff.wait(CrisisError(self.trouble))
                        break
            self.trouble = ""
            backoff.over()

    def forget(self, owner: str) -> None:
        """Begin no protocol for somebody who is forgotten."""
        for id in [id for id, each in self._waiting.items() if each.owner == owner]:
            del self._waiting[id]

    async def _start(self, workflows: Workflows, intervention: Intervention) -> str:
        """Return why a run could not begin, as a code, or nothing."""

        async def start() -> Run:
            handle = await workflows.start(
                intervention.protocol, input_of(intervention), key=intervention.run, session=intervention.session,
                owner=intervention.owner, labels={"intervention": intervention.id},
                priority=LEVELS.index(intervention.level),
            )  # fmt: skip
            return await handle.query()

        run = await self._answer("begun", start, limit=self._start_limit)
        if not isinstance(run, Run):
            return "unavailable"
        return run.error or "unavailable" if run.status == "refused" else ""

    # The session.

    async def flags(self, session: str) -> Flags:
        """Return the flags of a session, the careful ones where they can't be read."""
        if (sessions := self._sessions) is None:
            return Flags()

        async def read() -> Flags:
            return flags_of(await sessions.get(session))

        return await self._answer("read for its flags", read) or Flags()

    async def pause(self, session: str, owner: str, turn: int, *, paused: bool) -> bool | None:
        """Let a session's story pause, or go on; the conversation goes on in both cases. None where it can't.

        It returns whether the story pauses: not because of a turn after which its person had it go on.
        """
        if (sessions := self._sessions) is None:
            return None

        async def change() -> Flags:
            return await set_flags(
                sessions, session, owner, unless=lambda flags: paused and flags.went_on > turn, paused=paused
            )

        flags = await self._answer("paused" if paused else "resumed", change)
        return None if flags is None else flags.paused

    async def _answer(self, what: str, call: Callable[[], Awaitable[T]], *, limit: float = 0.0) -> T | None:
        """Return what a call answers in time, or None where it doesn't."""
        limit = limit or self.limit
        with anyio.move_on_after(limit):
            try:
                return await call()
            except BaseException as exc:  # noqa: BLE001 - whatever provides it may be a stranger's
                failure = as_failure(exc)
                self._log.error("a crisis can't be %s: %s at %s", what, type(failure).__name__, raised_at(failure))
                return None
        self._log.error("a crisis was not %s within %g s", what, limit)
        return None


def told_id(intervention: str) -> str:
    """Return the id of an intervention's first notification: told twice, it is one."""
    return f"crisis.{intervention}"[:256]


def escalated_id(intervention: str) -> str:
    """Return the id of the notification that nobody saw to an intervention in time."""
    return f"crisis-escalated.{intervention}"[:256]


def first(intervention: Intervention) -> Notification:
    """Make the first notification of an intervention."""
    return about(intervention.id, intervention.kind, intervention.level, intervention.session, intervention.turn,
                 owner=intervention.owner)  # fmt: skip


def about(
    id: str, kind: str, level: Severity, session: str, turn: int, *, owner: str, escalated: bool = False
) -> Notification:  # fmt: skip
    """Make a notification of an intervention: what it is, where to look, and nothing that anybody wrote."""
    what = f"{kind.replace('_', ' ')}, {level}"
    subject = f"nobody has seen to a crisis yet: {what}" if escalated else f"a person may be in a crisis: {what}"
    body = (
        f"Intervention {id}\nSession {session}, turn {turn}\n\n"
        f"tta crises show {id}\ntta crises acknowledge {id}\n\n"
        "The story pauses, the conversation goes on. This was found by a program, and is no diagnosis."
    )
    return Notification(
        id=escalated_id(id) if escalated else told_id(id), topic="crisis",
        severity="critical" if escalated else level, subject=subject, body=body, owner=owner,
        about={"intervention": id, "kind": kind, "level": level, "session": session},
        tier=2 if escalated else 1,
    )  # fmt: skip


def _notifies(definition: Workflow) -> bool:
    return any(step.agent == NOTIFIES for step in definition.steps)
