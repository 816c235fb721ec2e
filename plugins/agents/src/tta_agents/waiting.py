"""What has been heard of a call to another process: its text in order, once, and how it ended."""

from __future__ import annotations

from collections import deque

import anyio

from .local import text_of
from .model import AgentError, AgentId, Reply
from .wire import WINDOW, Accepted, Answered, Died, Failed, Pieces, Released, Signal


class Waiting:
    """One call on its way, and what has been heard of it.

    Only the latest serving counts. A later one begins its text from the start: what the reader has had
    already is matched against it and left out, and a text that differs breaks the stream.
    """

    def __init__(self, id: str, agent: AgentId, *, stream: bool) -> None:
        self.id, self.agent, self.stream = id, agent, stream
        self.serving = self.process = ""
        self.error: AgentError | None = None
        self.reply: Reply | None = None
        self.over = self._doubted = False
        self._delivery = 0
        self._text = ""  # all that the reader has had, or will have
        self._ready: deque[tuple[str, int, str]] = deque()
        self._answered: Answered | None = None
        self._changed = anyio.Event()
        self._begin("", "")

    def _begin(self, serving: str, process: str) -> None:
        self.serving, self.process = serving, process
        self._at = self._next = self._reported = 0
        self._early: dict[int, str] = {}
        self._answered = None

    @property
    def pending(self) -> bool:
        """Whether there are pieces that the reader hasn't had."""
        return bool(self._ready)

    @property
    def unreported(self) -> int:
        """How many pieces the reader has had that the serving doesn't know of."""
        return self._unheard() - self._reported if self.serving and not self.over else 0

    def report(self) -> int:
        """Return the number of the first piece that the reader hasn't had, to be told to the serving."""
        self._reported = self._unheard()
        return self._reported

    def _unheard(self) -> int:
        return next((number for serving, number, _ in self._ready if serving == self.serving), self._next)

    def next_piece(self) -> str | None:
        """Return what the reader should have next."""
        return self._ready.popleft()[2] if self._ready else None

    def doubt(self) -> None:
        """Let the caller make sure that somebody works on it, or could."""
        self._doubted = True
        self._changed.set()

    async def changed(self) -> bool:
        """Wait until something was heard; True if there is doubt whether anybody is there."""
        await self._changed.wait()
        self._changed = anyio.Event()
        doubted, self._doubted = self._doubted, False
        return doubted

    def hear(self, signal: Signal) -> None:
        """Take in one signal; never waits."""
        if self.over:
            return
        if isinstance(signal, Died):
            self._fail("given_up", f"all who took a call of {self.agent} vanished, or broke", retryable=False)
        elif signal.serving != self.serving:
            if not isinstance(signal, Accepted | Answered | Failed) or signal.delivery < max(self._delivery, 1):
                return
            self._delivery = signal.delivery
            self._begin(signal.serving, signal.process if isinstance(signal, Accepted) else "")
        if isinstance(signal, Released):
            self._begin("", "")
        elif isinstance(signal, Failed):
            self._fail(signal.code, signal.detail, retryable=signal.retryable)
        elif isinstance(signal, Answered):
            self._answered = signal
        elif isinstance(signal, Pieces):
            self._early |= {n: text for n, text in enumerate(signal.texts, signal.first) if n >= self._next}
            while self._next in self._early:
                self._say(self._early.pop(self._next))
                self._next += 1
            if len(self._early) > 4 * WINDOW:
                self._fail("bad_output", "pieces of its text are missing", retryable=True)
        if self._answered is not None and self._next >= self._answered.pieces:
            self._finish(self._answered)
        self._changed.set()

    def _say(self, text: str) -> None:
        known = self._text[self._at : self._at + len(text)]
        self._at += len(text)
        if not text.startswith(known):
            self._break()
        elif len(known) < len(text):
            self._text += text[len(known) :]
            self._ready.append((self.serving, self._next, text[len(known) :]))

    def _finish(self, answered: Answered) -> None:
        full = text_of(answered.reply.output)
        if self.stream and (answered.pieces or answered.kept or self._text):
            if not full.startswith(self._text):
                self._break()
            elif rest := full[len(self._text) :]:
                self._ready.append((self.serving, self._next, rest))
        self.reply, self.over = answered.reply, True

    def _break(self) -> None:
        # Not over: whoever tells it is to hear that nobody listens.
        self.error = AgentError("stream_broken", f"{self.agent} was taken over, and tells something else")

    def _fail(self, code: str, detail: str, *, retryable: bool) -> None:
        self.error, self.over = self.error or AgentError(code, detail, retryable=retryable), True
