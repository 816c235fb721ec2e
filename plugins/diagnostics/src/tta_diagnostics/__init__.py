"""Diagnostics: health, figures and the routes of all plugins, over HTTP."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from importlib.metadata import version

from tta_access import ACCESS
from tta_audit import AUDIT
from tta_http import HTTP, Principal, Route
from tta_kernel import KERNEL, ConfigError, Context, Hooks, Plugin, PluginStateChanged, Problem, Service, hookimpl
from tta_metrics import METRICS
from tta_program import Subcommands

from .check import problems
from .config import Config, Listener, Rate, Tls
from .documentation import documentation_routes
from .health import HealthCache, health_routes
from .views import Views, view_routes

ADDRESSES = Service[Sequence[str]]("diagnostics-addresses")
"""Where it serves, as URLs: of interest where a port is 0."""

__all__ = ["ADDRESSES", "Config", "DiagnosticsPlugin", "Listener", "Rate", "Tls"]


class DiagnosticsPlugin(Plugin[Config]):
    """Serves what plugins declare, and what the kernel knows; see `Serving`."""

    requires = (KERNEL, HTTP)
    after = (ACCESS, AUDIT, METRICS)
    provides = (ADDRESSES,)
    surface = True
    autoload = False

    @asynccontextmanager
    async def lifespan(self, ctx: Context) -> AsyncIterator[None]:
        # The server is a third of what a command would import that doesn't serve.
        from .serving import Serving

        kernel = ctx.get(KERNEL)
        self._health = HealthCache(kernel, lambda: self.config.health_interval)
        self._views = Views(kernel, self._health)
        self._serving = Serving(ctx, kernel, self.config, self._health)
        ctx.start_soon(self._health.keep)
        ctx.on(PluginStateChanged, self._look_again)
        async with self._serving.open():
            ctx.provide(ADDRESSES, self._serving.addresses)
            yield

    async def _look_again(self, event: PluginStateChanged) -> None:
        self._health.renew()

    async def prepare(self, config: Config) -> Callable[[], None]:
        if config.listeners != self.config.listeners or config.hosts != self.config.hosts:
            raise ConfigError(
                Problem("plugins.diagnostics.config.listeners", "can't be changed while it runs", "restart, or undo it")
            )
        return lambda: self._serving.configure(config)

    def _allowed(self, principal: Principal, permission: str) -> bool:
        return self._serving.allowed(principal, permission)

    @hookimpl
    def check(self, hooks: Hooks) -> Sequence[Problem]:
        return [*problems(self.config, hooks)]

    @hookimpl(optionalhook=True)
    def register_commands(self, subcommands: Subcommands) -> None:
        from . import diagnose  # Only the command needs a client.

        diagnose.add(subcommands)

    @hookimpl(optionalhook=True)
    def routes(self) -> Sequence[Route]:
        return [
            *health_routes(lambda: self._health, self._allowed),
            *view_routes(lambda: self._views),
            *documentation_routes(lambda: self._serving.application.table, version("tta-diagnostics")),
        ]
