"""A turn that takes a while: others hear how far it is, and its reader that they were heard."""

from __future__ import annotations

import time
from typing import Any

import anyio
import msgspec
import pytest

from tta_agents import AgentSpec, StepContext
from tta_kernel import Event
from tta_kernel.testing import published
from tta_orchestration import ORCHESTRATION, Progressed, texts
from tta_orchestration.progress import Progress
from tta_orchestration.testing import STORY, TURN, Scene, Teller, Told, telling
from tta_safety import About, Channel, Verdict
from tta_sessions import SESSIONS

TOLD = "You said hello. The sea answers."
SOON = 0.02


def safe(text: str, channel: Channel, about: About) -> Verdict:
    return Verdict("checked", "safe")


def waiting(go: anyio.Event) -> type[Teller]:
    """Make an agent that tells nothing until it may."""

    class Waiting(Teller):
        spec = msgspec.structs.replace(Teller.spec, timeout=60.0)

        async def process(self, request: Scene, ctx: StepContext, /) -> Any:
            await go.wait()
            return await super().process(request, ctx)

    return Waiting


async def test_a_turn_that_is_over_at_once_is_told_of_by_nothing() -> None:
    told: list[Any] = []

    def hear(event: Event) -> None:
        told.append(event)

    quick = Progress(hear, "s", "anna", None, patience=2.0)
    for stage in ("waiting", "telling"):
        quick.at(stage)
    quick.end()
    assert told == []


async def test_how_far_a_slow_turn_is_others_hear() -> None:
    go = anyio.Event()
    async with telling(safe, teller=waiting(go)) as k, anyio.create_task_group() as tasks:
        with published(k, Progressed) as events:
            tasks.start_soon(lambda: k.get(ORCHESTRATION).process_user_input("hello", "s", user="anna"))
            heard = [await events.next()]
            while heard[-1].stage != "story":
                heard.append(await events.next())
            go.set()
            while heard[-1].stage != "over":
                heard.append(await events.next())
    assert {(event.session, event.owner) for event in heard} == {("s", "anna")}
    percents = [event.percent for event in heard]
    assert percents == sorted(percents)
    assert percents[-1] == 100


async def test_a_reader_who_waits_is_told_so_and_the_story_is_kept_without_it() -> None:
    go = anyio.Event()
    pieces: list[str] = []
    async with telling(safe, teller=waiting(go), first_sentence=SOON) as k:
        async with k.get(ORCHESTRATION).stream_user_input("hello", "s", user="anna") as stream:
            async for piece in stream:
                pieces.append(piece)
                go.set()
        session = await k.get(SESSIONS).get("s")
    assert pieces[0].strip() in (texts.PATIENCE, texts.HEARD)
    assert "".join(pieces[1:]) == TOLD
    assert "".join(pieces) == stream.response.text
    assert session is not None
    assert session.context["history"][-1]["told"] == TOLD


async def test_a_step_that_begins_when_a_sentence_is_overdue_knows_it() -> None:
    go = anyio.Event()
    hurried: list[bool] = []

    class Hurried(Scene, frozen=True):
        due: float = 0.0

    class Quick(Teller):
        spec = AgentSpec("quick", "tells by its rules where it must", Hurried, Told)

        async def process(self, request: Any, ctx: StepContext, /) -> Any:
            hurried.append(time.time() > request.due)
            return await super().process(request, ctx)

    first = {"id": "first", "agent": "teller", "input": {"text": "input.text"}}
    last = {**STORY, "agent": "quick", "input": {**STORY["input"], "due": "input.due"}}  # type: ignore[dict-item]
    turn = {**TURN, "steps": [first, last]}
    kernel = telling(safe, teller=waiting(go), turn=turn, plugins={"quick": Quick}, first_sentence=SOON)
    async with kernel as k, k.get(ORCHESTRATION).stream_user_input("hello", "s") as stream:
        async for _ in stream:
            go.set()
    assert hurried == [True]
    assert stream.response.outcome == "story"


@pytest.mark.parametrize("anyio_backend", ["trio"])
async def test_nobody_who_reads_a_turn_whole_is_told_to_wait(anyio_backend: str) -> None:
    go = anyio.Event()
    async with telling(safe, teller=waiting(go), first_sentence=SOON) as k, anyio.create_task_group() as tasks:
        with published(k, Progressed) as events:
            responses = []

            async def play() -> None:
                responses.append(await k.get(ORCHESTRATION).process_user_input("hello", "s"))

            tasks.start_soon(play)
            while (await events.next()).stage != "story":
                continue
            go.set()
    assert responses[0].text == TOLD
