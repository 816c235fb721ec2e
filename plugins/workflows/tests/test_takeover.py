"""A process dies wherever it can: another goes on, and nothing is lost, done twice or undone out of order."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, cast

import anyio
import pytest

from tta_agents import AgentError
from tta_workflows.definition import Retry, Workflow
from tta_workflows.engine import Settings
from tta_workflows.journal import Journal
from tta_workflows.memory import MemoryJournal
from tta_workflows.records import AnyRecord, Done, Failed, Left, RolledBack, Started, TakenOver, UndoAdded, Undone
from tta_workflows.runs import Retracted, Run, Streamed
from tta_workflows.testing import Call, Cut, FakeAgents, Processes, echo, failing, workflow

LEASE = 30.0
SETTINGS = Settings(lease=LEASE, grace=0.0, undo=Retry(attempts=2, delay=0.0))


class Store:
    """A journal whose clock is moved by hand, so that a lease is over at once."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.journal = MemoryJournal(lambda: self.now)

    def expire(self) -> None:
        self.now += LEASE + 1


def step(id: str, agent: str = "echo", **more: Any) -> dict[str, Any]:
    return {"id": id, "agent": agent, "input": {"text": "input.text"}, **more}


def undone(id: str, agent: str = "echo", **more: Any) -> dict[str, Any]:
    return step(id, agent, undo={"agent": "undo", "input": {"text": "output.text"}}, **more)


async def tell(call: Call) -> Mapping[str, Any]:
    return {"text": await call.emit("once ", "upon ", "a time")}


async def act(call: Call) -> Mapping[str, Any]:
    await call.on_rollback("undo", text="of the agent's own")
    return call.request


async def moody(call: Call) -> Mapping[str, Any]:
    if call.attempt == 1:
        raise AgentError("tired", retryable=True)
    return call.request


TRIED = {"attempts": 2, "delay": 0.0}
INNER = workflow(step("x"), undone("y"), output={"text": "steps.y.text"})
WELL = workflow(
    undone("a"),
    step("b", "moody", retry=TRIED, needs=["a"]),
    step("c", "act", needs=["a"]),
    {"id": "in", "workflow": "inner", "input": {"text": "steps.b.text"}, "needs": ["b", "c"]},
    step("round", repeat={"until": "len(output.text) > 3", "most": 2}, needs=["in"]),
    step("story", "tell", stream=True),
    output={"text": "steps.story.text", "in": "steps.in.text"},
)
BADLY = workflow(
    undone("a"),
    {"id": "in", "workflow": "inner", "input": {"text": "input.text"}},
    step("b", "act"),
    undone("c", "tired"),
)  # fmt: skip
DEFINITIONS = {"well": WELL, "badly": BADLY, "inner": INNER}


def agents() -> FakeAgents:
    work = {"echo": echo, "tell": tell, "act": act, "moody": moody, "undo": echo}
    return FakeAgents({**work, "tired": failing(*["tired"] * 9, retryable=False)})


async def died_and_taken_over(
    name: str, after: int, *, stored: bool
) -> tuple[Run, Sequence[AnyRecord], FakeAgents, bool]:  # fmt: skip
    """Run a workflow whose process dies at a commit; return how another ended it, and whether the first had died."""
    store, fakes = Store(), agents()
    processes = Processes(store.journal, fakes, settings=SETTINGS)
    cut = Cut(store.journal, after, stored=stored)
    async with processes.running(cast("Journal", cut), **DEFINITIONS) as first:
        handle = await first.start(name, {"text": "hi"}, key="r")
        async with anyio.create_task_group() as tasks:

            async def ended() -> None:
                await handle.result()
                tasks.cancel_scope.cancel()

            tasks.start_soon(ended)
            await cut.broken.wait()
            tasks.cancel_scope.cancel()
    store.expire()
    async with processes.running(None, **DEFINITIONS) as heir:
        found = await heir.find("r")
        assert found is not None
        return await found.result(), await heir.history("r"), fakes, cut.broken.is_set()


def outputs_are_once(records: Sequence[AnyRecord]) -> None:
    done = Counter(record.step for record in records if isinstance(record, Done))
    assert set(done.values()) <= {1}, done


