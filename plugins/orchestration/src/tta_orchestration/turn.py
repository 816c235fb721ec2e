"""One turn: check, run, release sentence by sentence, commit."""

from __future__ import annotations

import re
import time
import uuid
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import anyio
import anyio.lowlevel
import msgspec
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream

from tta_kernel import Context, correlation_id
from tta_safety import Channel, CheckFailed, Verdict, check_text, judge, merge
from tta_sessions import Session, SessionCommitted, Sessions
from tta_workflows import Run, Workflows

from . import texts
from .model import InputError, NotRunning, OrchestrationResponse, Outcome, TurnInput, TurnPlayed

_SENTENCE_END = re.compile(r"""[.!?…]["'”’)]*\s+(?=\S)|\n+(?=\S)""")
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


class Limits(msgspec.Struct, frozen=True):
    """What bounds a turn; see the plugin's config."""

    workflow: str
    allow_unchecked: bool
    max_text: int
    history: int


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


class _Halted(Exception):
    """The story may not go on: what is said instead, and why."""

    def __init__(self, outcome: Outcome, text: str) -> None:
        self.outcome, self.text = outcome, text


class Turns:
    """Plays turns: one at a time in a session."""

    def __init__(self, ctx: Context, workflows: Workflows, sessions: Sessions, limits: Limits) -> None:
        self._ctx, self._workflows, self._sessions, self._limits = ctx, workflows, sessions, limits
        self._locks: dict[str, tuple[anyio.Lock, int]] = {}
        self._closed = self._said = False

    def close(self) -> None:
        """Play nothing from now on; turns that are being played come to their end."""
        self._closed = True

    async def process_user_input(
        self, text: str, session: str, *, user: str = "", seed: int | None = None
    ) -> OrchestrationResponse:
        async with self.stream_user_input(text, session, user=user, seed=seed) as stream:
            async for _ in stream:
                pass
        return stream.response

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

    def say_that_nobody_checks(self) -> None:
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
        self, text: str, id: str, user: str, seed: int | None, send: MemoryObjectSendStream[str]
    ) -> OrchestrationResponse:
        clean, notices = self._clean(text)
        async with self._alone(id):
            key = uuid.uuid4().hex
            correlation_id.set(key)
            session = await self._sessions.get(id) or Session(id, user)
            if session.user != user:
                raise InputError("this story belongs to somebody else; choose another session name")
            return await _Turn(self, session, seed, key, notices, send).play(text, clean)

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
    def __init__(
        self, turns: Turns, session: Session, seed: int | None, key: str, notices: tuple[str, ...],
        send: MemoryObjectSendStream[str],
    ) -> None:  # fmt: skip
        self._turns, self._session, self._key, self._notices, self._send = turns, session, key, notices, send
        context = session.context
        self._number = int(context.get("turn", 0)) + 1
        first = seed if seed is not None else int(self._key[:8], 16) & 0x7FFFFFFF
        self._seed = int(context.get("seed", first))
        self._verdicts: dict[str, Verdict] = {}
        self._released, self._waiting = "", ""
        self._running = anyio.CancelScope()
        self._halted: _Halted | None = None

    async def play(self, whole: str, clean: str) -> OrchestrationResponse:
        began = time.perf_counter()
        run: Run | None = None
        outcome: Outcome = "story"
        try:
            # All that the player wrote is checked, also what the story doesn't read.
            self._judge(await self._check(whole, "player"), "player")
            with self._running:
                run = await self._turns._workflows.run(
                    self._turns._limits.workflow, self._input(clean), key=self._key, session=self._session.id,
                    on_piece=self._piece,
                )  # fmt: skip
            if self._halted is not None:
                raise self._halted
            assert run is not None
            if run.status != "done":
                self._explain(run)
                raise _Halted("failed", texts.FAILED)
            told = str(run.output.get("text", ""))
            if not told.startswith(self._released + self._waiting) or not told.strip():
                streamed = "doesn't begin with what was streamed: take `stream: true` away"
                why = f"its text {streamed if told.strip() else 'is empty'}"
                self._turns._ctx.log.warning("workflow %s: %s; the player was asked to try again", run.workflow, why)
                raise _Halted("failed", texts.FAILED)
            self._waiting = told[len(self._released) :]
            await self._release(everything=True)
        except _Halted as halt:
            outcome = halt.outcome
            gap = "" if not self._released else "\n\n"
            await self._tell(gap + halt.text)
        committed = await self._commit(clean, outcome, run)
        seconds = time.perf_counter() - began
        steps = run.steps if run else ()
        performance = {"total": seconds, **{step.id: step.seconds for step in steps}}
        workflow = {"name": self._turns._limits.workflow, "run": self._key, "status": run.status if run else "not run",
                    "error": run.error if run else "", "seconds": run.seconds if run else 0.0}  # fmt: skip
        self._turns._ctx.publish(
            TurnPlayed(session=self._session.id, turn=self._number, outcome=outcome, seconds=seconds)
        )
        return OrchestrationResponse(
            self._released, outcome, self._session.id, self._number, committed.context, workflow, steps,
            performance, self._verdicts, self._notices,
        )  # fmt: skip

    def _input(self, text: str) -> dict[str, Any]:
        world = self._session.context.get("world")
        return msgspec.structs.asdict(TurnInput(text, self._seed, self._number, world))

    def _explain(self, run: Run) -> None:
        """Say why there is no story; the step's own log line may be in another process."""
        step = run.steps[-1] if run.steps else None
        where = f"step {step.id} ({step.agent})" if step and step.error else "the run"
        why = f"{step.error}: {step.detail}" if step and step.detail else run.error
        self._turns._ctx.log.warning("workflow %s: %s: %s; the player was asked to try again", run.workflow, where, why)

    async def _check(self, text: str, channel: Channel) -> tuple[Verdict, bool]:
        """Ask every check; return the verdict, and whether any one of them objects.

        One that objects is heard even where another one couldn't look.
        """
        ctx, session = self._turns._ctx, self._session.id
        answers = await ctx.ask(check_text, text, channel, session)
        failed = tuple(sorted(name for name, answer in answers.items() if judge({name: answer}).status == "failed"))
        if failed:
            ctx.log.critical("a safety check failed: %s; the player got the fallback", ", ".join(failed))
            ctx.publish(CheckFailed(session=session, channel=channel, plugins=failed))
        if not answers and not self._turns._limits.allow_unchecked:
            self._turns.say_that_nobody_checks()
        verdict = judge(answers)
        return verdict, verdict.objects or any(judge({name: answer}).objects for name, answer in answers.items())

    def _judge(self, checked: tuple[Verdict, bool], channel: Channel) -> None:
        """Note a verdict, and halt the story where it objects, or says too little."""
        verdict, objects = checked
        known = self._verdicts.get(channel)
        self._verdicts[channel] = merge([known, verdict]) if known else verdict
        unchecked = verdict.status == "unchecked" and not self._turns._limits.allow_unchecked
        if verdict.status == "failed" or unchecked:
            raise _Halted("fallback", texts.FALLBACK)
        if objects:
            raise _Halted("supportive", texts.SUPPORTIVE if channel == "player" or verdict.kinds else texts.REPLACED)

    async def _piece(self, piece: str) -> None:
        self._waiting += piece
        try:
            await self._release(everything=False)
        except _Halted as halt:
            # An agent must not see this, nor go on: end the run from outside.
            self._halted = halt
            self._running.cancel()
            await anyio.lowlevel.checkpoint()

    async def _release(self, *, everything: bool) -> None:
        """Check what would have been said by then, and let whole sentences go."""
        while self._waiting:
            match = _SENTENCE_END.search(self._waiting)
            if match is None and not everything:
                return
            sentence = self._waiting[: match.end()] if match else self._waiting
            self._judge(await self._check(self._released + sentence, "story"), "story")
            self._waiting = self._waiting[len(sentence) :]
            await self._tell(sentence)

    async def _tell(self, text: str) -> None:
        self._released += text
        await self._send.send(text)

    async def _commit(self, clean: str, outcome: Outcome, run: Run | None) -> Session:
        context = dict(self._session.context)
        entry = {"turn": self._number, "said": clean, "told": self._released, "outcome": outcome,
                 "verdicts": {channel: msgspec.to_builtins(v) for channel, v in self._verdicts.items()}}  # fmt: skip
        history = [*context.get("history", ()), entry]
        context |= {"turn": self._number, "seed": self._seed, "history": history[-self._turns._limits.history :]}
        if outcome == "story" and run is not None and "world" in run.output:
            # What the player didn't get to read hasn't happened.
            context["world"] = run.output["world"]
        session = await self._turns._sessions.commit(msgspec.structs.replace(self._session, context=context))
        self._turns._ctx.publish(SessionCommitted(session=session.id, version=session.version))
        return session
