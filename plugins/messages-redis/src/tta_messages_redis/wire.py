"""What lies in Redis: keys, values, and how they are read."""

from __future__ import annotations

import re
import struct
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import lru_cache
from hashlib import blake2b
from typing import Any, NamedTuple, get_args, get_type_hints

import msgspec

from tta_messages import Codec, DeadLetter, HistoryEntry, Message, Priority, QueueSettings, QueueStats, oldest_age

from . import layout

QUEUE = re.compile(rb"[A-Za-z0-9._/@+-]{1,200}")
FOR_EVER = 1e9
"""Seconds that are as good as any more."""

_WHAT = frozenset(get_args(get_type_hints(HistoryEntry)["what"]))


class Keys(NamedTuple):
    """The keys of one queue, all in one slot of a Cluster, as the scripts take them."""

    all: tuple[bytes, ...]
    fast_receive: tuple[bytes, ...]
    fast_send: tuple[bytes, ...]
    queue: bytes
    audit: bytes
    settings: bytes
    """What the process's own config says."""


def keys(prefix: str, queue: str, settings: QueueSettings) -> Keys:
    """Return the keys of a queue."""
    of = {part: f"{prefix}:messages:{{{queue}}}:{part}".encode() for part in layout.KEYS}

    def for_script(name: str) -> tuple[bytes, ...]:
        return tuple(of[part] for part in layout.SCRIPT_KEYS[name])

    return Keys(
        tuple(of.values()), for_script("fast_receive"), for_script("fast_send"), of["queue"], of["audit"],
        pack_settings(settings),
    )  # fmt: skip


def pack_settings(settings: QueueSettings) -> bytes:
    """Return settings as the scripts read them."""
    return layout.SETTINGS.pack(layout.MARK, *msgspec.structs.astuple(settings))


def read_settings(packed: bytes) -> QueueSettings | None:
    """Return what was packed, or None if it can't be read."""
    try:
        mark, *numbers = layout.SETTINGS.unpack(packed)
        if mark != layout.MARK:
            return None
        values = zip(QueueSettings.__struct_fields__, numbers, strict=True)
        return msgspec.convert({name: int(v) if name in _INTEGERS else v for name, v in values}, QueueSettings)
    except (struct.error, ValueError, OverflowError):
        return None


_INTEGERS = frozenset(field.name for field in msgspec.structs.fields(QueueSettings) if isinstance(field.default, int))
_PRIORITIES = {priority: bytes((priority,)) for priority in Priority}


@lru_cache(maxsize=4096)
def owner_digest(owner: str) -> bytes:
    """Return 8 bytes by which a person's messages are found; nobody's are zeros."""
    return blake2b(owner.encode(), digest_size=8).digest() if owner else bytes(8)


def value_of(message: Message, data: bytes) -> bytes:
    """Return what is stored of a message after when it ends."""
    return _PRIORITIES[message.priority] + owner_digest(message.owner) + data


def read_value(codec: Codec, queue: str, id: bytes, value: bytes) -> Message:
    """Return the message of a stored value; raises a ValueError for what isn't one."""
    message = codec.decode(value[layout.VALUE.size :])
    if message.id.encode() != id or message.queue != queue:
        raise ValueError("it is another message")
    return message


def read_handed(payload: bytes) -> tuple[float, list[bytes]]:
    """Return what `fast_send` hands over: until when it is held, in seconds, and the envelopes."""
    head, _, rest = payload.partition(b"\n")
    envelopes, at, before = [], 0, layout.LENGTH.size + layout.VALUE.size
    while at + before <= len(rest):
        end = at + layout.LENGTH.size + layout.LENGTH.unpack_from(rest, at)[0]
        envelopes.append(rest[at + before : end])
        at = end
    return int(head.split(b" ")[2]) / 1e6, envelopes


def read_letter(codec: Codec, queue: str, id: bytes, letter: bytes) -> DeadLetter:
    """Return a dead letter; one that can't be read is corrupt, too."""
    name = id.decode(errors="replace")
    try:
        attempts, died_at, size = layout.LETTER.unpack_from(letter)
        end = layout.LETTER.size + size
        value = letter[layout.LETTER.size : end]
        reason, _, error = letter[end:].decode(errors="replace").partition("\n")
        message = None if reason == "corrupt" else read_value(codec, queue, id, value)
        raw = b"" if message else value[layout.VALUE.size :] if _is_whole(value) else value
        if reason not in ("rejected", "retries", "expired", "corrupt"):
            raise ValueError("no such reason")
        return DeadLetter(name, queue, reason, error, attempts, died_at / 1e6, message, raw)  # type: ignore[arg-type]
    except (struct.error, ValueError):
        return DeadLetter(name, queue, "corrupt", "its letter cannot be read", 0, 0.0, None, letter)


def _is_whole(value: bytes) -> bool:
    return value[layout.VALUE.position("priority") - 1 :][:1] in _PRIORITIES.values()


def read_stats(codec: Codec, queue: str, reply: Sequence[Any], now: float) -> QueueStats:
    """Return the numbers of a queue; nothing is zeros."""
    *numbers, first = reply or [*[0] * 15, []]
    high, normal, low, delayed, held, dead, sent, refused, retried, died, recovered, expired, stale, delivered, done = (
        numbers
    )
    messages = []
    for id, value in zip(first[::2], first[1::2], strict=True):
        with suppress(ValueError):  # Once it is received, whoever does says that it is none.
            messages.append(read_value(codec, queue, id, value))
    return QueueStats(
        {"high": high, "normal": normal, "low": low}, delayed, held, dead, sent, refused, delivered, done, retried,
        died, recovered, expired, stale, oldest_age(messages, now),
    )  # fmt: skip


def read_history(entries: Sequence[tuple[bytes, Sequence[bytes]]]) -> list[HistoryEntry]:
    """Return the history of a stream's entries, the newest first; what is none is passed over."""
    found: list[HistoryEntry] = []
    for entry, flat in entries:
        at = int(entry.partition(b"-")[0]) / 1000
        fields: Mapping[str, str] = {
            name.decode(errors="replace"): value.decode(errors="replace")
            for name, value in zip(flat[::2], flat[1::2], strict=False)
        }
        detail = fields.get("detail", "")
        those = [(what, ids) for what, ids in fields.items() if what in _WHAT]
        found += [HistoryEntry(at, what, tuple(ids.split()), detail) for what, ids in reversed(those)]  # type: ignore[arg-type]
    return found


class Retry(NamedTuple):
    """What became of a message when it was received before."""

    attempts: int = 0
    error: str = ""
    suspect: bool = False


def read_retry(info: bytes | None) -> Retry:
    """Return what `info` tells of a message that comes again; of one that doesn't, and of a foreign value, nothing."""
    if not info or len(info) < layout.RETRY.size or info[0] != layout.RETRY_KIND:
        return Retry()
    _, attempts, suspect = layout.RETRY.unpack_from(info)
    return Retry(attempts, info[layout.RETRY.size :].decode(errors="replace"), suspect == 1)
