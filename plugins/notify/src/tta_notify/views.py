"""Notifications, as operators see them: without whom they concern, and without what only programs need."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from .model import Entry, Severity, Status


class DeliveryView(msgspec.Struct, frozen=True):
    """A message, its channel, and whom of the roster it is for."""

    channel: str
    person: str
    tier: int
    status: str
    tries: int
    said: str


class NotificationView(msgspec.Struct, frozen=True, kw_only=True):
    """A notification; times in seconds since the epoch."""

    key: str
    id: str
    topic: str
    severity: Severity
    status: Status
    subject: str
    body: str
    at: float
    repeats: int
    tier: int
    escalates_at: float | None
    acknowledged_by: str
    acknowledged_at: float | None
    acknowledged_how: str
    deliveries: Sequence[DeliveryView]


def view(entry: Entry) -> NotificationView:
    """Show an entry."""
    about, said = entry.notification, entry.acknowledgement
    return NotificationView(
        key=entry.key, id=about.id, topic=about.topic, severity=about.severity, status=entry.status,
        subject=about.subject, body=about.body, at=entry.created_at, repeats=entry.repeats, tier=entry.tier,
        escalates_at=entry.escalate_at, acknowledged_by=said.by if said else "",
        acknowledged_at=said.at if said else None, acknowledged_how=said.how if said else "",
        deliveries=[
            DeliveryView(each.channel, each.person, each.tier, each.status, each.tries, each.said)
            for each in entry.deliveries
        ],
    )  # fmt: skip
