"""A layer of rules on Redis: one text for all processes, which hear at once of another one."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio

from tta_kernel import check_count, check_duration
from tta_redis import Redis, Signal, StoreErrors
from tta_safety.rules import RulesChanged, RuleSourceError, RuleText

from . import scripts
from .layout import FORMAT, RuleKeys

_store_errors = StoreErrors(lambda exc: RuleSourceError(f"the shared rules: {exc}"))


class RedisRuleSource:
    """The shared layer of rules: of ``size`` bytes at most, and looked at every ``poll`` seconds at least.

    A notification that is lost, and a layer that ends by itself, are seen with the next look.
    """

    def __init__(self, redis: Redis, *, size: int = 1_000_000, poll: float = 10.0) -> None:
        check_count("size", size)
        check_duration("poll", poll, positive=True)
        self._redis, self._size, self._poll = redis, size, poll
        self._keys = RuleKeys(redis)
        self._where = f"redis key {self._keys.layer}"
        self._read = redis.script(scripts.READ_RULES)
        self._write = redis.script(scripts.WRITE_RULES)
        self._heard = anyio.Event()

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[None]:
        """Hear of changes for as long as the block."""
        async with self._redis.subscribe(self._keys.channel, callback=self._hear):
            yield

    def _hear(self, signal: Signal | None) -> None:
        self._heard.set()

    async def read(self) -> RuleText | None:
        with _store_errors:
            status, *found = await self._read([self._keys.layer], [FORMAT, self._size], retry=True)
        match status, found:
            case b"none", _:
                return None
            case b"ok", [tag, text] if tag.partition(b":")[2] == _checksum(text):
                return RuleText(text.decode(), tag.decode(), self._where)
            case b"format", [format]:
                raise self._newer(format)
            case b"large", [size]:
                what = f"has {int(size):,} bytes, of at most {self._size:,}"
                raise RuleSourceError(f"{self._where}: {what}; plugins.safety-redis.config.rules_size says how many")
            case _:
                raise RuleSourceError(
                    f"{self._where}: isn't what was written there; delete it, and write the rules again"
                )

    async def changed(self, tag: str) -> None:
        while True:
            # Before the look: what changes after it is heard.
            if self._heard.is_set():
                self._heard = anyio.Event()
            heard = self._heard
            with _store_errors:
                found = await self._redis.execute("HGET", self._keys.layer, "tag")
            if (found or b"").decode(errors="replace") != tag:
                return
            with anyio.move_on_after(self._poll):
                await heard.wait()

    async def write(self, text: str, *, tag: str, ttl: float | None = None) -> str:
        raw = text.encode()
        if len(raw) > self._size:
            raise RuleSourceError(
                f"rules of {len(raw):,} bytes, of at most {self._size:,}; plugins.safety-redis.config.rules_size says "
                "how many"
            )
        if ttl is not None:
            check_duration("ttl", ttl, positive=True)
        kept = 0 if ttl is None else max(1, int(ttl * 1000))
        arguments: list[str | bytes | int | float] = [
            FORMAT, tag, secrets.token_hex(16), raw, _checksum(raw), kept, self._keys.channel,
        ]  # fmt: skip
        with _store_errors:
            status, *found = await self._write([self._keys.layer, self._keys.writes], arguments, retry=True)
        if status == b"format":
            raise self._newer(found[0])
        if status == b"changed":
            raise RulesChanged(f"{self._where}: somebody else has written it since")
        return str(found[0].decode())

    def _newer(self, format: bytes) -> RuleSourceError:
        return RuleSourceError(
            f"{self._where}: was written by a newer release, in format {format.decode(errors='replace')}, and this one "
            f"knows formats up to {FORMAT}; it was left as it is"
        )


def _checksum(text: bytes) -> bytes:
    return hashlib.sha256(text).hexdigest().encode()
