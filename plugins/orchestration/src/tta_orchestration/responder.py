"""The answer of a turn: what a check of the player's text says, the story, or what is said in its place."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import anyio
import msgspec

from tta_crisis import Exchange
from tta_kernel import Context, as_failure
from tta_kernel.shapes import fits
from tta_safety import About, Action, CheckedTurn, Verdict, merge
from tta_safety.alternatives import fallback
from tta_safety.support import Support, affirmed, check_in, converse, doubt, reach_out, reaches_out
from tta_sessions import Flags
from tta_workflows import Retracted, Run, RunHandle, Streamed, Workflows, WorkflowsUnavailable

from . import texts
from .checks import Checks, Instead
from .guard import NotKept, where
from .model import Failure, Outcome, StoreFailed, TurnInput
from .oversight import Oversight
from .progress import Progress
from .queue import Hold, NotNow, TurnLost
from .release import Release
from .standing import Standing
from .worlds import NoWorld, parts, texts_in

_IN_PLACE = {
    "too_large": texts.FULL, "too_many": texts.NO_ROOM,
    "conflict": texts.ELSEWHERE, "busy": texts.ELSEWHERE, "taken_over": texts.TAKEN,
    "gone": texts.GONE,
}  # fmt: skip
"""What is told in place of a story that can't be kept, by the failure's code; `texts.AWAY` for all others."""
_UNFINISHED: Mapping[str, str] = {
    "breaker_open": texts.RESTING, "held": texts.RESTING, "overloaded": texts.CROWDED, "rate_limited": texts.CROWDED,
}  # fmt: skip
"""What is told where the run came to no story, by its error; `texts.FAILED` for all others."""


_AT_ITS_END = {"taken_over": texts.TAKEN, "gone": texts.GONE}
"""What is told where a part of that story was told before; `texts.UNKEPT` for all others."""
_REACHES_OUT = "reach-out"
"""The way that a turn took whose agents have heard somebody ask for a person, in words that didn't tell."""
_TELLINGS = 10
"""How often a turn is told anew at the most, by whichever process, since others have changed what it begins from."""


class Answer(msgspec.Struct, frozen=True):
    """What the player gets in a turn, and how it came about; a ``story`` without text has yet to be told.

    ``released``: a reader has some of it, so that it can only be ended, not replaced. ``question`` is asked before the
    story, once that is told, and ``doubt`` is the kind of crisis it asks about. ``states`` are the checks', to be kept
    with the turn; ``support`` is where a conversation stands that pauses the story, and ``resumed``: its person went on
    with the story. ``withheld``: a check kept a text from the player. ``world``: what the turn changes in it is kept,
    too.
    """

    outcome: Outcome = "story"
    text: str = ""
    verdicts: Mapping[str, Verdict] = {}
    run: Run | None = None
    failure: Failure | None = None
    released: bool = False
    question: str = ""
    doubt: str = ""
    states: Mapping[str, bytes] = {}
    support: Support | None = None
    resumed: bool = False
    withheld: bool = False
    world: bool = True

    @property
    def whole(self) -> str:
        """All that the player gets."""
        return f"{self.question}\n\n{self.text}" if self.question else self.text

    @property
    def came_to(self) -> Outcome:
        return "checked-in" if self.outcome == "story" and self.question else self.outcome

    def checked(self, run: str, session: str, owner: str, turn: int) -> CheckedTurn:
        """Return what is to be recorded of it."""
        match self.came_to:
            case "supportive" if not self.withheld:
                action: Action = "support"
            case _ if self.withheld or not self.world:
                action = "replace"
            case "story":
                action = "allow"
            case "checked-in":
                action = "check_in"
            case _:
                action = "fallback"
        return CheckedTurn(run=run, session=session, owner=owner, turn=turn, action=action, verdicts=self.verdicts)


