"""What must hold of the histories of all processes, whatever happened to them.

It is sound: where a history leaves a doubt (a call without an answer, a hold that may just have been given back)
nothing is said. A hold is valid from when the server granted it to its deadline, by the server's clock, unless its
holder has begun to give it back. When the server granted it follows from its deadline and its length.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from math import inf

import msgspec

from tta_messages import QueueStats

from .history import Answered, Began, Called, Entry, Handled

_TICK = 0.001  # deadlines are whole milliseconds
_STEP = 0.05  # by which the wall clock may drift against the monotonic one in a run


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
    given away in such a window; ``again``: messages handled to the end more than once.
    """

    wrong: list[str] = []
    accepted: int = 0
    handled: int = 0
    again: int = 0
    lost: int = 0
    voided: int = 0
    not_replicated: int = 0
    outages: int = 0
    late: int = 0
    """Handlers that were begun after the hold's end."""


class _Hold:
    """One reception of one message."""

    def __init__(self, process: str, id: str, token: str, granted: float, deadline: float, attempt: int, seen: float):
        self.process, self.id, self.token, self.attempt = process, id, token, attempt
        self.granted, self.deadline, self.seen = granted, deadline, seen
        self.extensions: list[tuple[float, float, float]] = []  # called, answered (or inf), at least until
        self.given_back = inf
        self.acknowledged: tuple[float, float] | None = None  # called, answered

    def valid(self, at: float) -> bool:
        """Whether it was certainly the holder's at ``at``."""
        until = self.deadline
        for called, answered, least in self.extensions:
            if answered <= at:
                until = least
            elif called <= at:
                until = min(until, least)
        return self.granted < at < until and at < self.given_back

    def until(self) -> float:
        return max([self.deadline, *(least for _, answered, least in self.extensions if answered < inf)])


