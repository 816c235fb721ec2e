"""The plugin as a deployment has it, and its commands."""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence

import pytest

from tta_breakers import (
    BREAKER_STORE,
    BREAKERS,
    BreakerChanged,
    BreakersError,
    BreakersMemory,
    BreakersPlugin,
    Record,
    Records,
    Refused,
    Swap,
)
from tta_breakers.commands import add
from tta_breakers.memory import MemoryBreakerStore
from tta_breakers.testing import fail
from tta_kernel import Kernel
from tta_kernel.hookspecs import snapshot
from tta_kernel.testing import problems, published, running, wrong_figures
from tta_program import Subcommands

pytestmark = pytest.mark.anyio


class Elsewhere:
    """A store that isn't this process's own memory."""

    def __init__(self) -> None:
        self._store, self.away = MemoryBreakerStore(), False

    async def read(self) -> Records:
        if self.away:
            raise BreakersError("connection refused")
        return await self._store.read()

    async def swap(self, swaps: Sequence[Swap]) -> Records:
        return await self._store.swap(swaps)

    async def news(self, *, wait: float) -> Mapping[str, Record] | None:
        return await self._store.news(wait=wait)


async def run(store: object, *argv: str) -> int:
    parser = argparse.ArgumentParser()
    add(Subcommands(parser))
    options = parser.parse_args(["breakers", *argv])
    async with running(BreakersPlugin, services={BREAKER_STORE: store}) as kernel:
        return int(await options.command.run(kernel, options))


async def statuses(store: Elsewhere) -> Mapping[str, str]:
    return {name: record.status for name, record in (await store.read()).records.items()}


async def test_it_tells_its_changes_its_figures_and_how_it_is() -> None:
    async with running(BreakersPlugin, BreakersMemory, config={"names": {"*": {"failures": 2}}}) as kernel:
        assert (await kernel.health())["breakers"].status == "ok"
        with published(kernel, BreakerChanged) as events:
            breaker = kernel.get(BREAKERS).breaker("agent:x")
            await fail(breaker, 2)
            event = await events.next()
        assert (event.name, event.before, event.after, event.source) == ("agent:x", "closed", "open", "breakers")
        assert event.reason == "2 calls in a row have failed"
        assert isinstance(breaker.allow(), Refused)
        assert (await kernel.health())["breakers"].detail == "open: agent:x"
        assert await wrong_figures(kernel) == []
        seen = (await kernel.ask(snapshot))["breakers"]
        assert isinstance(seen, Mapping)
        assert seen["breakers.status"] == {"closed": 0, "open": 1, "half_open": 0}
        assert seen["breakers.refusals"] == {"agent:x": 1}


async def test_a_store_that_is_away_is_told_as_degraded() -> None:
    store = Elsewhere()
    store.away = True
    async with running(BreakersPlugin, services={BREAKER_STORE: store}) as kernel:
        health = (await kernel.health())["breakers"]
    assert (health.status, health.detail) == ("degraded", "each process decides alone: connection refused")


@pytest.mark.parametrize("config", [{"failures": 0}, {"rate": 0}, {"growth": 0.5}, {"colour": "blue"}])
def test_settings_that_make_no_sense_are_refused(config: Mapping[str, object]) -> None:
    [problem] = problems(BreakersPlugin, config={"names": {"agent:*": config}})
    assert f"names.agent:*.{next(iter(config))}" in problem


async def test_breakers_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    store = Elsewhere()
    assert await run(store, "list") == 0
    assert "no call was made through a breaker lately" in capsys.readouterr().err
    await run(store, "trip", "agent:x", "--reason", "no memory is left", "--by", "op")
    capsys.readouterr()
    assert await run(store, "list", "--open") == 0
    assert [*capsys.readouterr().out.splitlines()[1].split()][:4] == ["agent:x", "open", "0", "1"]
    assert await run(store, "list", "--json") == 0
    [shown] = json.loads(capsys.readouterr().out)
    assert (shown["name"], shown["status"], shown["reason"], shown["by"]) == (
        "agent:x", "open", "no memory is left", "op",
    )  # fmt: skip


async def test_breakers_are_closed_by_name_and_all_at_once(capsys: pytest.CaptureFixture[str]) -> None:
    store = Elsewhere()
    for name in ("a", "b", "c"):
        await run(store, "trip", name)
    assert await run(store, "reset", "a") == 0
    assert await statuses(store) == {"a": "closed", "b": "open", "c": "open"}
    assert await run(store, "reset", "--all") == 0
    assert set((await statuses(store)).values()) == {"closed"}
    capsys.readouterr()
    assert await run(store, "list", "--open") == 0
    assert "no breaker is open" in capsys.readouterr().err


async def test_who_names_none_and_who_names_nonsense_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert await run(Elsewhere(), "reset") == 2
    assert await run(Elsewhere(), "reset", "a", "--all") == 2
    assert await run(Elsewhere(), "trip", "a\nb") == 2
    assert "printable" in capsys.readouterr().err


async def test_a_store_in_memory_is_another_process_s(capsys: pytest.CaptureFixture[str]) -> None:
    assert await run(MemoryBreakerStore(), "list") == 1
    assert "in memory" in capsys.readouterr().err


async def test_a_store_that_is_away_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    store = Elsewhere()
    store.away = True
    assert await run(store, "list") == 1
    assert "the store can't be used: connection refused" in capsys.readouterr().err


async def test_whoever_is_enabled_beside_memory_replaces_it() -> None:
    kernel: Kernel = running(BreakersPlugin, BreakersMemory, services={BREAKER_STORE: Elsewhere()})
    async with kernel:
        assert kernel.records["breakers-memory"].state == "yielding"
