"""A run as a test: whatever persons and agents have said, the file is valid, and replays it."""

from __future__ import annotations

import math
import time
from typing import Any

import anyio.to_thread
import pytest

from tta_workflows.export import as_test
from tta_workflows.memory import MemoryJournal
from tta_workflows.testing import FakeAgents, Processes, echo, workflow

SAY = workflow({"id": "say", "agent": "echo", "input": {"text": "input.text"}})
QUOTES = '"""\n__import__("os").abort()\n"""' + "'''{run}%s\\\x00\r\u2028"


def nested(depth: int) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for _ in range(depth):
        found = {"in": found}
    return found


@pytest.mark.parametrize(
    "said",
    [QUOTES, {QUOTES: QUOTES}, math.nan, [math.inf, -math.inf], nested(250), 2**63],
    ids=["quotes", "quoted-names", "no-number", "no-end", "deep", "large"],
)
async def test_whatever_was_said_the_file_replays_the_run(said: Any) -> None:
    journal = MemoryJournal(time.time)
    async with Processes(journal, FakeAgents({"echo": echo})).running(say=SAY) as workflows:
        assert (await workflows.run("say", {"text": said}, key=QUOTES[:3])).status == "done"
    found = await journal.read(QUOTES[:3])
    assert found is not None
    definition = await journal.definition(found.head.definition)
    assert definition is not None
    space: dict[str, Any] = {"__name__": "exported"}
    exec(compile(as_test(found, definition), "exported.py", "exec"), space)
    await anyio.to_thread.run_sync(space["test_the_run_comes_to_what_it_came_to"])
