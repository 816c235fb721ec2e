"""Who wants what: kept in Redis, remembered here for as long as nobody changes it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import msgspec
from redis.exceptions import ResponseError

from tta_kernel import check_duration
from tta_messages import Filter, Message, MessagesError, Subscription
from tta_messages.prepare import check_queue, subscription_id
from tta_redis import RedisDown

from . import layout, wire
from .store import QUARANTINE_MS, Store, translated

_LIMIT = 10_000


class _StoredFilter(msgspec.Struct, frozen=True, array_like=True):
    queue: str
    types: tuple[str, ...] = ()
    topics: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()


class _Known(NamedTuple):
    revision: bytes = b"?"
    all: tuple[tuple[Subscription, int], ...] = ()
    """With when each ends, in µs."""


class Subscriptions:
    """Asks for their revision with each publish, so that whoever has subscribed is heard from then on."""

    def __init__(self, store: Store, prefix: str) -> None:
        self._store = store
        self._keys = [f"{prefix}:messages:{{subscriptions}}:{part}".encode() for part in layout.SUBSCRIPTION_KEYS]
        self._known = _Known()

    async def add(self, queue: str, wanted: Filter, ttl: float) -> Subscription:
        """Add one, or renew it."""
        check_duration("ttl", ttl, positive=True)
        id = subscription_id(check_queue(queue), wanted)
        stored = msgspec.msgpack.encode(_StoredFilter(queue, wanted.types, wanted.topics, wanted.tags))
        at = await self._run("add", id, stored, min(ttl, wire.FOR_EVER), _LIMIT)
        if at is None:
            raise MessagesError(f"there are {_LIMIT} subscriptions")
        return Subscription(id, queue, wanted, int(at) / 1e6)

    async def remove(self, id: str) -> bool:
        """End one; False if there was none."""
        return bool(await self._run("remove", id))

    async def all(self) -> Sequence[Subscription]:
        """Return those of now, by id."""
        now, *news = await self._run("look", self._known.revision)
        if len(news) > 1:
            self._known = _read(*news)
        return [subscription for subscription, at in self._known.all if at > int(now)]

    async def queues(self, message: Message) -> list[str]:
        """Return the queues that want a message."""
        return sorted({each.queue for each in await self.all() if each.filter.fits(message)})

    async def _run(self, *args: Any) -> Any:
        scripts = self._store.scripts
        for again in (False, True):
            try:
                return await scripts.subscriptions(self._keys, args, retry=args[0] != "remove")
            except RedisDown as exc:
                raise translated(exc) from exc
            except ResponseError as exc:
                if again or "WRONGTYPE" not in str(exc):
                    raise translated(exc) from exc
                types = (QUARANTINE_MS, *layout.SUBSCRIPTION_KEYS.values())
                await self._store.quarantine("subscriptions", scripts.quarantine, self._keys, types)
        raise AssertionError


def _read(revision: bytes, ids: Sequence[bytes], filters: Sequence[bytes | None], ends: Sequence[bytes]) -> _Known:
    found = []
    for id, packed, at in zip(ids, filters, ends, strict=True):
        try:
            stored = msgspec.msgpack.decode(packed or b"", type=_StoredFilter)
        except (msgspec.DecodeError, RecursionError):
            continue  # Somebody else's: it wants nothing that we have, and it ends.
        filter_ = Filter(stored.types, stored.topics, stored.tags)
        end = int(float(at))
        found.append((Subscription(id.decode(errors="replace"), stored.queue, filter_, end / 1e6), end))
    return _Known(revision, tuple(sorted(found, key=lambda each: each[0].id)))
