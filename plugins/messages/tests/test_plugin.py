from __future__ import annotations

from collections.abc import Mapping
from types import ModuleType
from typing import Any, ClassVar

import msgspec
import pytest

from tta_kernel import ConfigError, Kernel, KernelSettings, NoConfig, Plugin, PluginSettings, hookimpl, hookspec
from tta_kernel.hookspecs import snapshot
from tta_kernel.testing import Outcome, Stranger, logged, running, strangers
from tta_messages import MESSAGE_TYPES, MESSAGES, BackendConfig, Message, MessagesMemory, MessagesPlugin, QueueFilled
from tta_messages.answers import FAILED, Failure
from tta_messages.testing import Note, Other
from tta_program import load

OURS: dict[str, type[Plugin[Any]]] = {"messages": MessagesPlugin, "messages-memory": MessagesMemory}


def declaring(types: Any) -> type[Plugin[NoConfig]]:
    class Declaring(Plugin[NoConfig]):
        @hookimpl
        def message_types(self) -> Mapping[str, type[msgspec.Struct]]:
            if isinstance(types, Exception):
                raise types
            return types  # type: ignore[no-any-return]

    return Declaring


async def test_messages_of_declared_types_are_taken() -> None:
    plugins = OURS | {"a": declaring({"test.note": Note}), "b": declaring({"test.other": Other})}
    async with Kernel(plugins=plugins) as kernel:
        assert kernel.get(MESSAGE_TYPES) == {"test.note": Note, "test.other": Other, FAILED: Failure}
        messages = kernel.get(MESSAGES)
        results = await messages.send(
            Message.to("q", "test.note", Note("a")), Message.to("q", "test.other"), Message.to("q", "test.more")
        )
        assert [result.error for result in results] == ["", "bad_body", "unknown_type"]


@pytest.mark.parametrize(
    ("types", "what"),
    [
        ({"test.note": Other}, "declares the message type 'test.note', and so does 'a'"),
        ({"a b": Note}, "no message type can be called 'a b'"),
        ({"test.dict": dict}, "the message type 'test.dict' is declared as <class 'dict'>"),
        (KeyError("x"), f"its hook message_types raised KeyError at {__file__}:"),
    ],
)
async def test_what_is_declared_wrongly_is_found_before_anything_starts(types: Any, what: str) -> None:
    plugins = OURS | {"a": declaring({"test.note": Note}), "b": declaring(types)}
    with pytest.raises(ConfigError, match=r"plugin 'b'") as caught:
        async with Kernel(plugins=plugins):
            raise AssertionError
    [said] = [problem.what for problem in caught.value.problems if problem.where == "plugin 'b'"]
    assert said.startswith(what)


@pytest.mark.boundary("tta_messages.message_types")
@pytest.mark.parametrize("stranger", strangers("plain", returns=Mapping[str, type[msgspec.Struct]]), ids=str)
async def test_whatever_a_plugin_declares_messages_of_others_are_taken_and_it_alone_is_ruled_out(
    stranger: Stranger,
) -> None:
    class Odd(Plugin[NoConfig]):
        @hookimpl
        def message_types(self) -> Mapping[str, type[msgspec.Struct]]:
            return stranger()  # type: ignore[no-any-return]

    plugins = (MessagesPlugin, MessagesMemory, {"a": declaring({"test.note": Note})}, Odd)
    with logged():
        if stranger.outcome is Outcome.STOP:
            with pytest.raises((KeyboardInterrupt, BaseExceptionGroup)):
                running(*plugins, optional=["odd"]).check()
            return
        if stranger.outcome is Outcome.FAILURE:
            with pytest.raises(ConfigError, match="plugin 'odd'"):
                running(*plugins).check()
        async with running(*plugins, optional=["odd"]) as kernel:
            (result,) = await kernel.get(MESSAGES).send(Message.to("q", "test.note", Note("a")))
            state = kernel.records["odd"].state
    assert result.error == ""
    if stranger.outcome is Outcome.FAILURE:
        assert state == "failed"


async def test_the_config_holds_for_each_queue() -> None:
    config = {"defaults": {"max_length": 5, "visibility": "2m"}, "queues": {"q": {"max_length": 1}}, "max_size": "1KB"}
    settings = KernelSettings(plugins={"messages": PluginSettings(config=config)})
    plugins = OURS | {"a": declaring({"test.note": Note})}
    async with Kernel(settings, plugins=plugins) as kernel:
        messages = kernel.get(MESSAGES)
        assert (await messages.settings("r")).visibility == 120.0
        assert (await messages.settings("q")).max_length == 1
        (result,) = await messages.send(Message.to("q", "test.note", Note("x" * 2000)))
        assert result.error == "too_large"


@pytest.mark.parametrize("key", ["defaults", "queues", "max_size"])
def test_a_setting_of_queues_in_the_config_of_a_backend_is_told_where_it_belongs(key: str) -> None:
    overrides: Mapping[str, Any] = {"plugins": {"messages-memory": {"config": {key: {}}}}}
    with pytest.raises(ConfigError) as caught:
        load(environ={}, overrides=overrides).decode("messages-memory", BackendConfig)
    where, what = f"plugins.messages-memory.config.{key}", f"it is plugins.messages.config.{key} now"
    assert [str(problem) for problem in caught.value.problems] == [f"overrides: {where}: unknown key; {what}"]


async def test_the_plugin_tells_its_numbers_and_events() -> None:
    settings = KernelSettings(plugins={"messages": PluginSettings(config={"defaults": {"max_length": 1}})})
    plugins = OURS | {"a": declaring({"test.note": Note})}
    async with Kernel(settings, plugins=plugins) as kernel:
        with kernel.events.subscribe(QueueFilled) as events:
            messages = kernel.get(MESSAGES)
            await messages.send(*(Message.to("q", "test.note", Note("a")) for _ in range(2)))
            event = await anext(events)
        assert (event.queue, event.source) == ("q", "messages-memory")
        shown = (await kernel.ask(snapshot))["messages-memory"]
        assert isinstance(shown, Mapping)
        assert (shown["queues"]["q"]["sent"], shown["queues"]["q"]["refused"]) == (1, 1)


async def test_a_person_is_forgotten_where_somebody_asks_for_it() -> None:
    @hookspec()
    async def forget(user: str) -> int:
        raise AssertionError

    class Asking(Plugin[NoConfig]):
        hookspecs: ClassVar[ModuleType | None] = ModuleType("asking")

    vars(Asking.hookspecs)["forget"] = forget
    plugins = OURS | {"a": declaring({"test.note": Note}), "asking": Asking}
    async with Kernel(plugins=plugins) as kernel:
        await kernel.get(MESSAGES).send(Message.to("q", "test.note", Note("a"), owner="u"))
        assert await kernel.ask(forget, "u") == {"messages-memory": 1}
