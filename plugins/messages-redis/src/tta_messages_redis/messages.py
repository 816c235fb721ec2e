"""The messages of many processes, in Redis."""

from __future__ import annotations

import itertools
import logging
from collections import OrderedDict
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from random import Random
from secrets import token_hex
from struct import Struct
from typing import Any, NamedTuple, TypeVar

import anyio
import msgspec
from anyio.abc import TaskGroup
from redis.exceptions import ResponseError

from tta_kernel import Event
from tta_messages import (
    Codec,
    DeadLetter,
    Delivery,
    Filter,
    Message,
    MessagesError,
    QueueFilled,
    QueueSettings,
    QueueStats,
    SendResult,
    Settled,
    Step,
    Subscription,
)
from tta_messages.prepare import Types, check_queue, check_receive, shorten
from tta_redis import Redis, RedisDown

from . import wire
from .bell import Bell
from .config import Config
from .line import Line
from .store import Store, Unknown, translated
from .subscriptions import Subscriptions

log = logging.getLogger("tta.messages-redis")
R = TypeVar("R")

_CHUNK = 1000
"""Messages, at most, in one script: Lua hands on no more than some thousand arguments."""
_BYTES = 4_000_000
_QUEUES = 4096
_INDEX_EVERY = 600.0
_END = Struct(">d").pack


class Outgoing(NamedTuple):
    """A message on its way; ``new`` where its id was made up just now, so that nobody can know it."""

    id: str
    data: bytes
    priority: int
    ttl: float | None
    delay: float
    new: bool


class _Queue:
    """What this process knows of a queue."""

    __slots__ = ("acks", "indexed_at", "keys", "life", "name", "offset", "sends", "told_at", "window")

    def __init__(self, name: str, keys: wire.Keys, sends: Line[Outgoing, SendResult], acks: Line[Delivery, bool]):
        self.name, self.keys, self.sends, self.acks = name, keys, sends, acks
        self.indexed_at = self.told_at = float("-inf")
        self.window = self.life = 0.0
        self.offset: float | None = None
        """What has to be added to our clock for its server's, in µs."""


