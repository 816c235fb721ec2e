"""What must hold of the histories of all processes, whatever happened to them.

It is sound: where a history leaves a doubt (a call that never completed, a hold that may just have been given back)
nothing is said. A hold is valid from when the server granted it to its deadline, by the server's clock, unless its
holder has begun to give it back. When the server granted it follows from its deadline and its length.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from math import inf

import msgspec

from tta_messages import QueueStats

from .history import Completed, Entry, HandlerReturned, HandlerStarted, Invoked

_TICK = 0.001  # deadlines are whole milliseconds
_CLOCK_DRIFT = 0.05  # by which the wall clock may drift against the monotonic one in a run


class Fault(msgspec.Struct, frozen=True):
    """A server was killed at ``at`` (wall clock), and by ``until`` another, or itself again, was in charge.

    What it had answered up to ``window`` seconds before may be gone: sends, too, unless ``keeps_sends``.
    """

    at: float
    until: float
    window: float = 0.0
    keeps_sends: bool = True


class End(msgspec.Struct, frozen=True):
    """What is in the queue when all is over: the numbers, and the dead letters' reasons by id."""

    stats: QueueStats
    dead: Mapping[str, str] = {}


class Verdict(msgspec.Struct):
    """What is wrong, and what is only counted.

    ``lost`` were accepted and are gone, within the window of a fault that may take them; ``voided``: holds that were
    given away in such a window; ``duplicates``: messages handled to the end more than once.
    """

    wrong: list[str] = []
    accepted: int = 0
    handled: int = 0
    duplicates: int = 0
    lost: int = 0
    voided: int = 0
    not_replicated: int = 0
    outages: int = 0
    late: int = 0
    """Handlers that were started after the hold's end."""


class _Hold:
    """One reception of one message."""

    def __init__(self, process: str, id: str, token: str, granted: float, deadline: float, attempt: int):
        self.process, self.id, self.token, self.attempt = process, id, token, attempt
        self.granted, self.deadline = granted, deadline
        self.extensions: list[tuple[float, float, float]] = []  # invoked, completed (or inf), at least until
        self.given_back = inf
        self.acknowledged: tuple[float, float] | None = None  # invoked, completed

    def valid(self, at: float) -> bool:
        """Whether it was certainly the holder's at ``at``."""
        until = self.deadline
        for invoked, completed, least in self.extensions:
            if completed <= at:
                until = least
            elif invoked <= at:
                until = min(until, least)
        return self.granted < at < until and at < self.given_back

    def until(self) -> float:
        return max([self.deadline, *(least for _, completed, least in self.extensions if completed < inf)])


class _Sent:
    """One message on its way into the queue."""

    def __init__(self, invoked: float, place: tuple[int, int], priority: int) -> None:
        self.invoked, self.place, self.priority = invoked, place, priority
        self.accepted = inf
        self.tries = 1


def check(
    histories: Mapping[str, Sequence[Entry]], end: End, *, retries: int, faults: Sequence[Fault] = (),
    orderly: bool = False,
) -> Verdict:  # fmt: skip
    """Judge a run; ``orderly``: nobody crashed or failed, so all happens once, and in order for a lone consumer."""
    return _Checker(histories, end, retries, faults).verdict(orderly=orderly)


