from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import anyio
import msgspec
import pytest

from tta_agents import (
    AGENT_REGISTRY,
    AGENTS,
    AgentCard,
    AgentId,
    AgentRegistry,
    AgentsMemory,
    AgentsPlugin,
    Capability,
    RegistryError,
)
from tta_agents.memory import MemoryRegistry
from tta_agents.testing import Echo
from tta_capabilities import (
    CAPABILITIES,
    EMBEDDER,
    Capabilities,
    CapabilitiesPlugin,
    DiscoveryRequest,
    MatchCriteria,
)
from tta_kernel import ConfigError, Kernel, KernelSettings, PluginSettings
from tta_kernel.testing import LIMIT, Outcome, Stranger, logged, strangers, until


def teller(*capabilities: Capability, type: str = "teller") -> Echo:
    """Make an agent that is found by these."""
    return Echo(type=type, capabilities=capabilities)


STORY = Capability("story", description="Tells what happened.")


class Registry(MemoryRegistry):
    """A registry that fails as often as a test says, and counts how often it was asked."""

    def __init__(self, fails: int = 0) -> None:
        super().__init__()
        self.fails, self.asked = fails, 0

    async def list(self, type: str | None = None) -> Sequence[AgentCard]:
        self.asked += 1
        if self.fails:
            self.fails -= 1
            raise RegistryError("the registry is away")
        return await super().list(type)


@asynccontextmanager
async def running(registry: AgentRegistry | None = None, embedder: Any = None, **config: Any) -> AsyncIterator[Kernel]:
    settings = KernelSettings(plugins={"capabilities": PluginSettings(config=config)})
    services: dict[Any, object] = {AGENT_REGISTRY: registry or MemoryRegistry()}
    if embedder is not None:
        services[EMBEDDER] = embedder
    plugins: dict[str, Any] = {"agents": AgentsPlugin, "capabilities": CapabilitiesPlugin}
    async with Kernel(settings, plugins=plugins, services=services) as kernel:
        yield kernel


def card(instance: str = "1", **fields: Any) -> AgentCard:
    fields = {"capabilities": (STORY,), "shared": True, "process": "elsewhere", **fields}
    return AgentCard(AgentId("teller", instance), **fields)


def statuses(found: Capabilities) -> dict[str, str]:
    return {str(each.agent_id): each.status for each in found.discovered()}


def has(found: Capabilities, *wanted: str, status: str = "registered") -> Callable[[], bool]:
    return lambda: statuses(found) == dict.fromkeys(wanted, status)


async def who(found: Capabilities, **criteria: Any) -> list[str]:
    return [str(each.agent_id) for each in await found.match(MatchCriteria(**criteria))]


# Strategies of discovery.


async def test_an_agent_is_found_from_being_served_until_it_leaves() -> None:
    async with running(interval=60) as kernel:
        found = kernel.get(CAPABILITIES)
        async with kernel.get(AGENTS).serve(teller(STORY), instance="1"):
            assert await who(found, capability_name="story") == ["teller:1"]
        assert await who(found, capability_name="story") == []


async def test_an_agent_that_is_served_anew_is_found_by_what_it_can_do_now() -> None:
    async with running(interval=60) as kernel:
        found, agents = kernel.get(CAPABILITIES), kernel.get(AGENTS)
        async with agents.serve(teller(STORY), instance="1"):
            assert await who(found, capability_name="story") == ["teller:1"]
        async with agents.serve(teller(Capability("map")), instance="1"):
            assert await who(found, capability_name="story") == []
            assert await who(found, capability_name="map") == ["teller:1"]
            await anyio.wait_all_tasks_blocked()
            assert statuses(found) == {"teller:1": "registered"}


async def test_more_agents_than_an_event_buffer_holds_are_found_from_the_next_line_on() -> None:
    async with running(interval=60) as kernel, AsyncExitStack() as served:
        for number in range(300):
            await served.enter_async_context(kernel.get(AGENTS).serve(teller(STORY), instance=str(number)))
        search = await kernel.get(CAPABILITIES).discover(DiscoveryRequest(max_results=1000))
        assert (len(search.matches), search.total_agents_searched) == (300, 300)


async def test_an_agent_that_leaves_slowly_is_not_found_meanwhile() -> None:
    class Slow(MemoryRegistry):
        async def deregister(self, id: AgentId, process: str = "") -> bool:
            assert await who(found) == []
            await found.refresh()
            assert await who(found) == []
            return await super().deregister(id, process)

    async with running(Slow(), interval=60) as kernel:
        found = kernel.get(CAPABILITIES)
        async with kernel.get(AGENTS).serve(teller(STORY), instance="1"):
            assert await who(found) == ["teller:1"]


