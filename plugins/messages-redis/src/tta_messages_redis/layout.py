"""How a queue lies in Redis: its keys, and every packed field; Python and the Lua scripts both read this table.

STORAGE.md tells the same to people, with what happens to it.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator, Mapping
from functools import cached_property
from importlib.resources import files
from typing import Any, NamedTuple

from tta_messages import Priority, QueueSettings
from tta_messages.prepare import VANISHED

VERSION = 1
"""Of everything below. Whoever changes what a field means, where it stands or what a key holds raises it.

A release that meets a newer one touches nothing and says so.
"""
_MARK = int.from_bytes(b"TTA\0")

KEYS: Mapping[str, str] = {
    "queue": "hash", "body": "hash", "high": "list", "normal": "list", "low": "list", "info": "hash", "holds": "hash",
    "lease": "zset", "delayed": "zset", "ttl": "zset", "seen-0": "set", "seen-1": "set", "dead": "zset",
    "letters": "hash", "audit": "stream", "idle": "set",
}  # fmt: skip
"""The keys of one queue, each with its type in Redis."""

SUBSCRIPTION_KEYS: Mapping[str, str] = {"filters": "hash", "ends": "zset", "revision": "string"}

SCRIPT_KEYS: Mapping[str, tuple[str, ...]] = {
    **dict.fromkeys(("send", "receive", "settle", "admin", "repair"), tuple(KEYS)),
    "fast_send": (
        "queue", "body", "seen-0", "seen-1", "audit", "idle", "holds", "lease", "high", "normal", "low", "ttl",
    ),
    "fast_receive": ("queue", "body", "high", "normal", "low", "holds", "lease", "audit", "idle", "ttl"),
    "subscriptions": tuple(SUBSCRIPTION_KEYS),
    "index": ("queues",),
    "quarantine": (),
}  # fmt: skip
"""The keys that each script is given, in this order; a script is given few, since each costs time with every call."""


class Field(NamedTuple):
    """One value in a packed string."""

    name: str
    type: str
    """As Python's `struct` has it: d, a number of 8 bytes; I and B, whole ones of 4 and 1; 8s, 8 bytes as they are."""
    meaning: str
    writer: str


class Packed:
    """Values one after another, big-endian; what follows them, if anything, is told with each."""

    def __init__(self, name: str, *fields: Field) -> None:
        self.name, self.fields = name, fields
        self._struct = struct.Struct(">" + "".join(field.type for field in fields))
        self.pack, self.unpack, self.unpack_from = self._struct.pack, self._struct.unpack, self._struct.unpack_from
        self.size = self._struct.size

    @cached_property
    def lua(self) -> str:
        """The format as Lua's `struct` writes it."""
        of = {"d": "d", "I": "I4", "B": "B", "8s": "c8"}
        return ">" + "".join(of[field.type] for field in self.fields)

    def position(self, name: str) -> int:
        """Return where a field begins, counted from 1 as Lua does."""
        before = self.fields[: [field.name for field in self.fields].index(name)]
        return 1 + struct.calcsize(">" + "".join(field.type for field in before))


_EACH = "each script that changes the queue"
_SENDS = "send, fast_send"
STATE = Packed(
    "state",
    Field("mark", "I", "'TTA' and VERSION", _EACH),
    Field("ends", "d", "when all keys of the queue end, in ms; 0: they don't yet", "send, receive, settle, admin"),
    Field("next_due", "d", "when something is due (a hold, a delay, a time to live, a dead letter), in µs", _EACH),
    Field("sent", "d", "how many messages were accepted", _SENDS),
    Field("delivered", "d", "how many were received", "receive, fast_receive, fast_send"),
    Field("acknowledged", "d", "how many were acknowledged", "receive, fast_receive"),
    Field("seen_bucket", "d", "the number of the window whose set of ids has its end set", _SENDS),
    Field("seen_window", "d", "the dedup_window for which that end was set, in s", _SENDS),
    Field("flags", "B", "LISTED + TIMED", _EACH),
)
"""The field `state` of `queue`: all that everyday work needs, in one piece, so that it is read and written once."""

VERSION_MARK = Packed("version_mark", STATE.fields[0])
"""The beginning of a state, and of settings: it alone is read to see whose release has written them."""

LISTED, TIMED = 1, 2
"""Flags of the state: the queue is in the index of all queues; some of its messages are in `ttl`."""

