"""What an execution tells its caller: in order, many signals in one message batch, and no faster than it is read."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable

import anyio

from tta_messages import Message

from .inbox import Inbox
from .model import AgentError, Undo
from .sending import send
from .wire import SIGNAL_TTL, WINDOW, Accepted, Answered, Beat, Failed, Pieces, Probe, Signal, UndoOffered

ACCEPT_AFTER = 0.02
"""How long, in seconds, an agent may think before its caller is told that it does: most have answered by then."""
_PATIENCE = 60.0  # in seconds, with a store that is away


class Outbox:
    """Signals about one call. Those of a stream are `put`, and sent by `run` until `close`; others are told at once.

    Where the agent waits for its caller, one that is silent for ``patience`` seconds is asked whether it is there, and
    has as long again to say so.
    """

    def __init__(self, inbox: Inbox, call: Message, execution: str, *, patience: float = math.inf) -> None:
        self._inbox, self._call, self._execution, self._patience = inbox, call, execution, patience
        self._to = call.reply_to.rpartition("/")[2]
        self._waiting: deque[Signal | str] = deque()
        self._closed = False
        self._filled, self._heard = anyio.Event(), anyio.Event()
        self.pieces = 0
        """How many pieces of the text there have been."""
        self._read = 0  # how many of them the caller's reader has had
        self._refused = ""
        self._untaken: set[int] = set()  # the numbers of undos that the caller was offered

    def put(self, signal: Signal) -> None:
        """Let ``signal`` go after all that was there before."""
        self._waiting.append(signal)
        self._filled.set()

    async def piece(self, text: str) -> None:
        """Let a piece of the text go; waits while the reader is `WINDOW` pieces behind."""
        if self.pieces - self._read >= WINDOW:
            await self._wait_until(lambda: self.pieces - self._read < WINDOW)
        if self._refused:
            raise AgentError(self._refused, "its caller can't be told a piece of the text")
        self._waiting.append(text)
        self.pieces += 1
        self._filled.set()

    async def undo(self, undo: Undo, *, delivery: int) -> None:
        """Offer what takes an effect back; return once the caller has taken it."""
        self._untaken.add(undo.number)
        await self.tell(UndoOffered(self._call.id, self._execution, undo, self._inbox.process, delivery))
        if self._refused:
            raise AgentError(self._refused, "its caller can't be told what takes an effect back")
        await self._wait_until(lambda: undo.number not in self._untaken)

    async def _wait_until(self, said: Callable[[], bool]) -> None:
        """Wait until the caller has said something; one that has long been silent, and then doesn't answer, has died.

        Whoever goes on for it calls with the same key, and would wait here for as long as the first had time.
        """
        asked = False
        while not said():
            with anyio.move_on_after(self._patience) as silence:
                await self._heard.wait()
            if not silence.cancelled_caught:
                asked = False
            elif asked:
                raise AgentError("unavailable", "its caller is not heard of any more", retryable=True)
            else:
                await self.tell(Probe(self._call.id, self._execution, self._inbox.process))
                asked = True

    def credit(self, next: int) -> None:
        """Know that the reader has had all pieces before number ``next``."""
        self._read = max(self._read, next)
        self.present()

    def taken(self, number: int) -> None:
        """Know that the caller has taken the undo of that number; it may say so twice."""
        self._untaken.discard(number)
        self.present()

    def present(self) -> None:
        """Know that the caller's process lives."""
        self._heard.set()
        self._heard = anyio.Event()

    def beat(self) -> Message:
        """Return the message that the work goes on."""
        return self._message(Beat(self._call.id, self._execution))

    def close(self) -> None:
        """Let `run` end once all has gone."""
        self._closed = True
        self._filled.set()

    async def run(self) -> None:
        """Send what there is, all of it at once, then what has come meanwhile."""
        sent = 0
        while True:
            if not self._waiting:
                if self._closed:
                    return
                await self._filled.wait()
                self._filled = anyio.Event()
                continue
            if sent == 0 and len(self._waiting) == 1 and isinstance(self._waiting[0], Accepted):
                # A text that begins in a moment, or an answer, says by itself that somebody is at work.
                self._filled = anyio.Event()
                with anyio.move_on_after(ACCEPT_AFTER):
                    await self._filled.wait()
            signals, sent = self._take(sent)
            if isinstance(signals[0], Accepted) and isinstance(signals[-1], Answered | Failed) and len(signals) == 2:
                del signals[0]
            await self.tell(*signals)

    def _take(self, first: int) -> tuple[list[Signal], int]:
        """Take all that waits, pieces that follow each other as one signal; return the next piece's number, too."""
        signals: list[Signal] = []
        texts: list[str] = []
        for each in self._waiting:
            if isinstance(each, str):
                texts.append(each)
                continue
            if texts:
                signals.append(Pieces(self._call.id, self._execution, first, tuple(texts)))
                first, texts = first + len(texts), []
            signals.append(each)
        if texts:
            signals.append(Pieces(self._call.id, self._execution, first, tuple(texts)))
            first += len(texts)
        self._waiting.clear()
        return signals, first

    async def tell(self, *signals: Signal) -> None:
        """Send signals now; where one can't go for what it is, the caller hears at least that."""
        messages = [self._message(signal) for signal in signals]
        refused = await send(self._inbox.messages, *messages, patience=_PATIENCE)
        if refused is None or refused.error == "queue_full":
            return
        self._refused = "too_large" if refused.error == "too_large" else "bad_output"
        for signal in signals:
            if isinstance(signal, Answered):
                await send(self._inbox.messages, self._message(signal), patience=_PATIENCE)

    def _message(self, signal: Signal) -> Message:
        if self._refused and isinstance(signal, Answered):
            detail = "its answer, or a piece of it, can't be sent"
            signal = Failed(signal.call, signal.execution, self._refused, detail, delivery=signal.delivery)
        return self._inbox.message(self._to, signal, ttl=self._call.ttl or SIGNAL_TTL, owner=self._call.owner)
