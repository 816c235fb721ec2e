"""What lies in Redis: keys, values, and how they are read."""

from __future__ import annotations

import re
import struct
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from hashlib import blake2b
from importlib.resources import files
from typing import Any, NamedTuple, get_args, get_type_hints

import msgspec

from tta_messages import Codec, DeadLetter, HistoryEntry, Message, Priority, QueueSettings, QueueStats

HEAD = 17
"""Bytes before an envelope: when it ends (8), its priority (1), its owner (8)."""
QUEUE = re.compile(rb"[A-Za-z0-9._/@+-]{1,200}")
FOR_EVER = 1e9
"""Seconds that are as good as any more."""

_PARTS = (
    "queue", "body", "high", "normal", "low", "info", "holds", "lease", "delayed", "ttl", "seen-0", "seen-1", "dead",
    "letters", "audit", "idle",
)  # fmt: skip
_QUICK_CYCLE = ("queue", "body", "high", "normal", "low", "holds", "lease", "audit", "idle", "ttl")
_QUICK_SEND = (
    "queue", "body", "seen-0", "seen-1", "audit", "idle", "holds", "lease", "high", "normal", "low", "ttl",
)  # fmt: skip
_WHAT = frozenset(get_args(get_type_hints(HistoryEntry)["what"]))


class Keys(NamedTuple):
    """The keys of one queue, all in one slot of a Cluster."""

    all: tuple[bytes, ...]
    quick_cycle: tuple[bytes, ...]
    quick_send: tuple[bytes, ...]
    settings: bytes
    """What the process's own config says."""

    @property
    def queue(self) -> bytes:
        return self.all[0]

    @property
    def audit(self) -> bytes:
        return self.all[14]


def keys(prefix: str, queue: str, settings: QueueSettings) -> Keys:
    """Return the keys of a queue."""
    of = {part: f"{prefix}:messages:{{{queue}}}:{part}".encode() for part in _PARTS}
    return Keys(
        tuple(of.values()),
        tuple(of[part] for part in _QUICK_CYCLE),
        tuple(of[part] for part in _QUICK_SEND),
        pack_settings(settings),
    )


def source(name: str) -> str:
    """Return a script, with what it has in common with others."""
    folder = files(__package__) / "lua"
    own = (folder / f"{name}.lua").read_text(encoding="utf-8")
    if name in ("send", "cycle", "settle", "admin"):
        return (folder / "common.lua").read_text(encoding="utf-8") + own
    return own


def pack_settings(settings: QueueSettings) -> bytes:
    """Return settings as the scripts read them."""
    return _SETTINGS.pack(*msgspec.structs.astuple(settings))


def read_settings(packed: bytes) -> QueueSettings | None:
    """Return what was packed, or None if it can't be read."""
    try:
        values = zip(QueueSettings.__struct_fields__, _SETTINGS.unpack(packed), strict=True)
        return msgspec.convert({name: int(v) if name in _INTEGERS else v for name, v in values}, QueueSettings)
    except (struct.error, ValueError, OverflowError):
        return None


_LENGTH = struct.Struct(">I")
_SETTINGS = struct.Struct(f">{len(QueueSettings.__struct_fields__)}d")
_INTEGERS = frozenset(field.name for field in msgspec.structs.fields(QueueSettings) if isinstance(field.default, int))


_DIGITS = {priority: b"%d" % priority for priority in Priority}


@lru_cache(maxsize=4096)
def owner_mark(owner: str) -> bytes:
    """Return 8 bytes by which a person's messages are found; nobody's are zeros."""
    return blake2b(owner.encode(), digest_size=8).digest() if owner else bytes(8)


def value_of(message: Message, data: bytes) -> bytes:
    """Return what is stored of a message after when it ends."""
    return _DIGITS[message.priority] + owner_mark(message.owner) + data


def read_value(codec: Codec, queue: str, id: bytes, value: bytes) -> Message:
    """Return the message of a stored value; raises a ValueError for what isn't one."""
    message = codec.decode(value[HEAD:])
    if message.id.encode() != id or message.queue != queue:
        raise ValueError("it is another message")
    return message


def read_handed(payload: bytes) -> tuple[float, list[bytes]]:
    """Return what `quick_send` hands over: until when it is held, in seconds, and the envelopes."""
    head, _, rest = payload.partition(b"\n")
    return int(head.split(b" ")[2]) / 1e6, _open(rest)


def bundle(head: bytes, values: Sequence[bytes]) -> bytes:
    """Return what one call has sent as it is kept together; ``head`` is when it ends."""
    parts = [_LENGTH.pack(len(values))]
    for value in values:
        parts += (_LENGTH.pack(len(head) + len(value)), head, value)
    return b"".join(parts)


def read_bodies(bodies: Iterable[bytes]) -> list[bytes]:
    """Return the envelopes in what a receive got: values, which begin with when they end, and bundles."""
    found: list[bytes] = []
    for body in bodies:
        if body[0]:
            found.append(body[HEAD:])
        else:
            found += _open(body)
    return found


def _open(bundle: bytes) -> list[bytes]:
    found, at = [], 4
    while at + 4 + HEAD <= len(bundle):
        end = at + 4 + _LENGTH.unpack_from(bundle, at)[0]
        found.append(bundle[at + 4 + HEAD : end])
        at = end
    return found


def read_letter(codec: Codec, queue: str, id: bytes, letter: bytes) -> DeadLetter:
    """Return a dead letter; one that can't be read is corrupt, too."""
    name = id.decode(errors="replace")
    try:
        size = 4 + int.from_bytes(letter[:4])
        value = letter[4:size]
        reason, attempts, died_at, error = letter[size:].decode(errors="replace").split("\n", 3)
        message = None if reason == "corrupt" else read_value(codec, queue, id, value)
        raw = (value[HEAD:] if value[8:9] in (b"1", b"5", b"9") else value) if message is None else b""
        if reason not in ("rejected", "retries", "expired", "corrupt"):
            raise ValueError("no such reason")
        at = int(died_at) / 1e6
        return DeadLetter(name, queue, reason, error, int(attempts), at, message, raw)  # type: ignore[arg-type]
    except ValueError:
        return DeadLetter(name, queue, "corrupt", "its letter cannot be read", 0, 0.0, None, letter)


def read_stats(reply: Sequence[int]) -> QueueStats:
    """Return the numbers of a queue; nothing is zeros."""
    high, normal, low, delayed, held, dead, sent, refused, retried, died, recovered, expired, stale, delivered, done = (
        reply or [0] * 15
    )
    return QueueStats(
        {"high": high, "normal": normal, "low": low}, delayed, held, dead, sent, refused, delivered, done, retried,
        died, recovered, expired, stale,
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


def history(info: bytes | None) -> tuple[int, str]:
    """Return how often a message was received before, and what went wrong."""
    if not info or not info.startswith(b"-"):
        return 0, ""
    attempts, _, error = info[1:].partition(b":")
    return int(attempts) if attempts.isdigit() else 0, error.decode(errors="replace")


Reply = Any
