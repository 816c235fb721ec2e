"""A session over HTTP: sizes and times, and what it holds only for those who may read people's text."""

from __future__ import annotations

import pytest

from tta_http import HttpPlugin, HttpProblem, Principal
from tta_http.testing import EVERYTHING, Caller
from tta_kernel import Kernel
from tta_sessions import SESSIONS, Session, SessionsMemory, SessionsPlugin

PLUGINS = {"http": HttpPlugin, "sessions": SessionsPlugin, "sessions-memory": SessionsMemory}
READER = Principal("reader", "key", permissions=EVERYTHING.permissions | {"text:read"})


async def test_a_session_is_shown_by_its_sizes() -> None:
    async with Kernel(plugins=PLUGINS) as kernel:
        await kernel.get(SESSIONS).commit(Session("s-1", "anna", context={"said": "SECRET", "turn": 2}))
        shown = await Caller(kernel.hooks).get("/sessions/s-1")
        whole = await Caller(kernel.hooks, READER).get("/sessions/s-1?text=true")

    assert (shown["id"], shown["user"], shown["version"]) == ("s-1", "anna", 1)
    assert (shown["sizes"], shown["size"], shown["context"]) == ({"said": 7, "turn": 1}, 8, None)
    assert whole["context"] == {"said": "SECRET", "turn": 2}


async def test_what_people_wrote_needs_its_own_permission() -> None:
    async with Kernel(plugins=PLUGINS) as kernel:
        with pytest.raises(HttpProblem, match="forbidden"):
            await Caller(kernel.hooks).get("/sessions/s-1?text=true")


@pytest.mark.parametrize("id", ["nobody", "%C3%A4", "a%2Fb"])
async def test_a_session_that_is_not_there_is_not_found(id: str) -> None:
    async with Kernel(plugins=PLUGINS) as kernel:
        with pytest.raises(HttpProblem, match="not-found"):
            await Caller(kernel.hooks).get(f"/sessions/{id}")
