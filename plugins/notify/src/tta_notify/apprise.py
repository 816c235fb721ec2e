"""Channels through Apprise: Slack, Teams, SMS, pagers and more, with ``pip install 'tta-notify[apprise]'``."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping, Sequence
from functools import partial
from urllib.parse import quote

import anyio
import anyio.to_thread
import msgspec

from tta_kernel import Plugin, Problem, Secret, hookimpl

from .channels import Accepted, Channel, ChannelError, Message

_TO = "{to}"
_THREADS = 8
"""How many may be sending at once; one that hangs keeps its thread until it ends."""


class AppriseConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Apprise's addresses by the names of their channels; ``{to}`` in one stands for a person's own."""

    channels: Mapping[str, Secret] = {}


class AppriseChannel(Channel):
    """Sends through one of Apprise's services, in a thread."""

    def __init__(self, name: str, url: str) -> None:
        self.name = name
        self.personal = _TO in url
        self._url = url
        self._limiter: anyio.CapacityLimiter | None = None

    async def send(self, message: Message) -> Accepted:
        if self._limiter is None:  # It belongs to an event loop.
            self._limiter = anyio.CapacityLimiter(_THREADS)
        url = self._url.replace(_TO, quote(message.to, safe=""))
        body = "\n\n".join(part for part in (message.body, message.link, f"Notification {message.key}") if part)
        title = f"[{message.severity}] {message.subject}"
        # The thread can't be cancelled: it is left alone when its time is over.
        sent = await anyio.to_thread.run_sync(
            partial(_send, url, title, body), abandon_on_cancel=True, limiter=self._limiter
        )
        if not sent:
            raise ChannelError("refused")
        return Accepted()


def _send(url: str, title: str, body: str) -> bool:
    import apprise  # An extra, and heavy.

    service = apprise.Apprise()
    return service.add(url) and bool(service.notify(title=title, body=body))


class NotifyApprise(Plugin[AppriseConfig]):
    """Brings channels through Apprise."""

    autoload = False

    @hookimpl(optionalhook=True)
    def notification_channels(self) -> Sequence[Channel]:
        return [AppriseChannel(name, url) for name, url in self.config.channels.items()]

    @hookimpl
    def check(self) -> Sequence[Problem]:
        if importlib.util.find_spec("apprise") is None:
            hint = "pip install 'tta-notify[apprise]'"
            return [Problem("plugin 'notify-apprise'", "the library apprise isn't installed", hint)]
        return ()
