"""What a turn returns, and the service that plays one."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager
from typing import Annotated, Any, ClassVar, Literal, Protocol

import msgspec

from tta_kernel import Event, Service
from tta_safety import Verdict, merge
from tta_sessions import Page, Profile, Tone
from tta_workflows import Run, StepRun

Outcome = Literal["story", "checked-in", "supportive", "fallback", "failed"]
"""``story`` was told; ``checked-in``: it was, after a gentle question, as a crisis may be there; ``supportive``: the
story pauses for a person in distress, or a check kept it from the player; ``fallback``: a check failed, nobody checked
where somebody must, or a store could not be reached; ``failed``: an agent gave no answer."""
Part = Literal[
    "safety", "workflow", "sessions.get", "sessions.admit", "sessions.commit", "world.open", "world.keep"
]  # fmt: skip
"""What of the system a turn needs, and can fail. No turn fails for the store of worlds."""


SEEDS = range(-(2**63), 2**63)
"""What a story's seed may be: it travels, and is stored, as an integer of 64 bits."""


class Failure(msgspec.Struct, frozen=True):
    """Which part failed in a turn, and how: an `AgentError`'s code, ``unchecked``, ``conflict`` or the like."""

    part: Part
    code: str


class TurnInput(msgspec.Struct, frozen=True):
    """What a turn gives its workflow, as ``input.text`` and so on; a story's first turn has no world.

    ``history`` are the last pages, cut to what a request may hold, and ``summary`` is what happened before them.
    ``profile`` says what does this person good; ``tone`` and ``themes`` are how this turn is best told, and what it may
    touch on. ``memory`` is what agents have asked to remember. ``due`` is when, in seconds since the epoch, a first
    sentence is due: an agent that is called later answers by its rules, and 0 means that there is no haste.
    """

    text: str
    seed: int
    turn: int
    world: dict[str, Any] | None = None
    history: tuple[Page, ...] = ()
    summary: str = ""
    profile: Profile = Profile()
    tone: Tone = "warm"
    themes: tuple[str, ...] = ()
    memory: dict[str, Any] = {}
    due: float = 0.0


class TurnOutput(msgspec.Struct, frozen=True):
    """What a turn reads of its workflow's output: the text for the player, and the world to be kept.

    ``memory`` is what is to be remembered from now on, by name; None forgets a name, and others stay.
    ``route`` is the way that the turn took; after ``reach-out`` nothing in the world has changed.
    """

    text: str
    world: dict[str, Any]
    memory: dict[str, Any] = {}
    route: str = ""


class OrchestrationResponse(msgspec.Struct, frozen=True):
    """A turn: the text for the player, and how it came about; times in seconds.

    ``verdicts`` has one verdict on the ``player``'s text and, where these were checked, on the ``story`` and on what
    the turn changes in the ``world``; ``verdict`` is all of them in one.
    ``notices`` are for the player: what was done with an input that didn't fit, or became of the story.
    ``failure`` is None where nothing failed; ``kept`` says whether the session knows of the turn: one
    that isn't kept hasn't happened, and the next one has its number.
    """

    text: str
    outcome: Outcome
    session: str
    turn: int
    updated_context: Mapping[str, Any]
    workflow: Mapping[str, Any]
    steps: tuple[StepRun, ...]
    performance: Mapping[str, float]
    verdicts: Mapping[str, Verdict]
    notices: tuple[str, ...] = ()
    failure: Failure | None = None
    kept: bool = True

    @property
    def verdict(self) -> Verdict:
        """What the checks have said of the whole turn: the worst of it, and all that was found."""
        return merge(self.verdicts.values())


class Narrate(msgspec.Struct, frozen=True):
    """How a turn is handed to its reader: as ``plain`` text or as ``markdown``, and at ``most`` so many characters.

    A story that is longer ends after a sentence; 0 is no limit. What is said to a person in distress, and what stands
    in for a story, is never cut. The session keeps what was told, as plain text.
    """

    format: Literal["plain", "markdown"] = "plain"
    most: Annotated[int, msgspec.Meta(ge=0, le=1_000_000)] = 0


PLAIN = Narrate()


