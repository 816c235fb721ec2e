"""The registry: look-ups that others' changes reach, registering against nobody, and one build for all who ask."""

from __future__ import annotations

import time
from typing import Any

import anyio
import pytest
from msgspec.structs import replace

from tta_kernel import ConfigError, Kernel, NoConfig, Plugin, hookimpl
from tta_kernel.testing import logged, problems, published, running, until
from tta_kernel.testing.strangers import LIMIT, Outcome, Stranger, strangers
from tta_tools import (
    TOOL_STORE,
    TOOLS,
    MemoryToolStore,
    Tool,
    ToolDeprecated,
    ToolError,
    ToolRegistered,
    ToolSpec,
    ToolsPlugin,
    ToolStoreError,
)
from tta_tools.testing import deployment, spec
from tta_tools.testing.deployment import PLUGINS
from tta_tools.tools import StoredTools


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


class Counting(MemoryToolStore):
    """A store that counts how often it is asked for a tool, and can be away."""

    def __init__(self) -> None:
        super().__init__(time.time)
        self.asked = 0
        self.away = False

    async def get(self, name: str, version: str) -> ToolSpec | None:
        self.asked += 1
        return await super().get(name, version)

    async def versions(self, name: str) -> Any:
        if self.away:
            raise ToolStoreError("it is away")
        return await super().versions(name)

    async def register(self, spec: ToolSpec) -> Any:
        if self.away:
            raise ToolStoreError("it is away")
        return await super().register(spec)


def with_store(store: MemoryToolStore, *tools: Tool, **config: Any) -> Kernel:
    return deployment(*tools, without=("tools-memory",), services={TOOL_STORE: store}, **config)


def roll(sides: int = 6) -> int:
    """Roll a die."""
    return sides


async def test_the_latest_is_the_highest_semantic_version_that_is_active_and_no_pre_release() -> None:
    store = Counting()
    async with with_store(store) as kernel:
        tools = kernel.get(TOOLS)
        for version in ("1.9.0", "1.10.0", "2.0.0-rc.1"):
            await tools.register(spec(version=version))
        assert (await tools.get("dice")).version == "1.10.0"
        assert (await tools.get("dice", "2.0.0-rc.1")).version == "2.0.0-rc.1"
        with published(kernel, ToolDeprecated) as events:
            await tools.deprecate("dice", "1.10.0")
            assert (await events.next()).version == "1.10.0"
        assert (await tools.get("dice")).version == "1.9.0"
        await tools.deprecate("dice", "1.9.0")
        for name, version in (("dice", "7.0.0"), ("coin", "")):
            with pytest.raises(ToolError, match="there is no tool"):
                await tools.get(name, version)
        with pytest.raises(ToolError, match="there is no tool"):
            await tools.deprecate("coin", "1.0.0")


async def test_look_ups_are_held_until_another_process_changes_something() -> None:
    store = Counting()
    await store.register(spec())
    async with with_store(store, tools={"poll": 0.05}) as kernel:
        tools = kernel.get(TOOLS)
        assert isinstance(tools, StoredTools)
        for _ in range(3):
            await tools.get("dice")
        assert (store.asked, tools.registry.hits, tools.registry.misses) == (1, 2, 1)
        await store.register(spec(version="1.1.0"))
        await until(lambda: len(tools.registry) == 0)
        assert (await tools.get("dice")).version == "1.1.0"


async def test_so_many_look_ups_are_held_and_for_so_long() -> None:
    store = Counting()
    for number in range(3):
        await store.register(spec(f"dice_{number}"))
    async with with_store(store, tools={"cache_max_items": 2}) as kernel:
        tools = kernel.get(TOOLS)
        assert isinstance(tools, StoredTools)
        for number in (0, 1, 0, 2, 0, 1):
            await tools.get(f"dice_{number}")
        assert (store.asked, len(tools.registry)) == (4, 2)
    async with with_store(store, tools={"cache_ttl": 0}) as kernel:
        for _ in range(2):
            await kernel.get(TOOLS).get("dice_0")
        assert store.asked == 6


async def test_the_same_tool_again_does_no_harm_and_another_one_is_a_conflict() -> None:
    async with deployment() as kernel:
        tools = kernel.get(TOOLS)
        with published(kernel, ToolRegistered) as events:
            first = await tools.register(spec(), by="one")
            assert await tools.register(spec(description="In other words."), by="two") == first
            assert [(each.tool, each.by) for each in await events.rest()] == [("dice", "one")]
        for changed in ({"capabilities": ("other",)}, {"idempotent": True}, {"reference": None}):
            with pytest.raises(ToolError, match="says otherwise") as caught:
                await tools.register(spec(**changed))
            assert caught.value.code == "conflict"
        with pytest.raises(
            ToolError, match=r"dice:1\.1\.0 would break callers of 1\.0\.0: the parameter 'count' is gone"
        ):
            await tools.register(spec(version="1.1.0", parameters=(), examples=()))
        await tools.register(spec(version="2.0.0", parameters=(), examples=()))
        with pytest.raises(ToolError, match="declaration"):
            await tools.register(spec(version="1.x"))
        assert (await tools.page("di")).specs[0] == first