SETTINGS = Packed(
    "settings",
    Field("mark", "I", "'TTA' and VERSION", "admin (configure)"),
    *(Field(name, "d", f"QueueSettings.{name}", "admin (configure)") for name in QueueSettings.__struct_fields__),
)
"""The field `settings` of `queue`, and the settings of a process that go with each call, for a queue that has none."""

VALUE = Packed(
    "value",
    Field("expires", "d", "when it ends, in µs", "send, fast_send, admin (requeue)"),
    Field("priority", "B", "9, 5 or 1", "the sender"),
    Field("owner", "8s", "a digest of its owner, or zeros", "the sender"),
)
"""What `body` holds of a message; its envelope follows."""

EXPIRES = Packed("expires", VALUE.fields[0])
"""The beginning of a value, which alone is read and replaced."""

RETRY = Packed(
    "retry",
    Field("kind", "B", "RETRY_KIND", "settle (nack), and whatever takes holds back"),
    Field("attempts", "I", "how often it was received", "the same"),
    Field("suspect", "B", "1: its last holder vanished, and it may be why", "the same"),
)
"""What `info` holds of a message that comes again; the error of its last attempt follows."""

TOMBSTONE = Packed(
    "tombstone",
    Field("kind", "B", "TOMBSTONE_KIND", "whatever deletes a message that waits: cancel, forget, a time to live"),
    Field("priority", "B", "in which list its id still is", "the same"),
)
"""What `info` holds of an id that is still in a list, although its message is gone."""

LETTER = Packed(
    "letter",
    Field("attempts", "I", "how often it was received", "whatever a message dies of"),
    Field("died_at", "d", "when, in µs", "the same"),
    Field("size", "I", "how many bytes its value has", "the same"),
)
"""What `letters` holds of a dead message; its value, the reason, a line break and the error follow."""

LENGTH = Packed("length", Field("size", "I", "how many bytes follow", "fast_send"))
"""Before each value that `fast_send` hands over to a receiver that waits."""

PACKED = (STATE, SETTINGS, VALUE, EXPIRES, RETRY, TOMBSTONE, LETTER, LENGTH, VERSION_MARK)

RETRY_KIND, TOMBSTONE_KIND = ord("-"), ord("!")
HOLD_SIZE = 12
"""Characters of a hold's name, and of a process's."""

MARK = _MARK + VERSION
_CONSTANTS: Mapping[str, int | str] = {
    "MARK": MARK, "VERSION": VERSION, "NEWEST_MARK": _MARK + 255, "LISTED": LISTED, "TIMED": TIMED,
    "RETRY_KIND": RETRY_KIND, "TOMBSTONE_KIND": TOMBSTONE_KIND, "HOLD_SIZE": HOLD_SIZE,
    "HIGHEST": int(Priority.HIGH), "MIDDLE": int(Priority.NORMAL), "LOWEST": int(Priority.LOW),
    "VANISHED": f"'{VANISHED}'",
}  # fmt: skip

_WITH_COMMON = frozenset({"send", "receive", "settle", "admin"})


def text(name: str) -> str:
    """Return a script as it stands in its file."""
    return (files(__package__) / "lua" / f"{name}.lua").read_text(encoding="utf-8")


def source(name: str) -> str:
    """Return a script as Redis gets it: with names for its keys, what it uses of the table, and what scripts share."""
    own = text("common") + text(name) if name in _WITH_COMMON else text(name)
    words = set(re.findall(r"\w+", own))
    lines = [f"local {constant} = {value}\n" for constant, value in _constants() if constant in words]
    if keys := SCRIPT_KEYS[name]:
        lines.insert(0, f"local {', '.join(key.upper().replace('-', '_') for key in keys)} = unpack(KEYS)\n")
    return "".join(lines) + own


def _constants() -> Iterator[tuple[str, Any]]:
    """Return names and Lua: for each packed string NAME, its format, NAME_SIZE, and NAME_FIELD_AT."""
    yield from _CONSTANTS.items()
    for packed in PACKED:
        name = packed.name.upper()
        yield name, f"'{packed.lua}'"
        yield f"{name}_SIZE", packed.size
        for field in packed.fields:
            yield f"{name}_{field.name.upper()}_AT", packed.position(field.name)
    yield "TYPES", "{" + ", ".join(f"'{kind}'" for kind in KEYS.values()) + "}"
