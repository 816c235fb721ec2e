"""The server from its first listener to its last answer."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import anyio

from tta_access import ACCESS
from tta_audit import AUDIT
from tta_http import HTTP, Permission, Principal, declared
from tta_kernel import Context, Kernel, PluginError
from tta_metrics import METRICS
from tta_program.logs import Redactor

from .application import Application
from .check import PROOF
from .config import Config
from .connection import GIVING_UP, Server
from .doorkeeper import Doorkeeper
from .health import HealthCache
from .hosts import Hosts
from .listening import Door, bind_all, demand_asyncio
from .records import Recorder


class Serving:
    """Opens the listeners, and closes them in order: readiness goes first, what has begun is answered."""

    def __init__(self, ctx: Context, kernel: Kernel, config: Config, health: HealthCache) -> None:
        self._ctx = ctx
        self._kernel = kernel
        self._config = config
        self._health = health
        self._interrupt: BaseException | None = None
        self._interrupted = anyio.Event()
        self._doorkeeper = Doorkeeper(ctx.find(ACCESS))
        self.addresses: tuple[str, ...] = ()
        self.application = Application(
            declared(kernel.hooks),
            config,
            hosts=Hosts(config, ctx.get(HTTP).public_url),
            doorkeeper=self._doorkeeper,
            recorder=Recorder(ctx.find(METRICS), ctx.find(AUDIT)),
            running=self._runs,
            redact=self._redact,
            interrupted=self._hear,
        )

    @asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        """Serve for as long as the block; afterwards let what has begun come to its end."""
        demand_asyncio()
        self._ctx.start_soon(self._raise_interrupt)
        server = self._server = Server(self.application.handle, self._config, self.application.new_number)
        self.application.recorder.watch(lambda: len(server.open))
        await self._demand_proof()
        doors = bind_all(self._config.listeners)
        try:
            for door in doors:
                await door.open(server, self._config.header_timeout)
            self._ctx.start_soon(server.sweep)
            self.addresses = tuple(door.address for door in doors)
            self._ctx.log.info("diagnostics at %s", ", ".join(self.addresses))
            yield
            await self._leave(server, doors)
        finally:
            # Whatever is still open by now is cut off.
            with anyio.CancelScope(shield=True):
                for door in doors:
                    await door.close(server)
                await server.cut()
        if self._interrupt is not None:
            raise self._interrupt

    async def _demand_proof(self) -> None:
        """Refuse to listen where others can come in, unless they can prove who they are."""
        open_to_others = [(n, each) for n, each in enumerate(self._config.listeners) if not each.is_local]
        ways = set(await self._doorkeeper.ways()) if open_to_others else set()
        for number, each in open_to_others:
            if not ways:
                what = f"{each.host} can be reached from other machines, and nobody has a key"
                raise PluginError("diagnostics", what, hint=PROOF)
            if ways == {"mtls"} and (each.tls is None or each.tls.client_ca is None):
                what = f"{each.host} can be reached from other machines, and no certificate can be shown there"
                where = f"plugins.diagnostics.config.listeners.{number}.tls.client_ca"
                hint = f"set {where}, or make a key by `tta keys create`"
                raise PluginError("diagnostics", what, hint=hint)

    async def _leave(self, server: Server, doors: Sequence[Door]) -> None:
        self._health.draining = True
        self.application.draining = True
        # Whoever spreads requests sees that this one isn't ready any more, and sends the next ones elsewhere.
        await anyio.sleep(self._config.drain)
        for door in doors:
            await door.close(server)
        # As long as the kernel lets it, less what it takes to answer and cut off the rest.
        left = anyio.current_effective_deadline() - anyio.current_time() - GIVING_UP - 0.3
        await server.finish(max(left, 0.0))

    def configure(self, config: Config) -> None:
        """Take over new limits."""
        self._config = config
        self.application.config = config
        self._server.configure(config)
        self.application.limiter.configure(config)

    def allowed(self, principal: Principal, permission: Permission) -> bool:
        """Say whether they may."""
        return self._doorkeeper.allowed(principal, permission)

    def _runs(self, plugin: str) -> bool:
        record = self._kernel.records.get(plugin)
        # While it stops itself, it still answers.
        return record is not None and (record.running or plugin == self._ctx.name)

    def _redact(self, text: str) -> str:
        return Redactor(self._kernel.secrets)(text)  # They may be others after a reload.

    def _hear(self, exc: BaseException) -> None:
        self._interrupt = exc
        self._interrupted.set()

    async def _raise_interrupt(self) -> None:
        """Let a `KeyboardInterrupt` of a handler stop everything in order, as it would from anywhere else."""
        await self._interrupted.wait()
        raise self._interrupt or KeyboardInterrupt
