"""How one run gets into its journal: in order, many records at once while the store is busy, each of them once."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import anyio
import msgspec

from tta_messages import Backoff

from .definition import Retention
from .journal import (
    Behind,
    Commit,
    Fenced,
    Journal,
    JournalCorrupt,
    JournalError,
    JournalFull,
    Lease,
    Outgoing,
    RunHead,
    RunStatus,
)  # fmt: skip
from .records import AnyRecord


class Writer:
    """Commits the records of a run that this process holds; ``stored`` are all that the journal has of it.

    What is handed in goes out in the next commit, by whoever waits for it first; meanwhile more may come, and goes in
    the one after. A commit whose answer was lost, be it with the store or because its sender was cancelled, is sent
    again as it was before anything else is: the journal knows it by its number. ``on_new`` is told of each record that
    its owner doesn't know yet: what somebody else has added, and what `write_if_alone` has. `Fenced` and `JournalFull`
    end the writer: it raises the same from then on.
    """

    def __init__(
        self, journal: Journal, lease: Lease, head: RunHead, stored: Sequence[AnyRecord], *,
        status: Callable[[], RunStatus], on_new: Callable[[AnyRecord], None], backoff: Callable[[], Backoff],
    ) -> None:  # fmt: skip
        self.stored = list(stored)
        self.outgoing: list[Outgoing] = []
        """What has been stored, and has yet to leave."""
        self._journal, self._lease, self._run = journal, lease, head.id
        self._status, self._on_new, self._backoff = status, on_new, backoff
        self._queue: list[AnyRecord] = []
        self._queued_outgoing: list[Outgoing] = []
        self._number = 0
        self._unanswered: Commit | None = None
        self._busy = False
        self._handed_in = self._answered = 0
        """How many records were handed in, and how many of them are stored."""
        self._ended: Exception | None = None
        self._changed: anyio.Event | None = None

    @property
    def pending(self) -> int:
        """How many records have yet to be stored."""
        return self._handed_in - self._answered

    async def changed(self) -> None:
        """Wait until more is stored, or the writer has ended."""
        if self._changed is None:
            self._changed = anyio.Event()
        await self._changed.wait()

    def wake(self) -> None:
        """Let whoever waits for a change look again."""
        if self._changed is not None:
            self._changed.set()
            self._changed = None

    def close(self) -> None:
        """Tell its owner nothing more, and let whoever waits for a change look a last time."""
        # Its owner holds it, and would be held by it: a run that is over is to be freed at once. Left to the garbage
        # collector, runs took a quarter of all time.
        status = self._status()
        self._status, self._on_new = lambda: status, _ignore
        self.wake()

    def hand_in(self, records: Sequence[AnyRecord], outgoing: Sequence[Outgoing] = ()) -> None:
        """Take records that go out with the next commit; nobody waits for it yet."""
        self._queue += records
        self._handed_in += len(records)
        if outgoing:
            self._queued_outgoing += outgoing

    def replace_last(self, old: AnyRecord, new: AnyRecord) -> bool:
        """Let ``new`` go in place of ``old``, if that was handed in last and isn't on its way."""
        if not self._queue or self._queue[-1] is not old:
            return False
        self._queue[-1] = new
        return True

    async def write(self, records: Sequence[AnyRecord] = (), outgoing: Sequence[Outgoing] = ()) -> None:
        """Hand records in, and return when these, and all that were handed in before, are stored."""
        self.hand_in(records, outgoing)
        until = self._handed_in
        while self._answered < until:
            if self._busy:
                await self.changed()
            else:
                await self._send(self._unanswered or self._next(self._status()))
            if self._ended is not None:
                raise self._ended

    async def write_if_alone(
        self, record: AnyRecord, status: RunStatus, *, release: Retention | None = None
    ) -> bool:  # fmt: skip
        """Store a record, unless somebody else has added one since; then that is taken in, and it isn't stored.

        What was handed in before is stored with it, or goes out with the next commit. ``status`` is the run's with
        that record. With ``release`` it is let go of in the same commit: nothing may be left to send.
        """
        while self._busy or self._unanswered:
            if self._busy or self._unanswered is None:
                await self.changed()
            else:
                await self._send(self._unanswered)
            if self._ended is not None:
                raise self._ended
        return await self._send(self._next(status, record, release))

    async def catch_up(self) -> None:
        """Take in what somebody else has added."""
        if not self._busy:
            found = await self._read()
            if not self._busy:  # Else whoever commits will see it, too.
                self._take_in(found)

    def start_over(self) -> None:
        """Forget what didn't fit, after a `JournalFull`: what brings the run to its end still does."""
        self._queue, self._queued_outgoing = [], []
        self._answered = self._handed_in
        self._unanswered, self._ended = None, None
        self._number -= 1

    def _next(
        self, status: RunStatus, alone: AnyRecord | None = None, release: Retention | None = None
    ) -> Commit:  # fmt: skip
        """Make a commit of all that was handed in, and of a record that is stored only where nobody has added one."""
        records, outgoing = tuple(self._queue), tuple(self._queued_outgoing)
        self._queue.clear()
        self._queued_outgoing.clear()
        self._number += 1
        if alone is None:
            commit = Commit(self._run, self._number, records, status, outgoing)
        else:
            commit = Commit(
                self._run, self._number, (*records, alone), status, outgoing, len(self.stored), release
            )  # fmt: skip
        self._unanswered = commit
        return commit

    async def _send(self, commit: Commit) -> bool:
        """Send a commit until there is an answer; False if it was decided from too little."""
        self._busy = True
        # The last one of a commit that expects something is the one that its owner doesn't know yet.
        known = len(commit.records) - (commit.expected is not None)
        try:
            total = await self._commit(commit)
            if total == len(self.stored) + len(commit.records):
                self.stored.extend(commit.records)
                for record in commit.records[known:]:
                    self._on_new(record)
            else:
                self._take_in(await self._read(), commit.records, known=known)
            self.outgoing.extend(commit.outgoing)
        except Behind:
            self._number -= 1
            self._queue[:0] = commit.records[:known]
            self._queued_outgoing[:0] = commit.outgoing
            self._unanswered = None
            self._take_in(await self._read())
            return False
        except (Fenced, JournalFull, JournalCorrupt) as exc:
            self._ended = exc
            raise
        else:
            self._unanswered = None
            self._answered += known
            return True
        finally:
            self._busy = False
            self.wake()

    async def _commit(self, commit: Commit) -> int:
        backoff: Backoff | None = None
        while True:
            try:
                total = await self._journal.commit(self._lease, commit)
            except JournalError as exc:
                backoff = backoff or self._backoff()
                await backoff.wait(exc)
            else:
                if backoff is not None:
                    backoff.over()
                return total

    async def _read(self) -> Sequence[AnyRecord]:
        """Read what the journal has after what is known."""
        backoff: Backoff | None = None
        while True:
            try:
                found = await self._journal.read(self._run, len(self.stored))
            except JournalError as exc:
                backoff = backoff or self._backoff()
                await backoff.wait(exc)
                continue
            if found is None:
                raise Fenced(f"the run {self._run} is gone")
            return found.records[len(self.stored) - found.after :]

    def _take_in(self, found: Sequence[AnyRecord], own: Sequence[AnyRecord] = (), *, known: int = 0) -> None:
        """Note what was read; ``own`` is somewhere in it, in one piece, and the rest is somebody else's.

        ``known`` says how many of its own the run knows of already.
        """
        size = len(own)
        first: int | None = 0
        if own:
            # As they are stored: not every value is equal to itself.
            there, wanted = [*map(msgspec.msgpack.encode, found)], [*map(msgspec.msgpack.encode, own)]
            first = next((n for n in range(len(there)) if there[n : n + size] == wanted), None)
        if first is None:
            raise JournalCorrupt(f"the run {self._run}: what was stored isn't there")
        self.stored.extend(found)
        for number, record in enumerate(found):
            if not first <= number < first + known:
                self._on_new(record)
        self.wake()


def _ignore(record: AnyRecord) -> None:
    pass
