"""A crisis as it is told, how it is assessed, and what becomes of the intervention that it opens."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, ClassVar, Literal, Protocol

import msgspec
from msgspec import Meta

from tta_kernel import Event, Service
from tta_safety import Channel, Verdict

Level = Literal["low", "moderate", "high", "critical"]
LEVELS: Sequence[Level] = ("low", "moderate", "high", "critical")
"""The least first."""
Status = Literal["open", "acknowledged", "resolved"]
"""``open``: nobody has seen it; ``acknowledged``: a human sees to it; ``resolved``: a human has closed it."""
STATUSES: Sequence[Status] = ("open", "acknowledged", "resolved")
Resolution = Literal["helped", "referred", "unreachable", "false-alarm", "other"]
Judgement = Literal["false-alarm", "missed", "override", "right"]
"""What a clinician says of an intervention: it was none, it came too late or too low, it is another level, right."""
LONGEST_ID = 300


class CrisisError(Exception):
    """The store of interventions can't be reached, or is late: what was asked may have been done or not."""


class NoSuchIntervention(Exception):
    """There is no intervention of this id (any more)."""


class Exchange(msgspec.Struct, frozen=True):
    """One turn of a session: what the player said, and what was told."""

    turn: int
    said: str = ""
    told: str = ""


class Disclosure(msgspec.Struct, frozen=True, kw_only=True):
    """An answer of a check that names kinds of crisis: what `Crises.open` is told.

    ``admission`` names the turn: its run. ``turns`` are the last ones with this one at the end; of their text nothing
    is kept but what the hand-off packet may hold, redacted. ``at`` is in seconds since the epoch; 0 is now.
    """

    admission: str
    session: str
    verdict: Verdict
    user: str = ""
    turn: int = 0
    channel: Channel = "player"
    locale: str = ""
    country: str = ""
    at: float = 0.0
    turns: tuple[Exchange, ...] = ()


class Assessment(msgspec.Struct, frozen=True, kw_only=True):
    """How serious a crisis of one ``kind`` is, and why; a triage for people who can help.

    ``severity`` is the strongest cue, 0 to 6 (`tta_safety.Finding`); the booleans say what that holds. ``earlier``: how
    many interventions the session had of late. ``protective``: cues that speak for safety. ``rules`` are those that
    have seen it.
    """

    kind: str
    level: Level
    severity: int = 0
    ideation: bool = False
    means: bool = False
    intent: bool = False
    plan: bool = False
    behaviour: bool = False
    imminent: bool = False
    protective: tuple[str, ...] = ()
    earlier: int = 0
    rules: tuple[str, ...] = ()

    @property
    def immediate(self) -> bool:
        """Whether somebody may come to harm now."""
        return self.level == "critical"


class Intervention(msgspec.Struct, frozen=True, kw_only=True):
    """What was opened for one kind of crisis in one turn; its ``id`` is admission + channel + kind. It holds no text.

    ``protocol`` is the workflow that sees to it, and ``run`` its run. ``followed_up_at``: when somebody was reminded to
    ask how the person is. Times are in seconds since the epoch, 0 for what has not happened. ``version`` counts the
    changes.
    """

    id: str
    kind: str
    level: Level
    assessment: Assessment
    session: str
    owner: str = ""
    admission: str = ""
    channel: Channel = "player"
    turn: int = 0
    locale: str = ""
    country: str = ""
    status: Status = "open"
    protocol: str = ""
    run: str = ""
    opened_at: float = 0.0
    acknowledged_at: float = 0.0
    acknowledged_by: str = ""
    resolved_at: float = 0.0
    resolved_by: str = ""
    resolution: Resolution | Literal[""] = ""
    escalated_at: float = 0.0
    followed_up_at: float = 0.0
    version: int = 0
    format: int = 1


class Clue(msgspec.Struct, frozen=True, kw_only=True):
    """A finding in a packet: what was seen by which rule, without words and places."""

    rule: str
    category: str
    severity: int = 0
    subject: str = "unknown"
    polarity: str = "affirmed"
    temporality: str = "present"


class Packet(msgspec.Struct, frozen=True, kw_only=True):
    """What is handed to the human who takes over: findings without words, and the last turns, redacted.

    ``turns`` is empty where the person has not agreed that others read what they wrote (``reads`` says why).
    """

    intervention: str
    kind: str
    level: Level
    severity: int
    clues: tuple[Clue, ...] = ()
    turns: tuple[Exchange, ...] = ()
    reads: Literal["agreed", "vital", "withheld"] = "withheld"
    locale: str = ""
    country: str = ""
    age_band: str = "unknown"
    consent_contact: bool = False
    consent_data: bool = False
    at: float = 0.0
    format: int = 1