class _Checker:
    def __init__(
        self, histories: Mapping[str, Sequence[Entry]], end: End, retries: int, faults: Sequence[Fault]
    ) -> None:
        self._histories, self._end, self._retries, self._faults = histories, end, retries, faults
        self._found = Verdict()
        self._sent: dict[str, _Sent] = {}
        self._holds: dict[str, list[_Hold]] = defaultdict(list)
        self._by_token: dict[tuple[str, str], _Hold] = {}
        self._started: list[tuple[HandlerStarted, str]] = []
        self._returned: dict[str, list[HandlerReturned]] = defaultdict(list)
        self._received: dict[str, list[_Hold]] = defaultdict(list)

    def verdict(self, *, orderly: bool) -> Verdict:
        for process, entries in self._histories.items():
            self._read_history(process, entries)
        found = self._found
        for line in (
            *self._clock_jumps(),
            *self._lost_messages(),
            *self._overlapping_holds(),
            *self._redelivered_after_ack(),
            *self._unbalanced_counts(),
        ):
            found.wrong.append(line)
        for started, process in self._started:
            hold = self._by_token.get((started.id, started.token))
            if hold is None:
                found.wrong.append(f"{process}: started {started.id} without having received it")
            elif started.wall > hold.until():
                found.late += 1
        if orderly:
            found.wrong += [*self._not_handled_once(), *self._out_of_order()]
        found.accepted = sum(each.accepted < inf for each in self._sent.values())
        found.handled = len(self._returned)
        found.duplicates = sum(len(each) > 1 for each in self._returned.values())
        return found

    # Reading

    def _read_history(self, process: str, entries: Sequence[Entry]) -> None:
        completions = {entry.call: entry for entry in entries if isinstance(entry, Completed)}
        for entry in entries:
            match entry:
                case Invoked():
                    completion = completions.get(entry.call)
                    if completion is not None and completion.error in ("MessagesError", "Unknown"):
                        self._found.outages += 1
                    if entry.operation == "send":
                        self._read_send(entry, completion)
                        continue
                    self._read_settled(process, entry, completion)
                    if completion is not None:
                        self._read_received(process, entry, completion)
                case HandlerStarted():
                    self._started.append((entry, process))
                case HandlerReturned():
                    self._returned[entry.id].append(entry)

    def _read_send(self, invoked: Invoked, completion: Completed | None) -> None:
        for number, id in enumerate(invoked.ids):
            if id in self._sent:
                self._sent[id].tries += 1
            sent = self._sent.setdefault(id, _Sent(invoked.at, (invoked.call, number), invoked.priorities[number]))
            if completion is not None and completion.results:
                if completion.results[number] == "accepted":
                    sent.accepted = min(sent.accepted, completion.wall)
                elif completion.results[number] == "not_replicated":
                    self._found.not_replicated += 1

    def _read_settled(self, process: str, invoked: Invoked, completion: Completed | None) -> None:
        """Note which holds a call extends or gives back; a receive gives back those that are done."""
        results = completion.results if completion is not None else ()
        for number, key in enumerate(zip(invoked.ids, invoked.tokens, strict=True)):
            hold = self._by_token.get(key)
            if hold is None:
                self._found.wrong.append(f"{process}: {invoked.operation} of {key[0]} without having received it")
            elif invoked.operation == "extend":
                completed_at = completion.wall if completion is not None and results else inf
                if results != ("no",):
                    hold.extensions.append((invoked.wall, completed_at, invoked.wall + invoked.seconds))
            else:
                hold.given_back = min(hold.given_back, invoked.wall)
                if invoked.operation == "ack" and completion is not None and results and results[number] == "yes":
                    hold.acknowledged = hold.acknowledged or (invoked.wall, completion.wall)

    def _read_received(self, process: str, invoked: Invoked, completion: Completed) -> None:
        for held in completion.held:
            granted = held.deadline - invoked.seconds
            hold = _Hold(process, held.id, held.token, granted, held.deadline, held.attempt)
            if (held.id, held.token) in self._by_token:
                self._found.wrong.append(f"{held.id} was received twice with one token")
            if not 1 <= held.attempt <= self._retries + 1:
                self._found.wrong.append(f"{held.id} was received as attempt {held.attempt} of {self._retries + 1}")
            if not invoked.wall - 2 * _TICK <= granted <= completion.wall:
                self._found.wrong.append(f"{held.id}: its deadline is none that a receive then and there gives")
            self._by_token[held.id, held.token] = hold
            self._holds[held.id].append(hold)
            self._received[process].append(hold)

    # Judging

    def _clock_jumps(self) -> Iterator[str]:
        offsets = [entry.wall - entry.at for entries in self._histories.values() for entry in entries]
        if offsets and max(offsets) - min(offsets) > _CLOCK_DRIFT:
            yield "the wall clock was set during the run: holds can't be judged"

    def _explained_by_a_fault(self, since: float, until: float, *, sends: bool = False) -> bool:
        """Whether what was so at ``since`` needn't be at ``until``, because a server that knew it died in between."""
        return any(
            fault.at - fault.window <= since <= fault.until and fault.at <= until and not (sends and fault.keeps_sends)
            for fault in self._faults
            if fault.window
        )

    def _lost_messages(self) -> Iterator[str]:
        stats = self._end.stats
        left = sum(stats.waiting.values()) + stats.delayed + stats.held
        if left:
            yield f"{left} messages are in the queue although everybody had time to take them"
        missing = []
        for id, sent in self._sent.items():
            done = id in self._returned and any(hold.given_back < inf for hold in self._holds[id])
            if sent.accepted == inf or done or id in self._end.dead:
                continue
            if self._explained_by_a_fault(sent.accepted, inf, sends=True):
                self._found.lost += 1
            else:
                missing.append(id)
        if len(missing) > left:  # Else they are what is left.
            yield from (f"{id} was accepted, and is neither handled nor dead: it is lost" for id in missing)
        for id in {*self._holds, *self._end.dead} - {*self._sent}:
            yield f"{id} was received, and nobody ever sent it"

    def _overlapping_holds(self) -> Iterator[str]:
        for id, holds in self._holds.items():
            holds.sort(key=lambda hold: hold.granted)
            for number, later in enumerate(holds):
                for earlier in holds[:number]:
                    if not earlier.valid(later.granted + _TICK):
                        continue
                    if self._explained_by_a_fault(earlier.granted, later.granted) or self._overlaps_by_a_lost_extension(
                        earlier, later
                    ):
                        self._found.voided += 1
                    else:
                        yield (
                            f"{id} was given to {later.process} while {earlier.process} held it for another "
                            f"{earlier.until() - later.granted:.3f} s"
                        )

    def _overlaps_by_a_lost_extension(self, earlier: _Hold, later: _Hold) -> bool:
        """Whether the holds overlap only by an extension that a server may have forgotten."""
        if earlier.deadline > later.granted:
            return False
        return any(
            self._explained_by_a_fault(invoked, later.granted)
            for invoked, completed, least in earlier.extensions
            if completed < later.granted < least
        )

    def _redelivered_after_ack(self) -> Iterator[str]:
        """Nobody gets what is acknowledged, and nobody acknowledges what another has got since."""
        for id, holds in self._holds.items():
            for earlier in holds:
                if earlier.acknowledged is None:
                    continue
                invoked, completed = earlier.acknowledged
                for later in holds:
                    if later is earlier:
                        continue
                    if later.granted > completed and not self._explained_by_a_fault(invoked, later.granted):
                        yield f"{id} was given to {later.process} after {earlier.process} had acknowledged it"
                    elif earlier.granted < later.granted and later.granted + _TICK < invoked:
                        yield f"{id} was acknowledged by {earlier.process} after {later.process} had got it"

    def _unbalanced_counts(self) -> Iterator[str]:
        """The queue's own numbers add up: what came in went out in one of the ways that there are."""
        stats = self._end.stats
        left = sum(stats.waiting.values()) + stats.delayed + stats.held
        if stats.sent != stats.acknowledged + stats.died + left:
            yield (
                f"{stats.sent} were sent, but {stats.acknowledged} acknowledged, {stats.died} died and {left} are left"
            )
        if not any(fault.window for fault in self._faults):
            accepted = sum(sent.accepted < inf for sent in self._sent.values())
            if not accepted <= stats.sent <= len(self._sent):
                yield f"{accepted} were accepted of {len(self._sent)}, and the queue counted {stats.sent}"

    def _not_handled_once(self) -> Iterator[str]:
        for id, sent in self._sent.items():
            times = len(self._returned[id]) if id in self._returned else 0
            if sent.accepted < inf and times != 1:
                yield f"{id} was handled {times} times, although nobody crashed"

    def _out_of_order(self) -> Iterator[str]:
        """For a lone consumer: what was in the queue before another was sent comes before it, within a priority."""
        if len(self._received) != 1:
            return
        ((process, received),) = self._received.items()
        by_priority: dict[int, list[_Hold]] = defaultdict(list)
        for hold in received:
            if hold.id in self._sent and hold.attempt == 1 and self._sent[hold.id].tries == 1:
                by_priority[self._sent[hold.id].priority].append(hold)
        offset = next(entry.wall - entry.at for entry in self._histories[process])
        for holds in by_priority.values():
            soonest, who = inf, ""  # of those received later: the first to be in the queue for certain
            places: dict[str, tuple[int, int]] = {}
            for hold in reversed(holds):
                sent = self._sent[hold.id]
                if soonest < sent.invoked + offset:
                    yield f"{who} was in the queue before {hold.id} was sent, and received after it"
                if sent.accepted < soonest:
                    soonest, who = sent.accepted, hold.id
                sender, (call, number) = hold.id.rpartition(".")[0], sent.place
                if sender in places and places[sender][0] == call and places[sender][1] < number:
                    yield f"{hold.id} was sent after the {places[sender][1] + 1}. of its call, and received before it"
                places[sender] = (call, number)
