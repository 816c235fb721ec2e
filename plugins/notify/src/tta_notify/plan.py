"""Who is told next, through which channel and when: a pure function of an entry, the config and the time."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence

from msgspec.structs import replace

from .channels import Channel
from .config import Config, Person
from .directory import QUEUE
from .hours import Hours
from .model import Delivery, Entry, Status

WITHOUT = "without"
"""In ``about``: a channel that isn't to be used, since that is what the notification is about."""
_MOST_DELIVERIES = 200
"""What one notification can become: a roster of fifty people, over and over, and no more."""


class Plan:
    """The ladder of a deployment: tiers of its roster, told one after the other while no human has acknowledged."""

    def __init__(self, config: Config, channels: Mapping[str, Channel]) -> None:
        self._config, self._channels = config, channels
        everybody: Mapping[str, Person] = {**config.contacts, **config.roster}
        self._hours = {name: Hours(person.hours, person.zone) for name, person in everybody.items()}
        self._listed = {channel for person in config.roster.values() for channel in person.addresses}

    def person(self, name: str) -> Person | None:
        """Return somebody of the roster, or a contact."""
        return self._config.roster.get(name) or self._config.contacts.get(name)

    def advance(self, entry: Entry, now: float) -> Entry:
        """Return the entry as it is at this time: expired, escalated, with its status and when to look again."""
        if entry.acknowledgement is not None:
            wake = None if entry.told else entry.wake
            return replace(entry, status="acknowledged", escalate_at=None, wake=wake)
        entry = replace(entry, deliveries=tuple(self._expired(each, now) for each in entry.deliveries))
        while True:
            if not entry.tier or (entry.escalate_at is not None and entry.escalate_at <= now):
                higher = self._next(entry, now)
                if higher is None:
                    entry = replace(entry, escalate_at=None)
            else:
                # Nobody of this tier can be told: that is no reason to wait for the next.
                higher = self._next(entry, now, within=entry.round) if _is_dead(entry) else None
            if higher is None:
                break
            entry = higher
        return settled(entry)

    def after(self, delivery: Delivery, code: str, now: float, *, retryable: bool) -> Delivery:
        """Return a delivery of which a try has failed: it is tried again, ever later, or dead."""
        config = self._config
        tries = delivery.tries + 1
        if not retryable or tries >= config.tries:
            return replace(delivery, tries=tries, status="dead", said=code)
        pause = min(config.retry * 2.0 ** (tries - 1), config.longest_retry)
        # Spread by its own name, so that what failed together isn't tried together.
        spread = 0.75 + int(delivery.id[:4], 16) / 0xFFFF / 2
        return replace(delivery, tries=tries, said=code, next=now + pause * spread)

    def _expired(self, delivery: Delivery, now: float) -> Delivery:
        if delivery.status == "pending" and now >= max(delivery.at, delivery.begins) + self._config.expire:
            return replace(delivery, status="dead", said=delivery.said or "expired")
        return delivery

    def _next(self, entry: Entry, now: float, within: int = 0) -> Entry | None:
        """Return the entry with the deliveries of the next tier that has any, None at the end of the ladder.

        ``within``: the round in which it ends, if not the last.
        """
        if (contact := self._config.contacts.get(entry.notification.to)) is not None:
            return self._directly(entry, contact, now)
        rule = self._config.rule(entry.notification.severity)
        tiers = self._tiers(entry)
        steps = [(round, tier) for round in range(1, (within or rule.rounds) + 1) for tier in tiers]
        for round, tier in steps:
            if entry.tier and (round, tier) <= (entry.round, entry.tier):
                continue
            made = tuple(self._deliveries(entry, tier, round, now))
            if made and len(entry.deliveries) + len(made) <= _MOST_DELIVERIES:
                after = entry.notification.escalate_after
                after = rule.escalate_after if after is None else after
                # Who isn't at work yet can't be late.
                begins = max(now, min(each.next for each in made))
                return replace(
                    entry, tier=tier, round=round, deliveries=(*entry.deliveries, *made),
                    escalate_at=begins + after if after else None,
                )  # fmt: skip
        return None

    def _directly(self, entry: Entry, contact: Person, now: float) -> Entry | None:
        """Return the entry with the deliveries to its contact, once: who doesn't answer is asked by no ladder."""
        if entry.tier:
            return None
        names = [name for name in contact.addresses if name in self._channels]
        made = tuple(self._delivery(entry, name, entry.notification.to, 1, 1, now) for name in names)
        return replace(entry, tier=1, round=1, deliveries=made) if made else None

    def _tiers(self, entry: Entry) -> Sequence[int]:
        tiers = sorted({person.tier for person in self._config.roster.values()} | {entry.notification.tier})
        return [tier for tier in tiers if tier >= entry.notification.tier]

    def _deliveries(self, entry: Entry, tier: int, round: int, now: float) -> Iterator[Delivery]:
        for channel in self._names(entry):
            people = [
                name
                for name, person in self._config.roster.items()
                if person.tier == tier and channel in person.addresses
            ]
            if channel == QUEUE:
                if not entry.deliveries:
                    yield self._delivery(entry, channel, "", tier, round, now)
            elif channel in self._listed:
                for name in people:
                    yield self._delivery(entry, channel, name, tier, round, now)
            elif not self._channels[channel].personal:
                yield self._delivery(entry, channel, "", tier, round, now)

    def _names(self, entry: Entry) -> Sequence[str]:
        named = self._config.rule(entry.notification.severity).channels
        without = entry.notification.about.get(WITHOUT)
        usable = [name for name in named or self._channels if name == QUEUE or name in self._channels]
        # The list is there even where nothing else is: nobody can say that it was never told.
        return [name for name in usable if name != without] or [QUEUE]

    def _delivery(self, entry: Entry, channel: str, person: str, tier: int, round: int, now: float) -> Delivery:
        is_urgent = entry.notification.severity == "critical"
        begins = now if is_urgent or not person else self._hours[person].opens(now)
        name = "\0".join((entry.key, channel, person, str(tier), str(round)))
        return Delivery(
            id=hashlib.sha256(name.encode()).hexdigest()[:32], channel=channel, person=person, tier=tier, round=round,
            status="accepted" if channel == QUEUE else "pending", at=now, begins=begins, next=begins,
        )  # fmt: skip


