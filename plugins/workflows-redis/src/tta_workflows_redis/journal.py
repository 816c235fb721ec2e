"""Runs on Redis: what happened in each is a list of records, written by whoever holds it and by nobody else."""

from __future__ import annotations

import logging
import time
import uuid
from collections.abc import AsyncIterator, MutableSequence, Sequence
from contextlib import asynccontextmanager
from functools import lru_cache, partial
from secrets import token_hex
from typing import Any

import anyio
import msgspec
from redis.exceptions import ResponseError

from tta_kernel import check_count, check_duration
from tta_redis import Redis, Replication, Script, StoreErrors
from tta_workflows.journal import (
    Appended,
    Behind,
    Commit,
    Fenced,
    JournalCorrupt,
    JournalError,
    JournalFull,
    Journalled,
    Lease,
    Outgoing,
    Reopened,
    RunHead,
    RunPage,
    RunQuery,
    RunStatus,
    RunSummary,
)  # fmt: skip
from tta_workflows.records import CLOSING, AnyRecord, Asked, Ended

from . import layout, scripts
from .index import READ_AT_ONCE, Index
from .waiting import Waiting
from .walk import Walk

log = logging.getLogger("tta.workflows-redis")
_LATE = 60.0
"""After so many seconds between a run's entry and the run, the entry may have been taken for one that leads nowhere."""
FORGET_BATCHES = 1000
"""How many batches one call of `forget` takes, at most: whoever begins runs all the while isn't chased for ever."""
_NUMBER = 12  # digits before each `Outgoing`
_TRIES = 3

_record = msgspec.msgpack.Decoder(AnyRecord)
_head = msgspec.msgpack.Decoder(RunHead)
_input = msgspec.msgpack.Decoder(dict[str, Any])
_outgoing = msgspec.msgpack.Decoder(Outgoing)