class RedisMessages:
    """`open_messages` makes one; it lives within that context."""

    def __init__(
        self, redis: Redis, config: Config, types: Types, *, publish: Callable[[Event], None], tasks: TaskGroup
    ) -> None:
        self._redis, self._config, self._publish, self._tasks = redis, config, publish, tasks
        self._codec = Codec(types, max_size=config.max_size)
        self._bell = Bell(redis, self._pass_on)
        self._store = Store(redis, self._codec, publish, self._bell.channel)
        self._subscriptions = Subscriptions(self._store, redis.prefix)
        self._queues: OrderedDict[str, _Queue] = OrderedDict()
        self._random = Random()  # noqa: S311 - jitter
        self._mark, self._count = token_hex(3), itertools.count(1)
        self._index_key = redis.key("messages", "queues").encode()
        self._busy = 0
        self._idle = anyio.Event()

    # Sending

    async def send(self, *messages: Message) -> Sequence[SendResult]:
        results: list[SendResult | None] = []
        by_queue: dict[str, list[Outgoing]] = {}
        for message in messages:
            prepared = self._codec.prepare(message)
            if isinstance(prepared, SendResult):
                results.append(prepared)
                continue
            stored, data = prepared
            results.append(None)
            by_queue.setdefault(stored.queue, []).append(
                Outgoing(
                    stored.id,
                    wire.value_of(stored, data),
                    int(stored.priority),
                    stored.ttl,
                    stored.delay,
                    not message.id,
                )
            )
        sent = {name: iter(found) for name, found in (await self._send(by_queue)).items()}
        return [result or next(sent[message.queue]) for result, message in zip(results, messages, strict=True)]

    async def _send(self, by_queue: Mapping[str, Sequence[Outgoing]]) -> Mapping[str, Sequence[SendResult]]:
        if len(by_queue) == 1:
            ((name, items),) = by_queue.items()
            queue = self._queue(name)
            await self._index(queue)
            if len(items) == 1 or _fits(items):
                return {name: await queue.sends.put(items)}
        under_way = []
        for name, items in by_queue.items():
            queue = self._queue(name)
            await self._index(queue)
            under_way += [(name, queue.sends.submit(part)) for part in _parts(items)]
        results: dict[str, list[SendResult]] = {name: [] for name in by_queue}
        error: MessagesError | None = None
        for name, waiting in under_way:
            try:
                results[name] += await waiting
            except MessagesError as exc:  # The others have to be waited for, too.
                error = exc
        if error is not None:
            raise error
        return results

    async def _fly(self, queue: _Queue, batches: Sequence[Sequence[Outgoing]]) -> Sequence[Sequence[SendResult]]:
        script = self._store.scripts.send
        marks = [self._nonce() for _ in batches]
        calls = [self._arguments(queue, batch, mark) for batch, mark in zip(batches, marks, strict=True)]
        if self._config.wait_replicas:
            return [
                await self._replicated(queue, batch, call, mark)
                for batch, call, mark in zip(batches, calls, marks, strict=True)
            ]
        try:
            if len(calls) == 1:
                replies = [await self._store.run(script, queue.name, queue.keys, calls[0])]
            else:
                replies = await self._store.run_all(script, queue.name, queue.keys, calls)
        except Unknown:
            if not self._remembers(queue):
                raise
            calls = [
                self._arguments(queue, batch, mark, again=True) for batch, mark in zip(batches, marks, strict=True)
            ]
            replies = [await self._store.run(script, queue.name, queue.keys, call, retry=True) for call in calls]
        return [self._results(queue, batch, reply) for batch, reply in zip(batches, replies, strict=True)]

    def _remembers(self, queue: _Queue) -> bool:
        """Whether what is sent a second time, because the first answer was lost, finds what the first has done."""
        return queue.window > 2 * self._redis.config.command_timeout

    async def _replicated(
        self, queue: _Queue, batch: Sequence[Outgoing], call: Sequence[Any], mark: str
    ) -> Sequence[SendResult]:
        script, replicas = self._store.scripts.send, self._config.wait_replicas
        how: dict[str, Any] = {"replicas": replicas, "patience": self._config.wait_timeout}
        try:
            reply, count = await self._store.run_replicated(script, queue.name, queue.keys, call, **how)
        except Unknown:
            if not self._remembers(queue):
                raise
            call = self._arguments(queue, batch, mark, again=True)
            reply, count = await self._store.run_replicated(script, queue.name, queue.keys, call, retry=True, **how)
        results = self._results(queue, batch, reply)
        return results if count >= replicas else [_doubtful(each, count, replicas) for each in results]

    def _arguments(self, queue: _Queue, batch: Sequence[Outgoing], mark: str, *, again: bool = False) -> Sequence[Any]:
        others: dict[int, tuple[float | bool, float]] = {}
        clock = 0.0 if queue.offset is None else anyio.current_time() * 1e6 + queue.offset
        head = _END(clock + queue.life * 1e6)
        priority, new = batch[0].priority, True
        args: list[Any] = [mark, b"", b"%.0f" % clock, repr(queue.life), priority, b"again"]
        for number, item in enumerate(batch, 1):
            args.append(item.id)
            args.append(head + item.data)
            if item.ttl is not None or item.delay:
                ttl = item.ttl
                others[number] = (False if ttl is None else min(ttl, wire.FOR_EVER), min(item.delay, wire.FOR_EVER))
            if item.priority != priority:
                args[4] = b""
            new = new and item.new
        if not again:
            args[5] = b"new" if new else b""
        if others:
            args[1] = msgspec.msgpack.encode(others)
        return args

    def _results(self, queue: _Queue, batch: Sequence[Outgoing], reply: Sequence[Any]) -> list[SendResult]:
        codes, _, length, window, *clock = reply
        queue.window = int(window) / 1000
        if clock:
            queue.offset = int(clock[0]) - anyio.current_time() * 1e6
            queue.life = float(clock[1])
        if not codes:
            return [SendResult(item.id, True) for item in batch]  # noqa: FBT003 - the way of nearly all
        results = []
        for code, item in zip(codes.decode(), batch, strict=True):
            if code == "2":
                detail = f"{length} messages are waiting, delayed or held"
                results.append(SendResult(item.id, delivered=False, error="queue_full", detail=detail))
            else:
                results.append(SendResult(item.id, delivered=True, duplicate=code == "1"))
        now = anyio.current_time()
        if b"2" in codes and now - queue.told_at >= 1.0:
            queue.told_at = now
            self._publish(QueueFilled(queue=queue.name))
        return results

    async def broadcast(self, message: Message, queues: Sequence[str]) -> Sequence[SendResult]:
        return await self.send(*self._codec.copies(message, queues))

    async def publish(self, message: Message) -> Sequence[SendResult]:
        return await self.broadcast(message, await self._subscriptions.queues(message))

    async def subscribe(self, queue: str, wanted: Filter, *, ttl: float = 3600.0) -> Subscription:
        return await self._subscriptions.add(queue, wanted, ttl)

    async def unsubscribe(self, id: str) -> bool:
        return await self._subscriptions.remove(id)

    async def subscriptions(self, queue: str | None = None) -> Sequence[Subscription]:
        return [each for each in await self._subscriptions.all() if queue in (None, each.queue)]

    # Receiving

    async def receive(
        self, queue: str, *, limit: int = 1, wait: float = 0.0, visibility: float | None = None,
        done: Collection[Delivery] = (),
    ) -> Sequence[Delivery]:  # fmt: skip
        check_receive(queue, limit, wait, visibility)
        known = self._queue(queue)
        own: Sequence[Delivery] = await self._leave_for_cycle(queue, done) if done else ()
        if not wait:
            return (await self._cycle(known, limit, visibility, own, waits=False))[0]
        until = anyio.current_time() + wait
        hears = await self._bell.ready(min(wait, 1.0))
        while True:
            event = self._bell.listen(queue)
            try:
                try:
                    held, due = await self._cycle(known, limit, visibility, own, waits=hears)
                except Unknown:
                    # Perhaps it received something, which was given back. If it had to acknowledge, only the caller
                    # knows what to do; otherwise look again.
                    if own or anyio.current_time() >= until:
                        raise
                    continue
                own = ()
                rest = until - anyio.current_time()
                if held or rest <= 0:
                    return held
                with anyio.move_on_after(min(rest, due + 0.001, self._random.uniform(0.8, 1.2))):
                    await event.wait()
            except BaseException:
                if event.is_set():
                    self._pass_on(queue)
                raise
            finally:
                self._bell.leave(queue, event)

    async def _leave_for_cycle(self, queue: str, done: Collection[Delivery]) -> Sequence[Delivery]:
        """Acknowledge what can't be with the receive itself, and return the rest."""
        own = [delivery for delivery in done if delivery.message.queue == queue]
        others = [delivery for delivery in done if delivery.message.queue != queue]
        if others or len(own) > _CHUNK:
            await self.ack(*others, *own[_CHUNK:])
        return own[:_CHUNK]

    async def _cycle(
        self, queue: _Queue, limit: int, visibility: float | None, done: Sequence[Delivery], *, waits: bool
    ) -> tuple[list[Delivery], float]:
        """Acknowledge and receive; the deliveries, and in how many seconds something is due."""
        hold = self._nonce()
        seconds = "" if visibility is None else min(visibility, wire.FOR_EVER)
        args: list[Any] = [hold, limit, seconds, self._bell.name if waits else ""]
        _add_done(args, done)
        script = self._store.scripts.cycle
        try:
            reply = await self._store.run(script, queue.name, queue.keys, args)
        except (anyio.get_cancelled_exc_class(), Unknown):
            self._soon(self._abandon, queue, hold)
            raise
        _, _, ids, values, infos, deadline, due = reply
        deadline = int(deadline) / 1e6
        held: list[Delivery] = []
        decode = self._codec.decode
        for number, id in enumerate(ids):
            attempts, error = wire.history(infos[number]) if infos else (0, "")
            try:
                message = decode(values[number][wire.HEAD :])
                if message.id != id.decode() or message.queue != queue.name:
                    raise ValueError("it is another message")
            except ValueError:
                self._soon(self._quarantine, queue, id, hold)
                continue
            held.append(Delivery(message, hold, deadline, attempts + 1, error))
        return held, 0 if ids else int(due) / 1e6

    async def ack(self, *deliveries: Delivery) -> Sequence[bool]:
        return await self._each(deliveries, self._ack)

    async def _ack(self, queue: _Queue, deliveries: Sequence[Delivery]) -> Sequence[bool]:
        if len(deliveries) <= _CHUNK:
            return await queue.acks.put(deliveries)
        under_way = [queue.acks.submit(deliveries[n : n + _CHUNK]) for n in range(0, len(deliveries), _CHUNK)]
        return [acknowledged for part in under_way for acknowledged in await part]

    async def _fly_acks(self, queue: _Queue, batches: Sequence[Sequence[Delivery]]) -> Sequence[Sequence[bool]]:
        found: list[Sequence[bool]] = []
        for batch in batches:
            args: list[Any] = [self._nonce(), 0, "", ""]
            places = _add_done(args, batch)
            codes = (await self._store.once(self._store.scripts.cycle, queue.name, queue.keys, args, _all))[0]
            results = [True] * len(batch)
            for place, code in zip(places, codes, strict=False):
                results[place] = code == 49
            found.append(results)
        return found

    async def nack(
        self, delivery: Delivery, *, error: str = "", permanent: bool = False, delay: float | None = None
    ) -> Settled:
        pause = "" if delay is None else min(max(delay, 0.0), wire.FOR_EVER)
        args = (
            "nack",
            delivery.message.id,
            delivery.token,
            shorten(error),
            int(permanent),
            pause,
            self._random.random(),
        )
        result = await self._settle(delivery.message.queue, args, lambda reply: reply[0] != b"stale")
        return Settled(result.decode())

    async def release(self, *deliveries: Delivery) -> Sequence[bool]:
        return await self._each(deliveries, self._release)

    async def _release(self, queue: _Queue, deliveries: Sequence[Delivery]) -> Sequence[bool]:
        found: list[bool] = []
        # The last first, so that the first are at the head in the end.
        for start in reversed(range(0, len(deliveries), _CHUNK)):
            args: list[Any] = ["release"]
            for delivery in deliveries[start : start + _CHUNK]:
                args += (delivery.message.id, delivery.token)
            codes = await self._settle(queue.name, args, lambda reply: b"0" not in reply[0])
            found[:0] = [code == 49 for code in codes]
        return found

    async def extend(self, delivery: Delivery, seconds: float) -> bool:
        args = ("extend", delivery.message.id, delivery.token, min(seconds, wire.FOR_EVER))
        return await self._settle(delivery.message.queue, args, lambda reply: True) == b"1"

    async def cancel(self, queue: str, id: str) -> bool:
        return await self._settle(check_queue(queue), ("cancel", id), lambda reply: reply[0] == b"1") == b"1"

    async def _settle(self, queue: str, args: Sequence[Any], done: Callable[[Any], bool]) -> bytes:
        known = self._queue(queue)
        reply = await self._store.once(self._store.scripts.settle, queue, known.keys, args, done)
        result: bytes = reply[0]
        return result

    async def _each(
        self, deliveries: Sequence[Delivery], do: Callable[[_Queue, Sequence[Delivery]], Awaitable[Sequence[bool]]]
    ) -> Sequence[bool]:
        """Do something to the deliveries of each queue together; results in the order of all."""
        by_queue: dict[str, list[Delivery]] = {}
        for delivery in deliveries:
            by_queue.setdefault(delivery.message.queue, []).append(delivery)
        if len(by_queue) == 1:
            return await do(self._queue(deliveries[0].message.queue), deliveries)
        results = {name: iter(await do(self._queue(name), group)) for name, group in by_queue.items()}
        return [next(results[delivery.message.queue]) for delivery in deliveries]

    # Running it

    async def recover(self, queue: str | None = None) -> Mapping[str, int]:
        async def recover(known: _Queue) -> int:
            found, more = 0, 1
            while more:
                count, more = (await self._admin(known, "recover"))[0]
                found += count
            return found

        return {name: count for name, count in (await self._all(queue, recover)).items() if count}

    async def configure(self, queue: str, settings: QueueSettings) -> None:
        known = self._queue(check_queue(queue))
        await self._index(known, (settings.ttl + settings.dead_ttl))
        await self._admin(known, "configure", wire.pack_settings(settings))

    async def settings(self, queue: str) -> QueueSettings:
        packed = (await self._admin(self._queue(check_queue(queue)), "settings"))[0]
        return wire.read_settings(packed) or self._own_settings(queue)

    async def purge(self, queue: str) -> int:
        return await self._repeat(self._queue(check_queue(queue)), "purge")

    async def dead(self, queue: str, *, limit: int = 100, after: str = "") -> Sequence[DeadLetter]:
        known = self._queue(check_queue(queue))
        found: list[DeadLetter] = []
        while len(found) < limit:
            page = min(limit - len(found), 100)
            letters = self._letters(known, (await self._admin(known, "dead", page, after))[0])
            found += letters
            if len(letters) < page:
                break
            after = letters[-1].id
        return found

    def _letters(self, queue: _Queue, flat: Sequence[bytes]) -> list[DeadLetter]:
        pairs = zip(flat[::2], flat[1::2], strict=True)
        return [wire.read_letter(self._codec, queue.name, id, letter) for id, letter in pairs]

    async def requeue(self, queue: str, *ids: str) -> int:
        known, alive = self._queue(check_queue(queue)), 0
        await self._index(known)
        if ids:
            groups: list[Sequence[DeadLetter]] = [
                self._letters(known, (await self._admin(known, "letters", *ids[n : n + 100]))[0])
                for n in range(0, len(ids), 100)
            ]
        else:
            everything = await self.dead(queue, limit=1_000_000)
            groups = [everything[n : n + 100] for n in range(0, len(everything), 100)]
        for letters in groups:
            args: list[Any] = []
            for letter in letters:
                if letter.message is not None:
                    ttl = letter.message.ttl
                    args += (letter.id, "" if ttl is None else min(ttl, wire.FOR_EVER))
            if args:
                alive += (await self._admin(known, "requeue", *args))[0]
        return alive

    async def purge_dead(self, queue: str, *ids: str) -> int:
        known = self._queue(check_queue(queue))
        if not ids:
            return await self._repeat(known, "purge_dead")
        chunks = [ids[n : n + _CHUNK] for n in range(0, len(ids), _CHUNK)]
        return sum([(await self._admin(known, "purge_dead", *chunk))[0][0] for chunk in chunks])

    async def stats(self, queue: str | None = None) -> Mapping[str, QueueStats]:
        async def stats(known: _Queue) -> QueueStats | None:
            (numbers, *_) = await self._admin(known, "stats")
            return wire.read_stats(numbers) if numbers or queue else None

        found = await self._all(queue, stats)
        return {name: each for name, each in sorted(found.items()) if each is not None}

    async def history(self, queue: str, *, limit: int = 100) -> Sequence[Step]:
        known = self._queue(check_queue(queue))
        try:
            entries = await self._redis.execute("XREVRANGE", known.keys.audit, "+", "-", "COUNT", max(limit, 1))
        except RedisDown as exc:
            raise translated(exc) from exc
        except ResponseError as exc:
            if "WRONGTYPE" not in str(exc):
                raise translated(exc) from exc
            await self._store.repair(queue, known.keys)
            entries = []
        return wire.read_steps(entries)[:limit]

    async def forget(self, owner: str) -> int:
        if not owner:
            return 0

        async def forget(known: _Queue) -> int:
            found, cursors = 0, ("0", "0")
            while any(cursors):
                count, *rest = (await self._admin(known, "forget", wire.owner_mark(owner), *cursors))[0]
                found += count
                cursors = (rest[0].decode(), rest[1].decode())
            return found

        return sum((await self._all(None, forget)).values())

    async def _admin(self, queue: _Queue, *args: Any) -> Sequence[Any]:
        return await self._store.run(self._store.scripts.admin, queue.name, queue.keys, args)

    async def _repeat(self, queue: _Queue, what: str) -> int:
        found, more = 0, 1
        while more:
            count, more = (await self._admin(queue, what))[0]
            found += count
        return found

    async def _all(self, queue: str | None, do: Callable[[_Queue], Awaitable[R]]) -> dict[str, R]:
        """Do something to one queue, or to all that there are."""
        if queue is not None:
            return {queue: await do(self._queue(check_queue(queue)))}
        return {name: await do(self._queue(name)) for name in await self._names()}

    # Queues

    def _own_settings(self, queue: str) -> QueueSettings:
        return self._config.queues.get(queue, self._config.defaults)

    def _queue(self, name: str) -> _Queue:
        known = self._queues.get(name)
        if known is None:
            known = self._queues[name] = self._make(name)
            for old, each in list(self._queues.items())[: max(0, len(self._queues) - _QUEUES)]:
                if each.sends.idle and each.acks.idle:
                    del self._queues[old]
        else:
            self._queues.move_to_end(name)
        return known

    def _make(self, name: str) -> _Queue:
        async def fly(batches: Sequence[Sequence[Outgoing]]) -> Sequence[Sequence[SendResult]]:
            return await self._fly(queue, batches)

        async def fly_acks(batches: Sequence[Sequence[Delivery]]) -> Sequence[Sequence[bool]]:
            return await self._fly_acks(queue, batches)

        size, linger = self._config.batch, self._config.linger
        sends: Line[Outgoing, SendResult] = Line(
            # Calls that wait for replicas don't share a connection, and so could overtake each other.
            fly, self._soon, size=size, linger=linger, patient=self._config.wait_replicas > 0
        )  # fmt: skip
        acks: Line[Delivery, bool] = Line(fly_acks, self._soon, size=_CHUNK, linger=linger)
        queue = _Queue(name, wire.keys(self._redis.prefix, name, self._own_settings(name)), sends, acks)
        return queue

    async def _index(self, queue: _Queue, life: float = 0.0) -> None:
        """See to it that the queue can be found before there is anything in it."""
        now = anyio.current_time()
        if now - queue.indexed_at < _INDEX_EVERY:
            return
        own = self._own_settings(queue.name)
        life = 2 * min(max(life, own.ttl + own.dead_ttl, 86_400.0), wire.FOR_EVER)
        for again in (False, True):
            try:
                await self._store.scripts.index([self._index_key], (queue.name, int(life * 1000)), retry=True)
                break
            except RedisDown as exc:
                raise translated(exc) from exc
            except ResponseError as exc:
                if again or "WRONGTYPE" not in str(exc):
                    raise translated(exc) from exc
                await self._mend_index()
        queue.indexed_at = now

    async def _mend_index(self) -> None:
        types = (7 * 86_400_000, "zset")
        await self._store.put_aside("index of queues", self._store.scripts.aside, [self._index_key], types)

    async def _names(self) -> list[str]:
        try:
            found = await self._redis.execute("ZRANGE", self._index_key, 0, -1)
        except RedisDown as exc:
            raise translated(exc) from exc
        except ResponseError as exc:
            if "WRONGTYPE" not in str(exc):
                raise translated(exc) from exc
            await self._mend_index()
            return []
        return [name.decode() for name in found if wire.QUEUE.fullmatch(name)]

    # What goes on behind a call

    def _nonce(self) -> str:
        return f"{self._mark}{next(self._count) & 0xFFFFFF:06x}"

    def _soon(self, do: Callable[..., Awaitable[None]], *args: Any) -> None:
        self._busy += 1
        self._tasks.start_soon(self._watched, do, *args)

    async def _watched(self, do: Callable[..., Awaitable[None]], *args: Any) -> None:
        try:
            await do(*args)
        except MessagesError as exc:
            log.warning("not done: %s", exc)
        finally:
            self._busy -= 1
            if not self._busy:
                self._idle.set()

    async def settled(self) -> None:
        """Wait until nothing goes on behind a call."""
        while self._busy:
            self._idle = anyio.Event()
            await self._idle.wait()

    async def hear(self) -> None:
        """Listen for who is called."""
        await self._bell.run()

    async def _abandon(self, queue: _Queue, hold: str) -> None:
        """Give back what a receive got that nobody waits for any more."""
        await self._store.run(self._store.scripts.admin, queue.name, queue.keys, ("abandon", hold), retry=True)

    async def _quarantine(self, queue: _Queue, id: bytes, hold: str) -> None:
        args = ("corrupt", id, hold, "its envelope cannot be read")
        await self._store.run(self._store.scripts.settle, queue.name, queue.keys, args, retry=True)

    def _pass_on(self, queue: str) -> None:
        """Call another process: this one was called, and doesn't wait any more."""
        if queue in self._queues:
            self._soon(self._poke, self._queues[queue])

    async def _poke(self, queue: _Queue) -> None:
        args = [self._nonce(), 0, "", ""]
        await self._store.run(self._store.scripts.cycle, queue.name, queue.keys, args, retry=True)


