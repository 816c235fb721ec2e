"""The service that plays turns: one at a time in a session, whole or as they are told."""

from __future__ import annotations

import re
import time
import uuid
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import anyio
from anyio.abc import TaskGroup

from tta_kernel import Context
from tta_sessions import Session, SessionCommitted, Sessions, is_text
from tta_sessions.hookspecs import forget
from tta_workflows import Run, Workflows

from . import texts
from .checks import Checks
from .guard import SessionGuard
from .model import SEEDS, InputError, NotRunning, OrchestrationResponse, TurnPlayed
from .responder import Responder
from .settings import Config
from .stream import Stream
from .turn import Played, Turn

_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


class Turns:
    """Plays turns: one at a time in a session."""

    def __init__(
        self, ctx: Context, workflows: Workflows, checks: Checks, sessions: Sessions, config: Config, tasks: TaskGroup
    ) -> None:
        self._ctx, self._workflows, self._checks, self._config = ctx, workflows, checks, config
        self._guard = SessionGuard(sessions, ctx.log, ctx.publish, limit=config.session_timeout)
        self._locks: dict[str, tuple[anyio.Lock, int]] = {}
        """By session, with the number of turns that hold it or wait for it."""
        self._tasks = tasks
        self._streams: set[Stream] = set()
        """Turns that are being told to a reader."""
        self._closed = False

    def close(self) -> None:
        """Play nothing from now on; turns that are being played come to their end."""
        self._closed = True
        for stream in self._streams:
            stream.hurry()

    async def process_user_input(
        self, text: str, session: str, *, user: str = "", seed: int | None = None
    ) -> OrchestrationResponse:
        self._must_run()
        return await self._respond(text, session, user, seed, None)

    @asynccontextmanager
    async def stream_user_input(
        self, text: str, session: str, *, user: str = "", seed: int | None = None
    ) -> AsyncIterator[Stream]:
        self._must_run()
        stream = Stream(self._config.read_timeout, self._ctx.log)
        self._streams.add(stream)
        # Not in the task of whoever reads: a generator may be advanced, and closed, in other tasks than this.
        self._tasks.start_soon(self._tell, stream, text, session, user, seed)
        try:
            yield stream
            stream.raise_failure()
        finally:
            # A reader that leaves early has seen enough; the turn is not committed.
            await stream.close()

    async def _tell(self, stream: Stream, text: str, session: str, user: str, seed: int | None) -> None:
        """Play a turn for its reader."""
        try:
            await stream.run(partial(self._respond, text, session, user, seed, stream))
        finally:
            self._streams.discard(stream)

    async def coordinate_agents(self, workflow: str, input: Mapping[str, Any], *, session: str = "") -> Run:
        self._must_run()
        return await self._workflows.run(workflow, input, key=uuid.uuid4().hex, session=session)

    async def forget(self, user: str) -> Mapping[str, int | Exception]:
        return await self._ctx.ask(forget, user)

    def _must_run(self) -> None:
        if self._closed:
            raise NotRunning("the orchestration has stopped with its kernel; start a new one to play on")

    async def _respond(
        self, text: str, session: str, user: str, seed: int | None, stream: Stream | None
    ) -> OrchestrationResponse:
        clean, notices = self._clean(text)
        if not (is_text(session) and is_text(user)):
            raise InputError(texts.NO_NAME)
        if seed is not None and seed not in SEEDS:
            raise InputError(texts.NO_SEED)
        async with self._alone(session):
            responder = Responder(
                self._ctx, self._workflows, self._checks, workflow=self._config.workflow,
                timeout=self._config.workflow_timeout, session=session, owner=user,
                send=stream.send if stream else None,
            )  # fmt: skip
            turn = Turn(
                self._guard, responder, Session(session, user), seed=seed, history=self._config.history,
                taken=stream.taken if stream else None,
            )  # fmt: skip
            began = time.perf_counter()
            played = await turn.play(text, clean)
            seconds = time.perf_counter() - began
            self._announce(played, seconds)
            if played.notices:
                self._guard.told(session)
            return self._response(played, notices, seconds)

    def _announce(self, played: Played, seconds: float) -> None:
        session = played.session
        self._ctx.publish(
            TurnPlayed(
                session=session.id, turn=played.number, outcome=played.answer.outcome, seconds=seconds,
                owner=session.user,
            )
        )  # fmt: skip
        if played.kept:
            self._ctx.publish(SessionCommitted(session=session.id, version=session.version, owner=session.user))

    def _response(self, played: Played, notices: tuple[str, ...], seconds: float) -> OrchestrationResponse:
        answer, run = played.answer, played.answer.run
        steps = tuple(step for step in run.steps if step.status != "pending") if run else ()
        workflow = {
            "name": self._config.workflow, "run": played.run, "status": run.status if run else "not run",
            "error": run.error if run else "", "seconds": run.seconds if run else 0.0,
        }  # fmt: skip
        return OrchestrationResponse(
            text=answer.text,
            outcome=answer.outcome,
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
        clean = _CONTROL.sub("", text).strip()
        if not clean:
            raise InputError(texts.NOTHING)
        most = self._config.max_text
        if len(clean) <= most:
            return clean, ()
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
