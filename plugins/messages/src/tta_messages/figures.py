"""The numbers of each queue, as every implementation gives them in its snapshot."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Literal

import msgspec

from tta_kernel import Figure

from .model import Message, QueueStats


def _figure(name: str, kind: Literal["counter", "gauge"], help: str) -> Figure:
    return Figure(f"messages.{name}", help, kind, label="queue")


FIGURES = (
    _figure("waiting", "gauge", "messages that could be received now"),
    Figure(
        "messages.oldest_age",
        "how long the next message has waited since it was sent",
        "gauge",
        "seconds",
        label="queue",
    ),
    _figure("delayed", "gauge", "messages that wait for their time"),
    _figure("held", "gauge", "messages that somebody works on"),
    _figure("dead", "gauge", "dead letters"),
    _figure("sent", "counter", "messages that were accepted"),
    _figure("refused", "counter", "messages that found no room"),
    _figure("delivered", "counter", "attempts at a message"),
    _figure("acknowledged", "counter", "messages that are done"),
    _figure("retried", "counter", "messages given back as failed, which come again"),
    _figure("died", "counter", "messages that became dead letters"),
    _figure("recovered", "counter", "holds that ran out"),
    _figure("expired", "counter", "messages that died by their time to live"),
    _figure("stale", "counter", "acknowledgements that came too late"),
)


def oldest_age(first: Iterable[Message], now: float) -> float:
    """Return `QueueStats.oldest_age`, given the first message of each priority."""
    # Clocks of two machines differ; nothing waits less than not at all.
    return max([0.0, *(now - message.sent_at - message.delay for message in first)])


def picture(stats: Mapping[str, QueueStats]) -> Mapping[str, Any]:
    """Return the snapshot of these queues: all that is known by queue, and the figures."""
    queues = {queue: msgspec.to_builtins(each) for queue, each in stats.items()}
    waiting = {queue: sum(each.waiting.values()) for queue, each in stats.items()}
    found: dict[str, Any] = {"queues": queues, "messages.waiting": waiting}
    for figure in FIGURES:
        if figure.name not in found:
            field = figure.name.removeprefix("messages.")
            found[figure.name] = {queue: getattr(each, field) for queue, each in stats.items()}
    return found