@pytest.mark.parametrize("stored", [False, True], ids=["lost", "stored"])
async def test_a_run_goes_on_wherever_its_process_has_died(*, stored: bool) -> None:
    after = 0
    while True:
        with anyio.fail_after(10):
            run, records, fakes, died = await died_and_taken_over("well", after, stored=stored)
        assert (run.status, run.output) == ("done", {"text": "once upon a time", "in": "hi"})
        outputs_are_once(records)
        # Who takes over makes the same calls, with the same keys.
        assert set(fakes.keys) == {
            "a:1", "b:1", "b:2", "c:1", "in/x:1", "in/y:1", "round#1:1", "round#2:1", "story:1",
        }  # fmt: skip
        assert sum(Counter(fakes.keys).values()) <= len(set(fakes.keys)) + 2  # Not more than were under way.
        assert [type(each) for each in records if isinstance(each, UndoAdded)] == [UndoAdded]
        if not died:
            break
        after += 1
    assert after > 10


@pytest.mark.parametrize("stored", [False, True], ids=["lost", "stored"])
async def test_a_run_is_taken_back_wherever_its_process_has_died(*, stored: bool) -> None:
    after = 0
    while True:
        with anyio.fail_after(10):
            run, records, _, died = await died_and_taken_over("badly", after, stored=stored)
        assert (run.status, run.error, run.stuck) == ("failed", "tired", ())
        outputs_are_once(records)
        taken = [(each.step, each.number) for each in records if isinstance(each, Undone)]
        assert taken == [("c", 0), ("b", 1), ("in/y", 0), ("a", 0)]
        [back] = [each for each in records if isinstance(each, RolledBack)]
        assert (back.why, back.stuck) == ("tired", ())
        if not died:
            break
        after += 1
    assert after > 10


async def test_two_who_both_believe_that_they_own_a_run_end_it_once() -> None:
    store, fakes = Store(), agents()
    begun, go = anyio.Event(), anyio.Event()

    async def slow(call: Call) -> Mapping[str, Any]:
        begun.set()
        await go.wait()
        return {"text": f"by call {len(fakes.calls)}"}

    fakes.work["slow"] = slow
    definition = workflow(step("a", "slow"), step("b"), output={"text": "steps.a.text"})
    processes = Processes(store.journal, fakes, settings=SETTINGS)
    with anyio.fail_after(10):
        async with processes.running(w=definition) as first:
            handle = await first.start("w", {"text": "hi"}, key="r")
            await begun.wait()
            store.expire()  # As when it was stopped for so long.
            async with processes.running(w=definition) as heir:
                while len(fakes.calls) < 2:
                    await anyio.wait_all_tasks_blocked()
                go.set()
                run = await handle.result()
                records = await heir.history("r")
    assert run.status == "done"
    outputs_are_once(records)
    assert [type(record).__name__ for record in records] == [
        "Started", "TakenOver", "Done", "Started", "Done", "Ended",
    ]  # fmt: skip


@asynccontextmanager
async def halved(
    retell: Callable[[Call], Any], *, release: int = 0, definition: Workflow | None = None
) -> AsyncIterator[tuple[list[Any], FakeAgents]]:  # fmt: skip
    """Let a process die when 'once upon ' was streamed, and the agent tell it as ``retell`` does when called again."""
    store, fakes = Store(), agents()
    half = anyio.Event()

    async def tell(call: Call) -> Mapping[str, Any]:
        if half.is_set():
            return await retell(call)  # type: ignore[no-any-return]
        await call.emit("once ", "upon ")
        half.set()
        await anyio.sleep_forever()
        return {}

    fakes.work["tell"] = tell
    told = definition or workflow(step("a", "tell", stream=True), output={"text": "steps.a.text"})
    processes = Processes(store.journal, fakes, settings=SETTINGS)
    items: list[Any] = []
    with anyio.fail_after(10):
        async with processes.running(w=told) as first:
            handle = await first.start("w", {"text": "hi"}, key="r")
            async with handle.stream() as pieces:
                first_piece = await anext(aiter(pieces))
                assert isinstance(first_piece, Streamed)
                items.append(first_piece)
                await half.wait()
                if release:
                    assert await handle.release(first_piece, release)
        async with processes.running(w=told) as heir:
            found = await heir.find("r")
            assert found is not None
            async with found.stream(after=first_piece.position) as pieces:
                items += [piece async for piece in pieces]
            items.append(await found.result())
            yield items, fakes


