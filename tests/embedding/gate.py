"""A plugin that lets a test hold a turn: it asks there before it goes on."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio

from tta_kernel import Context, NoConfig, Plugin, hookimpl
from tta_safety import About, Channel, Verdict


class Gate(Plugin[NoConfig]):
    """Holds who looks: in a session ``held…`` nothing is told, in one ``half…`` one sentence, until a test agrees.

    One called ``crash`` takes the plugin down, and with it the kernel.
    """

    @asynccontextmanager
    async def lifespan(self, ctx: Context) -> AsyncIterator[None]:
        self._passed: set[tuple[str, int]] = set()
        # Left behind by a process whose kernel didn't stop in order.
        running = anyio.Path(f"running-{os.getpid()}")
        await running.touch()
        self._crash = anyio.Event()
        try:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self._crash_if_asked)
                yield
                tasks.cancel_scope.cancel()
        finally:
            with anyio.CancelScope(shield=True):
                await running.unlink()

    async def _crash_if_asked(self) -> None:
        await self._crash.wait()
        raise OSError("the gate is lost")

    @hookimpl
    async def check_text(self, text: str, channel: Channel, session: str, about: About) -> Verdict:
        if session == "crash":
            self._crash.set()
        looks = "look" in (about.before or text)
        here = (session.startswith("held") and channel == "player") or (session.startswith("half") and about.told)
        if looks and here and (session, about.turn) not in self._passed:
            async with await anyio.connect_tcp("127.0.0.1", int(os.environ["GATE_PORT"])) as stream:
                await stream.send(session.encode() + b"\n")
                await stream.receive()
            self._passed.add((session, about.turn))
        return Verdict("checked", "safe")
