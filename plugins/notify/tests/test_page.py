"""The examples of docs/notifications.md run."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tta_kernel import Kernel, KernelSettings, PluginSettings
from tta_kernel.testing import running
from tta_notify import NOTIFY, Notification, NotifyLocal, NotifyMemory, NotifyPlugin
from tta_notify.smtp import NotifySmtp
from tta_notify.testing import eventually
from tta_notify.webhook import NotifyWebhook

pytestmark = pytest.mark.anyio
PAGE = Path(__file__).resolve().parents[3] / "docs/notifications.md"
ALARM = Notification(id="a", topic="t", severity="critical", subject="the tide comes in", about={"intervention": "i"})


def examples(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)


def defined(example: str) -> dict[str, Any]:
    names: dict[str, Any] = {"__name__": "example"}
    exec(compile(example, "notifications.md", "exec", dont_inherit=True), names)
    return names


def test_the_configuration_can_be_used() -> None:
    [example] = examples("yaml")
    sections = msgspec.yaml.decode(re.sub(r"\{env: (\w+)\}", r"https://example.org/\1", example))["plugins"]
    del sections["http"]
    plugins = {
        "notify": NotifyPlugin, "notify-memory": NotifyMemory, "notify-smtp": NotifySmtp,
        "notify-webhook": NotifyWebhook,
    }  # fmt: skip
    sections["notify"]["config"]["need_humans"] = False
    configs = {name: PluginSettings(config=sections.get(name, {}).get("config", {})) for name in plugins}
    Kernel(KernelSettings(plugins=configs), plugins=plugins).check()


async def test_plugins_follow_up_and_bring_channels(capsys: pytest.CaptureFixture[str]) -> None:
    following, siren = (defined(each) for each in examples("python"))
    plugins = (NotifyPlugin, NotifyLocal, NotifyMemory, following["Following"], siren["SirenPlugin"])
    async with running(*plugins, config={"need_humans": False}) as kernel:
        await kernel.get(NOTIFY).notify(ALARM)
        await kernel.get(NOTIFY).acknowledge("a", "anna")
        await eventually(lambda: following["Following"].seen == ["i"])
        await kernel.get(NOTIFY).notify(Notification(id="b", topic="t", severity="high", subject="it goes out"))
        out: list[str] = []

        def heard() -> bool:
            out.append(capsys.readouterr().out)
            return "high: it goes out" in "".join(out)

        await eventually(heard)
