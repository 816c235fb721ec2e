"""What the store doesn't have yet: kept here, and handed to it as soon as it answers."""

from __future__ import annotations

import logging
from collections import OrderedDict

import anyio
from msgspec.structs import replace

from tta_messages import Backoff

from .model import CrisisError, Intervention, Packet
from .store import Changed, CrisisStore

_AWAY = 3
"""After so many that could not be stored in a row the store is taken to be away."""
_ORDER = ("open", "acknowledged", "resolved")


class Unstored:
    """Interventions on their way to the ``store``, ``most`` at most; ``trouble`` says why that doesn't take them."""

    def __init__(self, store: CrisisStore, log: logging.Logger, *, most: int) -> None:
        self._store, self._log, self._most = store, log, most
        self._kept: OrderedDict[str, tuple[Intervention, Packet]] = OrderedDict()
        self._more = anyio.Event()
        self.trouble = ""
        self.lost = 0

    def __len__(self) -> int:
        """Count what waits."""
        return len(self._kept)

    def get(self, id: str) -> Intervention | None:
        """Return an intervention that waits."""
        found = self._kept.get(id)
        return found[0] if found is not None else None

    def packet(self, id: str) -> Packet | None:
        """Return the packet of an intervention that waits."""
        found = self._kept.get(id)
        return found[1] if found is not None else None

    def add(self, intervention: Intervention, packet: Packet) -> None:
        """Keep an intervention until it is stored; what is here already stays as it is."""
        if intervention.id in self._kept:
            return
        self._kept[intervention.id] = intervention, packet
        while len(self._kept) > self._most:
            id, _ = self._kept.popitem(last=False)
            self.lost += 1
            self._log.critical("no more interventions fit into memory: %s isn't kept, though humans were told", id)

    def change(self, intervention: Intervention) -> None:
        """Keep what has become of an intervention that waits."""
        if (found := self._kept.get(intervention.id)) is not None:
            self._kept[intervention.id] = intervention, found[1]

    def forget(self, owner: str) -> int:
        """Drop a person's."""
        theirs = [id for id, (each, _) in self._kept.items() if owner and each.owner == owner]
        for id in theirs:
            del self._kept[id]
        return len(theirs)

    async def store(self, id: str) -> Intervention | None:
        """Store one that waits, if the store is there; None where it isn't: then `run` does so later."""
        if not self.trouble:
            try:
                return await self._store_one(id)
            except CrisisError as exc:
                self.trouble = str(exc)
                self._log.error("interventions are kept in memory: %s", exc)
        self._more.set()
        return None

    async def run(self) -> None:
        """Store what waits, for as long as the plugin runs; ever later while the store is away."""
        while True:
            await self._more.wait()
            self._more = anyio.Event()
            backoff = Backoff(self._log, "interventions wait in memory")
            while self._kept:
                if (failure := await self._store_all()) is not None:
                    self.trouble = str(failure)
                    await backoff.wait(failure)
            self.trouble = ""
            backoff.over()

    async def _store_all(self) -> CrisisError | None:
        """Store all that waits; return why some couldn't be. One that no store takes holds up no other."""
        failure: CrisisError | None = None
        in_a_row = 0
        for id in list(self._kept):
            try:
                await self._store_one(id)
                in_a_row = 0
            except CrisisError as exc:
                failure = exc
                in_a_row += 1
                if in_a_row >= _AWAY:
                    break
        return failure

    async def _store_one(self, id: str) -> Intervention | None:
        found = self._kept.get(id)
        if found is None:
            return None
        stored = await self._store.open(*found)
        # What became of it here meanwhile goes on from what is stored.
        while (now := self._kept.get(id)) is not None and _is_further(now[0], stored):
            try:
                stored = await self._store.put(_merged(now[0], stored))
            except Changed:
                again = await self._store.get(id)
                if again is None:
                    break
                stored = again
        self._kept.pop(id, None)
        return stored


def _is_further(here: Intervention, stored: Intervention) -> bool:
    return (
        _ORDER.index(here.status) > _ORDER.index(stored.status)
        or here.escalated_at > stored.escalated_at
        or here.followed_up_at > stored.followed_up_at
    )


def _merged(here: Intervention, stored: Intervention) -> Intervention:
    further = here if _ORDER.index(here.status) > _ORDER.index(stored.status) else stored
    return replace(
        further, version=stored.version, opened_at=stored.opened_at,
        escalated_at=max(here.escalated_at, stored.escalated_at),
        followed_up_at=max(here.followed_up_at, stored.followed_up_at),
    )  # fmt: skip
