"""Messages: queues with priorities, holds, retries and dead letters."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from types import ModuleType
from typing import Any, ClassVar

import msgspec

from tta_http import Route
from tta_kernel import KERNEL, Context, Event, Figure, Hooks, Plugin, Problem, hookimpl
from tta_program import Subcommands

from . import hookspecs
from .answers import FAILED, Failure, answer, bounced, respond, respond_error
from .consume import Consumed, Reject, consume, consume_batches
from .figures import FIGURES, oldest_age, picture
from .guard import guard
from .leases import Backoff, LeaseCounts, LeaseKeeper
from .memory import MemoryMessages
from .model import (
    MESSAGE_TYPES,
    MESSAGES,
    MESSAGES_CONFIG,
    BackendConfig,
    DeadLetter,
    Delivery,
    Filter,
    HistoryEntry,
    Message,
    MessageDied,
    Messages,
    MessagesConfig,
    MessagesError,
    Priority,
    QueueFilled,
    QueueSettings,
    QueueStats,
    Requeued,
    SendError,
    SendResult,
    Settled,
    Subscription,
)  # fmt: skip
from .prepare import FORGOTTEN, Codec, Prepared
from .replies import REPLY_SETTINGS, SHUTDOWN_TIMEOUT, ReplyQueue
from .requests import AnswerError, Asked, Requests, Unsent
from .routes import message_routes
from .types import declared

__all__ = [
    "FAILED", "FIGURES", "FORGOTTEN", "MESSAGES", "MESSAGES_CONFIG", "MESSAGE_TYPES", "REPLY_SETTINGS",
    "SHUTDOWN_TIMEOUT", "AnswerError", "Asked", "BackendConfig", "Backoff", "Codec", "Consumed", "DeadLetter",
    "Delivery", "Failure", "Filter", "HistoryEntry", "LeaseCounts", "LeaseKeeper", "Message", "MessageDied", "Messages",
    "MessagesConfig", "MessagesError", "MessagesMemory", "MessagesPlugin", "Prepared", "Priority", "QueueFilled",
    "QueueSettings", "QueueStats", "Reject", "ReplyQueue", "Requests", "Requeued", "SendError", "SendResult", "Settled",
    "Subscription", "Unsent", "answer", "bounced", "consume", "consume_batches", "guard", "oldest_age", "picture",
    "respond", "respond_error",
]  # fmt: skip


class MessagesPlugin(Plugin[MessagesConfig]):
    """The vocabulary of messages, what types of them there are, and how queues treat them."""

    requires = (KERNEL,)
    provides = (MESSAGE_TYPES, MESSAGES_CONFIG)
    hookspecs: ClassVar[ModuleType | None] = hookspecs

    @asynccontextmanager
    async def lifespan(self, ctx: Context) -> AsyncIterator[None]:
        self._kernel = ctx.get(KERNEL)
        types, _ = declared(self._kernel.hooks)
        ctx.provide(MESSAGE_TYPES, types)
        ctx.provide(MESSAGES_CONFIG, self.config)
        yield

    @hookimpl
    def message_types(self) -> Mapping[str, type[msgspec.Struct]]:
        return {FAILED: Failure}

    @hookimpl
    def event_types(self) -> Sequence[type[Event]]:
        return (MessageDied, QueueFilled)

    @hookimpl
    def check(self, hooks: Hooks) -> Sequence[Problem]:
        _, problems = declared(hooks)
        return problems

    @hookimpl(optionalhook=True)
    def routes(self) -> Sequence[Route]:
        return message_routes(lambda: self._kernel)

    @hookimpl(optionalhook=True)
    def register_commands(self, subcommands: Subcommands) -> None:
        from . import commands  # Only a command needs them.

        commands.add(subcommands)


class MessagesMemory(Plugin[BackendConfig]):
    """Messages of a deployment with one process; they end with it."""

    requires = (MESSAGE_TYPES, MESSAGES_CONFIG)
    provides = (MESSAGES,)
    fallback = True

    @asynccontextmanager
    async def lifespan(self, ctx: Context) -> AsyncIterator[None]:
        self._messages = MemoryMessages(ctx.get(MESSAGES_CONFIG), ctx.get(MESSAGE_TYPES), publish=ctx.publish)
        ctx.provide(MESSAGES, self._messages)
        yield

    @hookimpl(optionalhook=True)
    async def forget(self, user: str) -> int:
        return await self._messages.forget(user)

    @hookimpl
    def figures(self) -> Sequence[Figure]:
        return FIGURES

    @hookimpl
    async def snapshot(self) -> Mapping[str, Any]:
        return picture(await self._messages.stats())
