"""Breakers on Redis: one script swaps records, and says so to all processes at once."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping, Sequence
from typing import Any

import anyio
import msgspec
from redis.exceptions import ResponseError

from tta_breakers import BreakersError, Record, Records, Swap, is_record
from tta_redis import Redis, RedisDown, Script, Signal

from . import scripts

TAG = "breakers"
FORMAT = 1
_STORED = re.compile(rb"(\d{1,9}) ([^\n]*)\n(.*)", re.DOTALL)
_PAUSE = 1.0
"""Seconds between tries to listen, while no server can be reached."""
_decoder = msgspec.json.Decoder(Record)


class RedisBreakerStore:
    """Keeps ``limit`` breakers, each for ``ttl`` seconds after it changed; what is foreign for ``quarantine``."""

    def __init__(
        self, redis: Redis, log: logging.Logger, *, ttl: float = 86_400.0, limit: int = 10_000,
        quarantine: float = 7 * 86_400.0,
    ) -> None:  # fmt: skip
        self._redis, self._log, self._limit = redis, log, limit
        self._ttl, self._quarantine = int(ttl * 1000), int(quarantine * 1000)
        self._keys = [redis.key("breakers", part, tag=TAG) for part in ("records", "written", "foreign")]
        self.channel = redis.key("breakers", "changed", tag=TAG)
        self._swap, self._read = redis.script(scripts.SWAP), redis.script(scripts.READ)
        self._set_aside = redis.script(scripts.QUARANTINE)
        self._news: dict[str, Record] = {}
        self._missed = True
        self._filled = anyio.Event()

    async def listen(self) -> None:
        """Hear what is changed, for ever."""
        while True:
            try:
                async with self._redis.subscribe(self.channel, callback=self._hear):
                    self._hear(None)  # Of what was changed up to now.
                    await anyio.sleep_forever()
            except RedisDown as exc:
                self._log.debug("changes of breakers can't be heard: %s", exc)
            await anyio.sleep(_PAUSE)

    async def read(self) -> Records:
        seconds, micros, found = await self._run(self._read, [self._quarantine])
        records: dict[str, Record] = {}
        for name, value in zip(*[iter(found)] * 2, strict=True):
            record = _decoded(value)
            if record is not None:
                records[name.decode(errors="replace")] = record
            elif not _is_newer(value):
                await self._run(self._set_aside, [self._quarantine, name, value])
                self._log.warning("what lay under breaker %r was no record; it is in %s", name, self._keys[2])
        return Records(_time(seconds, micros), records)

    async def swap(self, swaps: Sequence[Swap]) -> Records:
        args: list[Any] = [self._quarantine, self.channel, self._ttl, self._limit]
        for swap in swaps:
            args += [swap.name, swap.expected, _encoded(swap.record)]
        # Done twice, the second time finds another stamp than expected: that of the first.
        seconds, micros, *found = await self._run(self._swap, args)
        records: dict[str, Record] = {}
        for swap, value in zip(swaps, found, strict=True):
            record = _decoded(value) if value else Record()
            if record is None:
                raise BreakersError(f"breaker {swap.name} can't be read: {_why(value)}")
            records[swap.name] = record
        return Records(_time(seconds, micros), records)

    async def news(self, *, wait: float) -> Mapping[str, Record] | None:
        if not self._news and not self._missed:
            self._filled = anyio.Event()
            with anyio.move_on_after(wait):
                await self._filled.wait()
        if self._missed:
            # Whoever reads now has all of it.
            self._missed = False
            self._news = {}
            return None
        news, self._news = self._news, {}
        return news

    def _hear(self, signal: Signal | None) -> None:
        if signal is not None:
            name, _, value = signal.payload.partition(b"\n")
            record = _decoded(value)
            if record is not None and len(self._news) < self._limit:
                self._news[name.decode(errors="replace")] = record
            else:
                self._missed = True
        else:
            self._missed = True
        self._filled.set()

    async def _run(self, script: Script, args: Sequence[Any]) -> Any:
        try:
            return await script(self._keys, args, retry=True)  # Twice does no harm.
        except RedisDown as exc:
            raise BreakersError(str(exc)) from exc
        except ResponseError as exc:
            raise BreakersError(f"the server refuses: {exc}") from exc


def _encoded(record: Record) -> bytes:
    return f"{FORMAT} {record.stamp}\n".encode() + msgspec.json.encode(record)


def _decoded(value: bytes) -> Record | None:
    match = _STORED.fullmatch(value)
    if match is None or int(match[1]) != FORMAT:
        return None
    try:
        record = _decoder.decode(match[3])
    except msgspec.DecodeError:
        return None
    return record if is_record(record) and record.stamp.encode() == match[2] else None


def _is_newer(value: bytes) -> bool:
    """Whether a later release wrote it, as during an upgrade: then it is left alone."""
    match = _STORED.fullmatch(value)
    return match is not None and int(match[1]) > FORMAT


def _why(value: bytes) -> str:
    return "a later release wrote it" if _is_newer(value) else "what lies there is no record"


def _time(seconds: bytes, micros: bytes) -> float:
    return int(seconds) + int(micros) / 1e6
