"""Interventions over HTTP: who may see what, and a human who sees to one."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tta_crisis import CRISIS
from tta_crisis.testing import deployment, disclosure
from tta_http import HttpPlugin, HttpProblem, Principal
from tta_http.testing import EVERYTHING, Caller
from tta_kernel import Kernel
from tta_sessions import SESSIONS, Consent
from tta_sessions.flags import set_flags

READER = Principal("reader", "key", permissions=EVERYTHING.permissions | {"text:read"})
ID = "r-1.player.suicide"


@pytest.fixture
async def kernel() -> AsyncIterator[Kernel]:
    async with deployment(more={"http": HttpPlugin}) as kernel:
        await set_flags(kernel.get(SESSIONS), "s-1", "anna", consent=Consent(data=True), age_band="adult")
        for number in range(3):
            await kernel.get(CRISIS).open(disclosure(f"r-{number}"))
        yield kernel


async def test_interventions_are_listed_a_page_at_a_time(kernel: Kernel) -> None:
    caller = Caller(kernel.hooks)
    first = await caller.get("/crises?limit=2&status=open")
    rest = await caller.get(f"/crises?limit=2&status=open&cursor={first['next']}")
    assert len(first["items"]) == 2
    assert sorted(each["id"] for each in first["items"] + rest["items"]) == [
        f"r-{number}.player.suicide" for number in range(3)
    ]
    assert rest.get("next") is None


async def test_a_packet_is_shown_to_who_asks_for_text(kernel: Kernel) -> None:
    caller = Caller(kernel.hooks)
    assert (await caller.get(f"/crises/{ID}")).get("packet") is None
    with pytest.raises(HttpProblem, match="forbidden"):
        await caller.get(f"/crises/{ID}?text=true")
    found = await Caller(kernel.hooks, READER).get(f"/crises/{ID}?text=true")
    assert found["packet"]["turns"][0]["said"] == "I go north with [name]"


async def test_who_acknowledges_and_resolves_is_who_asks(kernel: Kernel) -> None:
    caller = Caller(kernel.hooks)
    seen = (await caller.post(f"/crises/{ID}/acknowledge"))["intervention"]
    assert (seen["status"], seen["acknowledged_by"]) == ("acknowledged", "tester")
    done = (await caller.post(f"/crises/{ID}/resolve", {"resolution": "helped"}))["intervention"]
    assert (done["status"], done["resolved_by"], done["resolution"]) == ("resolved", "tester", "helped")


async def test_what_is_not_there_is_not_found(kernel: Kernel) -> None:
    caller = Caller(kernel.hooks)
    with pytest.raises(HttpProblem, match="not-found"):
        await caller.get("/crises/none")
    for deed, body in (("acknowledge", {}), ("resolve", {"resolution": "helped"})):
        with pytest.raises(HttpProblem, match="not-found"):
            await caller.post(f"/crises/none/{deed}", body)
