"""The page on messages: its code runs as it stands, wired as a reader would."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import anyio
import yaml

from tta_kernel import Kernel, KernelSettings, Plugin, PluginSettings
from tta_messages import MESSAGES, MessagesMemory, MessagesPlugin
from tta_messages.testing.common import until


async def test_the_page_on_messages_shows_what_works(root: Path) -> None:
    page = (root / "docs/messages.md").read_text(encoding="utf-8")
    shown: dict[str, Any] = {}
    for block in re.findall(r"^```python\n(.*?)^```$", page, flags=re.MULTILINE | re.DOTALL):
        exec(compile(block, "messages.md", "exec"), shown)
    plugins: dict[str, type[Plugin[Any]]] = {
        "messages": MessagesPlugin, "messages-memory": MessagesMemory,
        "post-office": shown["PostOffice"], "echo": shown["Echo"], "asking": shown["Asking"],
        "club": shown["Club"],
    }  # fmt: skip
    (settings,) = re.findall(r"^```yaml\n(.*?)^```$", page, flags=re.MULTILINE | re.DOTALL)
    configured = PluginSettings(**yaml.safe_load(settings)["plugins"]["messages"])
    with anyio.fail_after(10):
        async with Kernel(KernelSettings(plugins={"messages": configured}), plugins=plugins) as kernel:
            messages = kernel.get(MESSAGES)
            assert await shown["write"](messages) == ""
            office, asking = (kernel.records[name].plugin for name in ("post-office", "asking"))
            assert await asking.ask("well?") == "well?"  # type: ignore[union-attr]
            assert await asking.ask("") == "no answer: nothing was asked"  # type: ignore[union-attr]
            assert (await messages.settings("questions")).backoff_base == 0.1
            await until(lambda: messages.subscriptions("club"))
            assert await shown["announce"](messages, "a new book") == 1

            async def are_acknowledged() -> bool:
                return [(await messages.stats(queue))[queue].acknowledged for queue in ("club", "post")] == [1, 1]

            await until(are_acknowledged)
            assert kernel.records["club"].plugin.wall == ["a new book"]  # type: ignore[union-attr]
            assert office.box == ["all is well"]  # type: ignore[union-attr]
