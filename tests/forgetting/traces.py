"""Looking for a person's words and name wherever they may lie: in memory, in Redis, in files and in the log."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from types import CodeType, FrameType, FunctionType, ModuleType
from typing import Any

from redis import Redis as Client

from tta_redis.testing import RedisServer

_LEFT_OUT = (ModuleType, type, CodeType, FrameType)
"""What leads to everything there is, this test's own constants among it."""


def in_memory(root: object, words: Iterable[str]) -> Mapping[str, str]:
    """Return where in all that an object leads to a word stands, by word: the types on the way there.

    Also in what is encoded, and in what closures hold; not in the frames of tasks that run.
    """
    sought = {word: word.encode() for word in words}
    found: dict[str, str] = {}
    seen = {id(root)}
    todo: list[tuple[object, tuple[str, ...]]] = [(root, ())]
    while todo:
        value, way = todo.pop()
        raw = value.encode("utf-8", "replace") if isinstance(value, str) else value
        if isinstance(raw, bytes | bytearray):
            for word, encoded in sought.items():
                if encoded in raw:
                    found.setdefault(word, " > ".join(way[-8:]))
            continue
        way = (*way, type(value).__name__)
        for inner in _inside(value):
            if id(inner) not in seen and not isinstance(inner, _LEFT_OUT):
                seen.add(id(inner))
                todo.append((inner, way))
    return found


def _inside(value: object) -> Iterator[object]:
    if isinstance(value, FunctionType):
        # Not its globals.
        yield from (value.__closure__ or (), value.__defaults__ or (), value.__dict__)
        return
    yield from gc.get_referents(value)
    yield from _of_struct(value)


def _of_struct(value: object) -> Iterator[object]:
    """Yield the fields of a Struct that the collector doesn't know, since they hold only what can't be in a circle."""
    for name in getattr(type(value), "__struct_fields__", ()):
        yield getattr(value, name, None)


def in_redis(server: RedisServer, words: Iterable[str]) -> Mapping[str, str]:
    """Return in which keys of a server, or under which names, a word stands, by word."""
    found: dict[str, str] = {}
    with Client.from_url(server.url) as client:
        for key in client.scan_iter(count=1000):
            everything = key + b"\n" + _all_of(client, key)
            for word in words:
                if word.encode() in everything:
                    found.setdefault(word, key.decode(errors="replace"))
    return found


def _all_of(client: Any, key: bytes) -> bytes:
    kind = client.type(key)
    reads: Mapping[bytes, Callable[[], Iterable[Any]]] = {
        b"string": lambda: [client.get(key)],
        b"hash": lambda: [each for pair in client.hgetall(key).items() for each in pair],
        b"list": lambda: client.lrange(key, 0, -1),
        b"set": lambda: client.smembers(key),
        b"zset": lambda: client.zrange(key, 0, -1),
        b"stream": lambda: [each for _, fields in client.xrange(key) for pair in fields.items() for each in pair],
        b"none": list,  # It has ended meanwhile.
    }
    return b"\n".join(filter(None, reads[kind]()))


def in_files(folder: Path, words: Iterable[str]) -> Mapping[str, str]:
    """Return in which files below a folder, or in which names, a word stands, by word."""
    found: dict[str, str] = {}
    for path in folder.rglob("*"):
        raw = str(path.relative_to(folder)).encode() + (path.read_bytes() if path.is_file() else b"")
        for word in words:
            if word.encode() in raw:
                found.setdefault(word, str(path))
    return found
