"""The service `AGENTS`: serve an agent under its names, and connect each call to wherever it is served."""

from __future__ import annotations

import os
import re
import secrets
import socket
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import anyio
import msgspec

from tta_kernel import Context, as_failure, check_count, raised_at
from tta_messages import SHUTDOWN_TIMEOUT, MessageDied, Messages, MessagesError

from .config import AgentSettings, Config, Instance
from .consumer import CallConsumer
from .context import CallContext, text_of
from .inbox import Inbox
from .listener import Listener
from .local import LocalAgents
from .model import (
    Agent,
    AgentCard,
    AgentDeregistered,
    AgentError,
    AgentId,
    AgentRegistry,
    OnBeat,
    OnPiece,
    OnUndo,
    Replies,
    Reply,
    Statistics,
)  # fmt: skip
from .registration import Registration
from .remote import RemoteCalls
from .served import Served
from .stores import guard_registry, guard_replies
from .wire import nameable


def new_name() -> str:
    """Make up a name for a process or an instance: ``{host}-{pid}-{6 hex}``."""
    host = re.sub(r"[^A-Za-z0-9.-]", "-", socket.gethostname())[:40] or "host"
    return f"{host}-{os.getpid()}-{secrets.token_hex(3)}"


class Switchboard:
    """Agents of this process are called within it, all others through ``messages``, where there are any."""

    def __init__(
        self, ctx: Context, config: Config, registry: AgentRegistry, messages: Messages | None, replies: Replies | None
    ) -> None:
        self.process = new_name()
        registry = guard_registry(registry)
        replies = guard_replies(replies) if replies is not None else None
        self._ctx, self._config = ctx, config
        self._local = LocalAgents(
            ctx.publish, ctx.log, window=config.reply_window, kept=config.replies_kept, store=replies
        )  # fmt: skip
        self._registration = Registration(ctx, registry, self._local, self.process)
        self._cards: tuple[AgentCard, ...] = ()
        self._inbox = Inbox(ctx, messages, self.process) if messages is not None else None
        self._remote: RemoteCalls | None = None
        if self._inbox is not None:
            limits = {type: each.timeout for type, each in config.remote.items() if each.timeout is not None}
            self._remote = RemoteCalls(
                self._inbox, registry, limit=config.call_limit, limits=limits, poll_interval=config.poll_interval
            )
            ctx.on(AgentDeregistered, self._remote.on_deregistered)
            ctx.on(MessageDied, self._inbox.on_died)

    async def close(self) -> None:
        """Leave no queue behind; what can't be reached ends by its time to live."""
        if self._inbox is not None:
            with anyio.move_on_after(SHUTDOWN_TIMEOUT, shield=True):
                try:
                    await self._inbox.close()
                except MessagesError as exc:
                    self._ctx.log.warning("this process's queue is left to its time to live: %s", exc)

    @asynccontextmanager
    async def serve(self, agent: Agent[Any, Any], *, instance: str | None = None) -> AsyncIterator[AgentId]:
        group = self._instances(agent, instance)
        # One agent has one state, and its first instance keeps it.
        has_state = await self._registration.restore(agent, group[0].id)
        entered: list[Served] = []
        consumer: CallConsumer | None = None
        try:
            for served in group:
                self._local.add(served)
                entered.append(served)
                card = await self._registration.enter(served, with_state=has_state and served is group[0])
                self._cards = (*self._cards, card)
            if self._inbox is not None and group[0].shared:
                queue = self._config.agents.get(agent.spec.type, AgentSettings()).queue or self._config.queue
                elsewhere = partial(self._registration.served_elsewhere, agent.spec.type)
                consumer = CallConsumer(
                    self._ctx, self._inbox, self._local, group, visibility=self._config.visibility,
                    queue=queue.settings(), served_elsewhere=elsewhere,
                )  # fmt: skip
                consumer.open()
            yield group[0].id
        finally:
            for served in entered:
                self._local.remove(served)
            ids = {served.id for served in entered}
            self._cards = tuple(card for card in self._cards if card.id not in ids)
            try:
                # Before it leaves the registry: whoever waits for a process that isn't there any more gives up.
                if consumer is not None:
                    await consumer.close(self._config.drain)
            finally:
                gone = await self._registration.leave(entered)
                if consumer is not None and gone:
                    with anyio.move_on_after(SHUTDOWN_TIMEOUT, shield=True):
                        await consumer.drop_queues(gone)

    async def call(
        self, agent: AgentId, request: msgspec.Struct | Mapping[str, Any], *, key: str, attempt: int = 1,
        session: str = "", on_piece: OnPiece | None = None, owner: str = "", on_beat: OnBeat | None = None,
        on_undo: OnUndo | None = None, released: str = "",
    ) -> Reply:  # fmt: skip
        if not key:
            raise ValueError("a call needs a key: without one it would get another call's answer")
        check_count("attempt", attempt)
        try:
            msgspec.msgpack.encode((key, session, owner, attempt, released))
        except (ValueError, OverflowError):
            what = f"for {agent}, its key, session, owner, attempt or released text cannot travel"
            raise AgentError("bad_request", what) from None
        listener = Listener(self._ctx.log, on_piece, on_beat, on_undo)
        context = CallContext(key, attempt, session, owner, released, listener)
        try:
            if self._remote is not None and not self._local.find(agent):
                return await self._remote.call(agent, request, context)
            reply, kept = await self._local.answer(agent, request, context)
            return await self._tell_rest(reply, context) if kept else reply
        except AgentError:
            raise
        except BaseException as exc:  # noqa: BLE001 - a reader's, or a store's; its message may hold a person's text
            as_failure(exc)
            what, where = type(exc).__name__, raised_at(exc)
            self._ctx.log.error("a call of %s raised %s at %s", agent, what, where)  # noqa: TRY400
            raise AgentError("failed", f"calling {agent} raised {what}", retryable=True) from None

    async def _tell_rest(self, reply: Reply, context: CallContext) -> Reply:
        """Tell the listener what a reply holds that was kept from another call."""
        listener = context.listener
        if listener.on_piece is not None and (text := text_of(reply.output)):
            said = "".join(context.pieces)
            if not text.startswith(said):
                raise AgentError("stream_broken", f"{reply.agent} has answered elsewhere, and something else")
            if rest := text[len(said) :]:
                await listener.piece(rest)
        return await listener.settle(reply)

    async def forget(self, owner: str) -> int:
        """Delete a person's replies that only this process has."""
        return await self._local.forget(owner)

    def served(self) -> Sequence[AgentCard]:
        return self._cards

    def statistics(self) -> Mapping[str, Statistics]:
        return self._local.statistics()

    def degraded(self) -> int:
        """How many of the agents that are served here are degraded."""
        return self._local.degraded()

    def troubles(self) -> Mapping[str, str]:
        """Say of each agent that is served here and degraded why, by its address."""
        return self._local.troubles()

    def _instances(self, agent: Agent[Any, Any], name: str | None) -> list[Served]:
        """Decide under which names an agent is served: the given one, those of the config, or one made up."""
        config, type = self._config, agent.spec.type
        settings = config.agents.get(type, AgentSettings())
        shared = self._inbox is not None and config.auto_register and settings.auto_register
        wishes: Iterable[Instance] = settings.instances
        if name is not None:
            wishes = [next((it for it in wishes if it.name == name), Instance(name))]
        else:
            wishes = [it for it in wishes if not self._local.find(AgentId(type, it.name))] or [Instance(new_name())]
        group = []
        for wish in wishes:
            id = AgentId(type, wish.name)
            if shared and not nameable(id):
                raise ValueError(f"no queue can be named after {id}; use up to 80 letters, digits and ._@+-")
            served = Served(id, agent, shared=shared, limit=settings.concurrency or config.concurrency)
            served.resources = wish.resources
            served.degraded_after, served.degraded_for = config.degraded_after, config.degraded_for
            group.append(served)
        return group
