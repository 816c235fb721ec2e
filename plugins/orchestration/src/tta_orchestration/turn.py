"""One turn of a session: checked, admitted, told in its turn, and committed once."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import Any

import msgspec

from tta_crisis import Exchange
from tta_kernel import correlation_id
from tta_sessions import Admission, Flags, Session, SessionFenced, flags_of
from tta_sessions.flags import KEY as FLAGS
from tta_world.opening import Opened, WorldKeeper

from . import texts
from .background import background, noted
from .guard import NotKept, Overtaken, SessionGuard, Story
from .model import Failure, InputError, TurnInput
from .queue import Hold, TurnLost, TurnQueue
from .responder import Answer, Responder
from .standing import KEY, Kept, Standing, in_brief, kept_in

_RECENT = 5
"""How many turns before it are shown to whoever takes over in a crisis."""
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
    """Where a turn goes on: the session as it was read, the story in it, and which turn this is."""

    session: Session
    story: Story = Story()
    number: int = 0
    seed: int = 0

    @property
    def standing(self) -> Standing:
        """Where the person stands; without any of it where the session could not be read."""
        context = self.session.context
        pages = self.story.history[-_RECENT:]
        recent = tuple(Exchange(page.turn, page.said, page.told) for page in pages)
        return Standing(self.number, flags_of(self.session), kept_in(context), recent)


class Turn:
    """One turn of ``session``, which is a new one until it was read; ``seed`` is that of a story that begins.

    ``text`` is what the story reads, and ``run`` the turn's own name. Within ``first_sentence`` seconds one is due.
    """

    def __init__(
        self, guard: SessionGuard, queue: TurnQueue, worlds: WorldKeeper, responder: Responder, session: Session, *,
        text: str, seed: int | None, history: int, first_sentence: float, run: str = "",
    ) -> None:  # fmt: skip
        self._guard, self._queue, self._worlds, self._responder = guard, queue, worlds, responder
        self._text, self._seed, self._history = text, seed, history
        self._first_sentence = first_sentence
        self.run = run or uuid.uuid4().hex
        self._place = _Place(session)
        self._opened: Opened | None = None
        """The world from which the story goes on, once that is known."""
        self._notices: dict[str, None] = {}
        self._answer = Answer()
        """The turn so far."""

    async def begin(self, raw: str) -> Admission | Played:
        """Check all that the player wrote, and admit the turn; or return what was said to that."""
        checked = False
        try:
            place = await self._read()
            self._answer = await self._responder.check_input(raw, place.standing, self.run)
            checked = True
            if self._answer.outcome == "story":
                session = place.session
                return await self._queue.admit(
                    Admission(session.id, session.user, self.run, self._text, uuid.uuid4().hex, seed=self._seed)
                )
            for _ in range(TRIES):
                try:
                    return await self._commit(None)
                except Overtaken:
                    # Only a story depends on what it goes on from; what else was said holds.
                    await self._read()
            raise self._overtaken()
        except NotKept as exc:
            if not checked:
                # A crisis doesn't wait for a store.
                self._answer = await self._responder.check_input(raw, self._place.standing, self.run)
            return await self.give_up(exc.failure)

    async def tell(self, hold: Hold, *, again: bool = False) -> Played:
        """Tell an admitted turn, and commit it; ``again``: another process has left it, perhaps in the middle."""
        try:
            played = await hold.run(self._tell(hold, again=again))
        except (TurnLost, SessionFenced):
            return await self.lost(hold.admission)
        except NotKept as exc:
            await self._queue.drop(hold.admission)
            return await self.give_up(exc.failure)
        # Not while it is held: the commit took the turn out of the queue, and a slow store would make it look lost.
        if played.kept and self._opened is not None:
            await self._keep_world(played.session, self._opened)
        return played

    async def lost(self, admission: Admission) -> Played:
        """Say that others go on with the turn, or that it is gone, as that of a person who was forgotten."""
        code = "taken_over"
        if await self._queue.is_gone(admission) and not await self._is_kept():
            code = "gone"
        return await self.give_up(Failure("sessions.commit", code))

    async def _is_kept(self) -> bool:
        session = self._place.session
        try:
            _, story, _ = await self._guard.read(session.id, session.user)
        except NotKept:
            return False
        return story.page(self.run) is not None

    async def give_up(self, failure: Failure) -> Played:
        """Say that the turn can't be kept."""
        answer = await self._responder.retract(self._responder.broken_off or self._answer, failure)
        return self._played(answer, None)

    async def _tell(self, hold: Hold, *, again: bool) -> Played:
        begun = self._answer
        place, opened = await self._read(), await self._open()
        if again and not hold.admission.told:
            begun = await self._responder.check_input(self._text, place.standing, self.run)
        for number in range(TRIES):
            if begun.outcome == "story":
                input = self._input(place, opened, begun, hold.admission)
                self._answer = await self._responder.tell(
                    begun, input, self.run, hold, before=place.story.world, again=again, anew=number > 0
                )
            else:
                self._answer = begun
            for _ in range(TRIES):
                try:
                    # What is said now is said to the end: the reader isn't waited for, and none undoes it.
                    return await self._commit(hold.admission)
                except Overtaken:
                    before = opened.plain
                    place, opened = await self._read(), await self._open()
                    if self._answer.outcome == "story" and opened.plain != before:
                        break
            else:
                break
            if self._answer.released:
                # A reader has seen it, so it can't be told anew from somewhere else.
                break
            self._answer, again = begun, False
        raise self._overtaken()

    def _input(self, place: _Place, opened: Opened, begun: Answer, admission: Admission) -> TurnInput:
        """Return what the workflow gets; the same for whoever takes the turn over, so that it is the same run."""
        known = background(place.session, place.story, worried=bool(begun.question))
        due = admission.at + self._first_sentence if admission.at else 0.0
        return TurnInput(
            self._text, place.seed, place.number, opened.plain, due=due,
            **msgspec.structs.asdict(known),
        )  # fmt: skip

    async def _open(self) -> Opened:
        """Find out which world the story goes on from: the session's, or a later one of the store."""
        session = self._place.session
        self._opened = await self._worlds.open(session.id, session.user, session.context)
        return self._opened

    async def _commit(self, admission: Admission | None) -> Played:
        after = self._session_after(self._answer)
        unread = not self._answer.released
        committed = await self._guard.commit(after, self.run, unread=unread, admission=admission)
        return self._played(self._answer, committed)

    async def _keep_world(self, committed: Session, opened: Opened) -> None:
        id, user = committed.id, committed.user
        if await self._worlds.keep(id, user, opened, committed.context, self.run):
            try:
                there = (await self._guard.read(id, user)).session
            except NotKept:
                return
            if there is None:
                # Its person was forgotten just now, and so must be a world that was stored after that.
                await self._worlds.delete(id)

    def _overtaken(self) -> NotKept:
        session = self._place.session
        why = "others commit the session all the while"
        return self._guard.failed(session.id, session.user, "sessions.commit", "conflict", why)

    async def _read(self) -> _Place:
        """Find out where the story stands."""
        correlation_id.set(self.run)
        before = self._place.session
        session, story, notices = await self._guard.read(before.id, before.user)
        if session is None:
            if before.version:
                notices += (texts.ANEW,)  # It was there a moment ago.
            session = Session(before.id, before.user)
        elif session.user != before.user:
            raise InputError(texts.NOT_YOURS)
        self._notices |= dict.fromkeys(notices)
        first = self._seed if self._seed is not None else int(self.run[:8], 16) & 0x7FFFFFFF
        seed = first if story.seed is None else story.seed
        self._place = _Place(session, story, story.turn + 1, seed)
        return self._place

    def _session_after(self, answer: Answer) -> Session:
        """Return the session with this turn in its history, as it is to be committed."""
        place = self._place
        context: dict[str, Any] = dict(place.session.context)
        page = {
            "turn": place.number, "said": self._text, "told": answer.whole, "outcome": answer.came_to,
            "verdicts": {step: in_brief(verdict) for step, verdict in answer.verdicts.items()},
            "run": self.run,
        }  # fmt: skip
        history = [*context.get("history", ()), page]
        context |= {"turn": place.number, "seed": place.seed, "history": history[-self._history :]}
        context |= self._world_after(answer)
        if answer.outcome == "story" and answer.world and answer.run is not None:
            context |= noted(place.session, answer.run)
        context |= _safety(context, flags_of(place.session), answer, place.number)
        return msgspec.structs.replace(place.session, context=context)

    def _world_after(self, answer: Answer) -> Mapping[str, Any]:
        """Return the world to be kept, and its version."""
        opened = self._opened
        if opened is None or not answer.world:
            return {}
        output: Mapping[str, Any] = answer.run.output if answer.run else {}
        if answer.outcome != "story" or "world" not in output:
            # What the player didn't get to read hasn't happened.
            return opened.kept()
        return opened.after(output["world"])

    def _played(self, answer: Answer, committed: Session | None) -> Played:
        place = self._place
        session = committed or place.session
        return Played(answer, self.run, place.number, session, committed is not None, tuple(self._notices))


def _safety(context: Mapping[str, Any], flags: Flags, answer: Answer, turn: int) -> dict[str, Any]:
    """Return what a session keeps for its checks after an answer, and its flags.

    The story pauses with a conversation, and goes on where its person asks for it. Otherwise the flag is whoever's set
    it, who may have done so meanwhile.
    """
    kept = kept_in(context)
    paused = answer.support is not None or (flags.paused and not answer.resumed)
    support = (answer.support or kept.support) if paused else None
    checked_in, doubt = (turn, answer.doubt) if answer.question else (kept.checked_in, kept.doubt)
    packed = {KEY: Kept(answer.states or kept.states, support, checked_in, doubt).pack()}
    changed = msgspec.structs.replace(flags, paused=paused, went_on=turn if answer.resumed else flags.went_on)
    return packed if changed == flags else packed | {FLAGS: msgspec.to_builtins(changed)}