async def test_a_declared_tool_runs_while_the_store_is_away_and_is_registered_once_it_is_back() -> None:
    store = Counting()
    store.away = True
    tool = Tool.of(roll, name="dice", version="1.0.0")
    with logged() as lines:
        async with with_store(store, tool, tools={"report_every": 0.02}) as kernel:
            assert (await kernel.get(TOOLS).run("dice", {"sides": 3})).value == 3
            with pytest.raises(ToolError, match="store of tools can't be used"):
                await kernel.get(TOOLS).get("coin")
            assert len(store) == 0
            store.away = False
            await until(lambda: len(store) == 1)
    assert any("it is away" in line for line in lines)


async def test_a_declared_tool_that_can_t_be_registered_isn_t_run_and_health_says_so() -> None:
    store = Counting()
    await store.register(spec("dice"))
    async with with_store(store, Tool.of(roll, name="dice", version="1.0.0")) as kernel:
        from tta_kernel.hookspecs import health

        said: Any = (await kernel.hooks.ask(health))["tools"]
        assert said.status == "degraded"
        assert "dice:1.0.0 is there already" in said.detail
        with pytest.raises(ToolError, match="can't be imported"):
            await kernel.get(TOOLS).run("dice", {"count": 1})


async def test_a_tool_that_a_process_has_isn_t_idle() -> None:
    two_days_ago = time.time() - 2 * 86_400
    store = MemoryToolStore(lambda: two_days_ago)
    await store.register(spec("dynamic"))
    await store.register(spec("used"))
    await store.touch("used", "1.0.0", used_at=time.time())
    async with with_store(store, Tool.of(roll, name="dice", version="1.0.0")) as kernel:
        tools = kernel.get(TOOLS)
        assert isinstance(tools, StoredTools)
        await tools.cleanup()
        assert {spec.id: spec.status for spec in await tools.all()} == {
            "dice:1.0.0": "active", "dynamic:1.0.0": "deprecated", "used:1.0.0": "active",
        }  # fmt: skip


async def test_a_tool_that_was_built_here_may_become_idle_and_is_let_go_of() -> None:
    store = MemoryToolStore(time.time)
    async with with_store(store, Tool.of(roll, name="declared", version="1.0.0")) as kernel:
        tools = kernel.get(TOOLS)
        assert isinstance(tools, StoredTools)
        await tools.register(Tool.of(roll, name="dice", version="1.0.0"))
        soon = time.time() + 10
        await store.touch("declared", "1.0.0", seen_at=soon + 10)
        assert (await store.cleanup(deprecate_before=soon, prune_before=0)).deprecated == ("dice:1.0.0",)
        assert (await store.cleanup(deprecate_before=0, prune_before=soon)).pruned == ("dice:1.0.0",)
        await tools.count()
        assert [tool.spec.name for tool in tools.registry.local] == ["declared"]


@pytest.mark.parametrize(("name", "version"), [("a secret of Bo's", ""), ("\ud800" * 3, ""), ("dice", "a secret")])
async def test_a_name_that_none_can_have_is_told_to_nobody(name: str, version: str) -> None:
    async with deployment() as kernel:
        with pytest.raises(ToolError) as caught:
            await kernel.get(TOOLS).run(name, {}, version=version)
    assert caught.value.code == "not_found"
    assert "secret" not in str(caught.value)


async def test_a_build_is_made_once_however_many_ask_here_and_elsewhere() -> None:
    store = MemoryToolStore(time.time)
    built: list[int] = []
    found: list[ToolSpec] = []

    async def build() -> ToolSpec:
        built.append(1)
        await anyio.sleep(0.05)
        return spec()

    async with with_store(store) as one, with_store(store) as two, anyio.create_task_group() as tasks:

        async def ask(kernel: Kernel) -> None:
            found.append(await kernel.get(TOOLS).create_or_get("sig", build))

        for _ in range(10):
            tasks.start_soon(ask, one)
            tasks.start_soon(ask, two)
    assert (len(built), len(found), len({each.signature for each in found})) == (1, 20, 1)
    assert len(store) == 1