def settled(entry: Entry) -> Entry:
    """Return it with the status that its deliveries give it, and when to look at it again."""
    if entry.acknowledgement is not None:
        return entry
    statuses = {each.status for each in entry.deliveries}
    status: Status = "accepted" if "accepted" in statuses else "pending" if "pending" in statuses else "dead"
    times = [each.next for each in entry.deliveries if each.status == "pending"]
    if entry.escalate_at is not None:
        times.append(entry.escalate_at)
        status = "pending" if status == "dead" else status
    return replace(entry, status=status, wake=min(times, default=None))


def merged(stored: Entry, ours: Entry, now: float) -> Entry:
    """Return what two copies of one entry know together, after each was worked on alone."""
    deliveries = {each.id: each for each in stored.deliveries}
    for each in ours.deliveries:
        other = deliveries.get(each.id)
        if other is None or (_RANK[each.status], each.tries) > (_RANK[other.status], other.tries):
            deliveries[each.id] = each
    further = max(stored, ours, key=lambda each: (each.round, each.tier))
    said = stored.acknowledgement or ours.acknowledgement
    return replace(
        stored,
        tier=further.tier,
        round=further.round,
        escalate_at=None if said else further.escalate_at,
        deliveries=tuple(deliveries.values()),
        acknowledgement=said,
        status="acknowledged" if said else stored.status,
        told=stored.told or ours.told,
        links=(*stored.links, *(each for each in ours.links if each not in stored.links)),
        wake=now,
    )


def _is_dead(entry: Entry) -> bool:
    step = [each for each in entry.deliveries if (each.tier, each.round) == (entry.tier, entry.round)]
    return all(each.status == "dead" for each in step)


_RANK = {"pending": 0, "dead": 1, "accepted": 2}
