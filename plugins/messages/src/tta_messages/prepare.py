"""What happens to a message before it is stored: checked, named, stamped and encoded; the same for all backends."""

from __future__ import annotations

import itertools
import os
import re
from base64 import b64encode
from collections.abc import Callable, Mapping, Sequence
from hashlib import sha256
from time import time
from typing import NamedTuple

import msgspec

from tta_kernel import LONGEST, check_count, check_duration, correlation_id, suggest

from .model import MANY, Filter, Message, QueueSettings, SendError, SendResult

Types = Mapping[str, type[msgspec.Struct]]

VANISHED = "its hold ran out"
"""The last error of a message whose holder vanished."""
FORGOTTEN = "forgotten"
"""Why a message is gone whose person was forgotten, and what whoever asked by it hears."""
QUEUE = re.compile(r"[A-Za-z0-9._/@+-]{1,200}")
_ID = re.compile(r"[!-~]{1,400}")  # printable, no blanks; room for a broadcast's id and its queue
_ERROR_LENGTH = 500
_NAMES = Message.__struct_fields__
_Values = tuple[object, ...]


class Prepared(NamedTuple):
    """A message as it is stored; ``message`` is decoded from ``data``, so nobody else holds it."""

    message: Message
    data: bytes


class Codec:
    """Checks, stamps and encodes messages on their way in, and decodes them on their way out.

    Ids that it makes up begin with 64 random bits and more, which a fork draws anew: so neither it nor
    another process makes the same.
    """

    def __init__(self, types: Types, *, max_size: int = 1_000_000, clock: Callable[[], float] = time) -> None:
        self._types = {name: msgspec.msgpack.Decoder(type_) for name, type_ in types.items()}
        self._max_size, self._clock = max_size, clock
        self._process, self._prefix, self._count = 0, "", itertools.count(1)
        self._encode = msgspec.msgpack.Encoder().encode
        self._decode = msgspec.msgpack.Decoder(Message).decode

    def new_id(self) -> str:
        """Return an id that no other has, and with which, and a dot, none begins but those of who asked for it."""
        if self._process != os.getpid():
            self._process, self._prefix = os.getpid(), b64encode(os.urandom(9), b"xy").decode()
        return f"{self._prefix}{next(self._count):x}"

    def prepare(self, message: Message, id: str = "") -> Prepared | SendResult:
        """Return ``message`` as it is stored, or why it is refused; never raises for what it holds.

        One without an id gets ``id``, or else a new one.
        """
        # A frozen Struct checks nothing when it is built, so encode it, and decode it as its reader would.
        values: _Values = (
            message.queue, message.type, message.body, message.id or id or self.new_id(), message.priority,
            message.sender, message.topic, message.tags, message.correlation_id or correlation_id.get(),
            message.reply_to, message.owner, message.ttl, message.delay, self._clock(), 1,
        )  # fmt: skip
        try:
            data = self._encode(values)
            stored = self._decode(data)
        except (msgspec.DecodeError, TypeError, ValueError, OverflowError, RecursionError) as exc:
            if not _is_one_object(message.body):  # All that comes after it is out of step.
                return _refused(values[3], "bad_body", "it is not one object of msgpack")
            return _refused(values[3], "bad_message", _field(exc))
        if message.id and not _ID.fullmatch(message.id):
            return _refused(stored.id, "bad_message", "an id is 1 to 400 printable characters of ASCII, without blanks")
        if error := self._error(stored, len(data)):
            return _refused(stored.id, *error)
        return Prepared(stored, data)

    def _error(self, message: Message, size: int) -> tuple[SendError, str] | None:
        if not QUEUE.fullmatch(message.queue):
            return "bad_address", _ADDRESS
        if message.reply_to and not QUEUE.fullmatch(message.reply_to):
            return "bad_address", f"reply_to: {_ADDRESS}"
        ttl, delay = message.ttl, message.delay
        if not 0 <= delay <= LONGEST:
            return "bad_message", f"a delay is a number of seconds, at least 0 and at most {LONGEST}"
        if ttl is not None:
            if not -LONGEST <= ttl <= LONGEST:
                return "bad_message", f"a time to live is a number of seconds, at most {LONGEST}"
            if ttl <= delay:
                return "expired", f"it would live {ttl:g} s, and be there after {delay:g} s"
        decoder = self._types.get(message.type)
        if decoder is None:
            return "unknown_type", self._unknown(message.type)
        if size > self._max_size:
            return "too_large", f"{size} bytes, and {self._max_size} are allowed"
        try:
            decoder.decode(message.body)
        except (msgspec.ValidationError, msgspec.DecodeError, RecursionError) as exc:
            return "bad_body", f"{_field(exc)} in {message.type!r}"
        return None

    def _unknown(self, name: str) -> str:
        hint = suggest(name, self._types, otherwise="a plugin's hook message_types does that")
        return f"no enabled plugin declares this type; {hint}"

    def decode(self, data: bytes) -> Message:
        """Return a stored message; fields that this release doesn't know are passed over.

        Raises `msgspec.DecodeError`, which is a ValueError, for what is none.
        """
        return self._decode(data)

    def copies(self, message: Message, queues: Sequence[str]) -> list[Message]:
        """Return one copy a queue, each with an id of its own that follows from the message's, if it has one."""
        return [
            msgspec.structs.replace(message, queue=queue, id=message.id and f"{message.id}/{queue}")
            for queue in queues
        ]  # fmt: skip


