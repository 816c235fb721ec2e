"""What stands between a client and a Redis, and kills that at a certain command."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio
from anyio.abc import SocketAttribute, SocketStream

from tta_redis.testing import RedisServer

_GONE = (anyio.BrokenResourceError, anyio.ClosedResourceError, anyio.EndOfStream, OSError)


class Proxy:
    """Passes on what a client sends, and counts it, write by write, once ``counting``.

    ``kill_at``: at that write the server is killed, and started again. ``answered``: the server gets it first, and only
    its answer is lost.
    """

    def __init__(self, server: RedisServer, kill_at: int, *, answered: bool) -> None:
        self._server, self._kill_at, self._answered = server, kill_at, answered
        self._streams: set[SocketStream] = set()
        self.port = 0
        self.counting = False
        self._count = 0
        self.killed = False
        self._mute: SocketStream | None = None

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[None]:
        """Take connections for as long as the block."""
        listener = await anyio.create_tcp_listener(local_host="127.0.0.1")
        async with listener, anyio.create_task_group() as tasks:
            self.port = listener.extra(SocketAttribute.local_port)
            tasks.start_soon(listener.serve, self._connect)
            yield
            tasks.cancel_scope.cancel()

    async def _connect(self, client: SocketStream) -> None:
        async with client:
            try:
                server = await anyio.connect_tcp("127.0.0.1", self._server.port)
            except OSError:
                return
            async with server, anyio.create_task_group() as tasks:
                self._streams |= {client, server}
                tasks.start_soon(self._answers, server, client)
                try:
                    await self._requests(client, server)
                except _GONE:
                    tasks.cancel_scope.cancel()
                self._streams -= {client, server}

    async def _requests(self, client: SocketStream, server: SocketStream) -> None:
        while True:
            request = await client.receive()
            self._count += self.counting
            if self.counting and self._count == self._kill_at:
                if self._answered:
                    self._mute = server  # What it says next is lost.
                else:
                    await self._kill()
            await server.send(request)

    async def _answers(self, server: SocketStream, client: SocketStream) -> None:
        try:
            while True:
                answer = await server.receive()
                if server is self._mute:
                    await self._kill()
                await client.send(answer)
        except _GONE:
            await client.aclose()

    async def _kill(self) -> None:
        self._mute, self.killed = None, True
        self._server.kill()
        self._server.start()
        with anyio.CancelScope(shield=True):
            for stream in list(self._streams):
                await stream.aclose()