class Responder:
    """Answers one turn of a session, to a reader where there is one; every step returns a new `Answer`."""

    def __init__(
        self, ctx: Context, workflows: Workflows, checks: Checks, oversight: Oversight, *, workflow: str,
        timeout: float, check_in_every: int, session: str, owner: str, progress: Progress, most: int = 0,
    ) -> None:  # fmt: skip
        self._ctx, self._workflows, self._checks, self._oversight = ctx, workflows, checks, oversight
        self._workflow, self._timeout, self._check_in_every = workflow, timeout, check_in_every
        self._session, self._owner = session, owner
        self._progress, self._send, self._most = progress, progress.send, most
        self._help = checks.help
        self._flags = Flags()
        self._asked = False
        """Whether the reader has the question that goes before the story."""
        self.broken_off: Answer | None = None
        """What was told of a story whose telling did not come to its end."""

    async def check_input(self, text: str, standing: Standing, run: str) -> Answer:
        """Check all that the player wrote, also what the story doesn't read; return what is told instead of a story.

        The text is never blocked. A crisis opens its interventions, whatever else failed, and pauses the story for a
        conversation; so does one that goes on. Whoever asks for a person or a line gets that, and no story. What is
        doubtful lets the story be told, after a question; whoever says yes to that one has disclosed a crisis.
        """
        flags, kept, turn = standing.flags, standing.kept, standing.turn
        self._flags = flags  # What is said later in the turn is said to the same person.
        about = About(
            user=self._owner, turn=turn, locale=flags.locale, country=flags.country, state=kept.states
        )  # fmt: skip
        verdict, instead, states = await self._checks.check(text, "player", self._session, about)
        if kept.doubt and turn == kept.checked_in + 1:
            verdict = affirmed(text, verdict, kept.doubt, locale=flags.locale, help=self._help) or verdict
        begun = Answer(verdicts={"player": verdict}, states=states)
        if verdict.kinds:
            await self._oversight.disclosed(
                run, self._session, self._owner, turn, verdict, locale=flags.locale, country=flags.country,
                turns=(*standing.recent, Exchange(turn, text)),
            )  # fmt: skip
        if verdict.kinds or (flags.paused and instead is None):
            support = (kept.support or Support(())) if flags.paused else None
            reply = converse(
                text, verdict, support, locale=flags.locale, country=flags.country, turn=turn, help=self._help
            )  # fmt: skip
            if reply.support is not None:
                talking = msgspec.structs.replace(begun, support=reply.support)
                return await self._say(talking, Instead("supportive", reply.text, instead and instead.failure))
            begun = msgspec.structs.replace(begun, resumed=True, question=reply.text)
        elif reaches_out(text, locale=flags.locale, help=self._help):
            # Also where no check runs, or one fails.
            answer = reach_out(locale=flags.locale, country=flags.country, turn=turn, help=self._help)
            return await self._say(begun, Instead("supportive", answer, instead and instead.failure))
        elif instead is not None:
            return await self._say(begun, instead)
        elif verdict.doubtful and (not kept.checked_in or turn - kept.checked_in >= self._check_in_every):
            question = check_in(
                verdict, locale=flags.locale, country=flags.country, turn=turn, help=self._help
            )  # fmt: skip
            return msgspec.structs.replace(begun, question=question, doubt=doubt(verdict))
        return begun

    async def tell(
        self, begun: Answer, input: TurnInput, key: str, hold: Hold, *, before: Any, again: bool = False,
        anew: bool = False,
    ) -> Answer:  # fmt: skip
        """Run the workflow and release its text; whatever breaks, something is told.

        ``before`` is the world that the session has: what another one has besides is checked, wherever it comes from.
        ``again``: another process has left the turn; what a person was told of it stands. ``anew``: it was told from
        something that others have changed meanwhile.
        """
        about = About(
            user=self._owner, locale=self._flags.locale, country=self._flags.country, turn=input.turn,
            before=input.text,
        )  # fmt: skip
        told = hold.admission.told if again else 0
        telling = _Telling(hold)
        keys = [key]
        if again or anew:
            keys += [f"{key}.{number}" for number in range(2, _TELLINGS + 1)]
        if begun.question and self._send is not None and not self._asked:
            self._asked = True
            await self._send(begun.question + "\n\n")
        release = Release(self._checks, self._session, about, self._send, telling.record, told, most=self._most)
        try:
            run, instead = await self._run(input, keys, release, telling, again=again)
        except BaseException:
            released = self._send is not None and bool(release.text)
            self.broken_off = msgspec.structs.replace(begun, text=release.text, released=released)
            raise
        text = release.text
        answer = msgspec.structs.replace(begun, text=text, run=run, released=self._send is not None and bool(text))
        if release.verdict is not None:
            answer = msgspec.structs.replace(answer, verdicts={**answer.verdicts, "story": release.verdict})
        if instead is None and run is not None and run.output.get("route") == _REACHES_OUT:
            return msgspec.structs.replace(answer, outcome="supportive", world=False)
        if instead is None:
            return await self._with_world(answer, input, before, about, key)
        if release.verdict is not None and release.objection is not None and release.objection.failure is None:
            answer = msgspec.structs.replace(answer, withheld=True)
            await self._oversight.withheld(
                key, self._session, self._owner, input.turn, release.verdict, release.made_up
            )  # fmt: skip
        return await self._say(answer, instead)

    async def _with_world(self, answer: Answer, input: TurnInput, before: Any, about: About, key: str) -> Answer:
        """Check what a turn changes in the world, which its player may get to read; else the world stays as it was.

        What is to be remembered reaches later turns, and is checked with it.
        """
        output = answer.run.output if answer.run else {}
        world = output.get("world")
        try:
            changed = texts_in(world) - texts_in(before)
            changed |= texts_in(output.get("memory")) - texts_in(input.memory)
        except NoWorld as exc:
            self._ctx.log.error("workflow %s: its world is not kept: %s", self._workflow, exc)  # noqa: TRY400
            return msgspec.structs.replace(answer, world=False)
        verdict: Verdict | None = None
        for part in parts(sorted(changed)):
            one, instead, _ = await self._checks.check(part, "tool", self._session, about)
            verdict = merge([verdict, one]) if verdict else one
            if instead is not None:
                await self._oversight.withheld(
                    key, self._session, self._owner, input.turn, one, part, part="world"
                )  # fmt: skip
                answer = msgspec.structs.replace(answer, world=False)
                break
        if verdict is None:
            return answer
        return msgspec.structs.replace(answer, verdicts={**answer.verdicts, "world": verdict})

    async def retract(self, answer: Answer, failure: Failure) -> Answer:
        """Tell that the turn can't be kept: in place of the story, or at its end.

        What a check made of it stands as it is.
        """
        if answer.released and answer.outcome == "story":
            ending = _AT_ITS_END.get(failure.code, texts.UNKEPT)
            return await self._say(answer, Instead("fallback", ending, failure))
        if not answer.released and answer.outcome in ("story", "failed"):
            unsaid = msgspec.structs.replace(answer, text="")
            return await self._say(unsaid, Instead("fallback", _IN_PLACE.get(failure.code, texts.AWAY), failure))
        return msgspec.structs.replace(answer, failure=answer.failure or failure)

    async def _say(self, answer: Answer, instead: Instead) -> Answer:
        text = texts.said(instead.text, self._help, locale=self._flags.locale, country=self._flags.country)
        text = ("\n\n" if answer.text else "") + text
        if self._send is not None:
            await self._send(text)
        return msgspec.structs.replace(
            answer, outcome=instead.outcome, text=answer.text + text, failure=instead.failure,
            released=self._send is not None,
        )  # fmt: skip

    async def _run(
        self, input: TurnInput, keys: Sequence[str], release: Release, telling: _Telling, *, again: bool
    ) -> tuple[Run | None, Instead | None]:
        """Run the workflow to its end, or to an objection; return what is to be said where there is no story."""
        run: Run | None = None
        told = True
        try:
            with anyio.move_on_after(self._timeout) as limit:
                run, told = await self._read(input, keys, release, telling, again=again)
                if not fits(run, Run):
                    raise TypeError("the service of workflows returned no run")
                run = await self._checks.shown(run, self._session, About(user=self._owner, before=input.text))
            if again and await self._is_unknown(run, telling):
                raise NotNow
        except (TurnLost, NotKept, NotNow):
            raise
        except WorkflowsUnavailable as exc:
            if again:
                raise NotNow from exc
            return None, release.objection or self._away(str(exc))
        except BaseException as exc:  # noqa: BLE001 - a stranger's workflows; its message may hold a person's text
            as_failure(exc)  # It goes on where somebody of ours asked for it.
            self._ctx.log.error("workflow %s: %s; the player was asked to try again", self._workflow, where(exc))  # noqa: TRY400
            return None, release.objection or Instead("failed", texts.FAILED, Failure("workflow", "failed"))
        if release.objection is not None:
            return run, release.objection
        if run is None or limit.cancel_called:  # even where a run came, too late
            what = "workflow %s took longer than %g s; the player was asked to try again"
            self._ctx.log.error(what, self._workflow, self._timeout)
            return None, Instead("failed", texts.FAILED, Failure("workflow", "timeout"))
        if not told:
            return run, Instead("failed", texts.FAILED, Failure("workflow", "stream_broken"))
        if run.status != "done":
            return run, self._unfinished(run)
        return run, await self._end(run, release)

    async def _read(
        self, input: TurnInput, keys: Sequence[str], release: Release, telling: _Telling, *, again: bool
    ) -> tuple[Run, bool]:
        """Return the run, and whether what was told of its text still counts; after an objection it is cancelled."""
        handle = telling.handle = await self._last_of(keys) if again and telling.was_told else None
        if handle is None:
            # What was told is of a run that nobody knows any more; another one may tell something else.
            release.stand_for_nothing()
            handle = telling.handle = await self._begun(input, keys)
        self._progress.run = handle
        async with handle.stream() as pieces:
            async for piece in pieces:
                if isinstance(piece, Retracted):
                    telling.forget()
                    if not release.forget():
                        return await handle.cancel(by="orchestration"), False
                    continue
                telling.add(piece)
                await release.add(piece.text)
                if release.objection is not None:
                    return await handle.cancel(by="orchestration"), True
        return await handle.result(), True

    async def _begun(self, input: TurnInput, keys: Sequence[str]) -> RunHandle:
        """Return the run that tells the turn, which may have been begun by a process that has left it.

        The same input under the same key is the same run. Where others have committed the session meanwhile the turn
        begins from somewhere else, and its run has another key.
        """
        handle = await self._start(input, keys[0])
        for key in keys[1:]:
            if (await handle.query()).error != "key_taken":
                break
            handle = await self._start(input, key)
        return handle

    async def _start(self, input: TurnInput, key: str) -> RunHandle:
        return await self._workflows.start(
            self._workflow, _packed(input), key=key, session=self._session, owner=self._owner
        )

    async def _last_of(self, keys: Sequence[str]) -> RunHandle | None:
        last = None
        for key in keys:
            if (found := await self._workflows.find(key)) is None:
                break
            last = found
        return last

    async def _is_unknown(self, run: Run | None, telling: _Telling) -> bool:
        """Say whether nobody can know what has become of the run, since its journal is away."""
        if run is None and telling.handle is not None:
            run = await telling.handle.query()
        return run is not None and (run.status, run.error) == ("refused", "unavailable")

    async def _end(self, run: Run, release: Release) -> Instead | None:
        """Release what the run's text has beyond its pieces; a text that contradicts them is no story."""
        text = run.output.get("text")
        text = text if isinstance(text, str) else ""
        received = release.received
        if not text.startswith(received) or not text.strip():
            streamed = "doesn't begin with what was streamed: take `stream: true` away"
            why = f"its text {streamed if text.strip() else 'is empty'}"
            self._ctx.log.warning("workflow %s: %s; the player was asked to try again", run.workflow, why)
            return Instead("failed", texts.FAILED, Failure("workflow", "bad_output"))
        await release.add(text[len(received) :])
        await release.end()
        return release.objection

    def _unfinished(self, run: Run) -> Instead:
        """Say why there is no story; the step's own log line may be in another process."""
        step = next((step for step in run.steps if step.status == "failed"), None)
        at = f"step {step.id} ({step.agent})" if step and step.error else "the run"
        detail = step.detail if step else run.detail
        why = f"{run.error}: {detail}" if detail else run.error
        failure = Failure("workflow", run.error)
        if run.error != "unavailable":
            self._ctx.log.warning("workflow %s: %s: %s; the player was asked to try again", run.workflow, at, why)
            return Instead("failed", _UNFINISHED.get(run.error, texts.FAILED), failure)
        return self._away(f"{at}: {why}")

    def _away(self, why: str) -> Instead:
        """Tell a human that no run can begin or go on."""
        self._ctx.log.critical("workflow %s: %s; the player got the fallback", self._workflow, why)
        failed = StoreFailed(session=self._session, part="workflow", code="unavailable", owner=self._owner)
        self._ctx.publish(failed)
        text = fallback(self._flags.locale, self._flags.country, help=self._help)
        return Instead("fallback", text, Failure("workflow", "unavailable"))