async def test_a_build_that_fails_leaves_nothing_and_all_who_wait_hear_of_it() -> None:
    store = MemoryToolStore(time.time)
    codes: list[str] = []

    async def fail() -> ToolSpec:
        await anyio.sleep(0.01)
        raise ValueError("a secret")

    async with with_store(store) as kernel:

        async def ask() -> None:
            with pytest.raises(ToolError) as caught:
                await kernel.get(TOOLS).create_or_get("sig", fail)
            assert "secret" not in str(caught.value)
            codes.append(caught.value.code)

        async with anyio.create_task_group() as tasks:
            for _ in range(3):
                tasks.start_soon(ask)

        async def build() -> Tool:
            return Tool.of(roll, name="dice", version="1.0.0")

        assert (codes, len(store)) == (["failed"] * 3, 0)
        assert (await kernel.get(TOOLS).create_or_get("sig", build)).id == "dice:1.0.0"
        assert (await kernel.get(TOOLS).run("dice", {})).value == 6


async def test_whoever_waits_too_long_for_a_build_is_told_who_builds() -> None:
    store = MemoryToolStore(time.time)
    await store.claim_build("sig", by="host-b:7", ttl=60)

    async def build() -> ToolSpec:
        raise AssertionError("another process builds")

    async with with_store(store, tools={"build_wait": 0.05}) as kernel:
        with pytest.raises(ToolError, match="host-b:7 builds this tool") as caught:
            await kernel.get(TOOLS).create_or_get("sig", build)
    assert (caught.value.code, caught.value.retryable) == ("building", True)


async def test_a_build_goes_to_the_next_one_where_the_first_is_cancelled() -> None:
    store = MemoryToolStore(time.time)

    async def hang() -> ToolSpec:
        await anyio.sleep_forever()
        raise AssertionError

    async def build() -> ToolSpec:
        return spec()

    async with with_store(store) as kernel:
        tools = kernel.get(TOOLS)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(tools.create_or_get, "sig", hang)
            await anyio.wait_all_tasks_blocked()
            tasks.cancel_scope.cancel()
        assert (await tools.create_or_get("sig", build)).id == "dice:1.0.0"


@pytest.mark.boundary("tta_tools.Tools.create_or_get.factory")
@pytest.mark.parametrize("stranger", strangers("async", returns=ToolSpec), ids=str)
async def test_whatever_a_factory_does_nothing_is_left_of_it(stranger: Stranger) -> None:
    async with with_store(MemoryToolStore(time.time), tools={"build_wait": LIMIT}) as kernel:
        if stranger.outcome is Outcome.STOP:
            with pytest.raises(BaseException) as caught:  # noqa: PT011 - whichever it is, it is an interrupt
                await kernel.get(TOOLS).create_or_get("sig", stranger)
            assert not isinstance(caught.value, ToolError)
        else:
            with pytest.raises(ToolError):
                await kernel.get(TOOLS).create_or_get("sig", stranger)
        assert list((await kernel.get(TOOLS).page()).specs) == []


@pytest.mark.boundary("tta_tools.tools")
@pytest.mark.parametrize("stranger", strangers("plain", returns=list[Tool]), ids=str)
async def test_a_plugin_that_brings_something_else_is_named_before_anything_starts(stranger: Stranger) -> None:
    class Odd(Plugin[NoConfig]):
        @hookimpl
        def tools(self) -> Any:
            return stranger()

    kernel = deployment(Tool.of(roll, name="dice", version="1.0.0"), more={"odd": Odd})
    if stranger.outcome is Outcome.STOP:
        with pytest.raises(BaseException) as stopped:  # noqa: PT011 - whichever it is, it is an interrupt
            kernel.check()
        assert not isinstance(stopped.value, ConfigError)
    elif stranger.outcome is Outcome.FAILURE:
        with pytest.raises(ConfigError, match="plugin 'odd'"):
            kernel.check()
    else:
        async with kernel:
            assert (await kernel.get(TOOLS).run("dice", {})).value == 6


def test_check_objects_to_tools_that_can_t_be() -> None:
    class Bringing(Plugin[NoConfig]):
        @hookimpl
        def tools(self) -> Any:
            tool = Tool.of(roll, name="dice", version="1.0.0")
            wrong = Tool(replace(tool.spec, version="1.x"), roll)
            return [tool, wrong]

    class Also(Bringing):
        pass

    class Odd(Plugin[NoConfig]):
        @hookimpl
        def tools(self) -> Any:
            return ["a text"]

    kernel = running(PLUGINS, {"bringing": Bringing, "also": Also, "odd": Odd})
    with pytest.raises(ConfigError) as caught:
        kernel.check()
    said = str(caught.value)
    assert "'dice:1.x' is no declaration" in said
    assert "declares the tool 'dice:1.0.0', as" in said
    assert "plugin 'odd': its hook `tools` " in said


def test_a_config_that_says_nonsense_is_refused() -> None:
    assert problems(ToolsPlugin, config={"max_params": -1, "poll": 0}) != []
