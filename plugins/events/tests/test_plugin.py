from __future__ import annotations

from collections.abc import Callable
from typing import Any

import anyio
import anyio.lowlevel
import pytest

from tta_events import EventsPlugin, Page
from tta_events.routes import Ask, answer
from tta_http import HttpPlugin, HttpProblem
from tta_http.testing import Caller
from tta_kernel import PluginStateChanged
from tta_kernel.testing import problems, running
from tta_kernel.testing.strangers import LIMIT, Outcome, Stranger, strangers
from tta_sessions import SessionsPlugin
from tta_sessions.hookspecs import forget


def test_an_unknown_key_is_refused_before_anything_starts() -> None:
    [problem] = problems(EventsPlugin, config={"colour": "blue"})
    assert problem.startswith("plugins.events.config.colour: ")


async def test_the_last_events_are_asked_for_over_http() -> None:
    async with running(HttpPlugin, EventsPlugin) as kernel:
        ask = Caller(kernel.hooks)
        kernel.events.publish(PluginStateChanged(plugin="bell", state="failed"))
        page = await ask.get("/events?kind=kernel.*&kind=other&limit=1")
        assert page["entries"][0]["fields"] == {"plugin": "bell", "state": "failed"}
        rest = await ask.get(f"/events?after={page['next']}&epoch={page['epoch']}&wait=0.01")
        assert (rest["entries"], rest["next"], rest["missed"]) == ([], page["next"], 0)
        for wrong in ("after=-1", "wait=61", "limit=0", "colour=blue"):
            with pytest.raises(HttpProblem):
                await ask.get(f"/events?{wrong}")


async def test_whoever_waits_is_answered_as_the_system_begins_to_stop() -> None:
    pages: list[Any] = []
    async with running(HttpPlugin, EventsPlugin) as kernel:
        ask = Caller(kernel.hooks)

        async def wait() -> None:
            pages.append(await ask.get("/events?kind=nothing.of.this.kind&wait=60"))

        with anyio.fail_after(10):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(wait)
                while not pages:
                    kernel.events.publish(PluginStateChanged(plugin="surface", state="stopping"))
                    await anyio.lowlevel.checkpoint()
    assert pages[0]["entries"] == []


async def test_a_person_is_forgotten_where_sessions_are() -> None:
    async with running(SessionsPlugin, EventsPlugin) as kernel:
        assert await kernel.ask(forget, "p-1") == {"events": 0}


async def test_the_ring_ends_with_its_plugin() -> None:
    async with running(EventsPlugin) as kernel:
        assert kernel.events.subscriptions
    assert not kernel.events.subscriptions


class Odd:
    def __init__(self, act: Callable[[], Any]) -> None:
        self._act = act

    async def read(self, *_: object, **__: object) -> Page:
        return await self._act()  # type: ignore[no-any-return]


@pytest.mark.boundary("tta_events.Events")
@pytest.mark.parametrize("stranger", strangers("async", returns=Page), ids=str)
async def test_whatever_a_store_of_events_does_the_answer_says_so(stranger: Stranger) -> None:
    async def ask() -> str:
        try:
            await answer(Odd(stranger), Ask(), patience=LIMIT)
        except HttpProblem as exc:
            return exc.type.code
        return ""

    if stranger.outcome is Outcome.STOP:
        with pytest.raises((KeyboardInterrupt, BaseExceptionGroup)):
            await ask()
        return
    code = await ask()
    assert code in ("", "unavailable")
    if stranger.outcome in (Outcome.FAILURE, Outcome.TIME_LIMIT):
        assert code == "unavailable"
