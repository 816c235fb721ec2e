"""A channel that keeps what it is given, and fails as a test asks it to."""

from __future__ import annotations

from collections.abc import Sequence

import anyio

from tta_kernel import NoConfig, Plugin, hookimpl
from tta_notify.channels import Accepted, Channel, ChannelError, Message


class RecordingChannel(Channel):
    """Takes everything; while ``refuses`` is a code, nothing."""

    def __init__(self, name: str = "mail", *, personal: bool = True) -> None:
        self.name, self.personal = name, personal
        self.taken: list[Message] = []
        self.tries = 0
        self.refuses = ""
        self.for_good = False
        self.hangs = False

    async def send(self, message: Message) -> Accepted:
        self.tries += 1
        if self.hangs:
            await anyio.sleep_forever()
        if self.refuses:
            raise ChannelError(self.refuses, retryable=not self.for_good)
        self.taken.append(message)
        return Accepted("ok")


def bringing(*channels: Channel) -> type[Plugin[NoConfig]]:
    """Return a plugin that brings channels."""

    class Channels(Plugin[NoConfig]):
        @hookimpl(optionalhook=True)
        def notification_channels(self) -> Sequence[Channel]:
            return channels

    return Channels
