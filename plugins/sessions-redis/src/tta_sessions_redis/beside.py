"""The processes that run beside this one forget a person, too: what they hold in memory is in no store."""

from __future__ import annotations

import logging
import os
import secrets
import socket
from collections import OrderedDict, deque
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Never

import anyio
import msgspec

from tta_redis import Redis, RedisDown, Signal

from . import scripts

_TTL = 30.0
"""Seconds for which a process counts as running after its last sign of life."""
_LIMIT = 8.0
"""Seconds that they have to confirm; it is less than the time limit of the hook `forget`."""
_AGAIN = 1.0
"""Seconds after which they are asked again: whoever was about to connect anew has heard nothing."""
_LOOK = 0.02
"""Seconds between two looks at who has confirmed."""
_KEPT = 60_000
"""Milliseconds for which an answer lies in Redis."""
_MOST = 1000
"""How many requests wait, and of how many the answers are known."""


class _Asked(msgspec.Struct, frozen=True):
    """A request of the process ``by`` to forget a person: it is published, and stored nowhere."""

    id: str
    by: str
    user: str


class Beside:
    """Tells the others that share a Redis whom to forget, and hears from them.

    ``forget`` forgets a person in all that this process has, and returns the names of the plugins that couldn't.
    """

    def __init__(
        self, redis: Redis, log: logging.LoggerAdapter[logging.Logger] | logging.Logger, *,
        forget: Callable[[str], Awaitable[Sequence[str]]],
    ) -> None:  # fmt: skip
        self._redis, self._log, self._forget = redis, log, forget
        self.name = f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(4)}"
        self._processes = redis.key("sessions", "processes", tag="beside")
        self._channel = redis.key("sessions", "forget", tag="beside")
        self._beat = redis.script(scripts.BEAT)
        self._alive = redis.script(scripts.ALIVE)
        self._confirm = redis.script(scripts.CONFIRM)
        self._confirmed = redis.script(scripts.CONFIRMED)
        self._heard: deque[_Asked] = deque(maxlen=_MOST)
        self._more = anyio.Event()
        self._answered: OrderedDict[str, str] = OrderedDict()
        self._forgetting: set[str] = set()

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[None]:
        """Hear of requests for as long as the block, and count as a process that others wait for."""
        async with self._redis.subscribe(self._channel, callback=self._hear):
            await self._show_life()
            try:
                yield
            finally:
                with anyio.CancelScope(shield=True), anyio.move_on_after(1.0):
                    await self._leave()

    async def run(self) -> Never:
        """Show signs of life, and do what others ask, until cancelled."""
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._work)
            while True:
                await anyio.sleep(_TTL / 3)
                await self._show_life()
        raise AssertionError("it ends by being cancelled")

    async def ask(self, user: str) -> Sequence[str]:
        """Have the others forget a person; return which of them have not, and why."""
        # It is what another has asked for, who has told everybody.
        if user in self._forgetting:
            return ()
        asked = _Asked(secrets.token_hex(8), self.name, user)
        waited = {*await self._alive([self._processes], retry=True)} - {self.name.encode()}
        said: dict[bytes, bytes] = {}
        with anyio.move_on_after(_LIMIT):
            while waited - said.keys():
                await self._redis.execute("PUBLISH", self._channel, msgspec.json.encode(asked))
                with anyio.move_on_after(_AGAIN):
                    while waited - said.keys():
                        await anyio.sleep(_LOOK)
                        found = await self._confirmed([self._answers(asked)], retry=True)
                        said = dict(zip(found[::2], found[1::2], strict=True))
                # Whoever has stopped meanwhile holds nothing any more.
                waited &= {*said, *await self._alive([self._processes], retry=True)}
        silent = [f"process {_text(name)} has not answered" for name in sorted(waited - said.keys())]
        failed = [f"in process {_text(name)} {_text(why)} could not" for name, why in sorted(said.items()) if why]
        return [*silent, *failed]

    def _hear(self, signal: Signal | None) -> None:
        if signal is None:
            return  # Whoever asks does so again.
        try:
            asked = msgspec.json.decode(signal.payload, type=_Asked)
        except msgspec.DecodeError:
            self._log.warning("what was published on %s is no request to forget", self._channel)
            return
        if asked.by != self.name:
            self._heard.append(asked)
            self._more.set()

    async def _work(self) -> Never:
        while True:
            await self._more.wait()
            self._more = anyio.Event()
            while self._heard:
                await self._answer(self._heard.popleft())

    async def _answer(self, asked: _Asked) -> None:
        if asked.id not in self._answered:
            self._forgetting.add(asked.user)
            try:
                failed = await self._forget(asked.user)
            finally:
                self._forgetting.discard(asked.user)
            self._answered[asked.id] = ", ".join(sorted(failed))
            if len(self._answered) > _MOST:
                self._answered.popitem(last=False)
        try:
            await self._confirm([self._answers(asked)], [self.name, self._answered[asked.id], _KEPT], retry=True)
        except RedisDown as exc:
            # It is asked again for as long as somebody waits for it.
            self._log.warning("that a person is forgotten here could not be confirmed: %s", exc)

    def _answers(self, asked: _Asked) -> str:
        return self._redis.key("sessions", "forgotten", asked.id, tag="beside")

    async def _show_life(self) -> None:
        try:
            await self._beat([self._processes], [self.name, round(_TTL * 1000)], retry=True)
        except RedisDown as exc:
            # Plugin redis tells how it is; with the next sign this process counts again.
            self._log.debug("no sign of life: %s", exc)

    async def _leave(self) -> None:
        try:
            await self._redis.execute("ZREM", self._processes, self.name)
        except RedisDown as exc:
            self._log.debug("others may wait for this process until its time is over: %s", exc)


def _text(raw: bytes) -> str:
    return raw.decode(errors="replace")
