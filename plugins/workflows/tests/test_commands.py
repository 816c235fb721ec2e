from __future__ import annotations

import argparse
import re
import shlex
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
import msgspec
import pytest

from tta_kernel import Kernel, Service
from tta_program import Subcommands
from tta_workflows import DEFINITIONS, JOURNAL, WORKFLOWS, JournalError, Retention, RunQuery, commands
from tta_workflows.engine import Settings
from tta_workflows.executor import Executor
from tta_workflows.journal import Commit, RunHead, RunStatus
from tta_workflows.library import Definitions
from tta_workflows.memory import MemoryJournal
from tta_workflows.plan import make_plan
from tta_workflows.records import Started
from tta_workflows.testing import FakeAgents, Processes, echo, failing, workflow
from tta_workflows.testing.replay import Recorded, outcome

SECRET = "my own words"
FILE = "version: 1\nsteps: [{id: a, wait: 3}, {id: b, wait: 4, needs: [a]}]\n"
ASK = workflow(
    {"id": "say", "agent": "echo", "input": {"text": "input.text"}},
    {"id": "yes", "signal": "person", "response": {"type": "object", "required": ["ok"]}},
)
SAY_AGAIN = {"id": "again", "agent": "echo", "input": {"text": "steps.say.text"}, "stream": True}
SAY = workflow(
    {"id": "say", "agent": "echo", "input": {"text": "input.text"}, "undo": {"agent": "forget"}},
    output={"said": "steps.say.text"},
)


async def tta(*words: str, journal: Any = None, workflows: Any = None, **definitions: Any) -> int:
    parser = argparse.ArgumentParser(prog="tta")
    commands.add(Subcommands(parser))
    options = parser.parse_args(words)
    found = Definitions()
    for name, each in definitions.items():
        found.define(name, each, f"plugins.workflows.config.workflows.{name}.")
    services: dict[Service[Any], object] = {
        DEFINITIONS: found,
        JOURNAL: journal or MemoryJournal(time.time),
        WORKFLOWS: workflows,
    }
    return int(await options.command.run(Kernel(plugins={}, services=services), options))


class Shared:
    """Stands for a journal that another process could see, too."""

    durable = True

    def __init__(self, memory: MemoryJournal) -> None:
        self._memory, self.away = memory, False

    def __getattr__(self, name: str) -> Any:
        if self.away:
            raise JournalError("connection refused")
        return getattr(self._memory, name)


@pytest.fixture
def journal() -> Shared:
    return Shared(MemoryJournal(time.time))


@asynccontextmanager
async def running(journal: Shared, **definitions: Any) -> AsyncIterator[Executor]:
    agents = FakeAgents({"echo": echo, "forget": echo, "tired": failing("tired", "tired")})
    async with Processes(journal, agents).running(**definitions) as workflows:
        yield workflows


async def waiting(workflows: Executor, run: str) -> None:
    with anyio.fail_after(5):
        while (found := await workflows.query(run)) is None or found.status != "waiting":
            await anyio.lowlevel.checkpoint()


# Definitions.


async def test_list_says_what_there_is_and_where(capsys: pytest.CaptureFixture[str]) -> None:
    assert await tta("workflows", "list", say=SAY, ask=ASK) == 0
    heading, first, second = capsys.readouterr().out.splitlines()
    assert heading.split() == ["NAME", "STEPS", "TIMEOUT", "FROM", "DESCRIPTION"]
    assert first.split() == ["ask", "2", "300", "s", "plugins.workflows.config.workflows.ask"]
    assert second.startswith("say ")
    assert await tta("workflows", "list", "--json", say=SAY) == 0
    [said] = msgspec.json.decode(capsys.readouterr().out)
    assert (said["name"], said["steps"]) == ("say", 1)
    assert await tta("workflows", "list") == 0
    assert "there are no workflows" in capsys.readouterr().err


