"""One queue in memory: its rules, without a clock, a task or a lock; `MemoryMessages` lends it these."""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from .figures import oldest_age
from .model import (
    DeadLetter,
    Delivery,
    HistoryEntry,
    Message,
    Priority,
    QueueSettings,
    QueueStats,
    Requeued,
    SendResult,
    Settled,
)  # fmt: skip
from .prepare import FORGOTTEN, VANISHED, pause, shorten
from .timers import Timers

_WAITING, _DELAYED, _HELD = range(3)
_ORDER = sorted(Priority, reverse=True)
_COUNTERS = ("sent", "refused", "delivered", "acknowledged", "retried", "died", "recovered", "expired", "stale")


class _Entry:
    """A living message; ``attempts`` counts its deliveries, ``token`` is that of the last.

    ``suspect`` from when its holder vanishes until it fails otherwise.
    """

    __slots__ = ("attempts", "error", "expires_at", "message", "state", "suspect", "token")

    def __init__(self, message: Message, expires_at: float) -> None:
        self.message, self.expires_at = message, expires_at
        self.state, self.attempts, self.error, self.token = _WAITING, 0, "", ""
        self.suspect = False


class Queue:
    """Every method takes the time as ``now``; ``died`` is told of each dead letter."""

    def __init__(
        self,
        name: str,
        settings: QueueSettings,
        *,
        token: Callable[[], str],
        random: Callable[[], float],
        died: Callable[[DeadLetter], None],
    ) -> None:
        self.name, self.settings = name, settings
        self._token, self._random, self._died = token, random, died
        self._entries: dict[str, _Entry] = {}
        self._waiting: dict[Priority, OrderedDict[str, _Entry]] = {p: OrderedDict() for p in _ORDER}
        self._passed = dict.fromkeys(_ORDER, 0)
        self._turns, self._ends = Timers(), Timers()
        """When a pause, a delay or a hold is over; when a message that nobody holds has lived too long."""
        self._dead: OrderedDict[str, DeadLetter] = OrderedDict()
        self._seen: OrderedDict[str, float] = OrderedDict()
        self._history: deque[HistoryEntry] = deque()
        self._counts = dict.fromkeys(_COUNTERS, 0)

    # What comes in

    def send(self, messages: Iterable[Message], now: float) -> list[SendResult]:
        """Take what fits and is new; results in order."""
        self.tick(now)
        results, taken = [], []
        for message in messages:
            if message.id in self._entries or self._seen.get(message.id, now) > now:
                results.append(SendResult(message.id, delivered=True, duplicate=True))
            elif not self.has_room():
                self._counts["refused"] += 1
                detail = f"{self.settings.max_length} messages are waiting, delayed or held"
                results.append(SendResult(message.id, delivered=False, error="queue_full", detail=detail))
            else:
                self._accept(message, now)
                taken.append(message.id)
                results.append(SendResult(message.id, delivered=True))
        self._counts["sent"] += len(taken)
        self._note(now, "sent", taken)
        return results

    def has_room(self) -> bool:
        """Whether one more message may come."""
        return len(self._entries) < self.settings.max_length

    def _accept(self, message: Message, now: float) -> None:
        ttl = self.settings.ttl if message.ttl is None else message.ttl
        entry = self._entries[message.id] = _Entry(message, now + ttl)
        self._ends.set(message.id, entry.expires_at)
        if message.delay > 0:
            entry.state = _DELAYED
            self._turns.set(message.id, now + message.delay)
        else:
            self._waiting[message.priority][message.id] = entry
        seen, window = self._seen, self.settings.dedup_window
        while seen and (next(iter(seen.values())) <= now or len(seen) >= 10 * max(self.settings.max_length, 1000)):
            seen.popitem(last=False)
        if window > 0:
            seen[message.id] = now + window
            seen.move_to_end(message.id)

    # What goes out

    def receive(self, limit: int, visibility: float | None, now: float) -> list[Delivery]:
        """Hold up to ``limit`` messages; an empty list is none."""
        self.tick(now)
        deadline = now + (self.settings.visibility if visibility is None else visibility)
        held: list[Delivery] = []
        while len(held) < limit and (entry := self._first()):
            # It may be what killed its holder: alone, it takes no other along.
            if entry.suspect and held:
                break
            self._take(entry)
            entry.state, entry.token = _HELD, self._token()
            entry.attempts += 1
            self._turns.set(entry.message.id, deadline)
            held.append(
                Delivery(entry.message, entry.token, deadline, entry.attempts, entry.error, suspect=entry.suspect)
            )
            if entry.suspect:
                break
        self._counts["delivered"] += len(held)
        self._note(now, "delivered", [d.message.id for d in held])
        return held

    def _first(self) -> _Entry | None:
        """Return the first message of the priority whose turn it is."""
        there = [p for p in _ORDER if self._waiting[p]]
        if not there:
            return None
        limit, passed = self.settings.starvation_limit, self._passed
        chosen = next((p for p in there[1:] if limit and passed[p] >= limit), there[0])
        return next(iter(self._waiting[chosen].values()))

    def _take(self, entry: _Entry) -> None:
        """Let the first message wait no longer, and those below it have been passed over once more."""
        chosen = entry.message.priority
        for priority in _ORDER:
            if priority < chosen and self._waiting[priority]:
                self._passed[priority] += 1
            elif priority == chosen or not self._waiting[priority]:
                self._passed[priority] = 0
        del self._waiting[chosen][entry.message.id]

    # What becomes of it

    def holds(self, delivery: Delivery) -> bool:
        """Whether the delivery's hold is still the one."""
        entry = self._entries.get(delivery.message.id)
        return entry is not None and entry.state == _HELD and entry.token == delivery.token

    def ack(self, deliveries: Iterable[Delivery], now: float) -> list[bool]:
        """Be done with messages; False for each that was no longer held."""
        results, done = [], []
        for delivery in deliveries:
            if held := self.holds(delivery):
                self._remove(delivery.message.id)
                done.append(delivery.message.id)
            else:
                self._counts["stale"] += 1
            results.append(held)
        self._counts["acknowledged"] += len(done)
        self._note(now, "acknowledged", done)
        return results

    def nack(self, delivery: Delivery, now: float, *, error: str, permanent: bool, delay: float | None) -> Settled:
        """Give a message back as failed."""
        if not self.holds(delivery):
            return Settled.STALE
        id, error = delivery.message.id, shorten(error)
        entry = self._entries[id]
        if permanent or entry.attempts > self.settings.retries:
            self._die(entry, "rejected" if permanent else "retries", error, now)
            return Settled.DEAD
        entry.error, entry.suspect = error, False
        wait = pause(self.settings, entry.attempts, self._random) if delay is None else delay
        if now + max(wait, 0) >= entry.expires_at:
            self._die(entry, "expired", error, now)
            return Settled.DEAD
        if wait > 0:
            entry.state = _DELAYED
            self._turns.set(id, now + wait)
        else:
            self._put_back([entry], now, head=False)
        self._counts["retried"] += 1
        self._note(now, "retried", [id], error)
        return Settled.RETRY

    def release(self, deliveries: Sequence[Delivery], now: float) -> list[bool]:
        """Give messages back unharmed, to the head."""
        back: dict[str, _Entry] = {}
        results = []
        for delivery in deliveries:
            id = delivery.message.id
            results.append(held := self.holds(delivery) and id not in back)
            if held:
                back[id] = self._entries[id]
                back[id].attempts -= 1
        self._note(now, "retried", list(back), "released")
        self._put_back(list(back.values()), now)
        return results

    def extend(self, delivery: Delivery, seconds: float, now: float) -> bool:
        """Hold a message until ``seconds`` from now."""
        if held := self.holds(delivery):
            self._turns.set(delivery.message.id, now + seconds)
        return held

    def cancel(self, id: str, now: float) -> bool:
        """Withdraw a message that nobody holds."""
        self.tick(now)
        entry = self._entries.get(id)
        if entry is None or entry.state == _HELD:
            return False
        self._remove(id)
        self._note(now, "purged", [id], "cancelled")
        return True

    def tick(self, now: float) -> int:
        """Let happen what is due by ``now``; return how many holds have run out."""
        for id in self._ends.due(now):
            entry = self._entries[id]
            if entry.state != _HELD:
                self._die(entry, "expired", entry.error, now)
        back: list[_Entry] = []
        vanished = 0
        for id in self._turns.due(now):
            entry = self._entries[id]
            if entry.state == _DELAYED:
                self._put_back([entry], now, head=False)
                continue
            vanished += 1
            self._note(now, "recovered", [id])
            entry.error, entry.suspect = VANISHED, True
            if entry.attempts > self.settings.retries:
                self._die(entry, "retries", VANISHED, now)
            else:
                back.append(entry)
        self._put_back(back, now)
        self._counts["recovered"] += vanished
        while self._dead and next(iter(self._dead.values())).died_at + self.settings.dead_ttl <= now:
            self._dead.popitem(last=False)
        return vanished

    def next_turn(self) -> float:
        """Return when `tick` will next have something to receive, or infinity."""
        return self._turns.next()

    def _put_back(self, entries: Sequence[_Entry], now: float, *, head: bool = True) -> None:
        for entry in reversed(entries) if head else entries:
            id, waiting = entry.message.id, self._waiting[entry.message.priority]
            if entry.expires_at <= now:
                self._die(entry, "expired", entry.error, now)
                continue
            self._turns.drop(id)
            entry.state = _WAITING
            waiting[id] = entry
            waiting.move_to_end(id, last=not head)

    def _remove(self, id: str) -> None:
        entry = self._entries.pop(id)
        self._waiting[entry.message.priority].pop(id, None)
        self._turns.drop(id)
        self._ends.drop(id)

    # Dead letters

    def _die(self, entry: _Entry, reason: Any, error: str, now: float) -> None:
        id = entry.message.id
        self._remove(id)
        letter = DeadLetter(id, self.name, reason, error, entry.attempts, now, entry.message)
        self._dead[id] = letter
        self._dead.move_to_end(id)
        while len(self._dead) > self.settings.dead_limit:
            self._dead.popitem(last=False)
        self._counts["died"] += 1
        self._counts["expired"] += reason == "expired"
        self._note(now, "expired" if reason == "expired" else "died", [id], error)
        self._died(letter)

    def dead(self, limit: int, after: str, now: float) -> list[DeadLetter]:
        """Return up to ``limit`` dead letters, from after the one called ``after``."""
        self.tick(now)
        letters = list(self._dead.values())
        if after:
            names = [*self._dead]
            letters = letters[names.index(after) + 1 :] if after in self._dead else []
        return letters[:limit]

    def requeue(self, ids: Sequence[str], now: float) -> dict[str, Requeued]:
        """Let dead letters live again, where there is room."""
        self.tick(now)
        found = {id: self._requeue(id, now) for id in dict.fromkeys(ids or self._dead)}
        self._note(now, "requeued", [id for id, became in found.items() if became is Requeued.REQUEUED])
        return found

    def _requeue(self, id: str, now: float) -> Requeued:
        letter = self._dead.get(id)
        if letter is None:
            return Requeued.UNKNOWN
        if letter.message is None:
            return Requeued.CORRUPT
        if id in self._entries:
            return Requeued.ALIVE
        if not self.has_room():
            return Requeued.QUEUE_FULL
        del self._dead[id]
        ttl = self.settings.ttl if letter.message.ttl is None else letter.message.ttl
        entry = self._entries[id] = _Entry(letter.message, now + ttl)
        self._ends.set(id, entry.expires_at)
        self._put_back([entry], now, head=False)
        return Requeued.REQUEUED

    def purge_dead(self, ids: Sequence[str], now: float) -> int:
        """Throw dead letters away."""
        self.tick(now)
        gone = [id for id in dict.fromkeys(ids or self._dead) if self._dead.pop(id, None)]
        self._note(now, "purged", gone, "dead letters")
        return len(gone)

    # All of it

    def purge(self, now: float) -> int:
        """Throw away what is waiting and delayed."""
        self.tick(now)
        gone = [id for id, entry in self._entries.items() if entry.state != _HELD]
        for id in gone:
            self._remove(id)
        self._note(now, "purged", gone)
        return len(gone)

    def forget(self, owner: str, now: float) -> tuple[int, list[Message]]:
        """Delete a person's messages; return how many there were, and those that lived."""
        self.tick(now)
        alive = [id for id, entry in self._entries.items() if entry.message.owner == owner]
        dead = [id for id, letter in self._dead.items() if letter.message and letter.message.owner == owner]
        deleted = [self._entries[id].message for id in alive]
        for id in alive:
            self._remove(id)
        for id in dead:
            del self._dead[id]
        self._note(now, "purged", [*alive, *dead], FORGOTTEN)
        return len(alive) + len(dead), deleted

    def stats(self, now: float) -> QueueStats:
        """Return its numbers."""
        self.tick(now)
        waiting = {p.name.lower(): len(self._waiting[p]) for p in _ORDER}
        held = sum(entry.state == _HELD for entry in self._entries.values())
        delayed = len(self._entries) - held - sum(waiting.values())
        first = [next(iter(those.values())).message for those in self._waiting.values() if those]
        age = oldest_age(first, now)
        return QueueStats(waiting, delayed, held, len(self._dead), **self._counts, oldest_age=age)

    def history(self, limit: int) -> list[HistoryEntry]:
        """Return the last entries, the newest first."""
        return list(self._history)[: -limit - 1 : -1]

    def holds_any(self, now: float) -> bool:
        """Whether there are messages in it, be they dead."""
        self.tick(now)
        return bool(self._entries or self._dead)

    def is_empty(self, now: float) -> bool:
        """Whether nothing would be lost with it but its numbers."""
        return not (self.holds_any(now) or any(until > now for until in self._seen.values()))

    def _note(self, now: float, what: Any, ids: Sequence[str], detail: str = "") -> None:
        if not ids:
            return
        self._history.append(HistoryEntry(now, what, tuple(ids), detail))
        while len(self._history) > self.settings.audit_limit:
            self._history.popleft()