async def test_agents_of_before_are_found_at_the_start() -> None:
    registry = MemoryRegistry()
    await registry.register(card())
    async with running(registry, interval=60) as kernel:
        await until(has(kernel.get(CAPABILITIES), "teller:1"))
        assert await who(kernel.get(CAPABILITIES)) == ["teller:1"]


@pytest.mark.parametrize("strategy", ["immediate", "delayed", "heartbeat"])
async def test_agents_of_other_processes_come_and_go_with_the_registry(strategy: str) -> None:
    registry = MemoryRegistry()
    async with running(registry, strategy=strategy, interval=0.02, delay=0.01) as kernel:
        found = kernel.get(CAPABILITIES)
        await registry.register(card())
        await until(has(found, "teller:1"))
        await registry.deregister(AgentId("teller", "1"))
        await until(has(found))
        assert await who(found) == []


async def test_an_agent_that_only_its_own_process_can_call_is_not_found() -> None:
    registry = MemoryRegistry()
    await registry.register(card("own", shared=False))
    await registry.register(card("all"))
    async with running(registry, interval=60) as kernel:
        await until(has(kernel.get(CAPABILITIES), "teller:all"))


@pytest.mark.parametrize("strategy", ["delayed", "heartbeat", "manual"])
async def test_what_is_not_due_yet_is_pending(strategy: str) -> None:
    async with running(strategy=strategy, interval=60, delay=60) as kernel:
        found = kernel.get(CAPABILITIES)
        async with kernel.get(AGENTS).serve(teller(STORY), instance="1") as id:
            await until(has(found, "teller:1", status="pending"))
            assert await who(found) == []
            await found.refresh(id)
            assert statuses(found) == {"teller:1": "registered"}
            assert await who(found) == ["teller:1"]


async def test_a_manual_refresh_finds_all_and_never_comes_by_itself() -> None:
    registry = Registry()
    await registry.register(card())
    async with running(registry, strategy="manual") as kernel:
        found = kernel.get(CAPABILITIES)
        assert (registry.asked, statuses(found)) == (0, {})
        await found.refresh()
        assert (registry.asked, await who(found)) == (1, ["teller:1"])


async def test_a_disabled_type_is_known_and_not_found() -> None:
    registry = MemoryRegistry()
    await registry.register(card())
    async with running(registry, interval=60, disabled=["teller"]) as kernel:
        found = kernel.get(CAPABILITIES)
        await until(has(found, "teller:1", status="disabled"))
        await found.refresh(AgentId("teller", "1"))
        assert (statuses(found), await who(found)) == ({"teller:1": "disabled"}, [])


async def test_a_refresh_of_an_agent_that_is_nowhere_forgets_it() -> None:
    async with running(strategy="manual") as kernel:
        found = kernel.get(CAPABILITIES)
        await found.refresh(AgentId("nobody", "1"))
        assert list(found.discovered()) == []


# When something is wrong.


@pytest.mark.parametrize("time", [0, float("inf"), 1e18])
@pytest.mark.parametrize("key", ["interval", "timeout"])
def test_times_that_would_never_end_or_never_pause_are_refused(key: str, time: float) -> None:
    plugins: dict[str, Any] = {
        "agents": AgentsPlugin,
        "agents-memory": AgentsMemory,
        "capabilities": CapabilitiesPlugin,
    }
    settings = KernelSettings(plugins={"capabilities": PluginSettings(config={key: time})})
    with pytest.raises(ConfigError, match=key):
        Kernel(settings, plugins=plugins).check()


async def test_a_registry_that_is_away_for_a_moment_is_asked_again() -> None:
    registry = Registry(fails=2)
    await registry.register(card())
    async with running(registry, interval=60, retries=2, retry_delay=0.01) as kernel:
        await until(has(kernel.get(CAPABILITIES), "teller:1"))


async def test_a_registry_that_stays_away_leaves_agents_failed_and_the_known_ones_known(
    caplog: pytest.LogCaptureFixture,
) -> None:
    registry = Registry()
    await registry.register(card())
    async with running(registry, strategy="manual", retries=1, retry_delay=0.01) as kernel:
        found = kernel.get(CAPABILITIES)
        await found.refresh()
        async with kernel.get(AGENTS).serve(teller(STORY), instance="2"):
            await until(lambda: statuses(found) == {"teller:1": "registered", "teller:2": "pending"})
            registry.fails = 2
            with pytest.raises(RegistryError):
                await found.refresh()
            assert statuses(found) == {"teller:1": "registered", "teller:2": "failed"}
            assert [each.error for each in found.discovered()] == ["", "the registry is away"]
            await found.refresh()
            assert statuses(found) == {"teller:1": "registered", "teller:2": "registered"}