class RedisJournal:
    """The runs of all processes that share a Redis; sizes in bytes, times in seconds.

    A run that nobody goes on with ends ``unfinished`` seconds after its last commit, and what is corrupt ``quarantine``
    seconds after it was found. Every ``sweep`` seconds `claim` looks at all runs, also where no process is known to
    have gone. A commit waits up to ``wait_timeout`` until ``wait_replicas`` have it, and counts whether they do or not;
    ``unconfirmed`` says how it was with the last one, and is empty where enough had it.
    """

    durable = True

    def __init__(
        self, redis: Redis, *, most_records: int = 10_000, max_size: int = 16_000_000, runs: int = 100_000,
        unfinished: float = 30 * 86400.0, quarantine: float = 7 * 86400.0, sweep: float = 30.0, poll: float = 5.0,
        wait_replicas: int = 0, wait_timeout: float = 1.0,
    ) -> None:  # fmt: skip
        for name, count in (("most_records", most_records), ("max_size", max_size), ("runs", runs)):
            check_count(name, count)
        for name, duration in (
            ("unfinished", unfinished), ("quarantine", quarantine), ("sweep", sweep), ("poll", poll)
        ):  # fmt: skip
            check_duration(name, duration, positive=True)
        self._redis, self._places = redis, layout.Places.of(redis)
        # Each run asks for its keys some times in a row.
        self._keys = lru_cache(maxsize=4096)(partial(layout.run_keys, redis))
        self._most_records, self._max_size = most_records, max_size
        self._unfinished, self._quarantine_ttl = _ms(unfinished), _ms(quarantine)
        self._sweep, self._poll = sweep, poll
        self._replication = Replication(wait_replicas, wait_timeout, what="runs", log=log)
        # A finished run may be kept longer than an unfinished one; its definition and its entries must outlive both.
        self._index = Index(redis, most=runs, ttl=max(unfinished, 90 * 86400.0))
        self._waiting = Waiting(redis)
        self._scripts = {name: redis.script(getattr(scripts, name)) for name in _SCRIPTS}
        self._kept_definitions: dict[str, float] = {}
        """When this process has seen to it last that a definition stays, by its hash."""
        self._walking = anyio.Lock()
        self._walk = Walk(self._index.unfinished, self._drop_leases, every=sweep)
        self.commits = self.fenced = self.claimed = 0

    @property
    def unconfirmed(self) -> str:
        return self._replication.unconfirmed

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[None]:
        """Be woken by other processes for as long as the block; without it `wait` looks now and then."""
        async with self._waiting.listening():
            yield

    async def join(self, process: str, ttl: float) -> Lease:
        check_duration("ttl", ttl, positive=True)
        lease = Lease(process, token_hex(16))
        with _store_errors:
            await self._script("JOIN")([self._places.leases], [lease.token, _ms(ttl)], retry=True)
        return lease

    async def renew(self, lease: Lease, ttl: float) -> bool:
        check_duration("ttl", ttl, positive=True)
        with _store_errors:
            return bool(await self._script("RENEW")([self._places.leases], [lease.token, _ms(ttl)], retry=True))

    async def leave(self, lease: Lease) -> None:
        with _store_errors:
            await self._script("LEAVE")([self._places.leases], [lease.token, self._waiting.vacancies], retry=True)

    async def define(self, definition: str, packed: bytes) -> None:
        with _store_errors:
            key = layout.definition_key(self._redis, definition)
            await self._redis.execute("SET", key, packed, "PX", 2 * self._unfinished, retry=True)
        self._note_kept(definition)

    async def definition(self, definition: str) -> bytes | None:
        with _store_errors:
            found: bytes | None = await self._redis.execute("GET", layout.definition_key(self._redis, definition))
        return found

    async def create(
        self, lease: Lease, head: RunHead, records: Sequence[AnyRecord] = (), status: RunStatus = "running"
    ) -> tuple[Journalled, bool]:  # fmt: skip
        packed = _pack(head.input, _input)
        short = _pack(msgspec.structs.replace(head, input={}), _head)
        if len(packed) + len(short) > self._max_size:
            raise JournalFull(f"the input has {len(packed)} bytes; a run has at most {self._max_size}")
        first = [_pack(record, _record) for record in records]
        index, (created_at, most, ttl) = self._index.entry(head)
        arguments = [
            head.id, lease.token, token_hex(16), short, packed, head.owner, self._unfinished, status,
            self._most_records, self._max_size, sum(map(len, first)), created_at, most, ttl, *first,
        ]  # fmt: skip
        with _store_errors:
            if self._index.together:
                [answer, *found] = await self._replicated("CREATE", head.id, arguments, index)
            else:
                [answer, *found] = await self._create_apart(head, arguments)
            await self._keep_definition(head.definition)
        if answer == b"new":
            return Journalled(head, tuple(records), status=status), True
        if answer == b"full":
            raise self._full(head.id)
        if answer == b"format":
            raise _newer(head.id, *found)
        return await self._existing(head.id), False

    async def _create_apart(self, head: RunHead, arguments: Sequence[Any]) -> Sequence[Any]:
        """Enter a run where it will be found, and then create it: a crash in between leaves none that nobody finds."""
        began = time.monotonic()
        await self._index.add(head)
        answer: Sequence[Any] = await self._replicated("CREATE", head.id, arguments)
        if time.monotonic() - began > _LATE:
            await self._index.add(head)
        return answer

    async def commit(self, lease: Lease, commit: Commit) -> int:
        records = [_pack(record, _record) for record in commit.records]
        closing = [records[n] for n, record in enumerate(commit.records) if isinstance(record, CLOSING)]
        outgoing = [part for each in commit.outgoing for part in (each.id, _pack(each, _outgoing))]
        end = next((record for record in commit.records if isinstance(record, Ended)), None)
        keep = commit.release
        arguments: list[Any] = [
            commit.run, lease.token, commit.number, -1 if commit.expected is None else commit.expected, commit.status,
            self._most_records, self._max_size, len(closing), sum(map(len, closing)),
            repr(end.at) if end else "", end.code if end else "", self._unfinished,
            *((_ms(keep.content), _ms(max(keep.content, keep.summary))) if keep else ("", "")),
            len(records), *records, *outgoing,
        ]  # fmt: skip
        with _store_errors:
            more = (self._places.open,) if keep and self._index.together else ()
            [status, *found] = await self._replicated("COMMIT", commit.run, arguments, more)
            if keep and not more and status == b"ok":
                await self._index.close(commit.run)
        match status:
            case b"ok":
                self.commits += 1
                return int(found[0])
            case b"behind":
                raise Behind(f"the run {commit.run} has {int(found[0])} records by now, not {commit.expected}")
            case b"full":
                raise self._full(commit.run)
            case b"number":
                number = int(found[0])
                raise ValueError(f"after commit {number} of this holder comes no commit {commit.number}")
            case b"unfinished":
                raise _unfinished(commit.run)
        raise self._refused(lease, commit.run, status, *found)

    async def append(self, run: str, record: AnyRecord, *, id: str = "") -> Appended:
        arguments: Sequence[Any] = [
            run, uuid.uuid4().hex, id, int(isinstance(record, Asked)), self._most_records, self._max_size,
            int(isinstance(record, CLOSING)), _pack(record, _record),
        ]  # fmt: skip
        with _store_errors:
            [status, *found] = await self._replicated("APPEND", run, arguments)
        match status:
            case b"added":
                return "added"
            case b"twice":
                return "twice"
            case b"ended":
                return "ended"
            case b"none":
                return "unknown"
            case b"full":
                raise JournalFull(f"the run {run} takes no more")
        raise _newer(run, *found)

    async def read(self, run: str, after: int = 0) -> Journalled | None:
        with _errors_of(run):
            [status, *found] = await self._script("READ")(self._keys(run), [run, after], retry=True)
        if status == b"format":
            raise _newer(run, *found)
        if status != b"ok":
            return None
        head, run_status, input, records, outgoing, aside = found
        try:
            return Journalled(
                msgspec.structs.replace(_head.decode(head), input=_input.decode(input)),
                tuple(map(_record.decode, records)), after, run_status.decode(),
                tuple(_outgoing.decode(each[_NUMBER:]) for each in sorted(outgoing)),
            )  # fmt: skip
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as exc:
            # What msgspec says names fields, and quotes no value.
            why = aside.decode(errors="replace") or f"a record of it can't be read: {exc}"
            raise JournalCorrupt(f"the run {run}: {why}") from None

    async def wait(self, run: str, after: int, limit: float) -> None:
        check_duration("limit", limit)
        keys = self._keys(run)
        with anyio.move_on_after(limit):
            while True:
                arguments: Sequence[Any] = [run, after, self._waiting.channel, _ms(3 * self._poll)]
                # The call may come before the answer to what asks for it.
                with self._waiting.hearing(run) as changed:
                    with _errors_of(run):
                        if await self._script("WAIT")(keys, arguments, retry=True):
                            return
                    with anyio.move_on_after(self._poll):
                        await changed.wait()
                if changed.is_set():
                    return

    async def claim(self, lease: Lease, most: int) -> Sequence[str]:
        check_count("most", most)
        claimed: list[str] = []
        with _store_errors:
            async with self._walking:
                self._waiting.vacant = anyio.Event()
                # Should we vanish now what was reopened is among all unfinished runs, for who looks at these next.
                holding, over, reopened = await self._leases(most)
                await self._claim_all(lease, [id.decode(errors="replace") for id in reopened], holding, claimed)
                if len(reopened) == most:
                    self._waiting.vacant.set()
                self._walk.begin(over)
                try:
                    while len(claimed) < most and (runs := await self._walk.next(most - len(claimed))):
                        await self._claim_all(lease, runs, holding, claimed)
                except BaseException:
                    self._walk.abandon()
                    raise
        self.claimed += len(claimed)
        return claimed

    async def take(self, lease: Lease, run: str) -> bool:
        keys = self._keys(run)
        with _errors_of(run):
            for _ in range(_TRIES):
                holder, head = await self._redis.execute("HMGET", keys.run, "holder", "head")
                if head is None:
                    return False
                holding, _, _ = await self._leases(0)
                if holder in holding and holder != lease.token.encode():
                    return False
                await self._index.add(_head.decode(head))
                arguments = [run, lease.token, holder, self._unfinished]
                [status, *_] = await self._replicated("TAKE", run, arguments)
                if status != b"other":
                    return bool(status == b"ok")
        return False

    async def sent(self, lease: Lease, run: str, ids: Sequence[str]) -> None:
        with _store_errors:
            await self._settle("SENT", lease, run, *ids)

    async def release(self, lease: Lease, run: str, *, content: float, summary: float) -> None:
        check_duration("content", content, positive=True)
        check_duration("summary", summary, positive=True)
        with _store_errors:
            await self._settle("RELEASE", lease, run, _ms(content), _ms(max(content, summary)))
            await self._index.close(run)

    async def set_aside(self, lease: Lease, run: str, reason: str) -> None:
        with _store_errors:
            await self._settle("SET_ASIDE", lease, run, reason, self._quarantine_ttl)
            await self._index.close(run)

    async def park(self, lease: Lease, run: str, expected: int) -> None:
        with _store_errors:
            arguments = [run, lease.token, expected, self._unfinished]
            [status, *found] = await self._replicated("PARK", run, arguments)
            if status == b"behind":
                raise Behind(f"the run {run} has {int(found[0])} records by now, not {expected}")
            if status != b"ok":
                raise self._refused(lease, run, status, *found)
            await self._index.close(run)

    async def reopen(self, run: str, asked: Asked, *, id: str = "") -> Reopened:
        arguments: Sequence[Any] = [
            run, uuid.uuid4().hex, id, int(asked.what == "retry"), self._most_records, self._max_size,
            self._unfinished, _pack(asked, _record),
        ]  # fmt: skip
        with _store_errors:
            head = await self._redis.execute("HGET", self._keys(run).run, "head")
            if head is None:
                return "unknown"
            # First where it will be found, as when it was created.
            await self._index.add(_head.decode(head))
            [status, *found] = await self._replicated("REOPEN", run, arguments)
            if status in (b"added", b"twice") and not found[0]:
                keys, kept = [self._places.vacant], _ms(self._sweep)
                await self._script("VACATE")(keys, [run, kept, self._waiting.vacancies], retry=True)
        match status:
            case b"added":
                return "added"
            case b"twice":
                return "twice"
            case b"held":
                return "held"
            case b"none":
                return "unknown"
            case b"full":
                raise JournalFull(f"the run {run} takes no more")
        raise _newer(run, *found)

    async def vacant(self, limit: float) -> None:
        check_duration("limit", limit)
        with anyio.move_on_after(limit):
            await self._waiting.vacant.wait()

    async def summary(self, run: str) -> RunSummary | None:
        with _store_errors:
            [found] = await self._summaries([run])
        return found

    async def list(self, query: RunQuery) -> RunPage:
        with _store_errors:
            return await self._index.page(query, self._summaries)

    async def enter(self, slot: str, run: str, most: int) -> Sequence[str]:
        check_count("most", most)
        with _store_errors:
            key = layout.slot_key(self._redis, slot)
            found = await self._script("ENTER_SLOT")([key], [run, most, self._unfinished], retry=True)
        return [id.decode(errors="replace") for id in found]

    async def exit(self, slot: str, run: str) -> None:
        with _store_errors:
            await self._redis.execute("ZREM", layout.slot_key(self._redis, slot), run, retry=True)

    async def forget(self, owner: str) -> int:
        if not owner:
            return 0
        key = self._index.owned(owner)
        deleted: list[str] = []
        with _store_errors:
            for _ in range(FORGET_BATCHES):
                found = await self._redis.execute("ZRANGE", key, 0, READ_AT_ONCE - 1)
                if not found:
                    return len(deleted)
                ids = [id.decode(errors="replace") for id in found]
                async with anyio.create_task_group() as tasks:
                    for id in ids:
                        tasks.start_soon(self._forget, id, owner, deleted)
                keys = [self._keys(id).run for id in ids] if self._redis.config.cluster else [key]
                if wanting := await self._replication.confirm(self._redis, keys):
                    raise JournalError(
                        f"{len(deleted)} runs are forgotten, but {wanting}: after a failover they could be there "
                        "again, so forget once more"
                    )  # fmt: skip
                await self._redis.execute("ZREM", key, *found, retry=True)
        raise JournalError(f"{len(deleted)} runs are forgotten, and there are more: forget once more")

    async def _forget(self, id: str, owner: str, deleted: MutableSequence[str]) -> None:
        if await self._replicated("DELETE", id, [id, owner]):
            deleted.append(id)
        await self._index.close(id)

    async def _leases(self, most: int) -> Sequence[Sequence[bytes]]:
        """Return the tokens that hold, those that are over, and so many reopened runs, which nobody else gets now."""
        keys = [self._places.leases, self._places.vacant]
        found: Sequence[Sequence[bytes]] = await self._script("LEASES")(keys, [most], retry=True)
        return found

    async def _claim_all(
        self, lease: Lease, runs: Sequence[str], holding: Sequence[bytes], claimed: MutableSequence[str]
    ) -> None:  # fmt: skip
        async with anyio.create_task_group() as tasks:
            for id in runs:
                tasks.start_soon(self._claim, lease, id, frozenset(holding), claimed)

    async def _drop_leases(self, over: Sequence[bytes]) -> None:
        """Drop leases of which all that they held is somebody else's by now."""
        if over:
            await self._redis.execute("ZREM", self._places.leases, *over, retry=True)

    async def _claim(self, lease: Lease, id: str, holding: frozenset[bytes], claimed: MutableSequence[str]) -> None:
        keys = self._keys(id)
        try:
            [holder, released] = await self._redis.execute("HMGET", keys.run, "holder", "released")
            if holder is not None and holder in holding:
                return
            if released:
                await self._index.close(id)
                return
            [status, *_] = await self._replicated("TAKE", id, [id, lease.token, holder or b"", self._unfinished])
        except ResponseError as exc:
            log.error("what lies under the keys of the run %s isn't one (%s); it ends by itself", id, exc)  # noqa: TRY400
            await self._script("QUARANTINE")(keys, [id, self._quarantine_ttl], retry=True)
            await self._index.close(id)
            return
        if status == b"ok":
            claimed.append(id)
        elif status == b"aside":
            await self._index.close(id)
        elif status == b"none":
            await self._drop(id)

    async def _drop(self, id: str) -> None:
        """Take out an entry whose run isn't there, unless it may still come."""
        created_at = await self._redis.execute("ZSCORE", self._places.open, id)
        seconds, _ = await self._redis.execute("TIME")
        if created_at is not None and int(seconds) - float(created_at) > 2 * _LATE:
            await self._index.close(id)

    async def _existing(self, run: str) -> Journalled:
        """Return a run that was there already, also where only what is kept longest of it is."""
        if (found := await self.read(run)) is not None:
            return found
        summary = await self.summary(run)
        if summary is None:
            raise JournalError(f"the run {run} ended in this moment; start it again")
        head = RunHead(
            id=run, workflow=summary.workflow, definition=summary.definition, created_at=summary.created_at,
            session=summary.session, owner=summary.owner, labels=summary.labels,
        )  # fmt: skip
        return Journalled(head, status=summary.status)

    async def _summaries(self, ids: Sequence[str]) -> Sequence[RunSummary | None]:
        found: dict[str, RunSummary] = {}

        async def read(id: str) -> None:
            key = self._keys(id).run
            try:
                fields = await self._redis.execute("HMGET", key, "format", "head", "status", "ended_at", "code")
                if fields[0] == str(layout.FORMAT).encode():
                    found[id] = _summary(*fields[1:])
            except (msgspec.DecodeError, ValueError, RecursionError, ResponseError) as exc:
                log.warning("the summary of the run %s can't be read: %s", id, type(exc).__name__)

        async with anyio.create_task_group() as tasks:
            for id in ids:
                tasks.start_soon(read, id)
        return [found.get(id) for id in ids]

    async def _settle(self, script: str, lease: Lease, run: str, *arguments: str | int) -> None:
        [status, *found] = await self._replicated(script, run, [run, lease.token, *arguments])
        if status == b"unfinished":
            raise _unfinished(run)
        if status != b"ok":
            raise self._refused(lease, run, status, *found)

    def _full(self, run: str) -> JournalFull:
        return JournalFull(
            f"the run {run} would have more than {self._most_records} records, or {self._max_size} bytes"
        )  # fmt: skip

    def _refused(self, lease: Lease, run: str, status: bytes, *found: bytes) -> Exception:
        if status == b"format":
            return _newer(run, *found)
        self.fenced += 1
        return Fenced(f"{lease.process} doesn't hold the run {run}")

    def _script(self, name: str) -> Script:
        return self._scripts[name]

    async def _replicated(self, name: str, run: str, arguments: Sequence[Any], more_keys: Sequence[str] = ()) -> Any:
        """Run a script that changes a run; each may be sent twice."""
        keys = (*self._keys(run), *more_keys)
        return await self._replication.run(self._script(name), keys, arguments)

    async def _keep_definition(self, definition: str) -> None:
        """See to it that a definition outlives the runs that have it, now and then."""
        if time.monotonic() - self._kept_definitions.get(definition, float("-inf")) > self._unfinished / 4000:
            key = layout.definition_key(self._redis, definition)
            await self._redis.execute("PEXPIRE", key, 2 * self._unfinished, retry=True)
            self._note_kept(definition)

    def _note_kept(self, definition: str) -> None:
        self._kept_definitions[definition] = time.monotonic()
        if len(self._kept_definitions) > 1000:
            del self._kept_definitions[next(iter(self._kept_definitions))]


