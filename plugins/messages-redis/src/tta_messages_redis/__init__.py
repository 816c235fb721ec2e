"""Messages on Redis: queues that many processes share, and that outlive them."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

from tta_kernel import Context, Figure, Health, Plugin, hookimpl
from tta_messages import FIGURES, MESSAGE_TYPES, MESSAGES, MESSAGES_CONFIG, MessagesError, picture
from tta_redis import REDIS, unwritable

from .config import Config
from .messages import RedisMessages, open_messages

__all__ = ["Config", "RedisMessages", "RedisMessagesPlugin", "open_messages"]


class RedisMessagesPlugin(Plugin[Config]):
    """Messages of all processes that use the same Redis."""

    requires = (MESSAGE_TYPES, MESSAGES_CONFIG, REDIS)
    provides = (MESSAGES,)
    autoload = False

    @asynccontextmanager
    async def lifespan(self, ctx: Context) -> AsyncIterator[None]:
        self._redis, self._health = ctx.get(REDIS), Health(since=time.time())
        async with open_messages(
            self._redis, ctx.get(MESSAGES_CONFIG), ctx.get(MESSAGE_TYPES), self.config, publish=ctx.publish
        ) as messages:
            self._messages = messages
            ctx.provide(MESSAGES, messages)
            yield

    @hookimpl(optionalhook=True)
    async def forget(self, user: str) -> int:
        return await self._messages.forget(user)

    @hookimpl
    async def health(self) -> Health:
        refusals = await self._redis.refusals(1.0)
        detail = f"nothing can be sent: {unwritable(refusals)}" if refusals else ""
        if detail != self._health.detail:
            self._health = Health("degraded" if detail else "ok", detail, time.time())
        return self._health

    @hookimpl
    def figures(self) -> Sequence[Figure]:
        return FIGURES

    @hookimpl
    async def snapshot(self) -> Mapping[str, Any]:
        try:
            found = await self._messages.stats()
        except MessagesError as exc:
            return {"error": str(exc)}
        return picture(found)
