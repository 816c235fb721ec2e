"""What has been heard of a call to another process: its text in order, once, and how it ended."""

from __future__ import annotations

from collections import deque
from typing import NamedTuple

import anyio

from .context import text_of
from .model import AgentError, AgentId, Reply, Undo
from .wire import WINDOW, Accepted, Answered, Beat, Died, Failed, Pieces, Released, Signal, UndoOffered


class _Piece(NamedTuple):
    """A text for the reader, and the number that its execution gave the piece it comes from."""

    execution: str
    number: int
    text: str


class PendingCall:
    """One call on its way, and what has been heard of it.

    Only the latest execution counts. A later one begins its text from the start: what the reader has had
    already is matched against it and left out, and a text that differs breaks the stream.
    """

    def __init__(self, id: str, agent: AgentId, *, stream: bool) -> None:
        self.id, self.agent, self.stream = id, agent, stream
        self.execution = self.process = ""
        self.error: AgentError | None = None
        self.reply: Reply | None = None
        self.over = False
        """Whether no more signals are wanted, and nobody need be told that the caller has gone."""
        self._recheck = False
        self._delivery = 0
        self._text = ""  # all that the reader has had, or will have
        self._beaten = False
        self._ready: deque[_Piece] = deque()
        self._changed = anyio.Event()
        self._begin("", "")

    def _begin(self, execution: str, process: str) -> None:
        self.execution, self.process = execution, process
        self._at = 0  # how much of `_text` the execution has told again so far
        self._next = 0  # the number of the piece that comes next
        self._credited = 0
        self._early: dict[int, str] = {}
        self._answered: Answered | None = None
        # What an execution that is over was not told to go on with has had no effect.
        self._offered: deque[Undo] = deque()

    @property
    def has_more(self) -> bool:
        """Whether there are pieces or undos that the caller hasn't had."""
        return bool(self._ready or self._offered)

    @property
    def uncredited(self) -> int:
        """How many pieces the reader has had that the execution doesn't know of."""
        return self._first_unread() - self._credited if self.execution and not self.over else 0

    def credit(self) -> int:
        """Return the number of the first piece that the reader hasn't had, to be told to the execution."""
        self._credited = self._first_unread()
        return self._credited

    def _first_unread(self) -> int:
        return next((piece.number for piece in self._ready if piece.execution == self.execution), self._next)

    def next(self) -> str | Undo | None:
        """Return what the caller should have next: undos first, since the agent waits for each, then pieces."""
        if self._offered:
            return self._offered.popleft()
        return self._ready.popleft().text if self._ready else None

    def has_beaten(self) -> bool:
        """Say whether there has been a sign of life since this was asked last."""
        beaten, self._beaten = self._beaten, False
        return beaten

    def recheck(self) -> None:
        """Let the caller make sure that somebody works on it, or could."""
        self._recheck = True
        self._changed.set()

    async def changed(self) -> bool:
        """Wait until something was heard; True if the caller is to make sure that somebody is there."""
        await self._changed.wait()
        self._changed = anyio.Event()
        recheck, self._recheck = self._recheck, False
        return recheck

    def on_signal(self, signal: Signal) -> None:
        """Take in one signal; never waits."""
        if self.over:
            return
        if isinstance(signal, Died):
            if signal.forgotten:
                self._fail("forgotten", f"the call of {self.agent} was deleted with its person's data", retryable=False)
            self._fail("given_up", f"all who took a call of {self.agent} vanished, or broke", retryable=False)
        elif signal.execution != self.execution:
            # Signals of two executions may overtake each other; the store counts how often it gave the call out.
            if not isinstance(signal, Accepted | UndoOffered | Answered | Failed):
                return
            if signal.delivery < max(self._delivery, 1):
                return
            self._delivery = signal.delivery
            self._begin(signal.execution, signal.process if isinstance(signal, Accepted | UndoOffered) else "")
        match signal:
            case Released():
                self._begin("", "")
            case Failed():
                self._fail(signal.code, signal.detail, retryable=signal.retryable, own=signal.own)
            case Answered():
                self._answered = signal
            case Pieces():
                self._take_in(signal)
            case Beat():
                self._beaten = True
            case UndoOffered():
                self._offered.append(signal.undo)
        if self._answered is not None and self._next >= self._answered.pieces:
            self._finish(self._answered)
        self._changed.set()

    def _take_in(self, pieces: Pieces) -> None:
        self._early |= {n: text for n, text in enumerate(pieces.texts, pieces.first) if n >= self._next}
        while self._next in self._early:
            self._append(self._early.pop(self._next))
            self._next += 1
        if len(self._early) > 4 * WINDOW:
            self._fail("bad_output", "pieces of its text are missing", retryable=True)

    def _append(self, text: str) -> None:
        known = self._text[self._at : self._at + len(text)]
        self._at += len(text)
        if not text.startswith(known):
            self._break_stream()
        elif len(known) < len(text):
            self._text += text[len(known) :]
            self._ready.append(_Piece(self.execution, self._next, text[len(known) :]))

    def _finish(self, answered: Answered) -> None:
        full = text_of(answered.reply.output)
        if self.stream and (answered.pieces or answered.kept or self._text):
            if not full.startswith(self._text):
                self._break_stream()
            elif rest := full[len(self._text) :]:
                self._ready.append(_Piece(self.execution, self._next, rest))
        self.reply, self.over = answered.reply, True

    def _break_stream(self) -> None:
        # Not over: the execution that goes on is to be told that nobody listens.
        self.error = AgentError("stream_broken", f"{self.agent} was taken over, and tells something else")

    def _fail(self, code: str, detail: str, *, retryable: bool, own: bool = False) -> None:
        self.error, self.over = self.error or AgentError(code, detail, retryable=retryable, own=own), True
