"""Contracts of capabilities, each implementation opened the way a deployment has it: by its plugin."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from types import ModuleType
from typing import Any, ClassVar

import msgspec
import pytest

from tta_events import EVENTS, EventsPlugin
from tta_events.testing import EventsContract, Opened
from tta_events.testing import Open as EventsOpen
from tta_kernel import Context, Event, Kernel, KernelSettings, NoConfig, Plugin, PluginSettings, hookimpl
from tta_messages import FAILED, MESSAGES, Messages, MessagesConfig, MessagesMemory, MessagesPlugin
from tta_messages.testing import TYPES, Open, SingleProcessMessagesContract
from tta_sessions import hookspecs as sessions_hooks


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


class TestMessagesMemory(SingleProcessMessagesContract):
    @pytest.fixture
    def messages(self) -> Open:
        return open_messages


class TestEvents(EventsContract):
    @pytest.fixture
    def events(self) -> EventsOpen:
        return open_events


@asynccontextmanager
async def open_events(*, size: int = 100) -> AsyncIterator[Opened]:
    async def publish(event: Event) -> None:
        others[0].publish(event)
        await kernel.get(EVENTS).read(limit=1)

    async def forget(owner: str) -> int:
        answers = await others[0].ask(sessions_hooks.forget, owner)
        return answers["events"] if isinstance(answers["events"], int) else 0

    others: list[Context] = []

    class Other(Plugin[NoConfig]):
        """Publishes events, and asks that somebody be forgotten."""

        hookspecs: ClassVar[ModuleType | None] = sessions_hooks

        @asynccontextmanager
        async def lifespan(self, ctx: Context) -> AsyncIterator[None]:
            others.append(ctx)
            yield

    plugins: dict[str, type[Plugin[Any]]] = {"events": EventsPlugin, "other": Other}
    settings = KernelSettings(plugins={"events": PluginSettings(config={"size": size})})
    async with Kernel(settings, plugins=plugins) as kernel:
        yield Opened(kernel.get(EVENTS), publish, forget)


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
