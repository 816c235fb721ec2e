"""Chains in lists: a process has one, and adds to it only where it ends as this process remembers."""

from __future__ import annotations

import logging
import time
from collections.abc import AsyncIterator, Callable, Sequence

import anyio
from msgspec.structs import replace
from redis.exceptions import ResponseError

from tta_audit import (
    BEGAN,
    AuditError,
    Chain,
    Entry,
    Link,
    Record,
    Scan,
    Verdict,
    chain_name,
    link_of,
    matches,
    new_secret,
    place_of,
    position,
    pseudonym_of,
    read_line,
    scan,
    stamped,
    verdicts,
)
from tta_redis import Redis, Replication, StoreErrors

from .scripts import ADD, OWNER

log = logging.getLogger("tta.audit-redis")
_store_errors = StoreErrors(lambda exc: AuditError(f"the store of records: {exc}"))
_PAGE = 500
"""Records that are read in one go."""
_MOST_CHAINS = 10_000
_SLACK = 2.0
"""Seconds by which the clocks of hosts may differ before a page of records is out of order."""


class RedisAudit:
    """A record of all processes that share a Redis; each has a chain of its own.

    An entry waits up to ``wait_timeout`` until ``wait_replicas`` have it, and counts whether they do or not: it is
    stored. ``unconfirmed`` says how it was with the last one, and is empty where enough had it.
    """

    def __init__(
        self, redis: Redis, *, keep: float, limit: int = 100_000, clock: Callable[[], float] = time.time,
        wait_replicas: int = 0, wait_timeout: float = 1.0,
    ) -> None:  # fmt: skip
        self.recorded = 0
        self.trouble = ""
        self._redis = redis
        self._keep = round(keep * 1000)
        self._limit = limit
        self._clock = clock
        self._chains = redis.key("audit", "chains")
        self._secret_key = redis.key("audit", "secret")
        self._secret: bytes | None = None
        self._add = redis.script(ADD)
        self._owner = redis.script(OWNER)
        self._chain = Chain(chain_name(clock()))
        self._doubt: Chain | None = None
        """Where the chain ends if what was added last has arrived; nobody knows that yet."""
        self._at = 0.0
        self._lock = anyio.Lock()
        self._replication = Replication(wait_replicas, wait_timeout, what="records", log=log)

    @property
    def unconfirmed(self) -> str:
        """Say why the last entry would be lost with its master; nothing where enough replicas have it."""
        return self._replication.unconfirmed

    async def record(self, entry: Entry) -> None:
        # What has been done must be recorded, also where nobody waits for its caller any more.
        with anyio.CancelScope(shield=True):
            async with self._lock:
                await self._record(entry)

    async def record_all(self, entries: Sequence[Entry]) -> None:
        with anyio.CancelScope(shield=True):
            async with self._lock:
                for entry in entries:
                    await self._record(entry)

    async def read(
        self, *, limit: int = 100, before: str = "", who: str = "", what: str = "", owner: str = ""
    ) -> Sequence[Record]:
        with _store_errors:
            pseudonym = await self._pseudonym(owner, make=False) if owner else ""
            if owner and not pseudonym:
                return []
            found: list[Record] = []
            for chain, last in await self._newest():
                if len(found) == limit and found[-1].at > last + _SLACK:
                    break  # No record of this chain, nor of those after it, is newer.
                mine: list[Record] = []
                async for page in self._backwards(chain):
                    mine += (each for each in page if matches(each, before=before, who=who, what=what, owner=pseudonym))
                    if len(mine) >= limit:
                        break
                found = sorted([*found, *mine], key=position, reverse=True)[:limit]
            return found

    async def verify(self) -> Sequence[Verdict]:
        with _store_errors:
            scans = {chain: await self._scan(chain) for chain, _ in await self._newest()}
            for chain, each in [*scans.items()]:
                if each.problem(scans):
                    # Another may hold on to what was added after this one was looked at.
                    scans[chain] = await self._scan(chain)
            return verdicts(scans.values())

    async def forget(self, user: str) -> int:
        with _store_errors:
            place = await self._place(user)
            pseudonym = await self._pseudonym(user, make=False)
            if pseudonym:
                entry = Entry(what="audit.forgot", who="tta", kind="local", outcome="done")
                with anyio.CancelScope(shield=True):
                    async with self._lock:
                        await self._append(replace(stamped(entry, 0.0), owner=pseudonym))
                await self._redis.execute("DEL", place, retry=True)
            # Also where the key was deleted before: whoever was told to forget once more wants to know that it is.
            if wanting := await self._replication.confirm(self._redis, [place]):
                raise AuditError(
                    f"a person's key is deleted, but {wanting}: after a failover it could be there again, "
                    "so forget once more"
                )
            return 1 if pseudonym else 0

    async def _record(self, entry: Entry) -> None:
        try:
            with _store_errors:
                owner = await self._pseudonym(entry.owner, make=True) if entry.owner else ""
                await self._append(replace(stamped(entry, 0.0), owner=owner))
        except AuditError as exc:
            self.trouble = str(exc)
            raise
        self.trouble = ""
        self.recorded += 1

    async def _append(self, record: Record) -> None:
        await self._settle()
        if self._chain.number == 0:
            link = await self._newest_head()
            entry = Entry(what=BEGAN, who="tta", kind="local", outcome="done")
            await self._write(replace(stamped(entry, 0.0), target=str(link or "")))
        await self._write(record)

    async def _write(self, record: Record) -> None:
        chain = self._chain.copy()
        self._at = max(self._at, round(self._clock(), 6))
        line = chain.add(replace(record, at=self._at))
        name = chain.name
        # First who is found by it: a crash leaves a name without records, never records that nobody finds.
        await self._redis.execute("ZADD", self._chains, self._at, name, retry=True)
        self._doubt = chain
        arguments = [self._chain.head, chain.head, line, self._limit, self._keep]
        done = await self._replication.run(self._add, self._keys(name), arguments)
        self._doubt = None
        if not done:
            await self._begin_anew()
            raise AuditError("somebody else has added to this process's chain, or taken it away: it begins another")
        self._chain = chain

    async def _settle(self) -> None:
        """Find out whether what was added last has arrived, of which no answer came."""
        if self._doubt is None:
            return
        head = await self._redis.execute("GET", self._keys(self._chain.name)[1])
        if head is not None and head.decode(errors="replace") == self._doubt.head:
            self._chain = self._doubt
        self._doubt = None

    async def _begin_anew(self) -> None:
        self._chain = Chain(chain_name(self._clock()))

    async def _newest(self) -> list[tuple[str, float]]:
        """Return all chains, and when each was last added to, the newest first; drop from the index what has ended."""
        since = self._clock() - self._keep / 1000
        await self._redis.execute("ZREMRANGEBYSCORE", self._chains, "-inf", f"({since}", retry=True)
        raw = await self._redis.execute("ZREVRANGE", self._chains, 0, _MOST_CHAINS - 1, "WITHSCORES")
        flat = [each for pair in raw for each in pair] if raw and isinstance(raw[0], list | tuple) else raw
        names = [bytes(name).decode(errors="replace") for name in flat[::2]]
        return list(zip(names, map(float, flat[1::2]), strict=True))

    async def _newest_head(self) -> Link | None:
        for chain, _ in await self._newest():
            line = await self._redis.execute("LINDEX", self._keys(chain)[0], -1)
            if line is not None and (link := link_of(line)):
                return link
        return None

    async def _backwards(self, chain: str) -> AsyncIterator[list[Record]]:
        lines = self._keys(chain)[0]
        end = -1
        while page := await self._redis.execute("LRANGE", lines, end - _PAGE + 1, end):
            yield [each for each in map(read_line, reversed(page)) if isinstance(each, Record)]
            if len(page) < _PAGE:
                return
            end -= _PAGE

    async def _scan(self, chain: str) -> Scan:
        lines, _, anchor = self._keys(chain)
        dropped, kept = await self._redis.pipeline(("GET", anchor), ("LRANGE", lines, 0, -1), key=lines)
        for each in (dropped, kept):
            if isinstance(each, ResponseError):
                raise each
        since = self._clock() - self._keep / 1000
        return scan(chain, kept, link_of(dropped) if dropped else None, since=since)

    async def _pseudonym(self, user: str, *, make: bool) -> str:
        place = await self._place(user)
        fresh = new_secret().hex() if make else ""
        if make:
            # It may lie with another master than the records.
            key = await self._replication.run(self._owner, [place], [fresh, self._keep])
        else:
            key = await self._owner([place], [fresh, self._keep], retry=True)
        return pseudonym_of(bytes(key), user) if key else ""

    async def _place(self, user: str) -> str:
        """Return where a person's key is, or would be."""
        if self._secret is None:
            await self._redis.execute("SET", self._secret_key, new_secret().hex(), "NX", retry=True)
            self._secret = bytes(await self._redis.execute("GET", self._secret_key))
        place = place_of(self._secret, user)
        return self._redis.key("audit", "owner", tag=place)

    def _keys(self, chain: str) -> list[str]:
        """Return the keys of a chain: its lines, the digest of the last, and the last line that was dropped."""
        return [self._redis.key("audit", part, tag=chain) for part in ("lines", "head", "anchor")]