async def test_a_registry_that_never_answers_is_late(caplog: pytest.LogCaptureFixture) -> None:
    class Silent(MemoryRegistry):
        async def list(self, type: str | None = None) -> Sequence[AgentCard]:
            await anyio.sleep_forever()
            raise AssertionError

    with caplog.at_level(logging.WARNING, "tta.capabilities"):
        async with running(Silent(), interval=0.01, timeout=0.01, retries=0):
            await until(lambda: bool(caplog.records))
    assert [record.getMessage() for record in caplog.records] == [
        "capabilities stay as they were last known: the registry did not answer in time"
    ]


async def test_an_agent_that_leaves_while_the_registry_answers_is_not_brought_back() -> None:
    answering, go_on = anyio.Event(), anyio.Event()

    class Slow(MemoryRegistry):
        async def list(self, type: str | None = None) -> Sequence[AgentCard]:
            cards = await super().list(type)
            answering.set()
            await go_on.wait()
            return cards

    async with running(Slow(), strategy="manual") as kernel, anyio.create_task_group() as tasks:
        found = kernel.get(CAPABILITIES)
        async with kernel.get(AGENTS).serve(teller(STORY), instance="1"):
            await until(has(found, "teller:1", status="pending"))
            tasks.start_soon(found.refresh)
            await answering.wait()
        await until(has(found))
        go_on.set()
        await anyio.wait_all_tasks_blocked()
        assert statuses(found) == {}


# What is matched.


async def test_a_degraded_agent_is_not_found_until_it_is_well() -> None:
    registry = MemoryRegistry()
    async with running(registry, strategy="manual") as kernel:
        found = kernel.get(CAPABILITIES)
        await registry.register(card(status="degraded"))
        await found.refresh()
        assert await who(found) == []
        assert await who(found, include_degraded=True) == ["teller:1"]
        await registry.register(card())
        await found.refresh()
        assert await who(found) == ["teller:1"]


async def test_an_overloaded_agent_is_not_found() -> None:
    registry = MemoryRegistry()
    await registry.register(card("busy", running=9, limit=10))
    await registry.register(card("over", running=19, limit=10))
    await registry.register(card("free", running=2, limit=10))
    async with running(registry, strategy="manual") as kernel:
        found = kernel.get(CAPABILITIES)
        await found.refresh()
        assert await who(found) == ["teller:free"]
        assert await who(found, max_load_factor=1.0) == ["teller:free", "teller:busy", "teller:over"]


async def test_an_agent_that_declares_nothing_can_do_what_its_type_is_called() -> None:
    registry = MemoryRegistry()
    await registry.register(card(capabilities=(), description="Tells stories."))
    async with running(registry, strategy="manual") as kernel:
        found = kernel.get(CAPABILITIES)
        await found.refresh()
        [match] = await found.match(MatchCriteria(capability_name="teller"))
        assert match.capability == Capability("teller", description="Tells stories.", metadata={"inferred": True})


@pytest.fixture
async def three() -> AsyncIterator[Capabilities]:
    """Three tellers: by name, by load and by speed in another order each."""
    registry = MemoryRegistry()
    for instance, name, running_, ms in (
        ("a", "story", 5, 30),
        ("b", "story_long", 1, None),
        ("c", "story_short", 3, 10),
    ):
        can = Capability(name, estimated_duration_ms=ms)
        await registry.register(card(instance, capabilities=(can,), running=running_, limit=10))
    async with running(registry, strategy="manual") as kernel:
        await kernel.get(CAPABILITIES).refresh()
        yield kernel.get(CAPABILITIES)


@pytest.mark.parametrize(
    ("asked", "wanted"),
    [
        ({}, "abc"),
        ({"max_results": 2}, "ab"),
        ({"sort_descending": False}, "bca"),
        ({"sort_by": "agent_load"}, "bca"),
        ({"sort_by": "agent_load", "sort_descending": True, "max_results": 2}, "ac"),
        ({"sort_by": "estimated_duration"}, "cab"),
        ({"sort_by": "estimated_duration", "sort_descending": True}, "acb"),
    ],
)
async def test_a_search_is_sorted_and_cut_as_it_says(three: Capabilities, asked: dict[str, Any], wanted: str) -> None:
    found = await three.discover(DiscoveryRequest(criteria=MatchCriteria(capability_name="story"), **asked))
    assert "".join(str(each.agent_id.instance) for each in found.matches) == wanted
    assert found.total_agents_searched == 3
    assert found.error == ""
    assert found.search_duration_ms > 0
    assert msgspec.json.decode(msgspec.json.encode(found), type=type(found)) == found