_ADDRESS = "an address is 1 to 200 of A-Z a-z 0-9 . _ / @ + -"


def _refused(id: object, error: SendError, detail: str) -> SendResult:
    return SendResult(id if isinstance(id, str) else "", delivered=False, error=error, detail=detail)


def _is_one_object(body: msgspec.Raw) -> bool:
    try:
        msgspec.msgpack.decode(body)
    except (msgspec.DecodeError, TypeError, ValueError, RecursionError):
        return False
    return True


def _field(exc: Exception) -> str:
    """Say where it doesn't fit, and not what stands there: it may be a person's text."""
    _, found, path = str(exc).partition(" - at `")
    path = path.rstrip("`").removeprefix("$").lstrip(".")
    if missing := re.search(r"missing required field `([^`]+)`", str(exc)):
        return f"the field {path}{'.' if path else ''}{missing[1]} is missing"
    if (index := re.match(r"\[(\d+)\]", path)) and int(index[1]) < len(_NAMES):
        path = _NAMES[int(index[1])] + path[index.end() :]
    return f"the field {path} does not fit" if found and path else "it does not fit, or cannot travel"


def check_queue(queue: str) -> str:
    """Return ``queue``, or raise a ValueError where it is no address."""
    if not QUEUE.fullmatch(queue):
        raise ValueError(f"no queue can be called that: {_ADDRESS}")
    return queue


def check_receive(queue: str, limit: int, wait: float, visibility: float | None) -> None:
    """Raise a ValueError where `Messages.receive` can't do what it is asked."""
    check_queue(queue)
    check_count("limit", limit, most=1000)
    check_duration("wait", wait)
    if visibility is not None:
        check_duration("visibility", visibility, positive=True)


def check_limit(limit: int) -> None:
    """Raise a ValueError where nobody can be given so many entries."""
    check_count("limit", limit, most=MANY)


def pause(settings: QueueSettings, attempt: int, random: Callable[[], float]) -> float:
    """Return how long to wait, in seconds, after attempt number ``attempt`` failed; ``random`` gives 0 up to 1."""
    try:
        longest = settings.backoff_base * settings.backoff_factor ** (attempt - 1)
    except OverflowError:
        longest = settings.backoff_cap
    return min(longest, settings.backoff_cap) * (1 - settings.jitter * random())


def shorten(error: str) -> str:
    """Return as much of an error as is kept."""
    return error if len(error) <= _ERROR_LENGTH else error[: _ERROR_LENGTH - 1] + "…"


def subscription_id(queue: str, wanted: Filter) -> str:
    """Return the id of a subscription, which is the same for the same queue and filter."""
    parts = [queue, *(sorted(set(part)) for part in (wanted.types, wanted.topics, wanted.tags))]
    return sha256(msgspec.msgpack.encode(parts)).hexdigest()[:24]
