"""What has happened, as it can be shown: numbered, by kind, and without a person's text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Protocol

import msgspec

from tta_kernel import Service

DROPPED = "events.dropped"
"""The kind of the entry that stands for events which came too fast; its field ``count`` says how many."""
LONGEST_WAIT = 60.0


class Entry(msgspec.Struct, frozen=True, omit_defaults=True):
    """One event. ``seq`` numbers all events of a process, one after the other; ``at`` is in seconds since the epoch.

    ``fields`` holds numbers, and what the event's type has declared as shown; of all else ``sizes`` has the length.
    """

    seq: int
    kind: str
    at: float = 0.0
    source: str = ""
    session: str = ""
    owner: str = ""
    correlation_id: str = ""
    fields: Mapping[str, Any] = {}
    sizes: Mapping[str, int] = {}


class Where(msgspec.Struct, frozen=True):
    """Which events are asked for.

    A kind is such as ``agents.called``, or ``agents.*`` for all of that owner; without any they are all meant.
    ``session`` and ``owner`` are empty where they may be any.
    """

    kinds: tuple[str, ...] = ()
    session: str = ""
    owner: str = ""

    def matches(self, entry: Entry) -> bool:
        """Say whether an entry is asked for; a gap always is."""
        if entry.kind == DROPPED:
            return True
        if self.session and entry.session != self.session:
            return False
        if self.owner and entry.owner != self.owner:
            return False
        return not self.kinds or any(_is_of(entry.kind, kind) for kind in self.kinds)


def _is_of(kind: str, wanted: str) -> bool:
    return kind == wanted or (wanted.endswith("*") and kind.startswith(wanted[:-1]))


class Page(msgspec.Struct, frozen=True):
    """What was found, and where to go on: ask with ``after=next`` and the same ``epoch``.

    ``missed`` is how many events after ``after`` are no longer kept, be they asked for or not. ``epoch`` names the
    numbering: it is another once the process has been restarted, and all that is kept is new then. ``oldest`` and
    ``newest`` are the numbers of what is kept, and 0 where nothing has happened.
    """

    epoch: str
    entries: Sequence[Entry]
    next: int
    oldest: int
    newest: int
    missed: int = 0


Limit = Annotated[int, msgspec.Meta(ge=1, le=1000)]


class Events(Protocol):
    """The last events, for whoever asks what has happened."""

    async def read(
        self,
        after: int | None = None,
        *,
        epoch: str = "",
        where: Where = Where(),  # noqa: B008 - it can't be changed
        limit: int = 100,
        wait: float = 0.0,
    ) -> Page:
        """Return events, the oldest first: those after a number, or without one the newest; 1000 at most.

        Where there is none, wait up to ``wait`` seconds (60 at most) for one; the page is empty where none came.
        An ``epoch`` that is not the present one is as if ``after`` were 0. Without one, a number above the newest
        is of a numbering that has ended, and leads to what comes next: ``next`` is below ``after`` then.
        """


EVENTS = Service[Events]("events")
