"""Contracts of capabilities, each implementation opened the way a deployment has it: by its plugin."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import pytest

from tta_kernel import Context, Event, Kernel, KernelSettings, NoConfig, Plugin, PluginSettings, hookimpl
from tta_messages import FAILED, MESSAGES, Messages, MessagesConfig, MessagesMemory, MessagesPlugin
from tta_messages.testing import TYPES, Open, SingleProcessMessagesContract


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


class TestMessagesMemory(SingleProcessMessagesContract):
    @pytest.fixture
    def messages(self) -> Open:
        return open_messages


DEFAULT = MessagesConfig()


@asynccontextmanager
async def open_messages(
    config: MessagesConfig = DEFAULT,
    *,
    types: Mapping[str, type[msgspec.Struct]] = TYPES,
    publish: Callable[[Event], None] = lambda event: None,
) -> AsyncIterator[Messages]:
    async def tell(event: Event) -> None:
        publish(event)

    class Around(Plugin[NoConfig]):
        """Declares the types, and tells what is published."""

        @asynccontextmanager
        async def lifespan(self, ctx: Context) -> AsyncIterator[None]:
            ctx.on(Event, tell)
            yield

        @hookimpl
        def message_types(self) -> Mapping[str, type[msgspec.Struct]]:
            return {name: type for name, type in types.items() if name != FAILED}

    plugins: dict[str, type[Plugin[Any]]] = {
        "messages": MessagesPlugin, "messages-memory": MessagesMemory, "around": Around,
    }  # fmt: skip
    settings = KernelSettings(plugins={"messages": PluginSettings(config=msgspec.to_builtins(config))})
    async with Kernel(settings, plugins=plugins) as kernel:
        yield kernel.get(MESSAGES)
