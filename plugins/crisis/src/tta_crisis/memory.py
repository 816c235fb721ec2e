"""The reference implementation of the store, in memory."""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import TypeVar

import msgspec
from msgspec.structs import replace

from tta_kernel import check_count, check_duration

from .model import CrisisError, CrisisPage, CrisisQuery, Feedback, FeedbackPage, Intervention, Packet, Trace
from .store import Changed

S = TypeVar("S", bound=msgspec.Struct)
TRACES = 10_000
FEEDBACK = 10_000


class MemoryCrisisStore:
    """Keeps ``most`` interventions; a resolved one goes after ``retention`` seconds, a packet after ``packets``.

    Where there are too many the oldest resolved one goes; one that isn't resolved never does.
    """

    durable = False

    def __init__(
        self, clock: Callable[[], float], *, most: int = 10_000, retention: float = 90 * 86400.0,
        packets: float = 30 * 86400.0,
    ) -> None:  # fmt: skip
        check_count("most", most)
        check_duration("retention", retention, positive=True)
        check_duration("packets", packets, positive=True)
        self._clock, self._most, self._retention, self._keep_packets = clock, most, retention, packets
        self._stored: OrderedDict[str, Intervention] = OrderedDict()
        """In the order in which they were opened."""
        self._packets: dict[str, tuple[float, bytes]] = {}
        self._feedback: deque[Feedback] = deque(maxlen=FEEDBACK)
        self._traces: deque[Trace] = deque(maxlen=TRACES)

    def __len__(self) -> int:
        """Count the interventions."""
        return len(self._stored)

    async def open(self, intervention: Intervention, packet: Packet) -> Intervention:
        self._drop_old()
        if (found := self._stored.get(intervention.id)) is not None:
            return found
        if len(self._stored) >= self._most and not self._drop_resolved():
            raise CrisisError(f"there are {self._most} interventions that nobody has resolved, and no more may be")
        stored = _copy(replace(intervention, version=1))
        self._stored[stored.id] = stored
        self._packets[stored.id] = (self._clock(), msgspec.msgpack.encode(packet))
        return stored

    async def get(self, id: str) -> Intervention | None:
        self._drop_old()
        return self._stored.get(id)

    async def put(self, intervention: Intervention) -> Intervention:
        found = self._stored.get(intervention.id)
        version = found.version if found is not None else 0
        if found is None or version != intervention.version:
            raise Changed(f"the intervention is at version {version}, not {intervention.version}")
        stored = _copy(replace(intervention, version=version + 1))
        self._stored[stored.id] = stored
        return stored

    async def packet(self, id: str) -> Packet | None:
        at, packed = self._packets.get(id, (0.0, b""))
        if not packed or self._clock() - at > self._keep_packets:
            self._packets.pop(id, None)
            return None
        return msgspec.msgpack.decode(packed, type=Packet)

    async def page(self, query: CrisisQuery) -> CrisisPage:
        self._drop_old()
        ordered = sorted(self._stored.values(), key=place, reverse=True)
        found = [
            each for each in ordered
            if (not query.cursor or place(each) < query.cursor) and each.opened_at >= query.since
            and query.status in ("", each.status) and query.session in ("", each.session)
        ]  # fmt: skip
        shown = found[: query.most]
        return CrisisPage(shown, place(shown[-1]) if len(found) > len(shown) else "")

    async def judge(self, feedback: Feedback) -> None:
        self._feedback.append(_copy(feedback))

    async def judgements(self, cursor: str = "", most: int = 100) -> FeedbackPage:
        first = int(cursor) if cursor.isdigit() else 0
        newest = list(reversed(self._feedback))
        shown = newest[first : first + most]
        return FeedbackPage(shown, str(first + most) if len(newest) > first + most else "")

    async def traces(self, most: int = 1000) -> Sequence[Trace]:
        return list(reversed(self._traces))[:most]

    async def forget(self, owner: str) -> int:
        if not owner:
            return 0
        theirs = [each for each in self._stored.values() if each.owner == owner]
        for each in theirs:
            self._traces.append(trace_of(each))
            self._delete(each.id)
        others = [each for each in self._feedback if each.owner != owner]
        erased = len(theirs) + len(self._feedback) - len(others)
        self._feedback = deque(others, maxlen=FEEDBACK)
        return erased

    def _delete(self, id: str) -> None:
        self._stored.pop(id, None)
        self._packets.pop(id, None)

    def _drop_old(self) -> None:
        now = self._clock()
        # The first to be resolved need not be the first to be opened: so all are looked at, and they are few.
        for each in list(self._stored.values()):
            if each.status == "resolved" and now - each.resolved_at > self._retention:
                self._delete(each.id)

    def _drop_resolved(self) -> bool:
        for each in self._stored.values():
            if each.status == "resolved":
                self._delete(each.id)
                return True
        return False


def place(intervention: Intervention) -> str:
    """Return where an intervention stands among all, in the order of texts: by when it was opened, then by its id."""
    return f"{max(0, round(intervention.opened_at * 1000)):015d}.{intervention.id}"


def trace_of(intervention: Intervention) -> Trace:
    """Return what is kept of an intervention whose person is forgotten."""
    day = datetime.fromtimestamp(intervention.opened_at, UTC).date().isoformat()
    return Trace(
        day=day, kind=intervention.kind, level=intervention.level, status=intervention.status,
        escalated=intervention.escalated_at > 0,
    )  # fmt: skip


def _copy(struct: S) -> S:
    """Return it as it would come back from a store: what can't travel fails here."""
    return msgspec.msgpack.decode(msgspec.msgpack.encode(struct), type=type(struct))
