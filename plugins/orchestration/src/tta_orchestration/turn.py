"""Turns: one at a time in a session, each read, told and committed once."""

from __future__ import annotations

import re
import time
import uuid
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import anyio
import msgspec
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream

from tta_kernel import Context, correlation_id
from tta_sessions import Session, SessionCommitted, Sessions
from tta_workflows import Run, Workflows

from . import texts
from .keeping import Keeper, NotKept, Overtaken, Story
from .model import InputError, NotRunning, OrchestrationResponse, TurnInput, TurnPlayed
from .telling import Limits, Telling

_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
TRIES = 3
"""How often a turn is played while others commit the same session."""


class Stream:
    """The released pieces of a turn, and then its response."""

    def __init__(self, pieces: MemoryObjectReceiveStream[str]) -> None:
        self._pieces = pieces
        self._response: OrchestrationResponse | None = None

    @property
    def response(self) -> OrchestrationResponse:
        if self._response is None:
            raise RuntimeError("the turn isn't over; read its pieces to the end first")
        return self._response

    def __aiter__(self) -> AsyncIterator[str]:
        return self._pieces.__aiter__()


class Turns:
    """Plays turns: one at a time in a session."""

    def __init__(self, ctx: Context, workflows: Workflows, sessions: Sessions, limits: Limits) -> None:
        self._ctx, self._workflows, self._limits = ctx, workflows, limits
        self._keeper = Keeper(sessions, ctx.log, ctx.publish, limit=limits.session_timeout)
        self._locks: dict[str, tuple[anyio.Lock, int]] = {}
        self._closed = self._said = False

    def close(self) -> None:
        """Play nothing from now on; turns that are being played come to their end."""
        self._closed = True

    async def process_user_input(
        self, text: str, session: str, *, user: str = "", seed: int | None = None
    ) -> OrchestrationResponse:
        self._must_run()
        return await self._play(text, session, user, seed, None)

    @asynccontextmanager
    async def stream_user_input(
        self, text: str, session: str, *, user: str = "", seed: int | None = None
    ) -> AsyncIterator[Stream]:
        self._must_run()
        send, receive = anyio.create_memory_object_stream[str](0)
        stream = Stream(receive)

        async def play() -> None:
            async with send:
                stream._response = await self._play(text, session, user, seed, send)

        try:
            async with receive, anyio.create_task_group() as tasks:
                tasks.start_soon(play)
                yield stream
                # A reader that leaves early has seen enough; the turn is not committed.
                tasks.cancel_scope.cancel()
        except BaseExceptionGroup as group:
            exc: BaseException = group
            while isinstance(exc, BaseExceptionGroup) and len(exc.exceptions) == 1:
                exc = exc.exceptions[0]
            raise exc from exc.__cause__

    async def coordinate_agents(self, workflow: str, input: Mapping[str, Any], *, session: str = "") -> Run:
        self._must_run()
        return await self._workflows.run(workflow, input, key=uuid.uuid4().hex, session=session)

    def _say_that_nobody_checks(self) -> None:
        """Warn an operator, once: such a deployment looks well, and tells no story."""
        if not self._said:
            self._said = True
            self._ctx.log.warning(
                "no enabled plugin implements the hook 'check_text', so each turn gets the supportive fallback; "
                "enable one, or set plugins.orchestration.config.allow_unchecked"
            )

    def _must_run(self) -> None:
        if self._closed:
            raise NotRunning("the orchestration has stopped with its kernel; start a new one to play on")

    async def _play(
        self, text: str, id: str, user: str, seed: int | None, send: MemoryObjectSendStream[str] | None
    ) -> OrchestrationResponse:
        clean, notices = self._clean(text)
        async with self._alone(id):
            telling = Telling(
                self._ctx, self._workflows, self._limits, id, send, self._say_that_nobody_checks, owner=user
            )  # fmt: skip
            turn = _Turn(self._keeper, telling, Session(id, user), seed, clean, self._limits.history)
            began = time.perf_counter()
            committed = await turn.play(text)
            seconds = time.perf_counter() - began
            outcome, run = telling.outcome, telling.run
            self._ctx.publish(TurnPlayed(session=id, turn=turn.number, outcome=outcome, seconds=seconds))
            if committed is not None:
                self._ctx.publish(SessionCommitted(session=id, version=committed.version))
            if turn.notices:
                self._keeper.told(id)
            steps = run.steps if run else ()
            performance = {"total": seconds, **{step.id: step.seconds for step in steps}}
            workflow = {"name": self._limits.workflow, "run": turn.key, "status": run.status if run else "not run",
                        "error": run.error if run else "", "seconds": run.seconds if run else 0.0}  # fmt: skip
            return OrchestrationResponse(
                telling.text, outcome, id, turn.number, (committed or turn.session).context, workflow, steps,
                performance, telling.verdicts, (*notices, *turn.notices), telling.failure,
                committed is not None,
            )  # fmt: skip

    def _clean(self, text: str) -> tuple[str, tuple[str, ...]]:
        clean = _CONTROL.sub("", text).strip()
        if not clean:
            raise InputError("there is nothing to read; write what you would like to do, such as: look around")
        if len(clean) <= self._limits.max_text:
            return clean, ()
        most = self._limits.max_text
        return clean[:most], (f"that was long: the story reads the first {most:,} characters of {len(clean):,}",)

    @asynccontextmanager
    async def _alone(self, id: str) -> AsyncIterator[None]:
        lock, users = self._locks.get(id, (anyio.Lock(), 0))
        self._locks[id] = (lock, users + 1)
        try:
            async with lock:
                yield
        finally:
            lock, users = self._locks[id]
            if users == 1:
                del self._locks[id]
            else:
                self._locks[id] = (lock, users - 1)


