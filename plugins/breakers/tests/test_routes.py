"""Breakers over HTTP: which are open, and opening and closing them."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tta_breakers import BREAKERS, BreakersMemory, BreakersPlugin
from tta_http import HttpPlugin, HttpProblem
from tta_http.testing import Caller
from tta_kernel import Kernel

pytestmark = pytest.mark.anyio
PLUGINS = {"http": HttpPlugin, "breakers": BreakersPlugin, "breakers-memory": BreakersMemory}


@pytest.fixture
async def kernel() -> AsyncIterator[Kernel]:
    async with Kernel(plugins=PLUGINS) as kernel:
        await kernel.get(BREAKERS).trip("agent:x", "no memory is left")
        kernel.get(BREAKERS).breaker("agent:y")
        yield kernel


async def test_breakers_are_listed_by_name_and_by_status(kernel: Kernel) -> None:
    caller = Caller(kernel.hooks)
    assert [each["name"] for each in (await caller.get("/breakers"))["items"]] == ["agent:x", "agent:y"]
    [found] = (await caller.get("/breakers?status=open"))["items"]
    assert (found["name"], found["reason"]) == ("agent:x", "no memory is left")


async def test_one_is_closed_and_opened_and_it_is_known_by_whom(kernel: Kernel) -> None:
    caller = Caller(kernel.hooks)
    assert await caller.post("/breakers/agent:x/reset") == {"changed": True}
    assert kernel.get(BREAKERS).breaker("agent:x").record.by == "tester"
    assert await caller.post("/breakers/agent:x/trip", {"reason": "it is moved"}) == {"changed": True}
    assert await caller.post("/breakers/agent:x/trip", {}) == {"changed": False}
    assert kernel.get(BREAKERS).breaker("agent:x").record.reason == "it is moved"


async def test_what_nobody_uses_and_what_is_no_name_is_not_found(kernel: Kernel) -> None:
    caller = Caller(kernel.hooks)
    with pytest.raises(HttpProblem, match="not-found"):
        await caller.post("/breakers/agent:z/reset")
    with pytest.raises(HttpProblem, match="not-found"):
        await caller.post("/breakers/agent:z/trip", {})
    assert [each["name"] for each in (await caller.get("/breakers"))["items"]] == ["agent:x", "agent:y"]
    with pytest.raises(HttpProblem, match="not-found"):
        await caller.post("/breakers/a%E2%80%8Bb/trip", {})
