"""Runs scripts on queues, and has put into quarantine what is foreign to them."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

from redis.exceptions import ResponseError

from tta_kernel import Event
from tta_messages import FORGOTTEN, Codec, Message, MessageDied, MessagesError, bounced
from tta_redis import Redis, RedisDown, Script

from . import layout, wire

log = logging.getLogger("tta.messages-redis")
QUARANTINE_MS = 7 * 86_400_000
Died = Sequence[Sequence[bytes]]


class Unknown(MessagesError):
    """The connection was lost under a call: it may have been executed."""


def translated(exc: RedisDown | ResponseError) -> MessagesError:
    """Return the capability's own error."""
    if isinstance(exc, RedisDown):
        return (Unknown if exc.unknown else MessagesError)(str(exc))
    told = str(exc).partition("NEWERSTORAGE ")[2]
    if told:
        return MessagesError(f"{told}: run a release that does")
    return MessagesError(f"Redis refuses: {str(exc).partition(', with args')[0][:200]}")


class Scripts:
    """All scripts of one client."""

    def __init__(self, redis: Redis) -> None:
        self.fast_send = redis.script(layout.source("fast_send"))
        self.fast_receive = redis.script(layout.source("fast_receive"))
        self.send = redis.script(layout.source("send"))
        self.receive = redis.script(layout.source("receive"))
        self.settle = redis.script(layout.source("settle"))
        self.admin = redis.script(layout.source("admin"))
        self.repair = redis.script(layout.source("repair"))
        self.quarantine = redis.script(layout.source("quarantine"))
        self.subscriptions = redis.script(layout.source("subscriptions"))
        self.index = redis.script(layout.source("index"))