async def test_show_says_what_a_file_would(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert await tta("workflows", "show", "say", say=SAY) == 0
    copy = tmp_path / "copy.yaml"
    copy.write_text(capsys.readouterr().out)
    assert await tta("workflows", "show", str(copy), "--json") == 0
    shown = msgspec.json.decode(capsys.readouterr().out)
    assert msgspec.convert(shown, type(SAY)) == SAY


async def test_a_name_that_nobody_has_is_wanting(capsys: pytest.CaptureFixture[str]) -> None:
    for words in (["show", "sai"], ["graph", "sai"], ["check", "sai"]):
        assert await tta("workflows", *words, say=SAY) == 1
        assert "no workflow is called 'sai'; did you mean 'say'?" in capsys.readouterr().err


async def test_graph_draws_what_is_installed_and_what_is_not(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "rest.yaml").write_text(FILE)
    assert await tta("workflows", "graph", str(tmp_path / "rest.yaml")) == 0
    assert capsys.readouterr().out.startswith("rest: at most 300 s\n  a  wait 3 s  first")
    assert await tta("workflows", "graph", "say", "--mermaid", say=SAY) == 0
    assert capsys.readouterr().out.startswith("flowchart TD\n")
    assert await tta("workflows", "graph", "say", "--json", say=SAY) == 0
    assert msgspec.json.decode(capsys.readouterr().out)["name"] == "say"


async def test_check_says_all_that_is_wrong_in_files(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    good, bad, broken = (tmp_path / f"{name}.yaml" for name in ("good", "bad", "broken"))
    good.write_text(FILE)
    bad.write_text(FILE.replace("[a]", "[z]") + "timeout: 1s\n")
    broken.write_text("steps: [\n")
    assert await tta("workflows", "check", str(good)) == 0
    assert capsys.readouterr().out == "nothing is wrong with good\n"
    assert await tta("workflows", "check", *map(str, (good, bad, broken, tmp_path / "none.yaml"))) == 1
    said = capsys.readouterr().out.splitlines()
    assert [line.removeprefix(f"{tmp_path}/").split(": ")[0] for line in said] == [
        "broken.yaml:2:1", "none.yaml", "bad.yaml", "bad.yaml",
    ]  # fmt: skip
    assert "steps.b.needs: no step is called 'z'" in said[2]
    assert await tta("workflows", "check", str(bad), "--json") == 1
    assert len(msgspec.json.decode(capsys.readouterr().out)["problems"]) == 2


# Runs.

WORDS = (
    ["list"], ["show", "r"], ["cancel", "r"], ["pause", "r"], ["resume", "r"], ["retry", "r"],
    ["signal", "r", "yes", "{}"], ["rollback", "r"],
)  # fmt: skip


@pytest.mark.parametrize("words", WORDS, ids=lambda words: words[0])
async def test_runs_of_another_process_are_not_in_this_ones_memory(
    words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert await tta("runs", *words) == 1
    assert "runs are remembered in memory, and this process has none" in capsys.readouterr().err


@pytest.mark.parametrize("words", WORDS[:-1], ids=lambda words: words[0])
async def test_a_journal_that_is_away_is_said_to_be(
    words: list[str], journal: Shared, capsys: pytest.CaptureFixture[str]
) -> None:
    journal.away = True
    assert await tta("runs", *words, journal=journal) == 1
    assert capsys.readouterr().err == "tta runs: the journal can't be used: connection refused\n"


@pytest.mark.parametrize("words", WORDS[1:], ids=lambda words: words[0])
async def test_a_run_that_is_not_there_is_wanting(
    words: list[str], journal: Shared, capsys: pytest.CaptureFixture[str]
) -> None:
    async with running(journal, say=SAY) as workflows:
        assert await tta("runs", *words, journal=journal, workflows=workflows) == 1
    assert "there is no run 'r'" in capsys.readouterr().err


async def test_list_is_of_what_is_asked_for(journal: Shared, capsys: pytest.CaptureFixture[str]) -> None:
    async with running(journal, say=SAY) as workflows:
        for number in (1, 2, 3):
            labels = {"kind": "odd" if number % 2 else "even"}
            await workflows.run("say", {"text": SECRET}, key=f"r{number}", owner="ann", labels=labels)
        assert await tta("runs", "list", "--label", "kind=odd", "--owner", "ann", journal=journal) == 0
        told = capsys.readouterr()
        assert [line.split()[0] for line in told.out.splitlines()] == ["RUN", "r3", "r1"]
        assert SECRET not in told.out
        assert await tta("runs", "list", "--limit", "2", journal=journal) == 0
        cursor = capsys.readouterr().err.partition("--cursor ")[2].strip()
        [cursor] = shlex.split(cursor)
        assert await tta("runs", "list", "--cursor", cursor, "--json", journal=journal) == 0
        assert [run["id"] for run in msgspec.json.decode(capsys.readouterr().out)["runs"]] == ["r1"]
        assert await tta("runs", "list", "--status", "failed", journal=journal) == 0
    assert "there are no such runs" in capsys.readouterr().err


@pytest.mark.parametrize("json", [False, True])
async def test_show_tells_what_happened_and_not_what_was_said(
    journal: Shared, capsys: pytest.CaptureFixture[str], *, json: bool
) -> None:
    async with running(journal, ask=ASK) as workflows:
        await workflows.start("ask", {"text": SECRET}, key="r")
        await waiting(workflows, "r")
        await workflows.signal("r", "yes", {"ok": SECRET}, by="me")
        assert (await workflows.run("ask", {"text": SECRET}, key="r")).status == "done"
    assert await tta("runs", "show", "r", *(["--json"] if json else []), journal=journal) == 0
    told = capsys.readouterr().out
    assert SECRET not in told
    assert "signal" in told
    if json:
        shown = msgspec.json.decode(told)
        assert shown["input"] == {"text": len(SECRET) + 1}
        assert shown["history"][0]["kind"] == "started"
        assert {"no": 2, "output": {"text": len(SECRET) + 1}}.items() <= shown["history"][1].items()


async def test_show_tells_times_as_people_read_them(journal: Shared, capsys: pytest.CaptureFixture[str]) -> None:
    tired = workflow({"id": "a", "agent": "tired", "retry": {"attempts": 3, "delay": 0.01}}, {"id": "b", "wait": 0.01})
    async with running(journal, tired=tired) as workflows:
        await workflows.run("tired", {}, key="r")
    assert await tta("runs", "show", "r", journal=journal) == 0
    said = capsys.readouterr().out
    assert re.search(r"failed +a +attempt 1, code tired, seconds [0-9.e-]+, again 20\d\d-\d\d-\d\dT[0-9:]{8}Z", said)
    assert re.search(r"timer +b +due 20\d\d-\d\d-\d\dT[0-9:]{8}Z", said)


async def test_of_a_run_that_has_gone_its_summary_is_shown(journal: Shared, capsys: pytest.CaptureFixture[str]) -> None:
    async with running(journal, say=msgspec.structs.replace(SAY, retention=Retention(content=0.001))) as workflows:
        await workflows.run("say", {"text": SECRET}, key="r")
        with anyio.fail_after(5):
            while await journal.read("r") is not None:
                await anyio.lowlevel.checkpoint()
        assert await tta("runs", "show", "r", journal=journal) == 0
    told = capsys.readouterr()
    assert "done" in told.out
    assert "its history has ended" in told.err


async def test_a_signal_is_an_answer_once(journal: Shared, capsys: pytest.CaptureFixture[str]) -> None:
    def answer(step: str, data: str) -> Any:
        return tta("runs", "signal", "r", step, data, "--by", "me", journal=journal)

    async with running(journal, ask=ASK) as workflows:
        handle = await workflows.start("ask", {"text": "hi"}, key="r")
        await waiting(workflows, "r")
        assert await answer("no", '{"ok": true}') == 1
        assert "no step 'no' of it waits for an answer; known: yes" in capsys.readouterr().err
        assert await answer("yes", "{}") == 1
        assert "that is no answer to 'yes': $ breaks 'required'" in capsys.readouterr().err
        assert await answer("yes", '{"ok": true}') == 0
        assert "accepted" in capsys.readouterr().out
        assert (await handle.result()).status == "done"
        assert await answer("yes", '{"ok": true}') == 1
    assert "has been answered" in capsys.readouterr().err


async def test_cancel_asks_whoever_works_on_it(journal: Shared, capsys: pytest.CaptureFixture[str]) -> None:
    async with running(journal, ask=ASK) as workflows:
        handle = await workflows.start("ask", {"text": "hi"}, key="r")
        await waiting(workflows, "r")
        assert await tta("runs", "cancel", "r", "--json", journal=journal) == 0
        assert msgspec.json.decode(capsys.readouterr().out) == {"status": "accepted"}
        assert (await handle.result()).status == "cancelled"
        assert await tta("runs", "cancel", "r", journal=journal) == 1
    assert "run 'r' is over: cancelled" in capsys.readouterr().err


async def test_rollback_leaves_it_to_whoever_has_the_agents_and_waits_for_that(
    journal: Shared, capsys: pytest.CaptureFixture[str]
) -> None:
    async with running(journal, say=SAY) as workflows:
        await workflows.run("say", {"text": "hi"}, key="r")
        assert await tta("runs", "rollback", "r", "nowhere", journal=journal) == 1
        assert "no savepoint is called 'nowhere'" in capsys.readouterr().err
        assert await tta("runs", "rollback", "s", journal=journal) == 1
        assert "there is no run 's'" in capsys.readouterr().err
        assert await tta("runs", "rollback", "r", journal=journal) == 0
        assert capsys.readouterr().out == "cancelled; could not be taken back: nothing\n"
        run = await workflows.query("r")
    assert run is not None
    assert [step.status for step in run.steps] == ["undone"]


async def test_one_thing_is_asked_of_all_runs_that_fit(journal: Shared, capsys: pytest.CaptureFixture[str]) -> None:
    async with running(journal, ask=ASK, say=SAY) as workflows:
        for number in range(5):
            await workflows.start("ask", {"text": "hi"}, key=f"r{number}", labels={"odd": str(number % 2)})
            await waiting(workflows, f"r{number}")
        await workflows.run("say", {"text": "hi"}, key="other")
        assert await tta("runs", "pause", "--label", "odd=1", "--dry-run", "--json", journal=journal) == 0
        told = msgspec.json.decode(capsys.readouterr().out)
        assert (told["runs"], sorted(told["first"])) == (2, ["r1", "r3"])
        assert await tta("runs", "pause", "--label", "odd=1", "--by", "ann", journal=journal) == 0
        said = capsys.readouterr()
        assert "asked of 2 runs; passed by 0, refused by 0" in said.out
        assert "… 2 asked" in said.err
        statuses = {run.id: run.status for run in (await settled(workflows, "paused", 2)).runs}
        assert statuses["r1"] == statuses["r3"] == "paused"
        assert await tta("runs", "resume", "--status", "paused", journal=journal) == 0
        assert await tta("runs", "cancel", "--workflow", "ask", "--json", journal=journal) == 0
        statuses = {run.id: run.status for run in (await settled(workflows, "cancelled", 5)).runs}
        assert statuses["other"] == "done"
        capsys.readouterr()
        assert await tta("runs", "list", "--workflow", "tta.bulk", "--json", journal=journal) == 0
        assert [run["status"] for run in msgspec.json.decode(capsys.readouterr().out)["runs"]] == ["done"] * 3


async def settled(workflows: Executor, status: RunStatus, count: int) -> Any:
    with anyio.fail_after(10):
        while True:
            page = await workflows.list(RunQuery())
            if [run.status for run in page.runs].count(status) == count:
                return page
            await anyio.lowlevel.checkpoint()


async def test_a_failed_run_is_tried_again_by_a_command(journal: Shared, capsys: pytest.CaptureFixture[str]) -> None:
    tired = workflow({"id": "say", "agent": "tired", "input": {"text": "input.text"}})
    async with running(journal, tired=tired) as workflows:
        assert (await workflows.run("tired", {"text": "hi"}, key="r")).status == "failed"
        assert await tta("runs", "retry", "--status", "failed", "--dry-run", journal=journal) == 0
        assert capsys.readouterr().out.splitlines()[0] == "would retry 1 runs"
        for _ in range(2):
            assert await tta("runs", "retry", "r", journal=journal) == 0
            await settled(workflows, "running", 0)
        assert (await workflows.query("r")).status == "done"  # type: ignore[union-attr]
        assert await tta("runs", "retry", "r", journal=journal) == 1
    assert "run 'r' is over: done" in capsys.readouterr().err


async def test_check_says_what_is_wrong_with_runs_and_mends_it(
    journal: Shared, capsys: pytest.CaptureFixture[str]
) -> None:
    plan = make_plan("ask", {"ask": ASK})
    lease = await journal.join("gone", 60.0)
    await journal.define(plan.definition, plan.packed)
    for id, step, began in (("late", "say", 1.0), ("odd", "nowhere", time.time()), ("well", "say", time.time())):
        await journal.create(lease, RunHead(id, "ask", plan.definition, began, input={"text": SECRET}))
        await journal.commit(lease, Commit(id, 1, (Started(at=began, step=step, agent="echo"),), "running"))
    await journal.leave(lease)
    assert await tta("runs", "check", "--json", journal=journal) == 1
    told = msgspec.json.decode(capsys.readouterr().out)
    assert sorted((each["run"], each["code"], each["fix"]) for each in told) == [
        ("late", "overdue", "cancel"), ("odd", "step", "set-aside"),
    ]  # fmt: skip
    assert await tta("runs", "check", "--repair", "--by", "ann", journal=journal) == 0
    said = capsys.readouterr().out
    assert "done: it is set aside" in said
    assert "done: cancel is asked for" in said
    assert (await journal.summary("odd")).status == "set-aside"
    assert await tta("runs", "check", "well", journal=journal) == 0
    assert capsys.readouterr().out == "nothing is wrong\n"
    assert await tta("runs", "check", "well", "nobody", journal=journal) == 1
    assert "there is no run 'nobody'" in capsys.readouterr().err
    async with running(journal, ask=ASK) as workflows:
        handle = await workflows.find("late")
        assert handle is not None
        assert (await handle.result()).status == "cancelled"


@pytest.mark.parametrize("name", ["say", "ask", "tired"])
async def test_a_run_is_exported_as_a_test_that_replays_it_without_its_agents(
    journal: Shared, tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    retry = {"attempts": 2, "delay": 0.01}
    tired = workflow({"id": "say", "agent": "tired", "input": {"text": "input.text"}, "retry": retry}, SAY_AGAIN)
    path = tmp_path / "test_it.py"
    async with running(journal, say=SAY, ask=ASK, tired=tired) as workflows:
        handle = await workflows.start(name, {"text": SECRET}, key="r")
        if name == "ask":
            await waiting(workflows, "r")
            await workflows.signal("r", "yes", {"ok": True}, by="me")
        recorded = await handle.result()
        assert recorded.over
        assert await tta("runs", "export", "r", "--to", str(path), journal=journal) == 1
        assert "say --with-text" in capsys.readouterr().err
        assert not path.exists()
        assert await tta("runs", "export", "r", "--with-text", "--to", str(path), journal=journal) == 0
        assert await tta("runs", "export", "r", "--with-text", "--to", str(path), journal=journal) == 1
    assert path.stat().st_mode & 0o777 == 0o600
    space: dict[str, Any] = {"__name__": "exported"}
    exec(compile(path.read_text(), str(path), "exec"), space)
    began = time.perf_counter()
    await anyio.to_thread.run_sync(space["test_the_run_comes_to_what_it_came_to"])
    assert time.perf_counter() - began < 1
    told = msgspec.convert(space["RUN"], Recorded)
    assert outcome(told).status == recorded.status
    wrong = {**space["RUN"], "records": [
        {**each, "output": {"text": "another"}} if each["kind"] == "done" and name != "ask" else each
        for each in space["RUN"]["records"]
    ]}  # fmt: skip
    if name == "say":
        assert outcome(msgspec.convert(wrong, Recorded)) != outcome(told)


async def test_two_runs_are_compared_by_their_steps(journal: Shared, capsys: pytest.CaptureFixture[str]) -> None:
    async with running(journal, say=SAY) as workflows:
        await workflows.run("say", {"text": SECRET}, key="r1")
        await workflows.run("say", {"text": SECRET + "!"}, key="r2")
        assert await tta("runs", "diff", "r1", "r2", journal=journal) == 0
        told = capsys.readouterr()
        assert SECRET not in told.out
        assert "text 13 → 14" in told.out
        assert "1 of 1 steps differ" in told.err
        assert await tta("runs", "diff", "r1", "r1", "--json", journal=journal) == 0
        assert msgspec.json.decode(capsys.readouterr().out)[0]["same"]
        assert await tta("runs", "diff", "r1", "nobody", journal=journal) == 1


async def test_a_workflow_that_is_held_back_begins_only_once_it_is_let(
    journal: Shared, capsys: pytest.CaptureFixture[str]
) -> None:
    async def begins(workflows: Executor, error: str) -> None:
        with anyio.fail_after(10):
            while (await (await workflows.start("say", {"text": "hi"})).query()).error != error:
                await anyio.lowlevel.checkpoint()

    agents = FakeAgents({"echo": echo, "forget": echo})
    async with Processes(journal, agents, settings=Settings(lease=0.2)).running(say=SAY, ask=ASK) as workflows:
        await workflows.run("say", {"text": "hi"}, key="r")
        assert await tta("runs", "pause", "--workflow", "say", "--new", "--by", "ann", journal=journal, say=SAY) == 0
        await begins(workflows, "held")
        assert (await (await workflows.start("ask", {"text": "hi"})).query()).error == ""
        assert (await workflows.run("say", {"text": "hi"}, key="r")).status == "done"  # It had begun.
        assert await tta("runs", "pause", "--workflow", "say", "--new", journal=journal, say=SAY) == 0
        assert await tta("runs", "cancel", "--all", journal=journal) == 0
        assert await tta("runs", "check", journal=journal) == 0
        await begins(workflows, "held")
        assert await tta("runs", "resume", "--workflow", "say", "--new", journal=journal) == 0
        await begins(workflows, "")
    assert await tta("runs", "pause", "--new", journal=journal) == 2
    said = capsys.readouterr().out
    for told in ("say is held back", "say begins again", "nothing is wrong"):
        assert told in said


async def test_what_asks_many_wants_to_know_which(journal: Shared, capsys: pytest.CaptureFixture[str]) -> None:
    assert await tta("runs", "cancel", journal=journal) == 2
    assert "name a run, or say which runs to cancel" in capsys.readouterr().err


@pytest.mark.parametrize("more", [["--all"], ["--status", "failed"], ["--new"]])
async def test_a_run_and_which_runs_are_not_both_said(
    journal: Shared, capsys: pytest.CaptureFixture[str], more: list[str]
) -> None:
    async with running(journal, ask=ASK) as workflows:
        await workflows.start("ask", {"text": "hi"}, key="r")
        assert await tta("runs", "pause", "r", *more, journal=journal) == 2
        run = await workflows.query("r")
        assert run is not None
        assert run.status != "paused"
    assert "say which runs to pause, or name one: not both" in capsys.readouterr().err


async def test_a_workflow_that_nobody_defines_is_not_held_back(
    journal: Shared, capsys: pytest.CaptureFixture[str]
) -> None:
    assert await tta("runs", "pause", "--workflow", "sai", "--new", journal=journal, say=SAY) == 1
    assert "no workflow is called 'sai'; did you mean 'say'?" in capsys.readouterr().err


async def test_a_cursor_that_is_none_is_told(journal: Shared, capsys: pytest.CaptureFixture[str]) -> None:
    async with running(journal, say=SAY) as workflows:
        await workflows.run("say", {"text": "hi"}, key="r")
        assert await tta("runs", "list", "--cursor", "x", journal=journal) == 1
    assert "'x' is no cursor" in capsys.readouterr().err


@pytest.mark.parametrize(
    "words",
    [["signal", "r", "yes", "[]"], ["signal", "r", "yes", "{"], ["list", "--limit", "0"], ["list", "--label", "x"]],
)
async def test_a_wrong_command_line_is_said_to_be(words: list[str], journal: Shared) -> None:
    with pytest.raises(SystemExit, match="2"):
        await tta("runs", *words, journal=journal)