class Status(msgspec.Struct, frozen=True):
    """How orchestration goes in this process, since it was started.

    ``turns`` are being played now; of the ``requests`` that were answered so many had ``errors``: a part of the system
    failed in them. ``mean_seconds`` is how long they took. ``parts`` are what it uses, and whether each is provided.
    """

    running: bool
    turns: int = 0
    requests: int = 0
    errors: int = 0
    mean_seconds: float = 0.0
    parts: Mapping[str, bool] = {}

    @property
    def error_rate(self) -> float:
        """The share of requests with an error, 0 where there was none."""
        return self.errors / self.requests if self.requests else 0.0


class InputError(ValueError):
    """What the player gave can't be played; the message is for the player, and says what to do."""


class NotRunning(RuntimeError):
    """The system that was to play has stopped, and plays nothing more."""


class ReadTimeout(TimeoutError):
    """The reader of a turn took nothing for too long, and gets no more of it; the turn is kept."""


class TurnStream(Protocol):
    """A turn while it is told: iterate over the released pieces, then read ``response``."""

    @property
    def response(self) -> OrchestrationResponse:
        """The turn; RuntimeError until the pieces have been read to the end."""

    def __aiter__(self) -> AsyncIterator[str]: ...


class Orchestration(Protocol):
    """Plays turns of a story."""

    async def process_user_input(
        self, text: str, session: str, *, user: str = "", seed: int | None = None, narrate: Narrate = PLAIN
    ) -> OrchestrationResponse:
        """Play one turn and commit it; ``seed`` counts only in a session's first turn.

        Raises `InputError` for what can't be played (a text, a name that can't be stored, a seed of more
        than 64 bits), and `NotRunning` after the system has stopped; nothing is kept then. The turns of a
        session are answered in the order in which they came, from whichever process, and whoever is
        cancelled while waiting here cancels none. Whatever else fails, the response says so.
        """

    def stream_user_input(
        self, text: str, session: str, *, user: str = "", seed: int | None = None, narrate: Narrate = PLAIN
    ) -> AbstractAsyncContextManager[TurnStream]:
        """Play one turn, and release its checked text sentence by sentence.

        What has been read is never taken back: a story that can't be kept gets an ending that says so. Any task may
        read, and any may leave the block. A turn is played to its end, and kept, also where its reader leaves. One that
        takes nothing for too long gets a `ReadTimeout` where it reads on.
        """

    async def resume(self, session: str, user: str) -> OrchestrationResponse | None:
        """Finish what was admitted in a person's session and left, as by a process that was killed; return the last.

        None where there is nothing of theirs. Raises `InputError` for a name that can't be stored, and `NotRunning`.
        """

    async def coordinate_agents(self, workflow: str, input: Mapping[str, Any], *, session: str = "") -> Run:
        """Run a workflow for a program, not for a player: its output is unchecked."""

    async def set_profile(self, session: str, profile: Profile, *, user: str = "") -> Profile:
        """Set what a story should know of its person, and return it as it is kept; the next turn is told by it.

        A session that isn't there begins with it. Raises `InputError` for a profile, or a name, that can't be kept, and
        for somebody else's session; `NotRunning`; and `tta_sessions.SessionsError` where the store can't be reached.
        """

    async def get_status(self) -> Status:
        """Return how it goes, for an operator; it never raises, and holds nothing of any person."""

    async def forget(self, user: str) -> Mapping[str, int | Exception]:
        """Delete all that anybody keeps of a person: ``{plugin: how many or error}``."""


class TurnPlayed(Event, frozen=True, tag="orchestration.turn-played"):
    """A turn of a person's session (``owner``) was answered."""

    __shown__: ClassVar = ("outcome",)

    session: str
    turn: int
    outcome: str
    seconds: float
    owner: str = ""


class StoreFailed(Event, frozen=True, tag="orchestration.store-failed"):
    """A turn could not read or keep its session, or reach its agents: a human must look."""

    __shown__: ClassVar = ("part", "code")

    session: str
    part: Part
    code: str
    owner: str = ""


ORCHESTRATION = Service[Orchestration]("orchestration")