_SCRIPTS = (
    "CREATE", "COMMIT", "APPEND", "READ", "WAIT", "TAKE", "SENT", "RELEASE", "SET_ASIDE", "PARK", "REOPEN",
    "QUARANTINE", "DELETE", "JOIN", "RENEW", "LEAVE", "LEASES", "VACATE", "ENTER_SLOT",
)  # fmt: skip


def _error(exc: BaseException) -> JournalError:
    return JournalError(f"the journal's store: {exc}")


_store_errors = StoreErrors(_error)


def _errors_of(run: str) -> StoreErrors:
    """Return what a journal raises where one run is asked for, under whose keys anything may lie."""

    def error(exc: BaseException) -> JournalError | JournalCorrupt:
        if isinstance(exc, ResponseError) and "WRONGTYPE" in str(exc):
            return JournalCorrupt(f"the run {run}: something else lies under its keys")
        return _error(exc)

    return StoreErrors(error)


def _unfinished(run: str) -> ValueError:
    return ValueError(f"the run {run} isn't over, or has something yet to send")


def _newer(run: str, format: bytes) -> JournalError:
    return JournalError(
        f"the run {run} was written by a newer release, in format {format.decode(errors='replace')}, and this one "
        f"knows formats up to {layout.FORMAT}; it was left as it is"
    )  # fmt: skip


def _summary(head: bytes, status: bytes, ended_at: bytes, code: bytes) -> RunSummary:
    run = _head.decode(head)
    return RunSummary(
        id=run.id, workflow=run.workflow, status=msgspec.convert(status.decode(), RunStatus), created_at=run.created_at,
        ended_at=float(ended_at or 0), code=code.decode(), session=run.session, owner=run.owner, labels=run.labels,
        definition=run.definition,
    )  # fmt: skip


def _pack(value: Any, reader: msgspec.msgpack.Decoder[Any]) -> bytes:
    """Encode what is stored; raise a TypeError, which quotes nothing, where ``reader`` wouldn't get it back."""
    try:
        packed = msgspec.msgpack.encode(value)
        # A run that can't be read is set aside, and a person's story with it: fail now.
        reader.decode(packed)
    except (msgspec.DecodeError, TypeError, ValueError, OverflowError, RecursionError) as exc:
        raise TypeError(f"a run holds builtins that can be stored, and this doesn't ({type(exc).__name__})") from None
    return packed


def _ms(seconds: float) -> int:
    return max(1, int(min(seconds, 10**11) * 1000))
