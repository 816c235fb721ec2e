"""Tell humans: a durable outbox, channels that carry it, and who has seen it."""

from __future__ import annotations

from .channels import Accepted, Channel, ChannelError, Message
from .config import Config, Contact, Person, Rule
from .memory import MemoryOutbox, without_person
from .model import (
    SEVERITIES,
    Acknowledged,
    Acknowledgement,
    Delivery,
    Entry,
    How,
    Link,
    Notification,
    NotificationAccepted,
    NotificationAcknowledged,
    NotificationDead,
    Page,
    Receipt,
    Severity,
    Status,
    Text,
    key_of,
)
from .notifier import NOTIFY, Notifier, UnknownNotification
from .outbox import OUTBOX, Added, Changed, Full, NotHeld, Outbox, OutboxError, Taken
from .plugin import NotifyLocal, NotifyMemory, NotifyPlugin

__all__ = [
    "NOTIFY", "OUTBOX", "SEVERITIES", "Accepted", "Acknowledged", "Acknowledgement", "Added", "Changed", "Channel",
    "ChannelError", "Config", "Contact", "Delivery", "Entry", "Full", "How", "Link", "MemoryOutbox", "Message",
    "NotHeld", "Notification", "NotificationAccepted", "NotificationAcknowledged", "NotificationDead", "Notifier",
    "NotifyLocal", "NotifyMemory", "NotifyPlugin", "Outbox", "OutboxError", "Page", "Person", "Receipt", "Rule",
    "Severity", "Status", "Taken", "Text", "UnknownNotification", "key_of", "without_person",
]  # fmt: skip
