"""One turn as it is told: the player's text is checked, the workflow runs, its text is checked and released."""

from __future__ import annotations

import re
from collections.abc import Callable

import anyio
import anyio.lowlevel
import msgspec
from anyio.streams.memory import MemoryObjectSendStream

from tta_kernel import Context
from tta_safety import Channel, CheckFailed, Verdict, check_text, judge, merge
from tta_workflows import Run, Workflows

from . import texts
from .keeping import where
from .model import Failure, Outcome, StoreFailed, TurnInput

_SENTENCE_END = re.compile(r"""[.!?…]["'”’)]*\s+(?=\S)|\n+(?=\S)""")
_UNKEPT = {"too_large": texts.FULL, "conflict": texts.ELSEWHERE}


class Limits(msgspec.Struct, frozen=True):
    """What bounds a turn; see the plugin's config."""

    workflow: str
    allow_unchecked: bool
    max_text: int
    history: int
    session_timeout: float


class _Halted(Exception):
    """The story may not go on: what is said instead, and why."""

    def __init__(self, outcome: Outcome, text: str, failure: Failure | None = None) -> None:
        self.outcome, self.text, self.failure = outcome, text, failure


class Telling:
    """Tells one turn of a session; with ``send`` sentence by sentence to a reader, else whole in the end.

    ``unchecked`` is called where nobody checks, and somebody must.
    """

    def __init__(
        self, ctx: Context, workflows: Workflows, limits: Limits, session: str,
        send: MemoryObjectSendStream[str] | None, unchecked: Callable[[], None], owner: str = "",
    ) -> None:  # fmt: skip
        self._ctx, self._workflows, self._limits, self._session = ctx, workflows, limits, session
        self._send, self._unchecked, self._owner = send, unchecked, owner
        self.verdicts: dict[str, Verdict] = {}
        self._begin()

    def _begin(self) -> None:
        self.outcome: Outcome = "story"
        self.failure: Failure | None = None
        self.run: Run | None = None
        self.text, self._waiting = "", ""
        self._running = anyio.CancelScope()
        self._halted: _Halted | None = None

    @property
    def final(self) -> bool:
        """Whether somebody has read of it, so that it can only be ended."""
        return self._send is not None and bool(self.text)

    async def hear(self, whole: str) -> None:
        """Check all that the player wrote, also what the story doesn't read; an objection is the answer."""
        try:
            self._judge(await self._check(whole, "player"), "player")
        except _Halted as halt:
            await self._halt(halt)

    async def tell(self, input: TurnInput, run: str) -> None:
        """Run the workflow and release its text; whatever breaks, something is told."""
        try:
            await self._tell(input, run)
        except _Halted as halt:
            await self._halt(halt)

    def again(self) -> None:
        """Forget what nobody has read yet, but not what was thought of the player's text."""
        self.verdicts.pop("story", None)
        self._begin()

    async def retract(self, failure: Failure) -> None:
        """Tell that the turn can't be kept: in place of the story, or at its end.

        What a check made of it stands as it is.
        """
        self.failure = self.failure or failure
        if self.outcome == "story" or (self.outcome == "failed" and not self.final):
            self.text = self.text if self.final else ""
            text = texts.UNKEPT if self.final else _UNKEPT.get(failure.code, texts.AWAY)
            await self._halt(_Halted("fallback", text, failure))

    async def _halt(self, halt: _Halted) -> None:
        self.outcome, self.failure = halt.outcome, halt.failure
        await self._say(("\n\n" if self.text else "") + halt.text)

    async def _tell(self, input: TurnInput, key: str) -> None:
        run: Run | None = None
        try:
            with self._running:
                run = self.run = await self._workflows.run(
                    self._limits.workflow, msgspec.structs.asdict(input), key=key, session=self._session,
                    owner=self._owner, on_piece=self._piece,
                )  # fmt: skip
        except Exception as exc:  # noqa: BLE001 - a stranger's workflows; its message may hold a person's text
            self._ctx.log.error("workflow %s: %s; the player was asked to try again", self._limits.workflow, where(exc))  # noqa: TRY400
            raise _Halted("failed", texts.FAILED, Failure("workflow", "failed")) from None
        if self._halted is not None:
            raise self._halted
        assert run is not None
        if run.status != "done":
            raise self._unfinished(run)
        told = str(run.output.get("text", ""))
        if not told.startswith(self.text + self._waiting) or not told.strip():
            streamed = "doesn't begin with what was streamed: take `stream: true` away"
            why = f"its text {streamed if told.strip() else 'is empty'}"
            self._ctx.log.warning("workflow %s: %s; the player was asked to try again", run.workflow, why)
            raise _Halted("failed", texts.FAILED, Failure("workflow", "bad_output"))
        self._waiting = told[len(self.text) :]
        await self._release(everything=True)

    def _unfinished(self, run: Run) -> _Halted:
        """Say why there is no story; the step's own log line may be in another process."""
        step = run.steps[-1] if run.steps else None
        at = f"step {step.id} ({step.agent})" if step and step.error else "the run"
        why = f"{step.error}: {step.detail}" if step and step.detail else run.error
        failure = Failure("workflow", run.error)
        if run.error != "unavailable":
            self._ctx.log.warning("workflow %s: %s: %s; the player was asked to try again", run.workflow, at, why)
            return _Halted("failed", texts.FAILED, failure)
        self._ctx.log.critical("workflow %s: %s: %s; the player got the fallback", run.workflow, at, why)
        self._ctx.publish(StoreFailed(session=self._session, part="workflow", code=run.error))
        return _Halted("fallback", texts.FALLBACK, failure)

    async def _check(self, text: str, channel: Channel) -> tuple[Verdict, bool]:
        """Ask every check; return the verdict, and whether any one of them objects.

        One that objects is heard even where another one couldn't look.
        """
        ctx, session = self._ctx, self._session
        answers = await ctx.ask(check_text, text, channel, session)
        failed = tuple(sorted(name for name, answer in answers.items() if judge({name: answer}).status == "failed"))
        if failed:
            ctx.log.critical("a safety check failed: %s; the player got the fallback", ", ".join(failed))
            ctx.publish(CheckFailed(session=session, channel=channel, plugins=failed))
        if not answers and not self._limits.allow_unchecked:
            self._unchecked()
        verdict = judge(answers)
        return verdict, verdict.objects or any(judge({name: answer}).objects for name, answer in answers.items())

    def _judge(self, checked: tuple[Verdict, bool], channel: Channel) -> None:
        """Note a verdict, and halt the story where it objects, or says too little."""
        verdict, objects = checked
        known = self.verdicts.get(channel)
        self.verdicts[channel] = merge([known, verdict]) if known else verdict
        unchecked = verdict.status == "unchecked" and not self._limits.allow_unchecked
        if verdict.status == "failed" or unchecked:
            raise _Halted("fallback", texts.FALLBACK, Failure("safety", verdict.status))
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
            self._judge(await self._check(self.text + sentence, "story"), "story")
            self._waiting = self._waiting[len(sentence) :]
            await self._say(sentence)

    async def _say(self, text: str) -> None:
        self.text += text
        if self._send is not None:
            await self._send.send(text)
