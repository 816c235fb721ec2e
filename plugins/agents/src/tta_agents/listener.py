"""Whoever waits for a call, as far as it wants to be told how the work goes on."""

from __future__ import annotations

from collections.abc import Callable
from logging import Logger
from typing import NoReturn

import anyio
import msgspec

from tta_kernel import as_failure, raised_at

from .model import AgentError, OnBeat, OnPiece, OnUndo, Reply, Undo


class Listener:
    """What a caller is told while its agent works; what one of its callbacks raises ends the call.

    ``failure`` is what that came to. ``stop`` cancels the agent, where it runs in this task: an error alone it could
    catch, and go on.
    """

    def __init__(
        self, log: Logger, on_piece: OnPiece | None = None, on_beat: OnBeat | None = None, on_undo: OnUndo | None = None
    ) -> None:
        self._log = log
        self.on_piece, self.on_beat, self.on_undo = on_piece, on_beat, on_undo
        self._undos: list[Undo] = []
        self.failure: AgentError | None = None
        self.stop: Callable[[], object] | None = None

    async def piece(self, text: str) -> None:
        """Tell a piece of the text; that is a sign of life, too."""
        if self.on_beat is not None:
            self.beat()
        if self.on_piece is not None:
            try:
                await self.on_piece(text)
            except BaseException as exc:  # noqa: BLE001 - a caller's code; its message may hold a person's text
                await self._end(self._failed("on_piece", exc))

    def beat(self) -> None:
        """Tell that the work goes on."""
        if self.on_beat is not None:
            try:
                self.on_beat()
            except BaseException as exc:  # noqa: BLE001 - a caller's code
                raise self._failed("on_beat", exc) from None

    async def undo(self, undo: Undo) -> None:
        """Tell what takes an effect back, once; return as soon as the caller has it."""
        if self.on_undo is not None and undo not in self._undos:
            try:
                await self.on_undo(undo)
            except BaseException as exc:  # noqa: BLE001 - a caller's code
                await self._end(self._failed("on_undo", exc, code="undo_refused"))
            self._undos.append(undo)

    async def settle(self, reply: Reply) -> Reply:
        """Tell what undos of a reply the caller hasn't had, and return the reply with all that it has."""
        if self.on_undo is None:
            return reply
        for undo in reply.undo:
            await self.undo(undo)
        return msgspec.structs.replace(reply, undo=tuple(self._undos))

    async def _end(self, failure: AgentError) -> NoReturn:
        await anyio.lowlevel.checkpoint()  # Here the agent is cancelled, as it would be in another process.
        raise failure from None

    def _failed(self, name: str, exc: BaseException, code: str = "failed") -> AgentError:
        failure = as_failure(exc)  # It goes on where somebody of ours asked for it.
        if not isinstance(failure, AgentError):
            what, where = type(exc).__name__, raised_at(exc)
            self._log.error("the %s of a call raised %s at %s", name, what, where)
            failure = AgentError(code, f"the call's {name} raised {what}", retryable=True)
        self.failure = failure
        if self.stop is not None:
            self.stop()
        return failure