def _add_done(args: list[Any], done: Sequence[Delivery]) -> Sequence[int]:
    """Add what is done, by hold; return where each stood."""
    if not done:
        return ()
    token = done[0].token
    if all(delivery.token == token for delivery in done):
        args.append(token)
        args.append(len(done))
        args.extend([delivery.message.id for delivery in done])
        return range(len(done))
    by_hold: dict[str, list[int]] = {}
    for place, delivery in enumerate(done):
        by_hold.setdefault(delivery.token, []).append(place)
    for hold, places in by_hold.items():
        args += (hold, len(places), *(done[place].message.id for place in places))
    return [place for places in by_hold.values() for place in places]


def _all(reply: Sequence[Any]) -> bool:
    return not reply[0]


def _doubtful(result: SendResult, count: int, replicas: int) -> SendResult:
    if not result.delivered:
        return result
    detail = f"{count} of {replicas} replicas have it"
    return SendResult(result.id, delivered=True, error="not_replicated", detail=detail, duplicate=result.duplicate)


def _fits(items: Sequence[Outgoing]) -> bool:
    return len(items) <= _CHUNK and sum(len(item.data) for item in items) <= _BYTES


def _parts(items: Sequence[Outgoing]) -> list[Sequence[Outgoing]]:
    """Split what is too much for one script."""
    parts: list[list[Outgoing]] = [[]]
    size = 0
    for item in items:
        if parts[-1] and (len(parts[-1]) >= _CHUNK or size + len(item.data) > _BYTES):
            parts.append([])
            size = 0
        parts[-1].append(item)
        size += len(item.data)
    return list(parts)


@asynccontextmanager
async def open_messages(
    redis: Redis, config: Config, types: Types, *, publish: Callable[[Event], None] = lambda event: None
) -> AsyncIterator[RedisMessages]:
    """Offer the messages of a Redis; leaving waits a moment for what goes on behind the calls."""
    error: Exception | None = None
    async with anyio.create_task_group() as tasks:
        messages = RedisMessages(redis, config, types, publish=publish, tasks=tasks)
        tasks.start_soon(messages.hear, name="messages: hearing")
        try:
            yield messages
        except Exception as exc:  # noqa: BLE001  # raised below, not within a group
            error = exc
        finally:
            with anyio.move_on_after(2.0, shield=True):
                await messages.settled()
            tasks.cancel_scope.cancel()
    if error is not None:
        raise error