class _Sent:
    """One message on its way into the queue."""

    def __init__(self, called: float, place: tuple[int, int], priority: int) -> None:
        self.called, self.place, self.priority = called, place, priority
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
        self._began: list[tuple[Began, str]] = []
        self._handled: dict[str, list[Handled]] = defaultdict(list)
        self._received: dict[str, list[_Hold]] = defaultdict(list)

    def verdict(self, *, orderly: bool) -> Verdict:
        for process, entries in self._histories.items():
            self._read(process, entries)
        found = self._found
        for line in (*self._clocks(), *self._losses(), *self._double_holds(), *self._comebacks(), *self._numbers()):
            found.wrong.append(line)
        for began, process in self._began:
            hold = self._by_token.get((began.id, began.token))
            if hold is None:
                found.wrong.append(f"{process}: began {began.id} without having received it")
            elif began.wall > hold.until():
                found.late += 1
        if orderly:
            found.wrong += [*self._once(), *self._order()]
        found.accepted = sum(each.accepted < inf for each in self._sent.values())
        found.handled = len(self._handled)
        found.again = sum(len(each) > 1 for each in self._handled.values())
        return found

    # Reading

    def _read(self, process: str, entries: Sequence[Entry]) -> None:
        answers = {entry.call: entry for entry in entries if isinstance(entry, Answered)}
        for place, entry in enumerate(entries):
            match entry:
                case Called():
                    self._take(process, place, entry, answers.get(entry.call))
                case Began():
                    self._began.append((entry, process))
                case Handled():
                    self._handled[entry.id].append(entry)

    def _take(self, process: str, place: int, called: Called, answer: Answered | None) -> None:
        if answer is not None and answer.error in ("MessagesError", "Unknown"):
            self._found.outages += 1
        if called.what == "send":
            self._take_send(called, answer)
            return
        for number, key in enumerate(zip(called.ids, called.tokens, strict=True)):
            hold = self._by_token.get(key)
            if hold is None:
                self._found.wrong.append(f"{process}: {called.what} of {key[0]} without having received it")
            elif called.what == "extend":
                answered = inf if answer is None or not answer.results else answer.wall
                if answer is None or answer.results != ("no",):
                    hold.extensions.append((called.wall, answered, called.wall + called.seconds))
            else:
                hold.given_back = min(hold.given_back, called.wall)
                if called.what == "ack" and answer is not None and answer.results and answer.results[number] == "yes":
                    hold.acknowledged = hold.acknowledged or (called.wall, answer.wall)
        for held in answer.held if answer is not None else ():
            granted = held.deadline - called.seconds
            hold = _Hold(process, held.id, held.token, granted, held.deadline, held.attempt, answer.at if answer else 0)
            if (held.id, held.token) in self._by_token:
                self._found.wrong.append(f"{held.id} was received twice with one token")
            if not 1 <= held.attempt <= self._retries + 1:
                self._found.wrong.append(f"{held.id} was received as attempt {held.attempt} of {self._retries + 1}")
            if answer is not None and not called.wall - 2 * _TICK <= granted <= answer.wall:
                self._found.wrong.append(f"{held.id}: its deadline is none that a receive then and there gives")
            self._by_token[held.id, held.token] = hold
            self._holds[held.id].append(hold)
            self._received[process].append(hold)

    def _take_send(self, called: Called, answer: Answered | None) -> None:
        for number, id in enumerate(called.ids):
            if id in self._sent:
                self._sent[id].tries += 1
            sent = self._sent.setdefault(id, _Sent(called.at, (called.call, number), called.priorities[number]))
            if answer is not None and answer.results:
                if answer.results[number] == "accepted":
                    sent.accepted = min(sent.accepted, answer.wall)
                elif answer.results[number] == "not_replicated":
                    self._found.not_replicated += 1

    # Judging

    def _clocks(self) -> Iterator[str]:
        offsets = [entry.wall - entry.at for entries in self._histories.values() for entry in entries]
        if offsets and max(offsets) - min(offsets) > _STEP:
            yield "the wall clock was set during the run: holds can't be judged"

    def _excused(self, since: float, until: float, *, sends: bool = False) -> bool:
        """Whether what was so at ``since`` needn't be at ``until``, because a server that knew it died in between."""
        return any(
            fault.at - fault.window <= since <= fault.until and fault.at <= until and not (sends and fault.keeps_sends)
            for fault in self._faults
            if fault.window
        )

    def _losses(self) -> Iterator[str]:
        stats = self._end.stats
        left = sum(stats.waiting.values()) + stats.delayed + stats.held
        if left:
            yield f"{left} messages are in the queue although everybody had time to take them"
        missing = []
        for id, sent in self._sent.items():
            done = id in self._handled and any(hold.given_back < inf for hold in self._holds[id])
            if sent.accepted == inf or done or id in self._end.dead:
                continue
            if self._excused(sent.accepted, inf, sends=True):
                self._found.lost += 1
            else:
                missing.append(id)
        if len(missing) > left:  # Else they are what is left.
            yield from (f"{id} was accepted, and is neither handled nor dead: it is lost" for id in missing)
        for id in {*self._holds, *self._end.dead} - {*self._sent}:
            yield f"{id} was received, and nobody ever sent it"

    def _double_holds(self) -> Iterator[str]:
        for id, holds in self._holds.items():
            holds.sort(key=lambda hold: hold.granted)
            for number, later in enumerate(holds):
                for earlier in holds[:number]:
                    if not earlier.valid(later.granted + _TICK):
                        continue
                    if self._excused(earlier.granted, later.granted) or self._extended_in_vain(earlier, later):
                        self._found.voided += 1
                    else:
                        yield (
                            f"{id} was given to {later.process} while {earlier.process} held it for another "
                            f"{earlier.until() - later.granted:.3f} s"
                        )

    def _extended_in_vain(self, earlier: _Hold, later: _Hold) -> bool:
        """Whether the holds overlap only by an extension that a server may have forgotten."""
        if earlier.deadline > later.granted:
            return False
        return any(
            self._excused(called, later.granted)
            for called, answered, least in earlier.extensions
            if answered < later.granted < least
        )

    def _comebacks(self) -> Iterator[str]:
        """Nobody gets what is acknowledged, and nobody acknowledges what another has got since."""
        for id, holds in self._holds.items():
            for earlier in holds:
                if earlier.acknowledged is None:
                    continue
                called, answered = earlier.acknowledged
                for later in holds:
                    if later is earlier:
                        continue
                    if later.granted > answered and not self._excused(called, later.granted):
                        yield f"{id} was given to {later.process} after {earlier.process} had acknowledged it"
                    elif earlier.granted < later.granted and later.granted + _TICK < called:
                        yield f"{id} was acknowledged by {earlier.process} after {later.process} had got it"

    def _numbers(self) -> Iterator[str]:
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

    def _once(self) -> Iterator[str]:
        for id, sent in self._sent.items():
            times = len(self._handled[id]) if id in self._handled else 0
            if sent.accepted < inf and times != 1:
                yield f"{id} was handled {times} times, although nobody crashed"

    def _order(self) -> Iterator[str]:
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
                if soonest < sent.called + offset:
                    yield f"{who} was in the queue before {hold.id} was sent, and received after it"
                if sent.accepted < soonest:
                    soonest, who = sent.accepted, hold.id
                sender, (call, number) = hold.id.rpartition(".")[0], sent.place
                if sender in places and places[sender][0] == call and places[sender][1] < number:
                    yield f"{hold.id} was sent after the {places[sender][1] + 1}. of its call, and received before it"
                places[sender] = (call, number)
