"""What an operator does with queues, and what is seen of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from time import time
from typing import Any

from redis.exceptions import ResponseError

from tta_messages import Codec, DeadLetter, HistoryEntry, QueueSettings, QueueStats, Requeued
from tta_messages.prepare import check_limit, check_queue
from tta_program import checked
from tta_redis import Redis, RedisDown

from . import wire
from .index import QueueIndex
from .queues import CHUNK, Queue, Queues
from .store import Store, translated

_BECAME = {"r": Requeued.REQUEUED, "f": Requeued.QUEUE_FULL, "a": Requeued.ALIVE, "u": Requeued.UNKNOWN}


class Admin:
    """Shows and changes what is kept."""

    def __init__(self, redis: Redis, store: Store, queues: Queues, index: QueueIndex, codec: Codec) -> None:
        self._redis, self._store, self._queues, self._index, self._codec = redis, store, queues, index, codec

    async def recover(self, queue: str | None) -> Mapping[str, int]:
        async def recover(known: Queue) -> int:
            found, more = 0, 1
            while more:
                count, more = (await self._run(known, "recover"))[0]
                found += count
            return found

        return {name: count for name, count in (await self._queues.each(queue, recover)).items() if count}

    async def configure(self, queue: str, settings: QueueSettings) -> None:
        settings = checked("settings", settings)
        known = self._queues[check_queue(queue)]
        await self._queues.enter(known, settings.ttl + settings.dead_ttl)
        await self._run(known, "configure", wire.pack_settings(settings))

    async def settings(self, queue: str) -> QueueSettings:
        packed = (await self._run(self._queues[check_queue(queue)], "settings"))[0]
        return wire.read_settings(packed) or self._queues.settings(queue)

    async def purge(self, queue: str) -> int:
        return await self._repeat(self._queues[check_queue(queue)], "purge")

    async def drop(self, queue: str) -> bool:
        known = self._queues[check_queue(queue)]
        # Whoever sends to it from now on finds it unlisted, and lists it again.
        if not (await self._run(known, "empty"))[0]:
            return False
        await self._index.remove(queue)
        if (await self._run(known, "drop"))[0]:
            return True
        await self._queues.list(known)
        return False

    async def dead(self, queue: str, *, limit: int, after: str = "") -> Sequence[DeadLetter]:
        check_limit(limit)
        known = self._queues[check_queue(queue)]
        found: list[DeadLetter] = []
        while len(found) < limit:
            page = min(limit - len(found), 100)
            letters = self._letters(known, (await self._run(known, "dead", page, after))[0])
            found += letters
            if len(letters) < page:
                break
            after = letters[-1].id
        return found

    def _letters(self, queue: Queue, flat: Sequence[bytes]) -> list[DeadLetter]:
        pairs = zip(flat[::2], flat[1::2], strict=True)
        return [wire.read_letter(self._codec, queue.name, id, letter) for id, letter in pairs]

    async def requeue(self, queue: str, ids: Sequence[str]) -> Mapping[str, Requeued]:
        known, found = self._queues[check_queue(queue)], dict.fromkeys(ids, Requeued.UNKNOWN)
        await self._queues.enter(known)
        if ids:
            chosen = list(found)
            groups: list[Sequence[DeadLetter]] = [
                self._letters(known, (await self._run(known, "letters", *chosen[n : n + 100]))[0])
                for n in range(0, len(chosen), 100)
            ]
        else:
            everything = await self.dead(queue, limit=1_000_000)
            groups = [everything[n : n + 100] for n in range(0, len(everything), 100)]
        for letters in groups:
            found |= await self._requeue(known, letters)
        return found

    async def _requeue(self, queue: Queue, letters: Sequence[DeadLetter]) -> Mapping[str, Requeued]:
        found = {letter.id: Requeued.CORRUPT for letter in letters}
        args: list[Any] = []
        for letter in letters:
            if letter.message is not None:
                ttl = letter.message.ttl
                args += (letter.id, "" if ttl is None else min(ttl, wire.FOR_EVER))
        if args:
            became = (await self._run(queue, "requeue", *args))[0].decode()
            found |= {id: _BECAME[letter] for id, letter in zip(args[::2], became, strict=True)}
        return found

    async def purge_dead(self, queue: str, ids: Sequence[str]) -> int:
        known = self._queues[check_queue(queue)]
        if not ids:
            return await self._repeat(known, "purge_dead")
        chunks = [ids[n : n + CHUNK] for n in range(0, len(ids), CHUNK)]
        return sum([(await self._run(known, "purge_dead", *chunk))[0][0] for chunk in chunks])

    async def stats(self, queue: str | None) -> Mapping[str, QueueStats]:
        now = time()

        async def stats(known: Queue) -> QueueStats | None:
            (found, *_) = await self._run(known, "stats")
            return wire.read_stats(self._codec, known.name, found, now) if found or queue else None

        found = await self._queues.each(queue, stats)
        return {name: each for name, each in sorted(found.items()) if each is not None}

    async def history(self, queue: str, *, limit: int) -> Sequence[HistoryEntry]:
        check_limit(limit)
        known = self._queues[check_queue(queue)]
        try:
            entries = await self._redis.execute("XREVRANGE", known.keys.audit, "+", "-", "COUNT", limit)
        except RedisDown as exc:
            raise translated(exc) from exc
        except ResponseError as exc:
            if "WRONGTYPE" not in str(exc):
                raise translated(exc) from exc
            await self._store.repair(queue, known.keys)
            entries = []
        return wire.read_history(entries)[:limit]

    async def forget(self, owner: str) -> int:
        if not owner:
            return 0

        async def forget(known: Queue) -> int:
            found, phase, cursor = 0, b"bodies", b"0"
            while phase:
                count, phase, cursor = (await self._run(known, "forget", wire.owner_digest(owner), phase, cursor))[0]
                found += count
            return found

        return sum((await self._queues.each(None, forget)).values())

    async def _run(self, queue: Queue, *args: Any) -> Sequence[Any]:
        return await self._store.run(self._store.scripts.admin, queue.name, queue.keys, args)

    async def _repeat(self, queue: Queue, what: str) -> int:
        found, more = 0, 1
        while more:
            count, more = (await self._run(queue, what))[0]
            found += count
        return found
