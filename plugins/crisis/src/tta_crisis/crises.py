"""The service that opens interventions and changes them: whatever is away, humans are told at once."""

from __future__ import annotations

import hashlib
import logging
import math
import time
from collections.abc import Callable, Sequence

import anyio
from msgspec.structs import replace

from tta_kernel import Event, as_failure, raised_at
from tta_safety import KINDS
from tta_sessions import Flags

from .assessment import assess
from .model import (
    LONGEST_ID,
    CrisisAcknowledged,
    CrisisError,
    CrisisEscalated,
    CrisisOpened,
    CrisisPage,
    CrisisQuery,
    CrisisResolved,
    Disclosure,
    Exchange,
    Feedback,
    FeedbackPage,
    Intervention,
    NoSuchIntervention,
    Packet,
    Resolution,
    intervention_id,
)
from .packet import packet
from .protocols import protocol
from .reach import Reach
from .settings import Config
from .store import Changed, CrisisStore, guard
from .unstored import Unstored

_TRIES = 20
_LONGEST_ADMISSION = 200


class StoredCrises:
    """Interventions of a store; what that doesn't take is kept here until it does.

    ``reach`` has what else an intervention is opened with: protocols, notifications and the flags of sessions.
    """

    def __init__(
        self, store: CrisisStore, reach: Reach, config: Config, log: logging.Logger, *,
        publish: Callable[[Event], None], clock: Callable[[], float] = time.time,
    ) -> None:  # fmt: skip
        self.durable = getattr(store, "durable", False)
        self.store = guard(store, limit=config.store_limit)
        self.reach, self.config, self.clock = reach, config, clock
        self.unstored = Unstored(self.store, log, most=config.most_unstored)
        self._log, self._publish = log, publish

    async def open(self, disclosure: Disclosure) -> tuple[Intervention, ...]:
        # Whoever is cancelled, as with a turn whose reader has left, is no reason to tell nobody.
        opened: list[Intervention] = []
        with anyio.CancelScope(shield=True):
            await self._open_all(disclosure, opened)
        return tuple(sorted(opened, key=lambda each: KINDS.index(each.kind) if each.kind in KINDS else len(KINDS)))

    async def _open_all(self, disclosure: Disclosure, opened: list[Intervention]) -> None:
        try:
            disclosure = self._fitted(disclosure)
            flags, earlier = await self._known(disclosure.session)
            new = [self._new(disclosure, kind, flags, earlier) for kind in _kinds(disclosure)]
        except BaseException as exc:  # noqa: BLE001 - `as_failure` raises what must go on
            failure = as_failure(exc)
            # Nothing of its text: it may quote what was written.
            where = raised_at(failure)
            self._log.critical("a disclosure can't be read: %s at %s", type(failure).__name__, where)
            session = _storable(str(getattr(disclosure, "session", "")))[:100]
            await self.reach.alarm("a disclosure of a crisis can't be read", session=session)
            return
        # All at once: the more kinds there are, the less there is time for one after the other.
        async with anyio.create_task_group() as tasks:
            for each in new:
                tasks.start_soon(self._open, each, self._packet(each, disclosure, flags), opened)

    async def get(self, id: str) -> Intervention | None:
        return self.unstored.get(id) or await self.store.get(id)

    async def page(self, query: CrisisQuery) -> CrisisPage:
        return await self.store.page(query)

    async def acknowledge(self, id: str, *, by: str) -> Intervention:
        now = self.clock()

        def change(found: Intervention) -> Intervention:
            if found.status != "open":
                return found
            return replace(found, status="acknowledged", acknowledged_at=now, acknowledged_by=_name(by))

        before, after = await self.change(id, change)
        if after is not before:
            self._publish(
                CrisisAcknowledged(
                    intervention=id, kind=after.kind, level=after.level, session=after.session,
                    seconds=max(0.0, now - after.opened_at), owner=after.owner,
                )
            )  # fmt: skip
        await self.reach.acknowledge(after, by=_name(by))
        return after

    async def resolve(self, id: str, *, by: str, resolution: Resolution) -> Intervention:
        now = self.clock()

        def change(found: Intervention) -> Intervention:
            if found.status == "resolved":
                return found
            seen = replace(found, status="resolved", resolved_at=now, resolved_by=_name(by), resolution=resolution)
            return seen if found.acknowledged_at else replace(seen, acknowledged_at=now, acknowledged_by=_name(by))

        before, after = await self.change(id, change)
        if after is not before:
            self._publish(
                CrisisResolved(
                    intervention=id, kind=after.kind, level=after.level, session=after.session, resolution=resolution,
                    owner=after.owner,
                )
            )  # fmt: skip
            await self._go_on(after)
        await self.reach.acknowledge(after, by=_name(by))
        return after

    async def packet(self, id: str) -> Packet | None:
        return self.unstored.packet(id) or await self.store.packet(id)

    async def judge(self, feedback: Feedback) -> Feedback:
        found = await self.get(feedback.intervention)
        if found is None:
            raise NoSuchIntervention(feedback.intervention)
        whole = replace(
            feedback, at=feedback.at or self.clock(), kind=found.kind, assessed=found.level, owner=found.owner
        )  # fmt: skip
        await self.store.judge(whole)
        return whole

    async def judgements(self, *, cursor: str = "", most: int = 100) -> FeedbackPage:
        return await self.store.judgements(cursor, most)

    async def escalated(self, id: str) -> Intervention:
        """Note that others were told, since nobody saw to it in time."""
        before, after = await self.change(id, lambda found: replace(found, escalated_at=self.clock()))
        if not before.escalated_at:
            self._publish(
                CrisisEscalated(
                    intervention=id, kind=after.kind, level=after.level, session=after.session, owner=after.owner
                )
            )  # fmt: skip
        return after

    async def change(
        self, id: str, change: Callable[[Intervention], Intervention]
    ) -> tuple[Intervention, Intervention]:  # fmt: skip
        """Change an intervention, whoever else does so meanwhile; return it as it was and as it is."""
        for _ in range(_TRIES):
            if (kept := self.unstored.get(id)) is not None:
                new = change(kept)
                self.unstored.change(new)
                return kept, new
            found = await self.store.get(id)
            if found is None:
                raise NoSuchIntervention(id)
            new = change(found)
            if new == found:
                return found, found
            try:
                return found, await self.store.put(new)
            except Changed:
                continue
        raise CrisisError("others change the intervention all the while")

    async def sweep(self) -> None:
        """Begin the protocols of open interventions that a process has left before it could."""
        since, cursor = self.clock() - self.config.sweep_back, ""
        while True:
            page = await self.store.page(CrisisQuery(status="open", since=since, cursor=cursor, most=100))
            for each in page.interventions:
                await self.reach.begin(each)
            cursor = page.cursor
            if not cursor:
                return

    async def _known(self, session: str) -> tuple[Flags, int]:
        """Return a session's flags, and how many interventions it had of late; as if there were none in doubt."""
        flags, earlier = Flags(), 0

        async def read_flags() -> None:
            nonlocal flags
            flags = await self.reach.flags(session)

        async def count() -> None:
            nonlocal earlier
            since = self.clock() - self.config.earlier
            try:
                page = await self.store.page(CrisisQuery(session=session, since=since, most=20))
                earlier = len({each.admission for each in page.interventions if each.resolution != "false-alarm"})
            except CrisisError:
                earlier = 0

        with anyio.move_on_after(self.config.look_limit):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(read_flags)
                if not self.unstored.trouble:
                    tasks.start_soon(count)
        return flags, earlier

    def _fitted(self, disclosure: Disclosure) -> Disclosure:
        """Return a disclosure as it can be stored: that a name isn't UTF-8 is no reason to lose it."""
        at = disclosure.at
        return replace(
            disclosure, session=_storable(disclosure.session), user=_storable(disclosure.user),
            locale=_storable(disclosure.locale)[:35], country=_storable(disclosure.country)[:2],
            at=at if math.isfinite(at) and at > 0 else self.clock(),
            turns=tuple(Exchange(each.turn, _storable(each.said), _storable(each.told)) for each in disclosure.turns),
        )  # fmt: skip

    def _new(self, disclosure: Disclosure, kind: str, flags: Flags, earlier: int) -> Intervention:
        found = assess(disclosure.verdict, kind, earlier=earlier, age_band=flags.age_band)
        admission = disclosure.admission
        if not 0 < len(admission) <= _LONGEST_ADMISSION or not admission.isprintable():
            admission = hashlib.sha256(admission.encode("utf-8", "replace")).hexdigest()
        id = intervention_id(admission, disclosure.channel, kind)[:LONGEST_ID]
        return Intervention(
            id=id, kind=kind, level=found.level, assessment=found, session=disclosure.session, owner=disclosure.user,
            admission=admission, channel=disclosure.channel, turn=disclosure.turn,
            locale=disclosure.locale or flags.locale, country=disclosure.country or flags.country,
            protocol=protocol(self.config.protocols, kind, found.level), run=f"crisis:{id}",
            opened_at=disclosure.at,
        )  # fmt: skip

    def _packet(self, intervention: Intervention, disclosure: Disclosure, flags: Flags) -> Packet:
        telling = self.config.told(flags.age_band)
        return packet(intervention, disclosure, flags, telling, most=self.config.turns)

    async def _open(self, new: Intervention, handed: Packet, opened: list[Intervention]) -> None:
        self.unstored.add(new, handed)
        # Not after the store: what is first, and what can't wait, is that a human hears of it.
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self.reach.tell, new)
            stored = await self.unstored.store(new.id)
            if not self.unstored.trouble or stored is not None:
                tasks.start_soon(self.reach.begin, stored or new)
            else:
                self.reach.begin_later(new)
        if self.unstored.trouble:
            await self.reach.alarm("interventions can't be stored, and are kept in memory")
        found = stored or self.unstored.get(new.id) or new
        opened.append(found)
        if stored is None or stored == replace(new, version=1):
            self._publish(
                CrisisOpened(
                    intervention=new.id, kind=new.kind, level=new.level, session=new.session, owner=new.owner
                )
            )  # fmt: skip

    async def _go_on(self, resolved: Intervention) -> None:
        """Let a session's story go on, where nothing else of it is open."""
        try:
            for status in ("open", "acknowledged"):
                page = await self.store.page(CrisisQuery(session=resolved.session, status=status, most=1))
                if page.interventions:
                    return
        except CrisisError as exc:
            self._log.warning("a story stays paused though its crisis is resolved: %s", exc)
            return
        await self.reach.pause(resolved.session, resolved.owner, resolved.turn, paused=False)


def _kinds(disclosure: Disclosure) -> Sequence[str]:
    """Return the kinds of a verdict, each once; what nobody knows is a crisis all the same."""
    return list(dict.fromkeys(str(kind)[:50] for kind in disclosure.verdict.kinds))


def _storable(text: str) -> str:
    return text.encode("utf-8", "replace").decode()


def _name(by: str) -> str:
    name = "".join(each for each in by if each.isprintable()).strip()[:200]
    if not name:
        raise ValueError("a human who sees to a crisis has a name")
    return name
