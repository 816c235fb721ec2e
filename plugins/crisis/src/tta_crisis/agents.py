"""What the steps of protocols call: each agent does one thing, and doing it twice does no harm."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeVar

import msgspec

from tta_agents import AgentError, AgentSpec, StepContext
from tta_kernel import as_failure
from tta_notify import Notification
from tta_safety import Help, support
from tta_safety.model import Verdict

from .crises import StoredCrises
from .model import CrisisError, Intervention, Level, NoSuchIntervention
from .reach import about

T = TypeVar("T")
Record = Callable[[str, str, str], Awaitable[None]]
"""Keep in the audit what was done (a deed, an intervention, its owner)."""


class About(msgspec.Struct, frozen=True):
    """An intervention."""

    intervention: str


class AboutCrisis(msgspec.Struct, frozen=True):
    """An intervention, and what it is about."""

    intervention: str
    kind: str
    level: Level
    session: str
    turn: int = 0


class AboutHelp(msgspec.Struct, frozen=True):
    """A kind of crisis, and where the person is."""

    kind: str
    level: Level = "moderate"
    locale: str = ""
    country: str = ""


class AboutSession(msgspec.Struct, frozen=True):
    """A session whose story pauses, or goes on."""

    intervention: str
    session: str
    paused: bool = True


class AboutLog(msgspec.Struct, frozen=True):
    """What became of a protocol so far."""

    intervention: str
    told: str = ""


class Told(msgspec.Struct, frozen=True):
    """How something was handed over: ``stored``, ``kept``, ``known`` or ``joined``."""

    status: str


class Text(msgspec.Struct, frozen=True):
    """What may be said to the person."""

    text: str


class Paused(msgspec.Struct, frozen=True):
    """Whether the story pauses now."""

    paused: bool


class Done(msgspec.Struct, frozen=True):
    """Whether something was done, and else why not, as a word."""

    done: bool
    why: str = ""


class CrisisAgent:
    """An agent of the plugin: its declaration, and the function that does the work."""

    def __init__(self, spec: AgentSpec, work: Callable[[Any, StepContext], Awaitable[Any]]) -> None:
        self.spec = spec
        self._work = work

    async def process(self, request: Any, ctx: StepContext, /) -> Any:
        """Do it."""
        return await self._work(request, ctx)


SPECS: Sequence[AgentSpec] = (
    AgentSpec("crisis-notify", "tells humans of a crisis", AboutCrisis, Told),
    AgentSpec("crisis-escalate", "tells others where nobody has seen to a crisis in time", AboutCrisis, Done),
    AgentSpec("crisis-follow-up", "reminds humans to ask how a person is", About, Done),
    AgentSpec("crisis-contact", "tells a person's trusted contact, where they agreed to it", AboutCrisis, Done),
    AgentSpec("crisis-pause", "lets a story pause, and the conversation go on", AboutSession, Paused),
    AgentSpec("crisis-respond", "says what may be said to a person in a crisis", AboutHelp, Text),
    AgentSpec("crisis-resources", "says whom a person in a crisis can call", AboutHelp, Text),
    AgentSpec("crisis-log", "puts into the audit that a protocol runs", AboutLog, Done),
)


def agents(crises: StoredCrises, record: Record, help: Help) -> Sequence[CrisisAgent]:
    """Make the agents of protocols."""
    reach = crises.reach

    async def tell(notification: Notification) -> Told:
        status = await reach.notify(notification)
        if status is None:
            raise AgentError("unavailable", "nobody could be told", retryable=True)
        return Told(status)

    async def notify(request: AboutCrisis, ctx: StepContext) -> Told:
        return await tell(
            about(request.intervention, request.kind, request.level, request.session, request.turn, owner=ctx.owner)
        )

    async def escalate(request: AboutCrisis, ctx: StepContext) -> Done:
        found = await _find(crises, request.intervention)
        if found is None:
            return Done(done=False, why="gone")
        if found.status != "open":
            return Done(done=False, why=found.status)
        await tell(
            about(
                request.intervention, request.kind, request.level, request.session, request.turn, owner=ctx.owner,
                escalated=True,
            )
        )  # fmt: skip
        await _stored(crises.escalated(request.intervention))
        await record("crisis.escalate", request.intervention, ctx.owner)
        return Done(done=True)

    async def follow_up(request: About, ctx: StepContext) -> Done:
        found = await _find(crises, request.intervention)
        if found is None:
            return Done(done=False, why="gone")
        if found.resolution == "false-alarm":
            return Done(done=False, why="false-alarm")
        await tell(_reminder(found))
        now = crises.clock()
        await _stored(
            crises.change(
                found.id, lambda it: it if it.followed_up_at else msgspec.structs.replace(it, followed_up_at=now)
            )
        )
        return Done(done=True)

    async def contact(request: AboutCrisis, ctx: StepContext) -> Done:
        flags = await reach.flags(request.session)
        why = crises.config.withholds(flags, request.kind)
        if why:
            return Done(done=False, why=why)
        name = reach.knows(flags.contact)
        if name is None:
            await tell(_ask_to_tell(request, flags.contact, ctx.owner))
        else:
            await tell(_for_contact(request, flags.contact, name, ctx.owner))
        await record("crisis.contact", request.intervention, ctx.owner)
        return Done(done=True)

    async def pause(request: AboutSession, ctx: StepContext) -> Paused:
        found = await _find(crises, request.intervention)
        if request.paused and found is not None and found.status == "resolved":
            return Paused(paused=False)  # This came late, and the story goes on already.
        turn = found.turn if found is not None else 0
        paused = await reach.pause(request.session, ctx.owner, turn, paused=request.paused)
        if paused is None:
            raise AgentError("unavailable", "the session can't be changed", retryable=True)
        return Paused(paused)

    async def respond(request: AboutHelp, ctx: StepContext) -> Text:
        verdict = Verdict("checked", "warning", kinds=(request.kind,))
        said = support.converse("", verdict, None, locale=request.locale, country=request.country, help=help)
        return Text(said.text)

    async def resources(request: AboutHelp, ctx: StepContext) -> Text:
        return Text(help.lines.help_lines(locale=request.locale, country=request.country, kind=request.kind))

    async def log(request: AboutLog, ctx: StepContext) -> Done:
        await record("crisis.protocol", request.intervention, ctx.owner)
        return Done(done=True)

    work: Sequence[Callable[[Any, StepContext], Awaitable[Any]]] = (
        notify, escalate, follow_up, contact, pause, respond, resources, log,
    )  # fmt: skip
    return [CrisisAgent(spec, each) for spec, each in zip(SPECS, work, strict=True)]


async def _find(crises: StoredCrises, id: str) -> Intervention | None:
    return await _stored(crises.get(id))


async def _stored(answer: Awaitable[T]) -> T | None:
    """Return what the store answers; while it is away the step is tried again."""
    try:
        return await answer
    except NoSuchIntervention:
        return None
    except CrisisError as exc:
        raise AgentError("unavailable", str(exc), retryable=True) from as_failure(exc)


def _ask_to_tell(request: AboutCrisis, contact: str, owner: str) -> Notification:
    # Nothing leads to them from here, and so a human is asked.
    return Notification(
        id=f"crisis-contact.{request.intervention}"[:256], topic="crisis-contact", severity="high",
        subject=f"please tell somebody's trusted contact: {contact}",
        body=(
            f"Intervention {request.intervention}\n\nThe person has agreed to it that {contact} is told. Say that they "
            "may need somebody now, and nothing of what they wrote."
        ),
        owner=owner, about={"contact-of": request.intervention, "contact": contact},
    )  # fmt: skip


def _for_contact(request: AboutCrisis, contact: str, name: str, owner: str) -> Notification:
    # Nothing in it says of which kind the crisis is, not even an id: they agreed to be called, and to no more.
    who = name or "Somebody who named you as the person they trust"
    return Notification(
        id=f"crisis-contact.{request.intervention}"[:256], topic="contact", severity="high", to=contact,
        subject="somebody may need you now",
        body=(
            f"{who} has asked that you be told when they may need somebody. They may need you now: please get in "
            "touch with them, and stay with them if you can. If they are in danger, call the emergency number.\n\n"
            "This comes from a program, which can't know how they are."
        ),
        owner=owner,
    )  # fmt: skip


def _reminder(found: Intervention) -> Notification:
    what = f"{found.kind.replace('_', ' ')}, {found.level}"
    return Notification(
        id=f"crisis-follow-up.{found.id}"[:256], topic="crisis", severity="moderate",
        subject=f"time to ask how somebody is: {what}",
        body=f"Intervention {found.id} is {found.status}.\n\ntta crises show {found.id}",
        owner=found.owner, about={"follow-up": found.id, "session": found.session},
    )  # fmt: skip
