"""One message through one channel: whom it is for, in which language, and what became of it."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping

import msgspec

from .channels import Channel, ChannelError, Message, send_through
from .config import Config
from .links import PATH
from .model import Delivery, Entry, Notification, Receipt, Text
from .pauses import Pause
from .plan import WITHOUT, Plan

Notify = Callable[[Notification], Awaitable[Receipt]]


class Result(msgspec.Struct, frozen=True):
    """How a try ended: it was accepted, it failed with a code, or it was put off until the channel may be used."""

    accepted: bool = False
    said: str = ""
    retryable: bool = True
    put_off: float = 0.0


class Sender:
    """The channels of this process; what is wrong with one is told through the others."""

    def __init__(
        self, channels: Mapping[str, Channel], config: Config, log: logging.Logger, *, notify: Notify,
        public_url: str = "",
    ) -> None:  # fmt: skip
        self.pauses = {name: Pause(config.pause_after, config.pause) for name in channels}
        self.accepted: Counter[str] = Counter()
        self.failures: Counter[str] = Counter()
        self.offers_links = bool(public_url)
        self._channels, self._log, self._notify, self._public_url = channels, log, notify, public_url
        self.configure(config)

    def configure(self, config: Config) -> None:
        """Go by another config from now on: another roster, other rules."""
        self._config = config
        self.plan = Plan(config, self._channels)
        for pause in self.pauses.values():
            pause.configure(config.pause_after, config.pause)

    def has(self, channel: str) -> bool:
        """Say whether there is a channel of that name."""
        return channel in self._channels

    async def send(self, entry: Entry, delivery: Delivery, token: str, now: float) -> Result:
        """Try once, within the config's limit."""
        channel = self._channels.get(delivery.channel)
        person = self.plan.person(delivery.person)
        if channel is None or (delivery.person and (person is None or delivery.channel not in person.addresses)):
            return Result(said="no-such-address", retryable=False)
        pause = self.pauses[delivery.channel]
        if (until := pause.ready(now, self._config.limit)) > 0:
            return Result(put_off=until)
        locale = person.locale if person else ""
        text = text_for(entry.notification, locale)
        about = entry.notification
        message = Message(
            id=delivery.id, key=entry.key, topic=about.topic, severity=about.severity, subject=text.subject,
            body=text.body, at=entry.created_at, to=person.addresses[delivery.channel] if person else "",
            locale=locale, tier=delivery.tier, about=about.about,
            link=f"{self._public_url}{PATH}/{token}" if token else "",
        )  # fmt: skip
        try:
            said = (await send_through(channel, message, self._config.limit)).said
        except ChannelError as exc:
            self.failures[delivery.channel] += 1
            # What is wrong with one address says nothing of the channel.
            if pause.note(exc.code if exc.retryable else "", now):
                await self._alarm(delivery.channel, exc.code, now)
            return Result(said=exc.code, retryable=exc.retryable)
        self.accepted[delivery.channel] += 1
        if pause.failing:
            self._log.info("channel %s can be used again", delivery.channel)
        pause.note("", now)
        return Result(accepted=True, said=said)

    async def tell_dead(self, entry: Entry, delivery: Delivery) -> None:
        """Tell through the other channels that one has failed for good; of such an alarm there is no other."""
        if WITHOUT in entry.notification.about:
            return
        channel = delivery.channel
        self._log.error("notification %s: channel %s has failed for good: %s", entry.key, channel, delivery.said)
        await self._notify(
            Notification(
                id=f"dead:{delivery.id}", topic="alarm", severity="high", group=f"dead:{channel}",
                subject=f"channel {channel} could not deliver a notification",
                body=f"notification {entry.key}, {entry.notification.severity}: {delivery.said}",
                about={WITHOUT: channel, "notification": entry.key},
            )
        )  # fmt: skip

    async def _alarm(self, channel: str, code: str, now: float) -> None:
        self._log.error("channel %s fails, and is left alone for a while: %s", channel, code)
        await self._notify(
            Notification(
                id=f"pause:{channel}:{now:.3f}", topic="alarm", severity="high", group=f"pause:{channel}",
                subject=f"channel {channel} fails", body=f"it said: {code}", about={WITHOUT: channel},
            )
        )  # fmt: skip


def text_for(notification: Notification, locale: str) -> Text:
    """Return its text in somebody's language, or in the one that it was written in."""
    for wanted in (locale, locale.partition("-")[0]):
        if wanted in notification.texts:
            return notification.texts[wanted]
    return Text(notification.subject, notification.body)