async def test_a_search_that_goes_wrong_finds_nothing_and_says_so(caplog: pytest.LogCaptureFixture) -> None:
    class Wicked:
        def __eq__(self, other: object) -> bool:
            raise RuntimeError("my secret")

        __hash__ = None  # type: ignore[assignment]

    registry = MemoryRegistry()
    await registry.register(card(capabilities=(Capability("story", metadata={"lang": Wicked()}),)))
    async with running(registry, strategy="manual") as kernel:
        found = kernel.get(CAPABILITIES)
        await found.refresh()
        criteria = MatchCriteria(metadata_filters={"lang": "de"})
        with caplog.at_level(logging.ERROR, "tta.capabilities"):
            assert await found.match(criteria) == []
            result = await found.discover(DiscoveryRequest(criteria=criteria))
    assert (result.matches, result.error) == ((), "matching raised RuntimeError")
    assert [r.getMessage().partition(" at ")[0] for r in caplog.records] == [
        "matching capabilities by the strategy weighted raised RuntimeError"
    ] * 2
    assert "secret" not in caplog.text


@pytest.mark.parametrize("asked", [{"strategy": "best"}, {"max_results": 0}])
async def test_a_question_that_makes_no_sense_is_the_caller_s_error(asked: dict[str, Any]) -> None:
    async with running() as kernel:
        with pytest.raises(ValueError, match=r"strategy|max_results"):
            await kernel.get(CAPABILITIES).match(MatchCriteria(), **asked)


# The semantic strategy with an embedder.


class Embedder:
    """Knows that a tale is a story, and that nothing else is anything."""

    def __init__(self) -> None:
        self.texts: list[str] = []

    async def embed(self, texts: Sequence[str]) -> Sequence[Sequence[float]]:
        await anyio.lowlevel.checkpoint()
        self.texts += texts
        return [(1.0, 0.0) if "story" in text or "tale" in text else (0.0, 2.0) for text in texts]


async def semantically(embedder: Any, query: str, **config: Any) -> list[tuple[str, str]]:
    registry = MemoryRegistry()
    await registry.register(card(capabilities=(STORY, Capability("map", description="Draws a map."))))
    async with running(registry, embedder, strategy="manual", **config) as kernel:
        found = kernel.get(CAPABILITIES)
        await found.refresh()
        first = await found.match(MatchCriteria(query=query), "semantic")
        matches = await found.match(MatchCriteria(query=query), "semantic")
        assert matches == first
        return [(each.capability.name, each.method) for each in matches]


async def test_an_embedder_that_is_installed_is_used_and_asked_once_about_each_text() -> None:
    embedder = Embedder()
    assert await semantically(embedder, "a tale") == [("story", "embedding")]
    assert sorted(embedder.texts) == ["a tale", "a tale", "map Draws a map.", "story Tells what happened."]


async def test_without_an_embedder_the_words_themselves_count() -> None:
    assert await semantically(None, "draws") == [("map", "tf-idf")]
    assert await semantically(None, "a tale of it") != [("story", "embedding")]


@pytest.mark.parametrize(
    "answer",
    [
        RuntimeError("my secret"), SystemExit("my secret"), asyncio.CancelledError("my secret"),  # noqa: TID251
        [], [(0.0, 0.0)], [(1.0,), (1.0, 2.0)], [(float("nan"), 1.0)], [(float("inf"), 1.0)],
    ],
)  # fmt: skip
async def test_an_embedder_that_fails_gives_way_to_the_words(answer: Any, caplog: pytest.LogCaptureFixture) -> None:
    class Broken:
        async def embed(self, texts: Sequence[str]) -> Sequence[Sequence[float]]:
            if isinstance(answer, BaseException):
                raise answer
            return (answer * len(texts))[: len(texts)] if answer else []

    with caplog.at_level(logging.WARNING, "tta.capabilities"):
        assert await semantically(Broken(), "draws") == [("map", "tf-idf")]
    assert "tf-idf answers instead" in caplog.text
    assert "secret" not in caplog.text


@pytest.mark.boundary("tta_capabilities.Embedder")
@pytest.mark.parametrize("stranger", strangers(returns=Sequence[Sequence[float]]), ids=str)
async def test_whatever_an_embedder_does_the_words_answer_in_its_place(stranger: Stranger) -> None:
    class Odd:
        async def embed(self, texts: Sequence[str]) -> Sequence[Sequence[float]]:
            return await stranger()  # type: ignore[no-any-return]

    with logged():
        if stranger.outcome is Outcome.STOP:
            with pytest.raises((KeyboardInterrupt, BaseExceptionGroup)):
                await semantically(Odd(), "draws")
            return
        assert await semantically(Odd(), "draws", embedding_timeout=LIMIT) == [("map", "tf-idf")]