class Feedback(msgspec.Struct, frozen=True, kw_only=True):
    """What a clinician says of an intervention; ``level`` is theirs, where it is an ``override``.

    ``reason`` is their own words, and shown to whoever may read text only.
    """

    intervention: str
    judgement: Judgement
    by: str
    level: Level | Literal[""] = ""
    reason: Annotated[str, Meta(max_length=1000)] = ""
    at: float = 0.0
    kind: str = ""
    assessed: Level | Literal[""] = ""
    owner: str = ""


class Trace(msgspec.Struct, frozen=True, kw_only=True):
    """What is kept when a person is forgotten: that there was an intervention, on which day, and nothing of whom."""

    day: str
    kind: str
    level: Level
    status: Status
    escalated: bool = False


class CrisisQuery(msgspec.Struct, frozen=True, kw_only=True):
    """Which interventions are asked for, the newest first; empty means any."""

    status: Status | Literal[""] = ""
    session: str = ""
    since: float = 0.0
    cursor: str = ""
    most: Annotated[int, Meta(ge=1, le=500)] = 50


class CrisisPage(msgspec.Struct, frozen=True):
    """Some interventions, the newest first; an empty ``cursor`` says that there are no more."""

    interventions: Sequence[Intervention] = ()
    cursor: str = ""


class FeedbackPage(msgspec.Struct, frozen=True):
    """Some feedback, the newest first; an empty ``cursor`` says that there is no more."""

    feedback: Sequence[Feedback] = ()
    cursor: str = ""


class Crises(Protocol):
    """Interventions: opened by whoever has a verdict that names kinds, and seen to by humans.

    All but `open` may raise `CrisisError`.
    """

    async def open(self, disclosure: Disclosure) -> tuple[Intervention, ...]:
        """Open an intervention for each kind that a verdict names, and return them.

        It never raises, and doesn't wait for a store that is away: then they are kept here and stored later, and humans
        are told at once. The same turn again opens nothing: it returns what there is.
        """

    async def get(self, id: str) -> Intervention | None:
        """Return an intervention."""

    async def page(self, query: CrisisQuery) -> CrisisPage:
        """Return interventions, the newest first, those after a page's cursor."""

    async def acknowledge(self, id: str, *, by: str) -> Intervention:
        """Note that a human (``by``) sees to it; one that is acknowledged or resolved stays as it is.

        Raises `NoSuchIntervention`.
        """

    async def resolve(self, id: str, *, by: str, resolution: Resolution) -> Intervention:
        """Close it; one that is resolved stays as it is. Raises `NoSuchIntervention`."""

    async def packet(self, id: str) -> Packet | None:
        """Return what is handed over to whoever takes over; it may hold a person's text, redacted."""

    async def judge(self, feedback: Feedback) -> Feedback:
        """Keep what a clinician says of an intervention. Raises `NoSuchIntervention`."""

    async def judgements(self, *, cursor: str = "", most: int = 100) -> FeedbackPage:
        """Return what clinicians have said."""


class CrisisOpened(Event, frozen=True, tag="crisis.opened"):
    """An intervention was opened."""

    __shown__: ClassVar = ("intervention", "kind", "level")

    intervention: str
    kind: str
    level: Level
    session: str
    owner: str = ""


class CrisisAcknowledged(Event, frozen=True, tag="crisis.acknowledged"):
    """A human sees to an intervention, so many ``seconds`` after it was opened."""

    __shown__: ClassVar = ("intervention", "kind", "level")

    intervention: str
    kind: str
    level: Level
    session: str
    seconds: float
    owner: str = ""


class CrisisResolved(Event, frozen=True, tag="crisis.resolved"):
    """A human has closed an intervention."""

    __shown__: ClassVar = ("intervention", "kind", "level", "resolution")

    intervention: str
    kind: str
    level: Level
    session: str
    resolution: str
    owner: str = ""


class CrisisEscalated(Event, frozen=True, tag="crisis.escalated"):
    """Nobody saw to an intervention in time, so others were told."""

    __shown__: ClassVar = ("intervention", "kind", "level")

    intervention: str
    kind: str
    level: Level
    session: str
    owner: str = ""


CRISIS = Service[Crises]("crisis")
"""Opening interventions, and seeing to them."""


def intervention_id(admission: str, channel: str, kind: str) -> str:
    """Return the id of the one intervention that a turn opens for a kind."""
    return f"{admission}.{channel}.{kind}"
