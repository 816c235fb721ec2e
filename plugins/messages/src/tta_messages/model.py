"""What a message is, how a queue treats it, and what everybody who moves messages promises."""

from __future__ import annotations

import builtins
import enum
from collections.abc import Collection, Mapping, Sequence
from typing import Annotated, Any, ClassVar, Literal, Protocol, Self, TypeVar

import msgspec

from tta_kernel import Duration, Event, PositiveDuration, Service, Size

T = TypeVar("T")

MANY = 10**9
"""More than any queue holds; what is larger, a store might not count."""
_NOTHING = msgspec.Raw(b"\xc0")  # msgpack's nil


class Priority(enum.IntEnum):
    """What is received first; within one priority the oldest is."""

    LOW = 1
    NORMAL = 5
    HIGH = 9


class Message(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """What travels. ``queue`` is its address, ``body`` is msgpack; `to` makes one.

    ``ttl`` and ``delay`` are in seconds from its sending, by the clock of whoever stores it; without a
    ``ttl`` it lives as long as its queue says. ``owner`` is the person whose data it carries:
    ``forget`` finds it by that. ``sent_at`` (seconds since the epoch) is stamped on sending, and ``id``
    is made up where it is empty: sending one id twice within the queue's window delivers it once. An empty
    ``correlation_id`` becomes that of the task that sends it.
    """

    queue: str
    type: str
    body: msgspec.Raw = _NOTHING
    id: str = ""
    priority: Priority = Priority.NORMAL
    sender: str = ""
    topic: str = ""
    tags: tuple[str, ...] = ()
    correlation_id: str = ""
    reply_to: str = ""
    owner: str = ""
    ttl: float | None = None
    delay: float = 0.0
    sent_at: float = 0.0
    version: int = 1

    @classmethod
    def to(cls, queue: str, type: str, body: Any = None, **fields: Any) -> Self:
        """Make a message of a Struct or builtins; what msgpack can't hold is a TypeError."""
        return cls(queue, type, msgspec.Raw(msgspec.msgpack.encode(body)), **fields)

    def decode(self, type_: builtins.type[T]) -> T:
        """Return the body as a ``type_``; raises `msgspec.ValidationError`."""
        return msgspec.msgpack.decode(self.body, type=type_)


class Delivery(msgspec.Struct, frozen=True, gc=False):
    """A message held by one receiver until ``deadline``, in seconds since the epoch of the store's clock.

    ``token`` proves the hold: it is void once the message was given to somebody else. ``attempt``
    counts from 1, and ``last_error`` says why there was one before. ``suspect``: its last holder vanished with it, and
    it may be what killed that one, so it is received alone.
    """

    message: Message
    token: str
    deadline: float
    attempt: int = 1
    last_error: str = ""
    suspect: bool = False


SendError = Literal[
    "", "queue_full", "too_large", "unknown_type", "bad_body", "bad_address", "bad_message", "expired",
    "not_replicated",
]  # fmt: skip


class SendResult(msgspec.Struct, frozen=True, gc=False):
    """What became of one message; back-pressure is a result, never an exception.

    ``duplicate``: a message of this id was accepted before, and this one changed nothing, be the queue
    full or not. ``bad_message``: a field other than ``body`` doesn't fit.
    ``not_replicated``: stored, but too few replicas said so in time; send it again, with its id.
    ``detail`` says what doesn't fit, and never quotes the body.
    """

    id: str
    delivered: bool
    error: SendError = ""
    detail: str = ""
    duplicate: bool = False


class Settled(enum.StrEnum):
    """What became of a message that was given back."""

    RETRY = "retry"
    DEAD = "dead"
    STALE = "stale"
    """Nothing: the hold was over already."""


class Requeued(enum.StrEnum):
    """What became of a dead letter that was to live again."""

    REQUEUED = "requeued"
    QUEUE_FULL = "queue_full"
    """The queue had no room; it is dead still."""
    ALIVE = "alive"
    """A message with this id lives in the queue, so the dead one stays."""
    CORRUPT = "corrupt"
    """It is no message, and stays."""
    UNKNOWN = "unknown"
    """The queue has no such dead letter, or has it no more."""


class QueueSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How a queue treats its messages; times in seconds.

    ``max_length`` counts what is waiting, delayed and held. A message is delivered at most
    ``retries`` + 1 times. The pause before the n-th retry is ``backoff_base`` ·
    ``backoff_factor``\\ :sup:`n-1`, at most ``backoff_cap``, less a random part of up to ``jitter``.
    ``starvation_limit``: how often in a row a waiting priority is passed over, before it gets one turn; with
    0 it always is. Of two that have waited so long the higher goes first, and one that is found empty when
    a message is taken starts from nothing.
    """

    max_length: Annotated[int, msgspec.Meta(ge=1, le=MANY)] = 10_000
    retries: Annotated[int, msgspec.Meta(ge=0, le=MANY)] = 3
    backoff_base: Duration = 1.0
    backoff_factor: Annotated[float, msgspec.Meta(ge=1, le=1000)] = 2.0
    backoff_cap: Duration = 30.0
    jitter: Annotated[float, msgspec.Meta(ge=0, le=1)] = 0.2
    visibility: PositiveDuration = 30.0
    """How long a receiver may hold a message without extending."""
    ttl: PositiveDuration = 86_400.0
    starvation_limit: Annotated[int, msgspec.Meta(ge=0, le=MANY)] = 20
    dedup_window: Duration = 60.0
    dead_limit: Annotated[int, msgspec.Meta(ge=0, le=MANY)] = 1_000
    """How many dead letters are kept; the oldest go first. With 0 none is, whatever it died of."""
    dead_ttl: Duration = 7 * 86_400.0
    audit_limit: Annotated[int, msgspec.Meta(ge=0, le=MANY)] = 1_000
    """About how many entries of the queue's history are kept."""


class MessagesConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What holds for every backend: ``queues`` has settings by a queue's name, ``defaults`` those of the rest."""

    defaults: QueueSettings = QueueSettings()
    queues: Mapping[str, QueueSettings] = {}
    max_size: Annotated[Size, msgspec.Meta(ge=1, le=MANY)] = 1_000_000
    """The largest message, all of it, in bytes."""

    def of(self, queue: str) -> QueueSettings:
        """Return what a queue does until it is configured."""
        return self.queues.get(queue, self.defaults)


class BackendConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a backend's own config derives from: it has no settings of queues, and says where those are."""

    __moved__: ClassVar[Mapping[str, str]] = {
        name: f"plugins.messages.config.{name}" for name in MessagesConfig.__struct_fields__
    }


class Filter(msgspec.Struct, frozen=True):
    """Which published messages a queue wants: all that fit each part; an empty part fits everything.

    A topic may end in ``*``. A message must carry all of ``tags``.
    """

    types: tuple[str, ...] = ()
    topics: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()

    def fits(self, message: Message) -> bool:
        """Whether the queue wants ``message``."""
        return (
            (not self.types or message.type in self.types)
            and (not self.topics or any(_topic_fits(message.topic, each) for each in self.topics))
            and set(self.tags) <= set(message.tags)
        )


def _topic_fits(topic: str, pattern: str) -> bool:
    return topic.startswith(pattern[:-1]) if pattern.endswith("*") else topic == pattern


class Subscription(msgspec.Struct, frozen=True):
    """A queue that gets a copy of whatever is published and fits; gone at ``expires_at`` unless renewed."""

    id: str
    queue: str
    filter: Filter
    expires_at: float


class DeadLetter(msgspec.Struct, frozen=True):
    """A message that nobody gets any more: ``reason`` is ``rejected``, ``retries``, ``expired`` or ``corrupt``.

    ``expired``: it was not received within its time to live; ``retries``: its last holder gave it
    back, or vanished; ``corrupt``: what lay in the store was no message, and ``raw`` is what it was.
    """

    id: str
    queue: str
    reason: Literal["rejected", "retries", "expired", "corrupt"]
    error: str
    attempts: int
    died_at: float
    message: Message | None
    raw: bytes = b""


class QueueStats(msgspec.Struct, frozen=True):
    """One queue, now and so far; the counters begin with the queue.

    ``waiting`` is by priority's name in lower case. ``sent`` were accepted (``requeued`` ones not
    again), ``refused`` found no room, ``delivered`` counts each attempt, ``retried`` are those given
    back as failed that come again, ``recovered`` the holds that ran out, ``died`` all that became dead
    letters, and ``expired`` those of them that did by their time to live. ``stale``:
    acknowledgements that came too late. ``oldest_age``: for how many seconds the next message has
    waited since it was sent, its delay left out, by the clock of whoever sent it; of several
    priorities the one that has for longest. 0 where none waits.
    """

    waiting: Mapping[str, int] = {}
    delayed: int = 0
    held: int = 0
    dead: int = 0
    sent: int = 0
    refused: int = 0
    delivered: int = 0
    acknowledged: int = 0
    retried: int = 0
    died: int = 0
    recovered: int = 0
    expired: int = 0
    stale: int = 0
    oldest_age: float = 0.0


class HistoryEntry(msgspec.Struct, frozen=True):
    """One entry of a queue's history: what happened to which messages, when; never what they say."""

    at: float
    what: Literal["sent", "delivered", "acknowledged", "retried", "died", "recovered", "expired", "purged", "requeued"]
    ids: tuple[str, ...]
    detail: str = ""


class Messages(Protocol):
    """Queues with priorities, holds, retries and dead letters; at least once, and in order while nobody fails.

    A queue is there as soon as somebody names it: 1 to 200 of ``A-Za-z0-9._/@+-``. It is HIGH before
    NORMAL before LOW, the oldest first within one. Whoever receives a message holds it, alone, until it
    acknowledges, gives back, or lets ``visibility`` pass: then the message goes back to the head, and is
    dead after its last attempt. It may be what killed its holder, so until it fails otherwise it is
    received alone, and takes no other along. Where a dead one has a ``reply_to``, the answer goes there that `bounced`
    gives, sent by whoever saw it die. ``queue_full`` and the like are results; only a store that
    can't be reached raises `MessagesError`. A malformed call, such as a limit of 0 or a wait of NaN, is a
    ValueError, and changes nothing.
    """

    async def send(self, *messages: Message) -> Sequence[SendResult]:
        """Store messages, and say of each what became of it, in order; those of one queue go together."""

    async def broadcast(self, message: Message, queues: Sequence[str]) -> Sequence[SendResult]:
        """Send each queue a copy with an id of its own; one result a queue, in order.

        Where the message has an id, a copy's is ``id/queue``: sent again, each queue has it once.
        """

    async def publish(self, message: Message) -> Sequence[SendResult]:
        """Send one copy to each queue that has a subscription that fits, ordered by queue; ``queue`` may be empty."""

    async def subscribe(self, queue: str, wanted: Filter, *, ttl: float = 3600.0) -> Subscription:
        """Let ``queue`` have what fits; the same once more renews it."""

    async def unsubscribe(self, id: str) -> bool:
        """End a subscription; False if there was none."""

    async def subscriptions(self, queue: str | None = None) -> Sequence[Subscription]:
        """Return who gets what, ordered by id."""

    async def receive(
        self, queue: str, *, limit: int = 1, wait: float = 0.0, visibility: float | None = None,
        done: Collection[Delivery] = (),
    ) -> Sequence[Delivery]:  # fmt: skip
        """Hold up to ``limit`` (1 to 1,000) messages; wait up to ``wait`` seconds for the first, none to be had is ().

        ``done`` are acknowledged first, in the same round trip. A cancelled receive loses nothing:
        what it held by then is given back, or comes again after ``visibility``.
        """

    async def ack(self, *deliveries: Delivery) -> Sequence[bool]:
        """Be done with messages; False for each that was no longer held."""

    async def nack(
        self, delivery: Delivery, *, error: str = "", permanent: bool = False, delay: float | None = None
    ) -> Settled:
        """Give a message back as failed: it comes again after its pause (or ``delay``), or is dead.

        After the pause it goes to the tail; without one (0) it does so at once.
        """

    async def release(self, *deliveries: Delivery) -> Sequence[bool]:
        """Give messages back unharmed, as one who shuts down does: to the head, and the attempt doesn't count.

        They go there in the order given; False for each that was no longer held.
        """

    async def extend(self, delivery: Delivery, seconds: float) -> bool:
        """Hold a message until ``seconds`` from now; False if it is no longer held."""

    async def cancel(self, queue: str, id: str) -> bool:
        """Withdraw a message that nobody holds; False if it is gone, or held."""

    async def recover(self, queue: str | None = None) -> Mapping[str, int]:
        """Take back what is held past its time, now, not at the next receive; how many, by queue."""

    async def configure(self, queue: str, settings: QueueSettings) -> None:
        """Give a queue other settings, in all processes, for as long as the queue is there."""

    async def settings(self, queue: str) -> QueueSettings:
        """Return what a queue does."""

    async def purge(self, queue: str) -> int:
        """Throw away what is waiting and delayed, not what is held nor what is dead; how many that was."""

    async def drop(self, queue: str) -> bool:
        """End a queue that is empty, with its settings, its numbers and the ids that it knows.

        False where anything is waiting, delayed, held or dead: then nothing ends. Subscriptions stay. Whoever
        names it later makes it anew.
        """

    async def dead(self, queue: str, *, limit: int = 100, after: str = "") -> Sequence[DeadLetter]:
        """Return dead letters, the oldest first, from after the one called ``after``; after one that is gone, none."""

    async def requeue(self, queue: str, *ids: str) -> Mapping[str, Requeued]:
        """Let dead letters (without ``ids`` all) live again, with all their attempts and a new time to live.

        They go to the tail, in the order given, and what had expired lives again, too. Returns what became of each.
        """

    async def purge_dead(self, queue: str, *ids: str) -> int:
        """Throw dead letters away, without ``ids`` all, and return how many."""

    async def stats(self, queue: str | None = None) -> Mapping[str, QueueStats]:
        """Return the numbers of one queue (zeros where there is none), or of all that there are."""

    async def history(self, queue: str, *, limit: int = 100) -> Sequence[HistoryEntry]:
        """Return the last entries, the newest first."""

    async def forget(self, owner: str) -> int:
        """Delete a person's messages, waiting, held or dead, and return how many there were; nobody is ""."""


class MessagesError(Exception):
    """The store can't be reached, answers nonsense or has no room left; whether it did what it was asked is unknown."""


class MessageDied(Event, frozen=True, tag="messages.died"):
    """A message became a dead letter."""

    __shown__: ClassVar = ("queue", "id", "message_type")

    queue: str
    id: str
    message_type: str
    reason: str


class QueueFilled(Event, frozen=True, tag="messages.queue-filled"):
    """A message was refused, because its queue is full; told at most once a second and queue."""

    __shown__: ClassVar = ("queue",)

    queue: str


MESSAGES = Service[Messages]("messages")
MESSAGES_CONFIG = Service[MessagesConfig]("messages-config")
"""What a backend is to do, be it which: the config of plugin ``messages``."""
MESSAGE_TYPES = Service[Mapping[str, type[msgspec.Struct]]]("message-types")
"""What plugins declare by the hook ``message_types``: each type's name, and what its body must fit."""
