"""A record in memory, and how an entry becomes one."""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from itertools import islice

from msgspec.structs import replace

from tta_kernel import correlation_id

from .chain import Chain, Link, link_of, read_line, scan, verdicts
from .model import MOST_DETAILS, Detail, Entry, Record, Verdict, position
from .people import new_secret, pseudonym_of

LONGEST = 200
"""Characters of a field; what is longer was no identifier."""


def stamped(entry: Entry, at: float) -> Record:
    """Return the record of an entry, but for what its chain and its store know; long fields are cut.

    ``at`` is in seconds, to the microsecond.
    """
    texts: tuple[str, ...] = (entry.what, entry.who, entry.kind, entry.target, entry.code, entry.address)
    together = "".join(texts)
    # Most entries are short and plain, and of decisions about tools tens of thousands come in a second.
    if not together.isascii() or len(together) > LONGEST:
        texts = tuple(map(plain, texts))
    what, who, kind, target, code, address = texts
    correlation = entry.correlation_id or correlation_id.get()
    return Record(
        v=1,
        chain="",
        number=0,
        at=at,
        what=what,
        who=who,
        kind=kind,
        outcome=entry.outcome,
        target=target,
        code=code,
        address=address,
        correlation_id=correlation and plain(correlation),
        details=_details(entry.details) if entry.details else {},
    )


def plain(text: str) -> str:
    """Return a text as a field may hold it."""
    if text.isascii() and len(text) <= LONGEST:
        return text
    # Half a character, as of a name that isn't UTF-8, can't be encoded.
    return text[:LONGEST].encode("utf-8", "replace").decode()


def _details(given: Mapping[str, Detail]) -> Mapping[str, Detail]:
    found: dict[str, Detail] = {}
    for name, value in given.items():
        # Without a call for what is as it may be: it is what most of an entry consists of.
        if type(value) is str and value.isascii() and len(value) <= LONGEST:
            found[plain(name)] = value
        else:
            found[plain(name)] = _detail(value)
        if len(found) == MOST_DETAILS:
            break
    return found


def _detail(value: Detail) -> Detail:
    if isinstance(value, str):
        return plain(value)
    if isinstance(value, int | float):
        return float(value) if math.isfinite(value) else 0.0
    return [*map(plain, islice(value, MOST_DETAILS))]


def matches(record: Record, *, before: str, who: str, what: str, owner: str) -> bool:
    """Say whether a record is looked for; ``owner`` is the pseudonym."""
    if before and position(record) >= before:
        return False
    if who and record.who != who:
        return False
    if owner and record.owner != owner:
        return False
    return not what or record.what == what or (what.endswith(".*") and record.what.startswith(what[:-1]))


class MemoryAudit:
    """The last ``limit`` records of this process."""

    def __init__(self, limit: int = 10_000, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._limit = limit
        self._chain = Chain("memory")
        self._lines: deque[bytes] = deque(maxlen=limit)
        self._people: dict[str, bytes] = {}
        self._anchor: Link | None = None
        """The last record that was dropped."""

    async def record(self, entry: Entry) -> None:
        self._record(entry)

    async def record_all(self, entries: Sequence[Entry]) -> None:
        for entry in entries:
            self._record(entry)

    def _record(self, entry: Entry) -> None:
        record = stamped(entry, round(self._clock(), 6))
        if entry.owner:
            record = replace(record, owner=pseudonym_of(self._key(entry.owner), entry.owner))
        if len(self._lines) == self._lines.maxlen:
            self._anchor = link_of(self._lines[0])
        self._lines.append(self._chain.add(record))

    async def read(
        self, *, limit: int = 100, before: str = "", who: str = "", what: str = "", owner: str = ""
    ) -> Sequence[Record]:
        if owner and owner not in self._people:
            return ()
        pseudonym = pseudonym_of(self._people[owner], owner) if owner else ""
        found = (each for each in map(read_line, reversed(self._lines)) if isinstance(each, Record))
        wanted = (each for each in found if matches(each, before=before, who=who, what=what, owner=pseudonym))
        return [*islice(wanted, limit)]

    async def verify(self) -> Sequence[Verdict]:
        return verdicts([scan("memory", self._lines, self._anchor)])

    async def forget(self, user: str) -> int:
        return int(self._people.pop(user, None) is not None)

    def _key(self, user: str) -> bytes:
        key = self._people.pop(user, None) or new_secret()
        self._people[user] = key
        if len(self._people) > self._limit:
            del self._people[next(iter(self._people))]
        return key
