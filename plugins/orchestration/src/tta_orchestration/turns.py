"""The service that plays turns: one at a time in a session, whole or as they are told."""

from __future__ import annotations

import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from functools import partial
from typing import Any, Literal

import anyio
import msgspec
from anyio.abc import TaskGroup

from tta_crisis import CRISIS
from tta_kernel import Context, Service
from tta_metrics import METRICS
from tta_notify import NOTIFY
from tta_safety import HELP, REVIEWS, SHIPPED
from tta_sessions import (
    SUMMARISER,
    Admission,
    Profile,
    Session,
    SessionCommitted,
    SessionConflict,
    Sessions,
    SessionsError,
    is_text,
)
from tta_sessions.hookspecs import forget
from tta_sessions.profile import set_profile
from tta_workflows import Run, Workflows
from tta_world import WORLD
from tta_world.opening import WorldKeeper

from . import texts
from .checks import Checks
from .counting import Counts
from .guard import NotKept, SessionGuard
from .locks import Locks
from .model import (
    PLAIN,
    SEEDS,
    InputError,
    Narrate,
    NotRunning,
    OrchestrationResponse,
    Status,
    StoreFailed,
    TurnPlayed,
)
from .oversight import Oversight
from .plain import plain
from .progress import Progress
from .queue import Hold, NotNow, TurnLost, TurnQueue, taken
from .reconcile import pause_where_a_crisis_is_open
from .release import Send
from .rendering import Rendering, checked, rendered
from .responder import Responder
from .settings import Config
from .stream import Stream
from .summaries import Summaries
from .turn import Played, Turn