def text_of(items: Sequence[Any]) -> str:
    text = ""
    for item in items:
        if isinstance(item, Retracted):
            text = ""
        elif isinstance(item, Streamed):
            text += item.text
    return text


@pytest.mark.parametrize(
    "pieces", [("once ", "upon ", "a time"), ("once upon a", " time"), ("o", "nce upon a time")], ids=str
)
@pytest.mark.parametrize("release", [0, 4])
async def test_an_equal_text_goes_on_where_it_was(pieces: Sequence[str], release: int) -> None:
    async def retell(call: Call) -> Mapping[str, Any]:
        assert call.released == "once upon "
        return {"text": await call.emit(*pieces)}

    async with halved(retell, release=release) as (items, fakes):
        pass
    assert text_of(items) == "once upon a time"
    assert not any(isinstance(item, Retracted) for item in items)
    assert items[-1].status == "done"
    assert fakes.keys == ["a:1", "a:1"]


@pytest.mark.parametrize("release", [0, 4, 10])
async def test_who_makes_its_text_up_goes_on_from_what_stands(release: int) -> None:
    async def retell(call: Call) -> Mapping[str, Any]:
        return {"text": await call.emit(call.released, "another time")}

    async with halved(retell, release=release) as (items, _):
        pass
    assert not any(isinstance(item, Retracted) for item in items)
    assert (items[-1].status, text_of(items)) == ("done", "once upon another time")


@pytest.mark.parametrize("text", ["another", "once", ""])
async def test_another_text_is_told_anew_as_long_as_nobody_was_told(text: str) -> None:
    async def retell(call: Call) -> Mapping[str, Any]:
        return {"text": await call.emit(text)}

    async with halved(retell) as (items, _):
        pass
    assert text_of(items) == text
    assert [type(item) for item in items if isinstance(item, Retracted)] == [Retracted]
    assert (items[-1].status, items[-1].output) == ("done", {"text": text})


@pytest.mark.parametrize("fallback", [False, True])
async def test_another_text_breaks_what_a_person_was_told(*, fallback: bool) -> None:
    async def retell(call: Call) -> Mapping[str, Any]:
        return {"text": await call.emit("another")}

    more = {"fallback": {"text": "!"}} if fallback else {}
    definition = workflow(step("a", "tell", stream=True, retry=TRIED, **more), output={"text": "steps.a.text"})
    async with halved(retell, release=4, definition=definition) as (items, fakes):
        pass
    run = items[-1]
    assert not any(isinstance(item, Retracted) for item in items)
    assert (run.status, run.error) == (("done", "") if fallback else ("failed", "stream_broken"))
    assert run.degraded == (("a",) if fallback else ())
    assert fakes.keys == ["a:1", "a:1"]


async def test_what_ran_when_its_process_died_has_its_attempts_left() -> None:
    store, fakes = Store(), agents()
    begun = anyio.Event()

    async def moody(call: Call) -> Mapping[str, Any]:
        if not begun.is_set():
            begun.set()
            await anyio.sleep_forever()
        raise AgentError("tired", retryable=True)

    fakes.work["moody"] = moody
    definition = workflow(step("a", "moody", retry={"attempts": 2, "delay": 0.0}))
    processes = Processes(store.journal, fakes, settings=SETTINGS)
    with anyio.fail_after(10):
        async with processes.running(w=definition) as first:
            await first.start("w", {"text": "hi"}, key="r")
            await begun.wait()
        async with processes.running(w=definition) as heir:
            found = await heir.find("r")
            assert found is not None
            run = await found.result()
            records = await heir.history("r")
    assert (run.status, run.error) == ("failed", "tired")
    assert fakes.keys == ["a:1", "a:1", "a:2"]
    assert [type(each) for each in records[:6]] == [Started, Left, TakenOver, Failed, Started, Failed]