def _packed(input: TurnInput) -> dict[str, Any]:
    """Return a turn's input as workflows take it, in builtins; the world stays as its store gave it."""
    packed = msgspec.to_builtins(msgspec.structs.replace(input, world=None, memory={}))
    return {**packed, "world": input.world, "memory": input.memory}


class _Telling:
    """Records what is told, before it is: in the queue for whoever takes the turn over, and in the run for its steps.

    After that no step begins its text anew. A run that is over has none that could.
    """

    def __init__(self, hold: Hold) -> None:
        self._hold = hold
        self.handle: RunHandle | None = None
        self._pieces: list[tuple[Streamed, int, int]] = []
        """Of each step the last piece, and where in the text its own begins and ends."""
        self._released = 0
        self._is_done = False

    @property
    def was_told(self) -> bool:
        """Whether a person was told a part of it before, by another process."""
        return self._hold.admission.told > 0

    def add(self, piece: Streamed) -> None:
        """Take in where a piece of the text comes from."""
        begin = end = self._pieces[-1][2] if self._pieces else 0
        if self._pieces and (last := self._pieces[-1])[0].step == piece.step:
            begin = last[1]
            self._pieces.pop()
        self._pieces.append((piece, begin, end + len(piece.text)))

    def forget(self) -> None:
        """Know that the text begins anew."""
        self._pieces.clear()

    async def record(self, told: int) -> bool:
        """Record that so many characters are told; False where a step has begun its text anew meanwhile."""
        handle = self.handle
        for piece, begin, end in self._pieces:
            if handle is None or self._is_done or end <= self._released or begin >= told:
                continue
            if await handle.release(piece, min(told, end) - begin):
                continue
            run = await handle.query()
            if not run.over:
                return False
            # What is done stays so; to ask again for each sentence would read all of its journal each time.
            self._is_done = run.status == "done"
        self._released = told
        await self._hold.record(told)
        return True
