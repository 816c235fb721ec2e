"""What operators see of the deployment itself: plugins, config, figures in short."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec

from tta_http import CONFLICT, Nothing, Paged, Part, Principal, Route, part_of
from tta_kernel import ConfigError, Kernel, KernelError
from tta_kernel.records import Record
from tta_program import LayeredSettings, reload
from tta_program.effective import entries
from tta_program.logs import Redactor
from tta_program.output import encodable

from .health import HealthCache, Status

PLUGINS = "plugins:read"
CONFIG = "config:read"
RELOAD = "config:reload"


class PluginView(msgspec.Struct, frozen=True):
    """One installed plugin: what becomes of it, since when, and why."""

    name: str
    state: str
    required: bool
    since: float
    reason: str = ""
    distribution: str = ""
    version: str = ""
    yields_to: str = ""


class PluginList(Part[PluginView], frozen=True):
    """The plugins, by name."""


class ConfigEntry(msgspec.Struct, frozen=True):
    """One value in force, without secrets, and where it comes from."""

    key: str
    value: Any
    layer: str


class ConfigList(Part[ConfigEntry], frozen=True):
    """The config in force, by key."""


class ReloadRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """With ``preview`` nothing changes: plugins are asked whether they agree."""

    preview: bool = False


class ReloadReport(msgspec.Struct, frozen=True):
    """What changed, or would: plugins and keys, and what waits for a restart."""

    applied: bool
    changed: Sequence[str]
    restart_needed: Sequence[str]


class Summary(msgspec.Struct, frozen=True):
    """The deployment at a glance."""

    status: Status
    checked_at: float
    up_seconds: float
    not_well: Mapping[str, Status]
    plugins: Mapping[str, int]
    dropped_events: int


class Views:
    """Answers from what the kernel knows."""

    def __init__(self, kernel: Kernel, health: HealthCache, clock: Callable[[], float] = time.time) -> None:
        self._kernel = kernel
        self._health = health
        self._clock = clock
        self._started = clock()

    async def plugins(self, request: Paged, principal: Principal) -> PluginList:
        records = self._kernel.records
        names, cursor = part_of([*records], request)
        redact = Redactor(self._kernel.secrets)
        return PluginList([_plugin(records[name], redact) for name in names], cursor)

    async def config(self, request: Paged, principal: Principal) -> ConfigList:
        settings = self._kernel.settings
        if not isinstance(settings, LayeredSettings):
            raise CONFLICT("the host gave the config as code, which has no layers to show")
        types = {name: record.cls.config_type for name, record in self._kernel.records.items() if record.imported}
        found = {entry.key: entry for entry in entries(settings, types)}
        keys, cursor = part_of([*found], request)
        shown = [ConfigEntry(key, encodable(found[key].value), found[key].layer) for key in keys]
        return ConfigList(shown, cursor)

    async def reload(self, request: ReloadRequest, principal: Principal) -> ReloadReport:
        try:
            done = await reload(self._kernel, preview=request.preview)
        except ConfigError as exc:
            redact = Redactor(self._kernel.secrets)
            told = "; ".join(redact(str(problem)) for problem in exc.problems[:20])
            raise CONFLICT(f"nothing is reloaded: {told}") from None
        except KernelError:
            raise CONFLICT("the kernel doesn't run yet, or stops") from None
        self._health.renew()
        return ReloadReport(not request.preview, done.changed, done.restart_needed)

    async def summary(self, request: Nothing, principal: Principal) -> Summary:
        states: dict[str, int] = {}
        for record in self._kernel.records.values():
            states[str(record.state)] = states.get(str(record.state), 0) + 1
        checks = self._health.checks()
        return Summary(
            status=self._health.status,
            checked_at=self._health.at,
            up_seconds=self._clock() - self._started,
            not_well={name: status for name, status in checks.items() if status != "pass"},
            plugins=states,
            dropped_events=sum(each.dropped for each in self._kernel.events.subscriptions),
        )


def view_routes(views: Callable[[], Views]) -> list[Route]:
    """Return the routes of what the kernel knows."""

    async def plugins(request: Paged, principal: Principal) -> PluginList:
        return await views().plugins(request, principal)

    async def config(request: Paged, principal: Principal) -> ConfigList:
        return await views().config(request, principal)

    async def reloading(request: ReloadRequest, principal: Principal) -> ReloadReport:
        return await views().reload(request, principal)

    async def summary(request: Nothing, principal: Principal) -> Summary:
        return await views().summary(request, principal)

    return [
        Route(
            method="GET", path="/plugins", permission=PLUGINS, handler=plugins, request=Paged, response=PluginList,
            summary="List the installed plugins, what becomes of each, and why.",
            example=PluginList([PluginView("agents", "running", required=True, since=1_790_000_000.0)]),
        ),
        Route(
            method="GET", path="/summary", permission=PLUGINS, handler=summary, response=Summary,
            summary="Show the deployment at a glance.",
            example=Summary("pass", 1_790_000_000.0, 60.0, {}, {"running": 12}, 0),
        ),
        Route(
            method="GET", path="/config", permission=CONFIG, handler=config, request=Paged, response=ConfigList,
            summary="Show the config in force, without secrets.", problems=(CONFLICT,),
            example=ConfigList([ConfigEntry("kernel.stop_timeout", 10, "config/production.yaml")]),
        ),
        Route(
            method="POST", path="/config/reload", permission=RELOAD, handler=reloading, request=ReloadRequest,
            response=ReloadReport, problems=(CONFLICT,), limit="costly", timeout=60.0,
            summary="Take over the config as it is written now, or with `preview` say what would change.",
            example=ReloadReport(applied=True, changed=["agents"], restart_needed=[]),
        ),
    ]  # fmt: skip


def _plugin(record: Record, redact: Redactor) -> PluginView:
    found = record.found
    return PluginView(
        record.name, str(record.state), record.required, record.since, redact(record.reason)[:1000],
        found.distribution, found.version, record.yields_to,
    )  # fmt: skip
