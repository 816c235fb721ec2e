"""What a definition's `Key` is of a run: a name that tells apart what is counted apart, and quotes nothing."""

from __future__ import annotations

import hashlib
from typing import Any

import msgspec

from .definition import Key
from .expressions import follow
from .journal import RunHead


def key_problem(key: Key) -> str:
    """Say what is wrong with a key, or nothing."""
    root, *rest = key.split(".")
    if key in ("", "owner", "session") or (root == "input" and rest and all(rest)):
        return ""
    return f"{key!r} is no key: write input.<field>, owner or session"


def slot(kind: str, head: RunHead, key: Key) -> str:
    """Return the name of what is counted for the runs of a workflow that have the same key, such as for its rate."""
    value: Any = ""
    if key in ("owner", "session"):
        value = getattr(head, key)
    elif key:
        value = follow(head.input, tuple(key.split(".")[1:]))
    # A hash, since it may be what a person wrote.
    packed = msgspec.msgpack.encode([kind, head.workflow, value], order="deterministic")
    return hashlib.sha256(packed).hexdigest()
