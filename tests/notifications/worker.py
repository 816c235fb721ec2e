"""A process that sends what lies in the outbox, until it is killed: ``python -m notifications.worker SPEC``."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

import anyio
import anyio.to_thread
import msgspec

from tta_kernel import Kernel, KernelSettings, Plugin, PluginSettings
from tta_notify import NotifyLocal, NotifyPlugin
from tta_notify.smtp import NotifySmtp
from tta_notify.webhook import NotifyWebhook
from tta_notify_redis import NotifyRedis
from tta_redis import RedisPlugin

from .receivers import LIMIT

PLUGINS: Mapping[str, type[Plugin[Any]]] = {
    "redis": RedisPlugin, "notify": NotifyPlugin, "notify-redis": NotifyRedis, "notify-local": NotifyLocal,
    "notify-smtp": NotifySmtp, "notify-webhook": NotifyWebhook,
}  # fmt: skip


class Spec(msgspec.Struct, frozen=True):
    """The configs of its plugins."""

    configs: dict[str, dict[str, Any]]


def spec(redis: dict[str, Any], hook: str, mail: int) -> Spec:
    """Return the deployment of all processes here."""
    notify = {
        "roster": {"anna": {"addresses": {"mail": "anna@example.org"}}},
        "severities": {name: {"channels": ["mail", "pager"]} for name in ("high", "critical")},
        "retry": 0.2, "longest_retry": 1.0, "tries": 1000, "limit": LIMIT, "pause_after": 5, "pause": 0.5,
    }  # fmt: skip
    configs: dict[str, dict[str, Any]] = {
        "redis": redis, "notify": notify, "notify-redis": {}, "notify-local": {"lease": 15.0, "poll": 0.5},
        "notify-smtp": {"host": "127.0.0.1", "port": mail, "tls": "none", "sender": "tta@example.org"},
        "notify-webhook": {"channels": {"pager": {"url": hook, "secret": "sixteen bytes and more"}}},
    }  # fmt: skip
    return Spec(configs)


def kernel(spec: Spec, *, without: str = "") -> Kernel:
    """Return the kernel of a process, without one of its plugins."""
    plugins = {name: cls for name, cls in PLUGINS.items() if name != without}
    sections = {name: PluginSettings(config=spec.configs[name]) for name in plugins}
    return Kernel(KernelSettings(plugins=sections), plugins=plugins)


async def main(spec: Spec) -> None:
    async with kernel(spec):
        # Its input ends with whoever has started it, be that killed.
        await anyio.to_thread.run_sync(sys.stdin.read)


if __name__ == "__main__":
    anyio.run(main, msgspec.json.decode(sys.argv[1], type=Spec))
