"""A run from outside, wherever it is worked on: how it stands, its pieces, its end."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import anyio

from .journal import JournalError
from .records import AnyRecord, Released
from .runs import Retracted, Run, Streamed, WorkflowsUnavailable
from .state import OVER, State
from .streams import PieceReader

if TYPE_CHECKING:
    from .execution import Execution
    from .executor import Executor

_LOOK = 5.0
"""How long to wait for news of a run of another process, in seconds, before looking at its journal anyway."""
_LOOK_AGAIN = 0.1


class Refused:
    """A run that was not begun."""

    def __init__(self, run: Run) -> None:
        self._run = run

    @property
    def id(self) -> str:
        return self._run.id

    @asynccontextmanager
    async def stream(self, after: int = 0) -> AsyncIterator[AsyncIterator[Streamed | Retracted]]:
        async def nothing() -> AsyncIterator[Streamed | Retracted]:
            return
            yield

        yield nothing()

    async def release(self, piece: Streamed, length: int) -> bool:
        return False

    async def result(self) -> Run:
        return self._run

    async def query(self) -> Run:
        return self._run

    async def cancel(self, by: str = "") -> Run:
        return self._run


class Handle:
    """A run by its name; where this process has it, it looks there, and otherwise into the journal."""

    def __init__(self, executor: Executor, id: str, execution: Execution | None = None) -> None:
        self._executor, self._id, self._execution = executor, id, execution

    @property
    def id(self) -> str:
        return self._id

    @asynccontextmanager
    async def stream(self, after: int = 0) -> AsyncIterator[AsyncIterator[Streamed | Retracted]]:
        window = None
        if (execution := self._here()) is not None and not execution.closed.is_set():
            window = execution.window
        reader = PieceReader(self._more, after, window.move if window else lambda: None)
        if window is None:
            yield reader
            return
        window.add(reader)
        try:
            yield reader
        finally:
            window.remove(reader)

    async def release(self, piece: Streamed, length: int) -> bool:
        record = Released(at=self._executor.now(), step=piece.step, attempt=piece.attempt, length=length)
        try:
            said = await self._executor.append(self._id, record, id=f"{piece.step}:{piece.attempt}:{length}")
            if said not in ("added", "twice"):
                return False
            if (execution := self._here()) is not None and _has_released(execution.state, record):
                return True
            found = await self._executor.read(self._id)
        except JournalError as exc:
            raise WorkflowsUnavailable(str(exc)) from exc
        return found is not None and _has_released(State(found.records), record)

    async def result(self) -> Run:
        backoff = None
        while True:
            if (execution := self._here()) is not None:
                await execution.closed.wait()
                if execution.state.over:
                    return execution.view()
                continue  # Somebody else goes on with it, or this process, anew.
            try:
                run, found = await self._executor.look(self._id)
                if run.over:
                    return run
                if found is None:  # It can't be read, and whoever has it will set it aside.
                    await anyio.sleep(_LOOK_AGAIN)
                else:
                    await self._executor.wait(self._id, found.length, _LOOK)
            except JournalError as exc:
                backoff = backoff or self._executor.backoff()
                await backoff.wait(exc)
            else:
                if backoff is not None:
                    backoff.over()

    async def query(self) -> Run:
        try:
            run, _ = await self._executor.look(self._id)
        except JournalError as exc:
            return Run(self._id, "", "refused", error="unavailable", detail=str(exc))
        return run

    async def cancel(self, by: str = "") -> Run:
        await self._executor.cancel(self._id, by=by)
        return await self.result()

    def _here(self) -> Execution | None:
        """Return the run as this process has it, if it does."""
        if self._execution is None or self._execution.left:
            self._execution = self._executor.execution(self._id)
        return self._execution

    async def _more(self, after: int) -> Sequence[AnyRecord]:
        """Return the records after the first so many, as soon as there are any."""
        backoff = self._executor.backoff()
        while True:
            if (execution := self._here()) is not None:
                stored = execution.writer.stored
                if len(stored) > after:
                    return stored[after:]
                if execution.closed.is_set():
                    return ()
                await execution.writer.changed()
                continue
            try:
                found = await self._executor.read(self._id, after)
                if found is None or found.records or found.status in OVER:
                    return found.records if found is not None else ()
                await self._executor.wait(self._id, after, _LOOK)
            except JournalError as exc:
                await backoff.wait(exc)
            else:
                backoff.over()


def _has_released(state: State, record: Released) -> bool:
    step = state.step(record.step)
    return step.attempt == record.attempt and step.released >= record.length
