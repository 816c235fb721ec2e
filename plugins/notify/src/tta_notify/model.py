"""What is told to operators, through which channels it went out, and which human has seen it."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from typing import ClassVar, Literal

import msgspec
from msgspec.structs import replace

from tta_kernel import Duration, Event

Severity = Literal["low", "moderate", "high", "critical"]
SEVERITIES: Sequence[Severity] = ("low", "moderate", "high", "critical")
"""The least first."""
Status = Literal["pending", "accepted", "acknowledged", "dead"]
"""``pending``: no channel has taken it yet. ``accepted``: one says that it has, which is no human. ``acknowledged``: a
human has seen it. ``dead``: each channel has failed for good, and nobody is left to be told."""
STATUSES: Sequence[Status] = ("pending", "accepted", "acknowledged", "dead")
How = Literal["command", "callback", "link", "api"]

LONGEST_ID = 256
LONGEST_SUBJECT = 200
LONGEST_BODY = 4000
MOST_ABOUT = 16


class Text(msgspec.Struct, frozen=True):
    """What is told, in one language."""

    subject: str
    body: str = ""


class Notification(msgspec.Struct, frozen=True, kw_only=True):
    """Something that humans are to know. It holds ids, codes and times, and no text of a person.

    ``id`` is the idempotency key: what was handed over before isn't sent again. ``about`` is for programs, such as
    ``{"intervention": …}``. ``owner``: the person whom it concerns; `forget` finds it by that. ``group``: of what has
    one group within a window, and isn't critical, only the first is sent, and the others are counted. ``tier``: which
    one of the roster is told first. ``escalate_after``: seconds until the next tier is told, in place of the config's.
    ``texts``: the same in other languages, for whoever reads these. ``to``: one of the config's contacts, who is told
    instead of the roster, and after whom nobody else is.
    """

    id: str
    topic: str
    severity: Severity
    subject: str
    body: str = ""
    owner: str = ""
    about: Mapping[str, str] = {}
    group: str = ""
    tier: int = 1
    escalate_after: Duration | None = None
    texts: Mapping[str, Text] = {}
    to: str = ""


class Receipt(msgspec.Struct, frozen=True):
    """What became of a notification that was handed over; ``key`` is its short name.

    ``stored``: the outbox has it. ``kept``: the outbox can't be reached just now, and so it goes out from the memory
    of this process, and is stored later. ``known``: its id was handed over before. ``joined``: one of its group is on
    its way, under the key that is given here.
    """

    id: str
    key: str
    status: Literal["stored", "kept", "known", "joined"]


class Delivery(msgspec.Struct, frozen=True, kw_only=True):
    """A notification on its way to one address. ``id`` is what the receiver knows it by, however often it is sent.

    ``person``: a name of the roster, or nobody's in particular. ``said``: a code of how the last try ended, such as
    ``time-limit``; ``next``: when the next one is due. ``at``: since when it is there; ``begins``: when whom it is for
    works first.
    """

    id: str
    channel: str
    person: str = ""
    tier: int = 1
    round: int = 1
    status: Literal["pending", "accepted", "dead"] = "pending"
    tries: int = 0
    next: float = 0.0
    said: str = ""
    at: float = 0.0
    begins: float = 0.0


class Acknowledgement(msgspec.Struct, frozen=True):
    """Which human has seen it, when, and how they said so."""

    by: str
    at: float
    how: How


class Link(msgspec.Struct, frozen=True):
    """A link by which one person can acknowledge it, once: the digest of its token, and until when it holds."""

    digest: str
    person: str
    until: float


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """A notification in the outbox; times in seconds since the epoch.

    ``version`` counts the changes: whoever changes it says which one they have seen. ``wake``: when somebody is to look
    at it, None where nobody needs to. ``tier`` and ``round``: how far up the ladder it is. ``told``: all who follow up
    on an acknowledgement have heard of it. ``repeats``: how many more of its group there were.
    """

    key: str
    notification: Notification
    created_at: float
    status: Status = "pending"
    version: int = 0
    wake: float | None = None
    tier: int = 0
    round: int = 1
    escalate_at: float | None = None
    deliveries: tuple[Delivery, ...] = ()
    acknowledgement: Acknowledgement | None = None
    told: bool = False
    links: tuple[Link, ...] = ()
    repeats: int = 0

    @property
    def finished(self) -> bool:
        """Whether nobody is to be told any more."""
        return self.status == "dead" or (self.status == "acknowledged" and self.told)


class Page(msgspec.Struct, frozen=True):
    """Some notifications, the newest first; an empty ``cursor`` says that there are no more."""

    entries: Sequence[Entry] = ()
    cursor: str = ""


class Acknowledged(msgspec.Struct, frozen=True, kw_only=True):
    """What is told to whoever follows up on it: a human has seen this notification."""

    id: str
    key: str
    topic: str
    severity: Severity
    by: str
    at: float
    how: How
    owner: str = ""
    about: Mapping[str, str] = {}


class NotificationAccepted(Event, frozen=True, tag="notify.accepted"):
    """A channel says that it has taken a notification; no human need have seen it."""

    __shown__: ClassVar = ("key", "topic", "severity", "channel")

    key: str
    topic: str
    severity: Severity
    channel: str
    owner: str = ""


class NotificationAcknowledged(Event, frozen=True, tag="notify.acknowledged"):
    """A human has seen a notification."""

    __shown__: ClassVar = ("key", "topic", "severity", "how")

    key: str
    topic: str
    severity: Severity
    how: How
    owner: str = ""


class NotificationDead(Event, frozen=True, tag="notify.dead"):
    """A channel couldn't be made to take a notification; the remaining ones carry an alarm."""

    __shown__: ClassVar = ("key", "topic", "severity", "channel", "code")

    key: str
    topic: str
    severity: Severity
    channel: str
    code: str
    owner: str = ""


def key_of(id: str) -> str:
    """Return the short name of a notification, which says nothing about it and fits into an address."""
    return hashlib.sha256(id.encode("utf-8", "replace")).hexdigest()[:32]


def is_key(text: str) -> bool:
    """Say whether this is such a name, and not an id."""
    return re.fullmatch(r"[0-9a-f]{32}", text) is not None


def fitted(notification: Notification) -> Notification:
    """Return it as it can be stored and sent, or raise a ValueError for what has no id or an unknown severity.

    What is too long is cut, and what would break a header is a space: no alarm is refused for its looks.
    """
    if not 0 < len(notification.id) <= LONGEST_ID:
        raise ValueError(f"a notification's id has 1 to {LONGEST_ID} characters")
    if notification.severity not in SEVERITIES:
        raise ValueError(f"a notification's severity is one of {', '.join(SEVERITIES)}")
    about = [*notification.about.items()][:MOST_ABOUT]
    return replace(
        notification,
        topic=_line(notification.topic, 64),
        subject=_line(notification.subject, LONGEST_SUBJECT),
        body=_printable(notification.body, LONGEST_BODY),
        group=notification.group[:LONGEST_ID],
        about={_line(str(name), 64): _line(str(value), LONGEST_ID) for name, value in about},
        tier=max(1, notification.tier),
        texts={
            locale[:32]: Text(_line(text.subject, LONGEST_SUBJECT), _printable(text.body, LONGEST_BODY))
            for locale, text in [*notification.texts.items()][:MOST_ABOUT]
        },
    )


def _line(text: str, longest: int) -> str:
    return " ".join("".join(each if each.isprintable() else " " for each in text).split())[:longest]


def _printable(text: str, longest: int) -> str:
    return "".join(each if each.isprintable() or each == "\n" else " " for each in text)[:longest]
