"""What a serving tells its caller: in order, together where the line is busy, and no faster than it is heard."""

from __future__ import annotations

from collections import deque

import anyio

from tta_messages import Message

from .inbox import Inbox, send
from .model import AgentError
from .wire import WINDOW, Accepted, Answered, Failed, Pieces, Signal

PAUSE = 0.02
"""How long, in seconds, an agent may think before its caller is told that it does: most have answered by then."""


class Outbox:
    """Goes out through `run` until `close`; `piece` waits while the reader is `WINDOW` behind."""

    def __init__(self, inbox: Inbox, call: Message, serving: str) -> None:
        self._inbox, self._call, self._serving = inbox, call, serving
        self._to = call.reply_to.rpartition("/")[2]
        self._waiting: deque[Signal | str] = deque()
        self._heard, self._closed = 0, False
        self._more, self._space = anyio.Event(), anyio.Event()
        self.pieces = 0
        self._refused = ""

    def put(self, signal: Signal) -> None:
        """Let ``signal`` go after all that was there before."""
        self._waiting.append(signal)
        self._more.set()

    async def piece(self, text: str) -> None:
        """Let a piece of the text go; waits for the reader."""
        while self.pieces - self._heard >= WINDOW:
            await self._space.wait()
        if self._refused:
            raise AgentError(self._refused, "its caller can't be told a piece of the text")
        self._waiting.append(text)
        self.pieces += 1
        self._more.set()

    def heard(self, next: int) -> None:
        """Know that the reader has had all pieces before number ``next``."""
        self._heard = max(self._heard, next)
        self._space.set()
        self._space = anyio.Event()

    def close(self) -> None:
        """Let `run` end once all has gone."""
        self._closed = True
        self._more.set()

    async def run(self) -> None:
        """Send what there is, all of it at once, then what has come meanwhile."""
        number = 0
        while True:
            if not self._waiting:
                if self._closed:
                    return
                await self._more.wait()
                self._more = anyio.Event()
                continue
            if number == 0 and len(self._waiting) == 1 and isinstance(self._waiting[0], Accepted):
                self._more = anyio.Event()
                with anyio.move_on_after(PAUSE):
                    await self._more.wait()
            signals: list[Signal] = []
            texts: list[str] = []
            while self._waiting or texts:
                if self._waiting and isinstance(self._waiting[0], str):
                    texts.append(str(self._waiting.popleft()))
                    continue
                if texts:
                    signals.append(Pieces(self._call.id, self._serving, number, tuple(texts)))
                    number, texts = number + len(texts), []
                if self._waiting and isinstance(signal := self._waiting.popleft(), Signal):
                    signals.append(signal)
            if isinstance(signals[0], Accepted) and isinstance(signals[-1], Answered | Failed) and len(signals) == 2:
                del signals[0]  # Such an end speaks for itself.
            await self.tell(*signals)

    async def tell(self, *signals: Signal) -> None:
        """Send signals now; where one can't go for what it is, the caller hears at least that."""
        messages = [self._message(self._failed(s) if self._refused and isinstance(s, Answered) else s) for s in signals]
        refused = await send(self._inbox.messages, *messages, patience=60.0)
        if refused is None or refused.error == "queue_full":
            return
        self._refused = "too_large" if refused.error == "too_large" else "bad_output"
        for signal in (each for each in signals if isinstance(each, Answered)):
            await send(self._inbox.messages, self._message(self._failed(signal)), patience=60.0)

    def _failed(self, signal: Answered) -> Failed:
        detail = "its answer, or a piece of it, can't be sent"
        return Failed(signal.call, signal.serving, self._refused, detail, delivery=signal.delivery)

    def _message(self, signal: Signal) -> Message:
        return self._inbox.message(self._to, signal, ttl=self._call.ttl or 60.0, owner=self._call.owner)