class _Turn:
    """One turn of a session, which is a new one until it was read; its number is 0 until then."""

    def __init__(
        self, keeper: Keeper, telling: Telling, session: Session, seed: int | None, clean: str, history: int
    ) -> None:
        self._keeper, self._telling, self._clean, self._history = keeper, telling, clean, history
        self.session, self._story = session, Story()
        self._wanted, self._seed, self.number, self.key = seed, 0, 0, ""
        self.notices: dict[str, None] = {}

    async def play(self, whole: str) -> Session | None:
        """Tell the turn and commit it; None where it isn't kept."""
        telling, heard = self._telling, False
        try:
            for _ in range(TRIES):
                await self._read()
                if not heard:
                    heard = True
                    await telling.hear(whole)
                if telling.outcome == "story":
                    await telling.tell(TurnInput(self._clean, self._seed, self.number, self._story.world), self.key)
                try:
                    return await self._keeper.commit(self._written(), self.key, unread=not telling.final)
                except Overtaken:
                    # Only a story depends on what it goes on from; what else was said holds.
                    if telling.outcome == "story":
                        if telling.final:
                            break
                        telling.again()
            why = "others commit the session all the while"
            raise self._keeper.failed(self.session.id, "sessions.commit", "conflict", why)
        except NotKept as exc:
            if not heard:
                # A crisis doesn't wait for a store.
                await telling.hear(whole)
            await telling.retract(exc.failure)
            return None

    async def _read(self) -> None:
        self.key = uuid.uuid4().hex
        correlation_id.set(self.key)
        session, self._story, notices = await self._keeper.read(self.session.id)
        if session is None:
            if self.session.version:
                notices += (texts.ANEW,)  # It was there a moment ago.
            session = Session(self.session.id, self.session.user)
        elif session.user != self.session.user:
            raise InputError("this story belongs to somebody else; choose another session name")
        self.notices |= dict.fromkeys(notices)
        self.session, self.number = session, self._story.turn + 1
        first = self._wanted if self._wanted is not None else int(self.key[:8], 16) & 0x7FFFFFFF
        self._seed = first if self._story.seed is None else self._story.seed

    def _written(self) -> Session:
        telling, context = self._telling, dict(self.session.context)
        page = {"turn": self.number, "said": self._clean, "told": telling.text, "outcome": telling.outcome,
                "verdicts": {channel: msgspec.to_builtins(v) for channel, v in telling.verdicts.items()},
                "run": self.key}  # fmt: skip
        history = [*context.get("history", ()), page]
        context |= {"turn": self.number, "seed": self._seed, "history": history[-self._history :]}
        if telling.outcome == "story" and telling.run is not None and "world" in telling.run.output:
            # What the player didn't get to read hasn't happened.
            context["world"] = telling.run.output["world"]
        return msgspec.structs.replace(self.session, context=context)
