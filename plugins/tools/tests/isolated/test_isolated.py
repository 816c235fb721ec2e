"""Tools in processes of their own: whatever they do is contained and told, and nothing of them stays."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import textwrap
from collections.abc import AsyncIterator, Awaitable, Iterator
from pathlib import Path
from typing import Any
from unittest.mock import ANY

import anyio
import pytest
from msgspec.structs import replace

from tta_tools import TOOLS, Tool
from tta_tools.isolated import InProcess, IsolationConfig, Support, isolation
from tta_tools.model import NotCalled, Progress, ToolError
from tta_tools.runners import Job
from tta_tools.testing.deployment import deployment

HERE = Path(__file__).parent
MIB = 1 << 20
SUPPORTS = {
    "all that the kernel has": None,
    "no namespaces": Support(landlock=1, namespaces=False),
    "nothing": Support(),
}
ENDS: dict[str, tuple[dict[str, Any], object]] = {
    "add": ({"a": 1, "b": 2}, 3),
    "later": ({"a": 3}, 3),
    "chatty": ({}, "done"),
    "spin": ({"timeout": 1.0}, "timed_out"),
    "deaf": ({"timeout": 1.0}, "timed_out"),
    "leave": ({"status": 3}, "failed"),
    "leave_politely": ({}, "failed"),
    "crash": ({}, "failed"),
    "kill": ({"timeout": 1.0}, ("failed", "timed_out")),
    "eat": ({}, "failed"),
    "eat_all": ({"memory": 16 * MIB}, "failed"),
    "add_little": ({"memory": 16 * MIB, "a": 1, "b": 2}, 3),
    "eat_together": ({}, "failed"),
    "bomb": ({}, "failed"),
    "orphan": ({"double": True}, "left one behind"),
    "run": ({}, "42\n"),
    "close": ({}, "failed"),
    "forge": ({}, "invalid_result"),
    "speak": ({"text": "a secret of somebody's"}, "said"),
    "big": ({"size": 2 * MIB}, "too_large"),
    "endless": ({}, "too_large"),
    "not_a_number": ({}, "invalid_result"),
    "surrogate": ({}, "invalid_result"),
    "huge_number": ({}, "invalid_result"),
    "deep": ({}, "invalid_result"),
    "strange": ({}, "invalid_result"),
    "raises": ({}, "failed"),
    "recurses": ({"n": 1}, "failed"),
    "refuses": ({}, "not_found"),
    "odd": ({}, "failed"),
    "threads": ({}, 3),
    "fill": ({}, "too_large"),
    "one_file": ({}, "too_large"),
    "dig": ({}, ("too_large", "deep")),
    "grow_limits": ({}, "failed"),
    "missing": ({}, "unavailable"),
}


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def hostile(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    monkeypatch.syspath_prepend(HERE)
    import hostile

    yield hostile
    sys.modules.pop("hostile")


@pytest.fixture
def own(tmp_path: Path) -> Path:
    """Where the folders of tools are made, so that a test sees what stays."""
    folder = tmp_path / "own"
    folder.mkdir()
    return folder


@pytest.fixture
async def runner(own: Path) -> AsyncIterator[InProcess]:
    async with isolation(IsolationConfig(memory=256 * MIB, folder=own)) as made:
        yield made


def job(hostile: Any, name: str, *, timeout: float = 20.0, flags: tuple[str, ...] | None = None, **more: Any) -> Job:
    # A name may say more than that of its tool.
    tool = getattr(hostile, name, None) or getattr(hostile, name.rpartition("_")[0], hostile.add)
    reference = tool.spec.reference
    if name == "missing":
        reference = type(reference)(callable="hostile:there_is_no_such_tool")
    limits = {key: more.pop(key) for key in ("cpu", "memory") if key in more}
    return Job(
        tool=tool.spec.id, call=tool.call, reference=reference, arguments=more, timeout=timeout,
        flags=tool.spec.safety_flags if flags is None else flags, **limits,
    )  # fmt: skip


async def outcome(runner: InProcess, job: Job) -> Any:
    """Return the result, or the code of the error, whose text quotes nobody."""
    try:
        return await runner(job, lambda _: None)
    except ToolError as exc:
        error = exc
    assert "secret" not in str(error)
    assert len(str(error)) < 1000
    return error.code


def names(folder: Path) -> list[str]:
    return [each.name for each in folder.iterdir()]


def left_behind(own: Path) -> list[str]:
    """Return the processes that are still in their folders, which is where each tool begins."""
    found = []
    for each in Path("/proc").glob("[0-9]*"):
        try:
            found += [each.name] if each.joinpath("cwd").readlink().is_relative_to(own) else []
        except OSError:
            continue
    return found


async def until_none_is_left(own: Path) -> None:
    with anyio.fail_after(20):
        while left_behind(own):
            await anyio.lowlevel.checkpoint()


@pytest.mark.parametrize("support", SUPPORTS.values(), ids=[*SUPPORTS])
async def test_whatever_a_tool_does_is_contained_and_told_and_nothing_of_it_stays(
    hostile: Any, support: Support | None, own: Path
) -> None:
    outcomes: dict[str, Any] = {}

    async def call(name: str, arguments: dict[str, Any]) -> None:
        outcomes[name] = await outcome(isolated, job(hostile, name, **arguments))

    config = IsolationConfig(children=len(ENDS), memory=256 * MIB, disk=4 * MIB, folder=own)
    async with isolation(config, support) as isolated, anyio.create_task_group() as group:
        for name, (arguments, _) in ENDS.items():
            group.start_soon(call, name, arguments)
    wanted = {name: end for name, (_, end) in ENDS.items()}
    # Where there is more than one way to end, take that.
    wanted |= {name: outcomes[name] for name, end in wanted.items() if isinstance(end, tuple) and outcomes[name] in end}
    assert outcomes == wanted
    assert sum(isolated.ended.values()) == len(ENDS)
    assert "lost" not in isolated.ended
    assert left_behind(own) == []
    assert names(own) == []


async def test_a_tool_without_flags_reaches_no_file_no_network_and_no_process_of_others(
    hostile: Any, runner: InProcess, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TTA_SECRET", "a secret of somebody's")
    (tmp_path / "file").write_text("a file of somebody's")
    support = await runner.support()
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        calls = {
            "read": {"path": str(tmp_path / "file")},
            "write": {"path": str(tmp_path / "new")},
            "connect": {"port": port},
            "parents_variables": {"parent": os.getpid()},
            "kill_other": {"process": os.getpid()},
        }
        reached = {name: await outcome(runner, job(hostile, name, **calls[name])) for name in calls}
    # A kernel that has neither can't refuse: then the page on isolation says so.
    assert support.landlock or support.namespaces
    assert reached["parents_variables"] == reached["kill_other"] == "failed"
    assert (reached["read"], reached["write"]) == (("failed", "failed") if support.landlock else (ANY, ANY))
    assert reached["connect"] == ("failed" if support.namespaces or support.landlock >= 4 else ANY)
    assert await outcome(runner, job(hostile, "write", path="own")) == "written"
    assert await outcome(runner, job(hostile, "run", flags=())) == ("failed" if support.landlock else "42\n")


async def test_a_tool_with_flags_reaches_what_they_say(hostile: Any, runner: InProcess, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("a file of somebody's")
    read = job(hostile, "read", path=str(tmp_path / "file"), flags=("filesystem",))
    assert await outcome(runner, read) == "a file of somebody's"
    with socket.create_server(("127.0.0.1", 0)) as server:
        answer = anyio.to_thread.run_sync(_answer, server)
        async with anyio.create_task_group() as group:
            group.start_soon(_await, answer)
            connect = job(hostile, "connect", port=server.getsockname()[1], flags=("network",))
            assert await outcome(runner, connect) == "hello"


def _answer(server: socket.socket) -> None:
    connection, _ = server.accept()
    with connection:
        connection.sendall(b"hello")


async def _await(answer: Awaitable[None]) -> None:
    await answer


async def test_its_variables_are_those_that_are_named(
    hostile: Any, runner: InProcess, own: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TTA_SECRET", "a secret of somebody's")
    monkeypatch.setenv("TZ", "Europe/Vienna")
    variables = await outcome(runner, job(hostile, "variables"))
    assert variables.pop("TZ") == "Europe/Vienna"
    assert variables.keys() <= {
        "PATH",
        "LD_LIBRARY_PATH",
        "LANG",
        "LC_ALL",
        "LC_CTYPE",
        "HOME",
        "TMPDIR",
        "TMP",
        "TEMP",
    }
    assert Path(variables["TMPDIR"]).parent == own


async def test_progress_is_told_as_it_comes_and_not_without_end(hostile: Any, runner: InProcess) -> None:
    told: list[Progress] = []
    assert await runner(job(hostile, "later", a=3), told.append) == 3
    assert told == [Progress("half", 0.5)]
    told.clear()
    assert await runner(job(hostile, "chatty"), told.append) == "done"
    assert 0 < len(told) <= 500
    assert max(len(each.text) for each in told) <= 500


async def test_what_its_function_does_not_take_is_not_called(hostile: Any, runner: InProcess) -> None:
    assert await runner(job(hostile, "halve", even={"number": 4}), lambda _: None) == 2
    with pytest.raises(NotCalled, match=r"arguments\.even") as caught:
        await runner(job(hostile, "halve", even={"number": 3}), lambda _: None)
    assert caught.value.code == "invalid_arguments"


async def test_processor_time_is_bounded_by_itself(hostile: Any, runner: InProcess) -> None:
    with anyio.fail_after(30):
        assert await outcome(runner, job(hostile, "spin", cpu=0.3, timeout=60.0)) == "timed_out"


async def test_whoever_cancels_a_call_has_it_killed(hostile: Any, runner: InProcess, own: Path) -> None:
    with anyio.CancelScope() as scope:
        await runner(job(hostile, "sleep"), lambda _: scope.cancel())
    assert left_behind(own) == []
    assert names(own) == []


async def test_only_so_many_run_at_once(hostile: Any, own: Path) -> None:
    started = anyio.Event()
    async with isolation(IsolationConfig(children=1, folder=own)) as runner, anyio.create_task_group() as group:
        group.start_soon(runner, job(hostile, "sleep"), lambda _: started.set())
        await started.wait()
        assert await outcome(runner, job(hostile, "add", a=1, b=2, timeout=0.01)) == "busy"
        group.cancel_scope.cancel()


@pytest.mark.parametrize("levels", [1, 2])
async def test_a_tool_that_kills_who_holds_it_goes_too_and_the_next_call_is_served(
    hostile: Any, own: Path, levels: int
) -> None:
    # What the kernel has to prevent it is left out.
    async with isolation(IsolationConfig(folder=own), Support()) as runner:
        ended = await outcome(runner, job(hostile, "kill_above", levels=levels, timeout=2.0))
        assert ended == ("failed" if levels == 1 else "timed_out")
        await until_none_is_left(own)
        assert await outcome(runner, job(hostile, "add", a=1, b=2)) == 3


async def test_what_a_deployment_needs_of_the_kernel_and_has_not_is_unavailable(hostile: Any, own: Path) -> None:
    config = IsolationConfig(need=("landlock", "namespaces"), folder=own)
    async with isolation(config, Support(landlock=7)) as runner:
        with pytest.raises(ToolError, match="kernel has no namespaces") as caught:
            await runner(job(hostile, "add", a=1, b=2), lambda _: None)
    assert caught.value.code == "unavailable"


async def test_it_is_called_and_counted_as_any_other_tool_and_its_server_ends_with_the_plugin(
    hostile: Any, own: Path
) -> None:
    def isolated(tool: Tool, **more: Any) -> Tool:
        return Tool(replace(tool.spec, isolation="process", **more), tool.function)

    brought = (
        isolated(hostile.add), isolated(hostile.leave), isolated(hostile.spin, timeout=0.5),
        isolated(hostile.big, max_output=100, output="cut"),
    )  # fmt: skip
    async with deployment(*brought, tools={"isolation": {"folder": str(own)}}) as kernel:
        tools = kernel.get(TOOLS)
        assert (await tools.run("test.add", {"a": 1, "b": 2})).value == 3
        assert (await tools.run("test.big", {"size": MIB})).note == f"cut to 98 of {MIB} characters"
        for name, arguments, code in (("test.leave", {"status": 3}, "failed"), ("test.spin", {}, "timed_out")):
            with pytest.raises(ToolError) as caught:
                await tools.run(name, arguments)
            assert caught.value.code == code
        failures = {id: each.failures for id, each in (await tools.figures()).items() if each.failures}
        assert failures == {"test.leave:1.0.0": {"failed": 1}, "test.spin:1.0.0": {"timed_out": 1}}
        assert len(servers()) == 1
    assert servers() == []


def servers() -> list[str]:
    """Return the servers below this process."""
    found = []
    for each in Path("/proc").glob("[0-9]*"):
        try:
            parent = each.joinpath("stat").read_text().rpartition(")")[2].split()[1]
            mine = int(parent) == os.getpid() and "tta_tools.isolation" in each.joinpath("cmdline").read_text()
        except OSError:
            continue
        found += [each.name] if mine else []
    return found


async def test_nothing_outlives_a_program_that_is_killed(own: Path) -> None:
    program = f"""
        import sys, anyio
        sys.path.insert(0, {str(HERE)!r})
        import hostile
        from pathlib import Path
        from tta_tools.isolated import IsolationConfig, isolation
        from tta_tools.runners import Job

        async def main():
            tool = hostile.sleep
            job = Job(tool="test", call=tool.call, reference=tool.spec.reference, timeout=60)
            async with isolation(IsolationConfig(folder=Path({str(own)!r}))) as runner:
                await runner(job, lambda progress: print(progress.text, flush=True))

        anyio.run(main)
    """
    command = [sys.executable, "-c", textwrap.dedent(program)]
    async with await anyio.open_process(command, stdin=subprocess.DEVNULL, stderr=None) as process:
        assert process.stdout is not None
        await process.stdout.receive()
        assert len(left_behind(own)) == 1
        process.send_signal(signal.SIGKILL)
        await until_none_is_left(own)
