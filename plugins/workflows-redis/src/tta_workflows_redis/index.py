"""Which runs there are: those that are not let go of yet, and all of late, by workflow, session and owner."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

from tta_kernel import check_count
from tta_redis import Redis
from tta_workflows.journal import RunHead, RunPage, RunQuery, RunSummary

from . import layout, scripts

Summaries = Callable[[Sequence[str]], Awaitable[Sequence[RunSummary | None]]]
"""Reads what is kept longest of some runs, or None for each that isn't there."""

READ_AT_ONCE = 200
"""How many runs are looked at in one go."""
MOST_PER_PAGE = 2000
"""How many runs are looked at for one page; it says then where to go on, however few it found."""


class Index:
    """Sorted sets of runs by the time of their creation, each of at most ``most`` runs, the newest.

    They say where to look, and never what a run is: whoever reads one asks the run itself. An entry stands before its
    run does, or together with it where both are on one server, so that none is ever lost, and goes when it is found to
    lead nowhere. ``together`` says so.
    """

    def __init__(self, redis: Redis, *, most: int, ttl: float) -> None:
        self._redis, self._most, self._ttl = redis, most, int(ttl * 1000)
        self.together = redis.config.cluster is None
        self._open = layout.Places.of(redis).open
        self._all = layout.index_key(redis, "all")
        self._enter = redis.script(scripts.ENTER)

    def entry(self, head: RunHead) -> tuple[Sequence[str], Sequence[float | int]]:
        """Return under which keys a run is entered, by which time, and how many an index keeps for how long."""
        keys = [self._open, self._all, layout.index_key(self._redis, "workflow", head.workflow)]
        if head.session:
            keys.append(layout.index_key(self._redis, "session", head.session))
        if head.owner:
            keys.append(layout.index_key(self._redis, "owner", head.owner))
        return keys, (head.created_at, self._most, self._ttl)

    async def add(self, head: RunHead) -> None:
        """Enter a run that is about to be created, or that is taken again."""
        keys, (created_at, most, ttl) = self.entry(head)
        await self._enter(keys, [created_at, head.id, most, ttl], retry=True)

    async def close(self, run: str) -> None:
        """Take a run out of those that somebody has to go on with."""
        await self._redis.execute("ZREM", self._open, run, retry=True)

    async def unfinished(self) -> AsyncIterator[Sequence[str]]:
        """Yield all runs that somebody has to go on with, some at a time; each that stays is among them."""
        cursor = b"0"
        while True:
            cursor, found = await self._redis.execute("ZSCAN", self._open, cursor, "COUNT", READ_AT_ONCE, retry=True)
            if found:
                yield [id.decode(errors="replace") for id in found[::2]]
            if int(cursor) == 0:
                return

    async def page(self, query: RunQuery, summaries: Summaries) -> RunPage:
        """Return a page of the runs that were asked for; ``summaries`` reads them."""
        check_count("most", query.most)
        key = self._narrowest(query)
        found: list[RunSummary] = []
        cursor = query.cursor
        for _ in range(MOST_PER_PAGE // READ_AT_ONCE):
            entries = await self._after(key, cursor)
            for (score, id), summary in zip(entries, await summaries([id for _, id in entries]), strict=True):
                if len(found) == query.most:
                    return RunPage(found, cursor)
                cursor = f"{score!r} {id}"
                if summary is None:
                    await self._redis.execute("ZREM", key, id, retry=True)
                elif _matches(summary, query):
                    found.append(summary)
            if not entries:
                return RunPage(found)
        return RunPage(found, cursor)

    def owned(self, owner: str) -> str:
        """Return the key of a person's index."""
        return layout.index_key(self._redis, "owner", owner)

    def _narrowest(self, query: RunQuery) -> str:
        for by, value in (("owner", query.owner), ("session", query.session), ("workflow", query.workflow)):
            if value:
                return layout.index_key(self._redis, by, value)
        return layout.index_key(self._redis, "all")

    async def _after(self, key: str, cursor: str) -> list[tuple[float, str]]:
        """Return some entries, the newest first, that come after the one at ``cursor``."""
        last = _entry(cursor) if cursor else None
        entries: list[tuple[float, str]] = []
        offset = 0
        while True:
            top = repr(last[0]) if last else "+inf"
            found = await self._redis.execute(
                "ZREVRANGEBYSCORE", key, top, "-inf", "WITHSCORES", "LIMIT", offset, READ_AT_ONCE, retry=True
            )
            pairs = [
                (float(score), id.decode(errors="replace")) for id, score in zip(found[::2], found[1::2], strict=True)
            ]
            # Several runs may have begun in the same instant as the last one of the page before.
            entries += [pair for pair in pairs if last is None or pair < last]
            if entries or len(pairs) < READ_AT_ONCE:
                return entries
            offset += len(pairs)


def _matches(run: RunSummary, query: RunQuery) -> bool:
    return (
        query.workflow in ("", run.workflow)
        and query.status in (None, run.status)
        and query.session in ("", run.session)
        and query.owner in ("", run.owner)
        and query.labels.items() <= run.labels.items()
    )


def _entry(cursor: str) -> tuple[float, str]:
    score, _, id = cursor.partition(" ")
    try:
        return float(score), id
    except ValueError:
        raise ValueError(f"{cursor!r} is no cursor of a page of runs") from None
