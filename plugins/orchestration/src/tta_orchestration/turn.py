"""One turn of a session: read, told, and committed once."""

from __future__ import annotations

import uuid
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import msgspec

from tta_kernel import correlation_id
from tta_sessions import Session

from . import texts
from .guard import NotKept, Overtaken, SessionGuard, Story
from .model import InputError, TurnInput
from .responder import Answer, Responder

TRIES = 3
"""How often a turn is played while others commit the same session."""


class Played(msgspec.Struct, frozen=True):
    """A turn as it ended; ``session`` is what is stored, or, where the turn isn't ``kept``, what was before.

    ``run`` is the turn's own name, and its workflow's. ``number`` is 0 where the session could not be read.
    """

    answer: Answer
    run: str
    number: int
    session: Session
    kept: bool
    notices: tuple[str, ...]


class _Place(msgspec.Struct, frozen=True):
    """Where a turn goes on: the session as it was read, the story in it, and what this turn is called."""

    session: Session
    story: Story = Story()
    run: str = ""
    number: int = 0
    seed: int = 0


class Turn:
    """One turn of ``session``, which is a new one until it was read; ``seed`` is that of a story that begins.

    Where it has a reader, ``taken`` waits until that has everything: what wasn't read isn't kept.
    """

    def __init__(
        self, guard: SessionGuard, responder: Responder, session: Session, *, seed: int | None, history: int,
        taken: Callable[[], Awaitable[None]] | None = None,
    ) -> None:  # fmt: skip
        self._guard, self._responder = guard, responder
        self._seed, self._history = seed, history
        self._taken = taken
        self._place = _Place(session)
        self._notices: dict[str, None] = {}

    async def play(self, raw: str, text: str) -> Played:
        """Answer what the player wrote, and commit the session; ``text`` is what the story reads of ``raw``."""
        # What the check of the input said: it is made once, however often the story is told anew.
        begun: Answer | None = None
        answer = Answer()
        try:
            for _ in range(TRIES):
                place = await self._read()
                if begun is None:
                    begun = answer = await self._responder.check_input(raw, place.number)
                if answer is begun and answer.outcome == "story":
                    input = TurnInput(text, place.seed, place.number, place.story.world)
                    answer = await self._responder.tell(begun, input, place.run)
                if self._taken is not None:
                    await self._taken()
                try:
                    after = self._session_after(answer, text)
                    committed = await self._guard.commit(after, place.run, unread=not answer.released)
                    return self._played(answer, committed)
                except Overtaken:
                    # Only a story depends on what it goes on from; what else was said holds.
                    if answer.outcome == "story":
                        if answer.released:
                            # A reader has seen it, so it can't be told anew from somewhere else.
                            break
                        answer = begun
            why = "others commit the session all the while"
            session = self._place.session
            raise self._guard.failed(session.id, session.user, "sessions.commit", "conflict", why)
        except NotKept as exc:
            if begun is None:
                # A crisis doesn't wait for a store.
                answer = await self._responder.check_input(raw, self._place.number)
            return self._played(await self._responder.retract(answer, exc.failure), None)

    async def _read(self) -> _Place:
        """Find out where the story stands, and give the turn a name of its own."""
        run = uuid.uuid4().hex
        correlation_id.set(run)
        before = self._place.session
        # Also where it can't be read, the turn goes by its new name.
        self._place = msgspec.structs.replace(self._place, run=run)
        session, story, notices = await self._guard.read(before.id, before.user)
        if session is None:
            if before.version:
                notices += (texts.ANEW,)  # It was there a moment ago.
            session = Session(before.id, before.user)
        elif session.user != before.user:
            raise InputError(texts.NOT_YOURS)
        self._notices |= dict.fromkeys(notices)
        first = self._seed if self._seed is not None else int(run[:8], 16) & 0x7FFFFFFF
        seed = first if story.seed is None else story.seed
        self._place = _Place(session, story, run, story.turn + 1, seed)
        return self._place

    def _session_after(self, answer: Answer, text: str) -> Session:
        """Return the session with this turn in its history, as it is to be committed."""
        place = self._place
        context: dict[str, Any] = dict(place.session.context)
        page = {
            "turn": place.number, "said": text, "told": answer.text, "outcome": answer.outcome,
            "verdicts": {channel: msgspec.to_builtins(verdict) for channel, verdict in answer.verdicts.items()},
            "run": place.run,
        }  # fmt: skip
        history = [*context.get("history", ()), page]
        context |= {"turn": place.number, "seed": place.seed, "history": history[-self._history :]}
        output: Mapping[str, Any] = answer.run.output if answer.run else {}
        if answer.outcome == "story" and "world" in output:
            # What the player didn't get to read hasn't happened.
            context["world"] = output["world"]
        return msgspec.structs.replace(place.session, context=context)

    def _played(self, answer: Answer, committed: Session | None) -> Played:
        place = self._place
        session = committed or place.session
        return Played(answer, place.run, place.number, session, committed is not None, tuple(self._notices))