class Store:
    """Runs scripts on queues; tells who died, and puts into quarantine what doesn't belong there."""

    def __init__(
        self, redis: Redis, codec: Codec, publish: Callable[[Event], None], bounce: Callable[[Message], None],
        channel: str,
    ) -> None:  # fmt: skip
        self.redis, self.scripts = redis, Scripts(redis)
        self._codec, self._publish, self._bounce = codec, publish, bounce
        self._repaired: dict[str, float] = {}
        self.channel = channel
        """With the name of a process: the channel on which it is woken."""
        self._cluster = b"1" if redis.config.cluster else b"0"
        self._common = (channel, self._cluster)

    async def run(
        self, script: Script, queue: str, keys: wire.Keys, args: Sequence[Any], *, retry: bool = False
    ) -> Sequence[Any]:
        """Run a queue's script; the reply without who died."""
        call = (keys.settings, queue, *self._common, *args)
        for again in (False, True):
            try:
                reply = await script(keys.all, call, retry=retry)
            except RedisDown as exc:
                raise translated(exc) from exc
            except ResponseError as exc:
                if again or "WRONGTYPE" not in str(exc):
                    raise translated(exc) from exc
                await self.repair(queue, keys)
            else:
                return await self.read(queue, keys, reply)
        raise AssertionError

    async def fast(self, script: Script, keys: Sequence[bytes], settings: bytes, args: Sequence[Any]) -> Any:
        """Run a fast script; 0 where the call isn't eligible, and nothing was done."""
        try:
            return await script(keys, (settings, self._cluster, *args))
        except RedisDown as exc:
            raise translated(exc) from exc
        except ResponseError as exc:
            if "WRONGTYPE" not in str(exc):
                raise translated(exc) from exc
            return 0

    async def fast_all(
        self, script: Script, keys: Sequence[bytes], settings: bytes, calls: Sequence[Sequence[Any]]
    ) -> list[Any]:
        """Run a fast script several times, in one round trip."""
        if len(calls) == 1:
            return [await self.fast(script, keys, settings, calls[0])]
        commands = [script.command(keys, (settings, self._cluster, *args)) for args in calls]
        try:
            replies = await self.redis.pipeline(*commands, key=keys[0])
        except RedisDown as exc:
            raise translated(exc) from exc
        found: list[Any] = []
        for reply in replies:
            if isinstance(reply, ResponseError):
                if "WRONGTYPE" not in str(reply):
                    raise translated(reply) from reply
                found.append(0)
            else:
                found.append(reply)
        return found

    async def run_all(
        self, script: Script, queue: str, keys: wire.Keys, calls: Sequence[Sequence[Any]]
    ) -> list[Sequence[Any]]:
        """Run a queue's script several times, in one round trip."""
        if len(calls) == 1:
            return [await self.run(script, queue, keys, calls[0])]
        common = (keys.settings, queue, *self._common)
        commands = [script.command(keys.all, (*common, *args)) for args in calls]
        try:
            replies = await self.redis.pipeline(*commands, key=keys.queue)
        except RedisDown as exc:
            raise translated(exc) from exc
        found = []
        for args, reply in zip(calls, replies, strict=True):
            if isinstance(reply, ResponseError):
                found.append(await self.run(script, queue, keys, args))
            else:
                found.append(await self.read(queue, keys, reply))
        return found

    async def run_replicated(
        self,
        script: Script,
        queue: str,
        keys: wire.Keys,
        args: Sequence[Any],
        *,
        replicas: int,
        patience: float,
        retry: bool = False,
    ) -> tuple[Sequence[Any], int]:
        """Run a queue's script, and return how many replicas have what it did."""
        call = (keys.settings, queue, *self._common, *args)
        for again in (False, True):
            try:
                reply, count = await script(
                    keys.all, call, retry=retry, replicas=replicas, replica_timeout=patience
                )  # fmt: skip
            except RedisDown as exc:
                raise translated(exc) from exc
            except ResponseError as exc:
                if again or "WRONGTYPE" not in str(exc):
                    raise translated(exc) from exc
                await self.repair(queue, keys)
            else:
                return await self.read(queue, keys, reply), count
        raise AssertionError

    async def once(
        self, script: Script, queue: str, keys: wire.Keys, args: Sequence[Any], done: Callable[[Any], bool]
    ) -> Sequence[Any]:
        """Run what does nothing a second time; a loss of the connection is noticed only where that hides the answer."""
        try:
            return await self.run(script, queue, keys, args)
        except Unknown:
            reply = await self.run(script, queue, keys, args)
            if not done(reply):
                raise
            return reply

    async def read(self, queue: str, keys: wire.Keys, reply: Any) -> Sequence[Any]:
        """Return a reply without its first part, which is who died."""
        try:
            died: Died = reply[0]
            rest: Sequence[Any] = reply[1:]
            foreign = rest[1]
            if died:
                self._tell(queue, died)
        except (TypeError, ValueError, IndexError) as exc:
            raise MessagesError("Redis answers nonsense") from exc
        if foreign:
            await self.look_after(queue, keys)
        return rest

    async def look_after(self, queue: str, keys: wire.Keys) -> None:
        """Repair a queue in which something foreign is in the way of what can wait; once a minute at most."""
        if self._repaired.get(queue, float("-inf")) < time.monotonic() - 60:
            if len(self._repaired) > 1000:
                self._repaired.clear()
            self._repaired[queue] = time.monotonic()
            await self.repair(queue, keys)

    async def repair(self, queue: str, keys: wire.Keys) -> None:
        """Rename what is foreign under a queue's keys, so that it can be looked at for a week."""
        await self.quarantine(f"queue {queue!r}", self.scripts.repair, keys.all, (QUARANTINE_MS,))

    async def quarantine(self, what: str, script: Script, keys: Sequence[bytes], args: Sequence[Any]) -> None:
        """Rename keys that hold something foreign."""
        apart = [key + b":quarantine:%d" % (time.time() * 1000) for key in keys]
        try:
            moved = await script([*keys, *apart], args, retry=True)
        except (RedisDown, ResponseError) as exc:
            raise translated(exc) from exc
        for name in moved:
            log.warning("%s: a foreign value was under one of its keys; it is now under %r", what, name.decode())

    def _tell(self, queue: str, died: Died) -> None:
        for id, cause, value, error in died:
            name, reason = id.decode(errors="replace"), cause.decode()
            message: Message | None = None
            with suppress(ValueError):
                message = wire.read_value(self._codec, queue, id, value)
            if message and (answer := bounced(message, reason, error.decode(errors="replace"))):
                self._bounce(answer)
            if reason == FORGOTTEN:
                continue  # It is no dead letter, and concerns nobody but who asked.
            if reason == "corrupt":
                log.warning("queue %r: what lay under the id %r is no message; it is a dead letter now", queue, name)
            type_ = message.type if message else ""
            self._publish(MessageDied(queue=queue, id=name, message_type=type_, reason=reason))