class Turns:
    """Plays turns: one at a time in a session."""

    def __init__(
        self, ctx: Context, workflows: Workflows, sessions: Sessions, config: Config, tasks: TaskGroup
    ) -> None:  # fmt: skip
        self._ctx, self._workflows, self._sessions, self._config = ctx, workflows, sessions, config
        self._oversight = Oversight(ctx)
        help = ctx.find(HELP) or SHIPPED
        self._checks = Checks(ctx, self._oversight, help, allow_unchecked=config.allow_unchecked)
        self._guard = SessionGuard(sessions, ctx.log, ctx.publish, limit=config.session_timeout)
        self._worlds = WorldKeeper(
            ctx.find(WORLD), ctx.log, ctx.publish, self._world_failed, limit=config.world_timeout
        )  # fmt: skip
        self._queue = TurnQueue(
            sessions, self._guard, ctx.log, limit=config.session_timeout, ttl=config.hold, patience=config.queue_timeout
        )  # fmt: skip
        self._locks = Locks()
        self._tasks = tasks
        self._summaries = Summaries(ctx, sessions, self._checks, tasks, timeout=config.summary_timeout)
        self._streams: set[Stream] = set()
        """Turns that are being told to a reader."""
        self._closed = False
        self._counts = Counts()

    def close(self) -> None:
        """Play nothing from now on; turns that are being played come to their end."""
        self._closed = True
        for stream in self._streams:
            stream.hurry()

    async def process_user_input(
        self, text: str, session: str, *, user: str = "", seed: int | None = None, narrate: Narrate = PLAIN
    ) -> OrchestrationResponse:
        self._must_run()
        async with self._told(text, session, user, seed, narrate, reads=False) as stream:
            await stream.ended()
        return stream.response

    async def resume(self, session: str, user: str) -> OrchestrationResponse | None:
        self._must_run()
        if not (is_text(session) and is_text(user)):
            raise InputError(texts.NO_NAME)
        await pause_where_a_crisis_is_open(
            self._sessions, self._oversight, self._ctx.log, session, user, limit=self._config.session_timeout
        )  # fmt: skip
        asked = Admission(session, user, "", "", uuid.uuid4().hex)
        response = None
        pauses = self._queue.pauses()
        with anyio.move_on_after(self._queue.patience):
            while True:
                try:
                    first = (await self._queue.ask(asked)).first
                    if first is None or first.user != user:
                        return response
                    finished = await self._finish(first, asked.holder)
                except (NotKept, TurnLost):
                    return response
                if finished is None:
                    await self._queue.news(session, pauses.next())
                elif finished.kept:
                    response = finished
        return response

    @asynccontextmanager
    async def stream_user_input(
        self, text: str, session: str, *, user: str = "", seed: int | None = None, narrate: Narrate = PLAIN
    ) -> AsyncIterator[Stream]:
        self._must_run()
        async with self._told(text, session, user, seed, narrate, reads=True) as stream:
            yield stream
            stream.raise_failure()

    @asynccontextmanager
    async def _told(
        self, text: str, session: str, user: str, seed: int | None, narrate: Narrate, *, reads: bool
    ) -> AsyncIterator[Stream]:  # fmt: skip
        """Play a turn, to its end also where its reader leaves; one that wants it whole ``reads`` nothing."""
        stream = Stream(self._config.read_timeout, self._ctx.log)
        self._streams.add(stream)
        # Not in the task of whoever reads: a generator may be advanced, and closed, in other tasks than this.
        play = partial(self._respond, text, session, user, seed, narrate)
        self._tasks.start_soon(self._tell, stream, partial(play, stream.send if reads else None))
        try:
            yield stream
        finally:
            stream.close()

    async def _tell(self, stream: Stream, play: Callable[[], Awaitable[OrchestrationResponse]]) -> None:
        """Play a turn for its reader."""
        try:
            await stream.run(play)
        finally:
            self._streams.discard(stream)

    async def coordinate_agents(self, workflow: str, input: Mapping[str, Any], *, session: str = "") -> Run:
        self._must_run()
        return await self._workflows.run(workflow, input, key=uuid.uuid4().hex, session=session)

    async def set_profile(self, session: str, profile: Profile, *, user: str = "") -> Profile:
        self._must_run()
        if not (session and is_text(session) and is_text(user)):
            raise InputError(texts.NO_NAME)
        try:
            with anyio.fail_after(self._config.session_timeout):
                return await set_profile(self._sessions, session, user, profile)
        except SessionConflict as exc:
            raise SessionsError(str(exc)) from None
        except TimeoutError:
            raise SessionsError("the sessions' store did not answer in time") from None
        except ValueError as exc:
            raise InputError(str(exc)) from None

    async def get_status(self) -> Status:
        ctx = self._ctx
        keys: tuple[Service[Any], ...] = (CRISIS, NOTIFY, REVIEWS, METRICS, SUMMARISER)
        parts = {"sessions": True, "workflows": True} | {key.name: ctx.find(key) is not None for key in keys}
        return self._counts.status(running=not self._closed, turns=len(self._streams), parts=parts)

    async def forget(self, user: str) -> Mapping[str, int | Exception]:
        return await self._ctx.ask(forget, user)

    def _world_failed(self, part: Literal["world.open", "world.keep"], code: str, session: str, owner: str) -> None:
        self._ctx.publish(StoreFailed(session=session, part=part, code=code, owner=owner))

    def _must_run(self) -> None:
        if self._closed:
            raise NotRunning("the orchestration has stopped with its kernel; start a new one to play on")

    async def _respond(
        self, text: str, session: str, user: str, seed: int | None, narrate: Narrate, send: Send | None
    ) -> OrchestrationResponse:
        narrate = checked(narrate)
        clean, notices = self._clean(text)
        if not (is_text(session) and is_text(user)):
            raise InputError(texts.NO_NAME)
        if seed is not None and seed not in SEEDS:
            raise InputError(texts.NO_SEED)
        began = time.perf_counter()
        progress = self._progress(session, user, Rendering(narrate).sending(send) if send is not None else None)
        turn = self._turn(session, user, clean, seed, progress, most=narrate.most)
        self._tasks.start_soon(progress.watch)
        try:
            # In the order in which they came, as far as this process goes: checks may take a while.
            async with self._locks.holding(session):
                admitted = await turn.begin(text)
            played = await self._play(turn, admitted, progress) if isinstance(admitted, Admission) else admitted
        finally:
            progress.end()
        response = await self._end(played, notices, time.perf_counter() - began, said=progress.said)
        return msgspec.structs.replace(response, text=rendered(response.text, narrate))

    def _progress(self, session: str, user: str, send: Send | None) -> Progress:
        return Progress(self._ctx.publish, session, user, send, patience=self._config.first_sentence)

    def _turn(
        self, session: str, user: str, text: str, seed: int | None, progress: Progress, run: str = "",
        *, most: int = 0,
    ) -> Turn:  # fmt: skip
        responder = Responder(
            self._ctx, self._workflows, self._checks, self._oversight, workflow=self._config.workflow,
            timeout=self._config.workflow_timeout, check_in_every=self._config.check_in_every, session=session,
            owner=user, progress=progress, most=most,
        )  # fmt: skip
        return Turn(
            self._guard, self._queue, self._worlds, responder, Session(session, user), text=text, seed=seed,
            history=self._config.history, first_sentence=self._config.first_sentence, run=run,
        )  # fmt: skip

    async def _play(self, turn: Turn, admission: Admission, progress: Progress) -> Played:
        """Tell an admitted turn once it is its turn; what others left before it comes first."""
        progress.at("waiting")
        async with self._queue.seeing_to(admission):
            try:
                await self._wait(admission)
            except TurnLost:
                # While we were stopped others told it, or its person was forgotten.
                return await turn.lost(admission)
            except NotKept as exc:
                await self._queue.drop(admission)
                return await turn.give_up(exc.failure)
            progress.at("telling")
            return await turn.tell(Hold(self._queue, admission))

    async def _wait(self, admission: Admission) -> None:
        """Wait until it is a turn's turn, and finish what others left before it."""
        session = admission.session
        pauses = self._queue.pauses()
        with anyio.move_on_after(self._queue.patience):
            while True:
                held = await self._queue.ask(admission)
                if held.status == "held":
                    return
                if held.status == "gone":
                    raise TurnLost
                first = held.first
                if first is None or first.run == admission.run:
                    left = None
                else:
                    left = await self._finish(first, admission.holder)
                if left is None:
                    await self._queue.news(session, pauses.next())
                elif left.kept:
                    self._guard.left(session, left.text)
                else:
                    self._guard.words_lost(session)
        raise self._queue.busy("the turns before it took too long")

    async def _finish(self, left: Admission, holder: str) -> OrchestrationResponse | None:
        """Finish a turn that its process has left; None where it hasn't, or where that can't be done now."""
        try:
            return await self._finish_now(left, holder)
        except NotNow:
            self._ctx.log.warning("a turn that its process has left waits: nobody knows what its run has come to")
            return None

    async def _finish_now(self, left: Admission, holder: str) -> OrchestrationResponse | None:
        asked = taken(left, holder)
        held = await self._queue.ask(asked)
        if held.status != "held" or held.first is None or held.first.run != left.run:
            return None
        entry = held.first
        async with self._queue.seeing_to(entry):
            if not entry.text:
                # Nobody knows what was said, nor what the run made of it.
                self._guard.words_lost(entry.session)
                await self._queue.drop(entry)
                return None
            self._ctx.log.info("a turn of a session is finished that its process has left: run %s", entry.run)
            began = time.perf_counter()
            unread = self._progress(entry.session, entry.user, None)
            turn = self._turn(entry.session, entry.user, entry.text, entry.seed, unread, entry.run)
            try:
                played = await turn.tell(Hold(self._queue, entry), again=True)
            except InputError:
                await self._queue.drop(entry)  # Its session is somebody else's by now.
                return None
        return await self._end(played, (), time.perf_counter() - began)

    async def _end(
        self, played: Played, notices: tuple[str, ...], seconds: float, *, said: str = ""
    ) -> OrchestrationResponse:  # fmt: skip
        session = played.session
        await self._oversight.turn_checked(played.answer.checked(played.run, session.id, session.user, played.number))
        self._announce(played, seconds)
        if played.notices:
            self._guard.told(played.session.id)
        return self._response(played, notices, seconds, said)

    def _announce(self, played: Played, seconds: float) -> None:
        session = played.session
        self._counts.add(seconds, failed=played.answer.failure is not None)
        self._ctx.publish(
            TurnPlayed(
                session=session.id, turn=played.number, outcome=played.answer.came_to, seconds=seconds,
                owner=session.user,
            )
        )  # fmt: skip
        if played.kept:
            self._ctx.publish(SessionCommitted(session=session.id, version=session.version, owner=session.user))
            if not self._closed:
                self._summaries.after(session)

    def _response(
        self, played: Played, notices: tuple[str, ...], seconds: float, said: str
    ) -> OrchestrationResponse:  # fmt: skip
        answer, run = played.answer, played.answer.run
        steps = tuple(step for step in run.steps if step.status != "pending") if run else ()
        workflow = {
            "name": self._config.workflow, "run": run.id if run else played.run,
            "status": run.status if run else "not run", "error": run.error if run else "",
            "seconds": run.seconds if run else 0.0,
            "degraded": run.degraded if run else (),
        }  # fmt: skip
        if run and run.degraded and answer.outcome == "story":
            notices = (*notices, texts.SIMPLER)
        return OrchestrationResponse(
            text=said + answer.whole,
            outcome=answer.came_to,
            session=played.session.id,
            turn=played.number,
            updated_context=played.session.context,
            workflow=workflow,
            steps=steps,
            performance={"total": seconds, **{step.id: step.seconds for step in steps}},
            verdicts=answer.verdicts,
            notices=(*notices, *played.notices),
            failure=answer.failure,
            kept=played.kept,
        )

    def _clean(self, text: str) -> tuple[str, tuple[str, ...]]:
        """Return what the story reads of a text, and what its player should know of that."""
        clean = plain(text).strip()
        if not clean:
            raise InputError(texts.NOTHING)
        most = self._config.max_text
        if len(clean) <= most:
            return clean, ()
        return clean[:most], (f"that was long: the story reads the first {most:,} characters of {len(clean):,}",)
