"""A webhook's receiver and a mail server that fail, and lie, as a seed says; and what each has taken."""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from email import message_from_bytes
from random import Random
from typing import Any, Literal

import anyio
import msgspec
from aiohttp import web
from aiosmtpd.smtp import SMTP, Envelope, Session

from tta_notify.testing.receivers import serving

Mood = Literal["takes", "refuses", "takes and denies", "takes and closes", "drops", "is slow"]
_MOODS: tuple[Mood, ...] = ("refuses", "takes and denies", "takes and closes", "drops", "is slow")
LIMIT = 5.0
"""Seconds that a try may take."""
SLOW = 7.0
"""Seconds that a channel takes which is slow."""


class Taken(msgspec.Struct, frozen=True):
    """A message that was taken, when, and whether its sender was told the truth."""

    at: float
    truly: bool


class Receiver:
    """What has arrived, by the id of the message; ``dropped``: what it says that it has taken, and hasn't."""

    def __init__(self, seed: str, faults: float, heard: Callable[[str], None]) -> None:
        self._random, self._faults, self._heard = Random(seed), faults, heard
        self.taken: defaultdict[str, list[Taken]] = defaultdict(list)
        self.dropped: set[str] = set()

    def mood(self) -> Mood:
        if self._random.random() >= self._faults:
            return "takes"
        return self._random.choice(_MOODS)

    def take(self, id: str, key: str, mood: Mood) -> None:
        if mood == "drops":
            self.dropped.add(id)
        elif mood != "refuses":
            self.taken[id].append(Taken(time.time(), mood == "takes"))
            self._heard(key)

    @asynccontextmanager
    async def http(self) -> AsyncIterator[str]:
        """Serve webhooks."""

        async def handler(request: web.Request) -> web.Response:
            mood = self.mood()
            body = msgspec.json.decode(await request.read())
            assert body["id"] == request.headers["webhook-id"]
            self.take(body["id"], body["key"], mood)
            if mood == "is slow":
                await anyio.sleep(SLOW)
            if mood == "takes and closes":
                assert request.transport is not None
                request.transport.close()
            return web.Response(status={"refuses": 503, "takes and denies": 500}.get(mood, 200))

        async with serving(handler) as url:
            yield url

    @asynccontextmanager
    async def smtp(self) -> AsyncIterator[int]:
        """Take mail."""
        receiver = self

        class Handler:
            async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802 - aiosmtpd's
                mood = receiver.mood()
                assert isinstance(envelope.content, bytes)
                mail = message_from_bytes(envelope.content)
                text = str(mail.get_payload())
                receiver.take(mail["Message-ID"].strip("<>").partition("@")[0], text.rsplit(maxsplit=1)[-1], mood)
                if mood == "is slow":
                    await anyio.sleep(SLOW)
                if mood == "takes and closes":
                    assert isinstance(server.transport, asyncio.WriteTransport)
                    server.transport.abort()
                return {"refuses": "421 later", "takes and denies": "451 later"}.get(mood, "250 OK")

        def made() -> Any:
            return SMTP(Handler())

        loop = asyncio.get_running_loop()  # noqa: TID251 - aiosmtpd is a protocol of asyncio
        server = await loop.create_server(made, "127.0.0.1", 0)
        try:
            yield server.sockets[0].getsockname()[1]
        finally:
            server.close()
