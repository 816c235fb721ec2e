"""What calls came to, on Redis: under their own keys, and for others that have equal arguments."""

from __future__ import annotations

from tta_redis import Redis, Replication
from tta_tools import ToolStoreError
from tta_tools.store import Claim

from . import keeping
from .layout import ledger
from .part import Part, milliseconds, owner_place, store_errors


class Results(Part):
    """At most ``most`` of each kind; those for others have ``size`` bytes in all, and so have those of keys."""

    def __init__(self, redis: Redis, replication: Replication, *, most: int, size: int) -> None:
        super().__init__(redis, replication, most=most)
        self._size = size
        self._calls, self._kept = ledger(redis, "calls"), ledger(redis, "results")
        self.places = (self._calls[0], self._kept[0])
        self._claim = redis.script(keeping.CLAIM)
        self._keep = redis.script(keeping.KEEP)
        self._release = redis.script(keeping.RELEASE)
        self._fetch = redis.script(keeping.FETCH)
        self._put = redis.script(keeping.PUT)
        self._forget = redis.script(keeping.FORGET)

    async def claim(
        self, key: str, fingerprint: str, token: str, *, lease: float, ttl: float, again: bool, owner: str
    ) -> Claim:
        arguments = [
            key, fingerprint, token, milliseconds(lease), milliseconds(ttl), int(again), owner_place(owner), self._most,
        ]  # fmt: skip
        with store_errors:
            answer = await self._replication.run(self._claim, self._calls, arguments)
        match answer:
            case [b"claimed"]:
                return Claim(state="claimed")
            case [b"kept", value]:
                return Claim(state="kept", value=value)
            case [b"running", left]:
                return Claim(state="running", left=left / 1000)
            case [b"in_doubt"]:
                return Claim(state="in_doubt")
            case [b"other"]:
                return Claim(state="other")
        raise ToolStoreError(f"the keys of {self._most} calls are kept, and no more may be: leave keys out, or wait")

    async def keep(self, key: str, token: str, value: bytes, *, ttl: float) -> bool:
        with store_errors:
            arguments = [key, token, value, milliseconds(ttl), self._size]
            answer = await self._replication.run(self._keep, self._calls, arguments)
        if answer == b"full":
            raise ToolStoreError(f"results of calls with keys have {self._size} bytes, and no more may be")
        return bool(answer == b"kept")

    async def release(self, key: str, token: str) -> bool:
        with store_errors:
            return bool(await self._replication.run(self._release, self._calls, [key, token]))

    async def fetch(self, key: str) -> bytes | None:
        values, _, ends, *_ = self._kept
        with store_errors:
            found = await self._fetch([values, ends], [key], retry=True)
        return bytes(found) if found is not None else None

    async def put(self, key: str, value: bytes, *, ttl: float, owner: str) -> None:
        with store_errors:
            # A result that is lost with its server is made again, so nobody waits for replicas.
            arguments: list[str | bytes | int | float] = [
                key, value, milliseconds(ttl), owner_place(owner), self._most, self._size,
            ]  # fmt: skip
            await self._put(self._kept, arguments, retry=True)

    async def forget(self, owner: str) -> int:
        """Erase a person's results and claims, and return how many."""
        count = 0
        for places in self._calls, self._kept:
            while True:
                found, dropped = await self._replication.run(self._forget, places, [owner_place(owner)])
                count += dropped
                if not found:
                    break
        return count
