"""What a process did and saw: written down before it goes on, so that a SIGKILL can't take it away."""

from __future__ import annotations

import os
import time
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any, Literal, cast

import msgspec

from tta_messages import Delivery, Message, Messages, QueueSettings, SendResult, Settled

Operation = Literal["send", "receive", "ack", "nack", "release", "extend"]


class Held(msgspec.Struct, frozen=True, array_like=True):
    """A message as it was received; ``deadline`` is the server's word."""

    id: str
    token: str
    deadline: float
    attempt: int = 1
    priority: int = 5


class Invoked(msgspec.Struct, frozen=True, tag="invoked", omit_defaults=True):
    """A call begins: ``at`` is the monotonic clock that all processes share, ``wall`` the clock that the servers have.

    ``ids`` are what is sent or given back, in a receive what is done; ``seconds`` are a hold's.
    """

    call: int
    operation: Operation
    at: float
    wall: float
    ids: tuple[str, ...] = ()
    tokens: tuple[str, ...] = ()
    priorities: tuple[int, ...] = ()
    seconds: float = 0.0


class Completed(msgspec.Struct, frozen=True, tag="completed", omit_defaults=True):
    """A call's end; one that was killed, or never completed, has none. ``results`` is one word an id."""

    call: int
    at: float
    wall: float
    results: tuple[str, ...] = ()
    held: tuple[Held, ...] = ()
    error: str = ""


class HandlerStarted(msgspec.Struct, frozen=True, tag="started"):
    """A handler was called with a message."""

    id: str
    token: str
    at: float
    wall: float


class HandlerReturned(msgspec.Struct, frozen=True, tag="returned"):
    """A handler has returned."""

    id: str
    token: str
    at: float
    wall: float


Entry = Invoked | Completed | HandlerStarted | HandlerReturned
_decode = msgspec.json.Decoder(Entry).decode


class HistoryWriter:
    """Appends to one process's file; each entry is one write, which is the kernel's from then on."""

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        self._calls = 0

    def write(self, entry: Entry) -> None:
        os.write(self._file, msgspec.json.encode(entry) + b"\n")

    def invoked(self, operation: Operation, **fields: Any) -> int:
        self._calls += 1
        self.write(Invoked(self._calls, operation, time.monotonic(), time.time(), **fields))
        return self._calls

    def completed(self, call: int, **fields: Any) -> None:
        self.write(Completed(call, time.monotonic(), time.time(), **fields))

    def handler_started(self, delivery: Delivery) -> None:
        self.write(HandlerStarted(delivery.message.id, delivery.token, time.monotonic(), time.time()))

    def handler_returned(self, delivery: Delivery) -> None:
        self.write(HandlerReturned(delivery.message.id, delivery.token, time.monotonic(), time.time()))


def read(path: Path) -> list[Entry]:
    """Read a process's file; a last line that was cut short counts for nothing."""
    *lines, _ = path.read_bytes().split(b"\n")
    return [_decode(line) for line in lines]


class RecordedMessages:
    """The calls of `Messages` that the workers and `consume` use, recorded."""

    def __init__(self, messages: Messages, history: HistoryWriter) -> None:
        self._messages, self._history = messages, history

    @property
    def as_messages(self) -> Messages:
        return cast(Messages, self)

    async def send(self, *messages: Message) -> Sequence[SendResult]:
        ids, priorities = tuple(each.id for each in messages), tuple(int(each.priority) for each in messages)
        call = self._history.invoked("send", ids=ids, priorities=priorities)
        results = await self._completed_on_error(call, self._messages.send(*messages))
        self._history.completed(call, results=tuple(each.error or "accepted" for each in results))
        return cast(Sequence[SendResult], results)

    async def receive(
        self, queue: str, *, limit: int = 1, wait: float = 0.0, visibility: float | None = None,
        done: Collection[Delivery] = (),
    ) -> Sequence[Delivery]:  # fmt: skip
        assert visibility is not None, "the checker reckons with it"
        call = self._history.invoked("receive", seconds=visibility, **_ids_and_tokens(*done))
        deliveries: Sequence[Delivery] = await self._completed_on_error(
            call, self._messages.receive(queue, limit=limit, wait=wait, visibility=visibility, done=done)
        )
        held = tuple(
            Held(each.message.id, each.token, each.deadline, each.attempt, int(each.message.priority))
            for each in deliveries
        )
        self._history.completed(call, held=held)
        return deliveries

    async def ack(self, *deliveries: Delivery) -> Sequence[bool]:
        call = self._history.invoked("ack", **_ids_and_tokens(*deliveries))
        results: Sequence[bool] = await self._completed_on_error(call, self._messages.ack(*deliveries))
        self._history.completed(call, results=tuple("yes" if each else "no" for each in results))
        return results

    async def nack(self, delivery: Delivery, **how: Any) -> Settled:
        call = self._history.invoked("nack", **_ids_and_tokens(delivery))
        result: Settled = await self._completed_on_error(call, self._messages.nack(delivery, **how))
        self._history.completed(call, results=(result.value,))
        return result

    async def release(self, *deliveries: Delivery) -> Sequence[bool]:
        call = self._history.invoked("release", **_ids_and_tokens(*deliveries))
        results: Sequence[bool] = await self._completed_on_error(call, self._messages.release(*deliveries))
        self._history.completed(call, results=tuple("yes" if each else "no" for each in results))
        return results

    async def extend(self, delivery: Delivery, seconds: float) -> bool:
        call = self._history.invoked("extend", seconds=seconds, **_ids_and_tokens(delivery))
        result: bool = await self._completed_on_error(call, self._messages.extend(delivery, seconds))
        self._history.completed(call, results=("yes" if result else "no",))
        return result

    async def settings(self, queue: str) -> QueueSettings:
        return await self._messages.settings(queue)

    async def _completed_on_error(self, call: int, operation: Any) -> Any:
        try:
            return await operation
        except BaseException as exc:
            self._history.completed(call, error=type(exc).__name__)
            raise


def _ids_and_tokens(*deliveries: Delivery) -> dict[str, tuple[str, ...]]:
    return {"ids": tuple(each.message.id for each in deliveries), "tokens": tuple(each.token for each in deliveries)}
