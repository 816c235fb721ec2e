"""Reviews on Redis: each ends by itself, and so does whatever names it."""

from __future__ import annotations

import logging
import secrets
from collections.abc import Sequence

import msgspec
from redis.exceptions import ResponseError

from tta_kernel import check_count, check_duration
from tta_redis import Redis, Replication, StoreErrors
from tta_safety import Review, ReviewsError
from tta_safety.reviews import LARGEST, position

from . import scripts
from .layout import FORMAT, ReviewKeys

log = logging.getLogger("tta.safety-redis")
_review = msgspec.msgpack.Decoder(Review)
_AT_ONCE = 100
_REFUSED_FOR = 3_600_000
"""Milliseconds for which a review that was sent before its person was forgotten is refused: no call lasts as long."""
_store_errors = StoreErrors(lambda exc: ReviewsError(f"the store of reviews: {exc}"))


class RedisReviews:
    """The reviews of all processes that share a Redis: ``most`` of ``size`` bytes in all, each for ``keep`` seconds.

    A write waits up to ``wait_timeout`` until ``wait_replicas`` have it, and counts whether they do or not.
    """

    def __init__(
        self, redis: Redis, *, most: int = 10_000, size: int = 64 * 2**20, keep: float = 7 * 86400.0,
        wait_replicas: int = 0, wait_timeout: float = 1.0,
    ) -> None:  # fmt: skip
        check_count("most", most)
        check_count("size", size)
        check_duration("keep", keep, positive=True)
        self._redis, self._keys = redis, ReviewKeys(redis)
        self._most, self._size, self._keep = most, size, max(1, int(keep * 1000))
        self._replication = Replication(wait_replicas, wait_timeout, what="reviews", log=log)
        self._add = redis.script(scripts.ADD)
        self._remove = redis.script(scripts.REMOVE)
        self._ended = redis.script(scripts.ENDED)
        self.added = 0

    @property
    def unconfirmed(self) -> str:
        """Say why the last write would be lost with its master; nothing where enough replicas have it."""
        return self._replication.unconfirmed

    async def add(self, review: Review) -> None:
        packed = msgspec.msgpack.encode(review)
        _review.decode(packed)  # Only to see whether it comes back.
        if len(packed) > LARGEST:
            raise ReviewsError(f"a review has {len(packed):,} bytes, of at most {LARGEST:,}")
        place, about = position(review), f"{len(packed)} {review.owner}"
        forgotten = self._keys.forgotten(review.owner)
        with _store_errors:
            sign = await self._redis.execute("GET", forgotten) or b""
            arguments: list[str | bytes | int | float] = [
                place, FORMAT, packed, about, len(packed), int(bool(review.owner)), self._keep, self._most, self._size,
                sign,
            ]  # fmt: skip
            await self._drop_ended()
            while True:
                status, found = await self._replication.run(
                    self._add, [*self._places(review.id, review.owner), forgotten], arguments
                )  # fmt: skip
                if status == b"forgotten":
                    return
                if status == b"format":
                    raise _newer(review.id, found)
                if status == b"added":
                    break
                await self._drop(found)
            self.added += 1
            await self._make_room(found)

    async def get(self, id: str) -> Review | None:
        with _store_errors:
            [found] = await self._read([id])
        return found

    async def list(self, *, limit: int = 100, before: str = "", owner: str = "") -> Sequence[Review]:
        places = self._keys.owner(owner) if owner else self._keys.all
        found: list[Review] = []
        last = f"({before}" if before else "+"
        with _store_errors:
            while len(found) < limit:
                # What has ended by itself stands in its list still, and is passed over.
                some = await self._redis.execute("ZREVRANGEBYLEX", places, last, "-", "LIMIT", 0, limit - len(found))
                if not some:
                    break
                found += [each for each in await self._read([_id(place) for place in some]) if each is not None]
                last = b"(" + some[-1]
        return found

    async def delete(self, id: str) -> bool:
        with _store_errors:
            place = await self._redis.execute("HGET", self._keys.review(id), "place")
            return place is not None and await self._drop(place) > 0

    async def forget(self, user: str) -> int:
        if not user:
            return 0
        count = 0
        with _store_errors:
            # First: what is on its way is refused from now on.
            sign = self._keys.forgotten(user)
            await self._redis.execute("SET", sign, secrets.token_hex(8), "PX", _REFUSED_FOR, retry=True)
            while places := await self._redis.execute("ZRANGE", self._keys.owner(user), 0, _AT_ONCE - 1):
                for place in places:
                    removed, _ = await self._remove_at(place, user)
                    count += removed
            unconfirmed = await self._replication.confirm(self._redis, [self._keys.all])
        if unconfirmed:
            raise ReviewsError(f"{count} reviews are forgotten, and {unconfirmed}: forget once more")
        return count

    async def count(self) -> int:
        """Count the reviews, but for those that have ended since the last was added."""
        with _store_errors:
            return int(await self._redis.execute("ZCARD", self._keys.all))

    async def _read(self, ids: Sequence[str]) -> Sequence[Review | None]:
        """Read reviews; None stands for one that is gone, that can't be read, or that a newer release wrote."""
        commands = [("HMGET", self._keys.review(id), "format", "packed") for id in ids]
        replies = await self._redis.pipeline(*commands, key=self._keys.all)
        return [_decoded(id, reply) for id, reply in zip(ids, replies, strict=True)]

    async def _make_room(self, oldest: bytes) -> None:
        """Delete reviews, the oldest first, until there are no more than there may be."""
        while oldest:
            _, oldest = await self._remove_at(oldest, await self._owner_at(oldest))

    async def _drop_ended(self) -> None:
        """Take what has ended by itself out of all lists."""
        for place in await self._ended([self._keys.ends], [_AT_ONCE], retry=True):
            await self._drop(place)

    async def _drop(self, place: bytes) -> int:
        removed, _ = await self._remove_at(place, await self._owner_at(place))
        return removed

    async def _owner_at(self, place: bytes) -> str:
        about = await self._redis.execute("HGET", self._keys.about, place)
        return (about or b"").partition(b" ")[2].decode()

    async def _remove_at(self, place: bytes, owner: str) -> tuple[int, bytes]:
        """Delete what stands at a place; return how many that were, and the oldest place if there are too many."""
        removed, oldest = await self._remove(
            self._places(_id(place), owner), [place, self._most, self._size], retry=True
        )  # fmt: skip
        return int(removed), oldest

    def _places(self, id: str, owner: str) -> Sequence[str]:
        keys = self._keys
        return keys.review(id), keys.all, keys.ends, keys.about, keys.size, keys.owner(owner)


def _id(place: bytes) -> str:
    return place.decode().partition("/")[2]


def _decoded(id: str, reply: object) -> Review | None:
    if isinstance(reply, ResponseError):
        log.error("what lies under the key of the review %a isn't one: %s", id, reply)
        return None
    assert isinstance(reply, list)
    format, packed = reply
    if format is None or packed is None:
        return None
    if format != str(FORMAT).encode():
        log.warning("%s", _newer(id, format))
        return None
    try:
        return _review.decode(packed)
    except (msgspec.DecodeError, RecursionError):
        # It ends as any other, or with its person, whose list has it.
        log.error("the review %a can't be read, and is passed over", id)  # noqa: TRY400 - the text is a person's
        return None


def _newer(id: str, format: bytes) -> ReviewsError:
    return ReviewsError(
        f"the review {id!a} was written by a newer release, in format {format.decode(errors='replace')}, and this one "
        f"knows formats up to {FORMAT}; it was left as it is"
    )
